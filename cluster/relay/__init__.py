"""What a relay does for its node: fan-out between its workers and to peers, leases, its node's state.

condition.py  how this node is: what its beats say, and reads without a master
lease.py      sans-I/O: who does the jobs of the cluster, and its runner
news.py       each change of a node's state in one line of the log
presence.py   who is online, stored and told
reasons.py    sans-I/O: what is not as it should be, in words
relay.py      the node's post office
"""
