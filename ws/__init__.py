"""Events out, actions in: the WebSocket protocol.

    handover ──> server.py (one Client a socket) <──> protocol.py (sans-I/O: wsproto, requests, limits)
                    │      │ requests ──> actions.py ──> app
                    ▼      │
    bus ──────> hub.py: channel/user/team -> clients ──> fanout.py: one write a turn ──> sockets

acks.py      posts of which clients are asked to say that they notified somebody
actions.py   what clients ask for over the socket
allowance.py sans-I/O: how much a client may make the parser do
claims.py    connections that change their worker
client.py    one socket, and its connection while it has none
close.py     close codes
detached.py  sans-I/O: connections kept for clients that come back
dialogue.py  what a client asks, and what it is answered
entry.py     how a socket gets its connection
farewell.py  a worker that stops gives its connections to others
fanout.py    shared frames, dirty list, one write per socket and turn of the loop
frames.py    sans-I/O: frames of clients, whole texts by a short path
heads.py     sans-I/O: every event of a channel once and in its order
hub.py       who hears what
index.py     sans-I/O: members of rooms, both ways, in little memory
keeper.py    sans-I/O: connections of workers that have stopped
lenders.py   what this worker cannot read is read by one of another node
looking.py      where the user of a client looks
lookout.py   polls the outbox while the relay does not
outlet.py    what one socket is written
parcels.py   sans-I/O: connections as they are handed over
patience.py  how long is waited for what cannot be read
protocol.py  sans-I/O: handshake, frames, requests, limits
repairs.py   reads what did not come
server.py    all sockets of a worker
serving.py   what a socket needs of its worker
strangers.py sans-I/O: sockets of which nobody knows yet whose they are
stream.py    sans-I/O: what a connection is sent, and the dead queue
"""
