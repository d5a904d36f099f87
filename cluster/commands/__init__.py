"""What a node and its processes may be asked, as types: arguments, bounds, who may ask, what the audit log says.

    operator ──control socket──┐                               ┌──> relay, ws, api workers
    administrator ──a worker───┼──> of_node.py ──supervisor ──> of_worker.py
    another node ──its relay───┘

of_node.py    what operators, administrators and other nodes ask of a node
of_worker.py  what the supervisor asks of a worker, and all that goes by the channel between them
"""
