"""What the processes of a node share in memory.

floors.py  what must be seen by every read of the node, in shared memory
metricslots.py what is counted, a slot for each process
page.py    the node page: what the relay tells all workers, in shared memory
stamps.py  what has changed, for the caches of the node, in shared memory
"""
