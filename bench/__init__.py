"""Load runs and side-by-side comparisons (`make bench`); figures are CPU per operation, medians of several rounds.

client.py  a reference client: reconnects, resumes, fetches what it missed, as Mattermost's do
cluster.py three nodes: the bus at rest, the write barrier, reads
cpu.py     CPU time of a node's processes, by role
fanout.py  one event to 1,000 sockets, beside other WebSocket servers
http.py    requests: ping, users/me, a page of posts, creating posts
limits.py  descriptors
load.py    many keep-alive connections with one request each under way
peers/     WebSocket servers of others and ours, which send the same to all their clients
population.py users with sessions and 100 channels each, written straight into the database
sockets.py 10,000 sockets on one ws worker of a whole node: memory, a storm, slow clients, typing
swarm.py   many clients of client.py in one process
"""
