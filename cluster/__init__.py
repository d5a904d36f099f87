"""What makes a node, and (later) nodes a cluster: processes, the bus, the command line (top layer).

    mmnode ──> cli.py ──> supervisor.py ──forkserver.py──> worker.py api 0..N-1, ws 0..M-1, relay.py; embedded.py
                              │  ▲ channel.py (a socket pair each)                  ▲
                              ▼  │                                                  │ bus.py over ipc
                          control.py <── mmnode status, config reload, drain     relay.py: events, presence

addresses.py   of ws workers, in the ids of their connections
advertise.py   the address by which other nodes reach this one
barrier.py     sans-I/O: who waits until the other nodes know of a write
bodies.py      what nodes say to each other directly, with limits and schemas
bus.py         a worker's end of the bus
changes.py     commits from node to node: telling and waiting, applying what is told
channel.py     messages between the supervisor and a worker
children.py    sans-I/O: the life of a child process: back-off, watchdog, red
cli.py         the command line
colours.py     green, yellow, red: the status of the cluster
condition.py   how this node is: what its beats say, and reads without a master
control.py     the control socket
demo.py        mmnode demo: three nodes on this machine
demo_postgres.py the demo's database: a master and two replicas
digest.py      whether nodes have the same configuration, said without saying what it is
embedded.py    the embedded PostgreSQL as a child
envelope.py    envelope <-> msgpack
floors.py      what must be seen by every read of the node, in shared memory
forkserver.py  a process that has imported what workers need, and forks them
followed.py    where the master is while the configuration names another one, kept for the next start
handover.py    connected sockets from one worker to another
intake.py      sans-I/O: what comes from a peer, in its order and whole
interlink.py   this node's part in the cluster: registry, sockets, clock around mesh.py
keyring.py     what the cluster's secret proves: keys by HKDF, MACs of registrations
lease.py       sans-I/O: who does the jobs of the cluster, and its runner
links.py       the sockets between nodes
listen.py      the listening sockets, held by the supervisor
loads.py       evenly loaded api workers
logs.py        one event a line
logwriter.py   where lines go out, and nobody waits for them
masters.py     sans-I/O: who has a master, by the beats
membership.py  sans-I/O: who lives
mesh.py        sans-I/O: the protocol between nodes
news.py        each change of a node's state in one line of the log
offers.py      sans-I/O: whom a socket is offered to, and how long is waited
operations.py  what operators ask of a node, or by it of all
operator.py    from a worker to the supervisor: what an administrator asks of the node
page.py        the node page: what the relay tells all workers, in shared memory
paths.py       data directory, runtime directory, node id
quiet.py       sans-I/O: whether any member could commit anything
reasons.py     sans-I/O: what is not as it should be, in words
relay.py       the node's post office
relayworker.py the relay's process
requests.py    what nodes ask of each other, and the answers
ring.py        sans-I/O: what a node sent last, for peers that missed some of it
roles.py       api and ws workers: what they build, serve and stop
roster.py      sans-I/O: who belongs to the cluster, where, and with which key
sequence.py    sans-I/O: numbered streams: deliver, duplicate, gap
servers.py     which databases the node works with: reload, recycle, failover
spawn.py       starting programs that never outlive us
stamps.py      what has changed, for the caches of the node, in shared memory
start.py       what a worker is told at its start
supervisor.py  one loop: spawn, watch, reap, reload, drain
switch.py      another master for all nodes: who leads, who takes part
systemd.py     what a service manager wants to hear
title.py       how this process is called in ps and top
terms.py       sans-I/O: on which term of a master the nodes agree
worker.py      a worker process: start, what the supervisor asks of it, end
zap.py         who may connect to this node's sockets: CURVE and ZAP
"""
