"""What tests are made of.

balancer.py nginx and haproxy by the samples in etc/
cluster.py several nodes over one database, to be broken
faultproxy.py a TCP proxy that is late, cuts, ends halves and resets
load.py    clients that post without pause and remember what was acknowledged
network.py what joins nodes: namespaces whose ways can be cut and slowed, or loopback
node.py    a real node as a process of its own
pgcluster.py a PostgreSQL master with replicas, to be broken
people.py  users, teams and channels, made by the API
raw.py     HTTP as bytes on a socket
require.py what a test does about a part that is missing
rest.py    a small REST client
socket.py  a small WebSocket client that checks sequence numbers
wait.py    waiting for a condition
"""
