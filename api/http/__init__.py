"""The transport: sockets, requests, answers. It knows of operations only that `asgi.py` routes to them.

    socket ──> intake.py, connection.py ──> cycle.py ──> asgi.py (Falcon) ──> api/responder.py
                  │ upgrade
                  ▼
                upgrade.py ──> ports.Handover ──> a ws worker

answers.py   what every answer carries; gzip
asgi.py      create_app: the routes of the operations
balance.py   evenly loaded workers: fresh connections go to whoever has fewest
connection.py  a client connection: strict heads, one request at a time, an end that loses no answer
cors.py      what answers tell pages of other origins
cycle.py     a request and its answer: one write instead of two
drain.py     how long a stopping node serves, and an end of its listening socket that resets nobody
intake.py    what a connection reads: bounded bytes a turn, one request's at a time
measures.py  what is counted of HTTP
metricsport.py  the port on which Prometheus reads
pages.py     the web pages
paths.py     where a request leads: paths below SiteURL's, in one form
readers.py   answers that wait for their readers: how much is kept, who is cut
senders.py   bodies that wait for the rest of themselves: how much is kept, who is cut
server.py    uvicorn on its inherited socket: whom it lets go, timeouts, drain
throttle.py  rate limits: which requests count, for whom, what the answers say
webapp.py    a finished build of a web app: its pages and files
upgrade.py   the WebSocket upgrade: checks, then the socket goes to a ws worker
"""
