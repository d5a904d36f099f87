"""What tests are made of.

at_once.py     what one node acknowledged holds on every other at once, or within 2 s where one missed the barrier
backends.py the databases of the axis: PostgreSQL, MariaDB, replicas that are late
balancer.py nginx and haproxy by the samples in etc/
before.py  the version before this one, out of the history
clock/     on the path of nodes whose clocks are moved
clocks.py  clocks of nodes that jump
cluster.py several nodes over one database, to be broken, and restored
dblinks.py the ways of nodes to a database server, to be cut
directories.py where servers keep their files: in memory
faultproxy.py a TCP proxy that is late, cuts, ends halves and resets
follower.py a client that follows channels through whatever happens
kept.py    what the tests of a module use in turn, restored after each
lateness.py how slow this machine is: seconds of an idle one
load.py    clients that post without pause and remember what was acknowledged
mariadb.py MariaDB servers, alone or as a master with replicas
network.py what joins nodes: namespaces whose ways can be cut and slowed, or loopback
node.py    a real node as a process of its own
people.py  users, teams and channels, made by the API
pgbouncer.py a pooler before PostgreSQL
pgcluster.py a PostgreSQL master with replicas, to be broken
ports.py   ports that no other rig takes
postgres.py the PostgreSQL server that the tests of a process share
prefetch.py the next one starts while one is used
raw.py     HTTP as bytes on a socket
require.py what a test does about a part that is missing
rest.py    a small REST client
scale.py   how much to prove, and seeds
scrape.py  Prometheus' text format, read strictly
socket.py  a small WebSocket client that checks sequence numbers
sql.py     statements on a database of either kind
switch.py  ways to database servers whose end changes while they are used
virtual.py an event loop without a real clock
wait.py    waiting for a condition
wire.py    packets between namespaces: dropped, late, lost, in disorder, or too long
"""
