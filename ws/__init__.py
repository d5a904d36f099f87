"""Events out, actions in: the WebSocket protocol.

    handover ──> server.py (one Client a socket) <──> protocol.py (sans-I/O: wsproto, requests, limits)
                    │      │ requests ──> actions.py ──> app
                    ▼      │
    bus ──────> hub.py: channel/user/team -> clients ──> fanout.py: one write a turn ──> sockets

actions.py   what clients ask for over the socket
close.py     close codes
fanout.py    shared frames, dirty list, one write per socket and turn of the loop
hub.py       who hears what
protocol.py  sans-I/O: handshake, frames, requests, limits
server.py    sockets received from api workers, and their timers
"""
