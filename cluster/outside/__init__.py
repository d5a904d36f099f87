"""What is reached beyond the cluster: the ports of `app/ports.py` for files and for requests to elsewhere.

blobs.py         files in a directory that the nodes share
outbound.py      HTTP requests to elsewhere, bounded in everything
outboundguard.py sans-I/O: which addresses and URLs they may go to
"""
