"""What makes a node, and (later) nodes a cluster: processes, the bus, the command line (top layer).

    mmnode ──> cli.py ──> supervisor.py ──forkserver.py──> worker.py api 0..N-1, ws 0..M-1, relay.py; embedded.py
                              │  ▲ channel.py (a socket pair each)                  ▲
                              ▼  │                                                  │ bus.py over ipc
                          control.py <── mmnode status, config reload, drain     relay.py: events, presence

bus/         the bus of a node: envelopes between a worker and its relay
cli.py       the command line
commands/    what processes, operators and other nodes ask of each other, as types
demo/        the demo: three nodes over a PostgreSQL master with two replicas, on one machine
host/        the machine: paths, logs, processes, systemd
node/        the supervisor of a node: its children, its commands, the database servers that it uses
outside/     what is reached beyond the cluster: files, HTTP requests to elsewhere
peers/       the other nodes: who they are, what is exchanged with them, what they are known to have
relay/       what a relay does for its node: fan-out between its workers and to peers, leases, its node's state
shm/         what the processes of a node share in memory
sockets/     listening sockets, and sockets that change their process
workers/     the processes that a supervisor starts: what all of them do, and each role
"""
