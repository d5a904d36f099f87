"""What happens: messages of the bus, and how clients see them.

kinds.py     recoverable changes: what is stored of each, and the event that is built of it
messages.py  what clients are told, built once and encoded once
names.py     the WebSocket events: for whom each is, and what becomes of it when it is lost
wire.py      entities as Mattermost's JSON
"""
