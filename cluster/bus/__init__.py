"""The bus of a node: envelopes between a worker and its relay.

addresses.py  of ws workers, in the ids of their connections
bus.py        a worker's end of the bus
changes.py    commits from node to node: telling and waiting, applying what is told
envelope.py   envelope <-> msgpack
inbox.py      what comes in at a ZeroMQ socket
sequence.py   sans-I/O: numbered streams: deliver, duplicate, gap
"""
