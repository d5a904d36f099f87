"""WebSocket servers that send the same 800 bytes to all their clients, for `bench/fanout.py`.

Each says its port on stdout; a line on stdin is a number: send so many events to everybody, now.

npm_ws.mjs     npm `ws` (package.json, package-lock.json)
ours.py        `ws/` as a ws worker runs it
picows.py      picows
uvicorn.py     an ASGI application on uvicorn with wsproto
websockets.py  websockets, by its broadcast
wire.py        the event, stdin and stdout
"""
