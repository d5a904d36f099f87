"""Listening sockets, and sockets that change their process.

handover.py  connected sockets from one worker to another
listen.py    the listening sockets, held by the supervisor
loads.py     evenly loaded api workers
offers.py    sans-I/O: whom a socket is offered to, and how long is waited
"""
