"""The other nodes: who they are, what is exchanged with them, what they are known to have.

advertise.py   the address by which other nodes reach this one
barrier.py     sans-I/O: who waits until the other nodes know of a write
bodies.py      what nodes say to each other directly, with limits and schemas
colours.py     green, yellow, red: the status of the cluster
digest.py      whether nodes have the same configuration, said without saying what it is
intake.py      sans-I/O: what comes from a peer, in its order and whole
interlink.py   this node's part in the cluster: registry, sockets, clock around mesh.py
keyring.py     what the cluster's secret proves: keys by HKDF, MACs of registrations
links.py       the sockets between nodes
masters.py     sans-I/O: who has a master, by the beats
membership.py  sans-I/O: who lives
mesh.py        sans-I/O: the protocol between nodes
outputs.py     what mesh.py wants done
quiet.py       sans-I/O: whether any member could commit anything
requests.py    what nodes ask of each other, and the answers
ring.py        sans-I/O: what a node sent last, for peers that missed some of it
roster.py      sans-I/O: who belongs to the cluster, where, and with which key
telling.py     sans-I/O: what the other nodes tell their clients
terms.py       sans-I/O: on which term of a master the nodes agree
zap.py         who may connect to this node's sockets: CURVE and ZAP
"""
