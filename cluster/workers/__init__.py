"""The processes that a supervisor starts: what all of them do, and each role.

channel.py     messages between the supervisor and a worker
main.py        a worker process, from its start to its end
measured.py    what workers show as metrics of what they know anyway
operator.py    from a worker to the supervisor: what an administrator asks of the node
relayworker.py the relay's process
roles.py       api and ws workers: what they build, serve and stop
start.py       what a worker is told at its start
worker.py      a worker process: start, what the supervisor asks of it, end
"""
