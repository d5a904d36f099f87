"""HTTP in, HTTP out: handlers parse, call a verb of app, answer.

    socket ──> intake.py, connection.py ──> asgi.py (Falcon: routes, middleware) ──> users.py posts.py …
                  │ upgrade                                                                 │ auth, bodies, params
                  ▼                                                                         ▼
                upgrade.py ──> ports.Handover ──> a ws worker                              app

answers.py   what every answer carries; gzip
asgi.py      create_app: routes, middleware, error handlers
audits.py    the audit log
auth.py      cookie or bearer token, CSRF -> who asks
balance.py   evenly loaded workers: fresh connections go to whoever has fewest
bodies.py    request bodies as typed structs
channels.py  channels and their members
connection.py  a client connection: strict heads, one request at a time, an end that loses no answer
cors.py      what answers tell pages of other origins
cycle.py     a request and its answer: one write instead of two
drain.py     how long a stopping node serves, and an end of its listening socket that resets nobody
intake.py    what a connection reads: bounded bytes a turn, one request's at a time
measures.py  what is counted of HTTP
members.py   one member of a channel or of a team
metricsport.py the port on which Prometheus reads
params.py    parts of the path and of the query
pages.py     the web pages
paths.py     where a request leads: paths below SiteURL's, in one form
posts.py     posts
proxies.py   where requests come from when proxies of ours stand in between
reactions.py reactions to posts
readers.py   answers that wait for their readers: how much is kept, who is cut
replies.py   answers and errors in Mattermost's form
senders.py   bodies that wait for the rest of themselves: how much is kept, who is cut
server.py    uvicorn on its inherited socket: whom it lets go, timeouts, drain
sessions.py  sessions, what administrators decide over users, presence
system.py    ping, configuration, licence, what operators do
teams.py     teams and their members
throttle.py  rate limits: which requests count, for whom, what the answers say
upgrade.py   the WebSocket upgrade: checks, then the socket goes to a ws worker
users.py     accounts, log in, log out
"""
