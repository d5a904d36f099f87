"""The supervisor of a node: its children, its commands, the database servers that it uses.

children.py    sans-I/O: the life of a child process: back-off, watchdog, red
control.py     the control socket
embedded.py    the embedded PostgreSQL as a child
followed.py    where the master is while the configuration names another one, kept for the next start
forkserver.py  a process that has imported what workers need, and forks them
measured.py    what the supervisor shows as metrics; it makes their memory
operations.py  what operators ask of a node, or by it of all
places.py      a child's place: its process, and what it is asked
servers.py     which databases the node works with: reload, recycle, failover
supervisor.py  one loop: spawn, watch, reap, reload, drain
switch.py      another master for all nodes: who leads, who takes part
"""
