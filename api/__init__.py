"""HTTP in, HTTP out: operations are declared, the transport serves them.

    http/ (sockets, requests, answers) ──> responder.py ──> ops/<noun>.py ──> app/<noun>.py
      │ upgrade              table.py ──────────┘   auth.py params.py bodies.py replies.py
      ▼
    ports.Handover ──> a ws worker          openapi.py reference.py coverage.py: what is made of the table besides

auth.py      cookie or bearer token, CSRF -> who asks
bodies.py    request bodies as typed structs
call.py      what an operation gets of its request
coverage.py  which of Mattermost's operations are here: `python -m api.coverage`
errors.py    what becomes of an exception
example.py   a good request for an operation, as data
known.py     Mattermost's operations, offered or not: 501, 405, 404
openapi.py   the OpenAPI document
operation.py an operation: one declaration
params.py    parts of the path and of the query, by types
proxies.py   where requests come from when proxies of ours stand in between
reference.py docs/api.md: `python -m api.reference`
replies.py   answers and errors in Mattermost's form
responder.py the way of a request through its operation
shapes.py    what is answered, as types
table.py     all operations

http/        the transport
ops/         the operations, by nouns
"""
