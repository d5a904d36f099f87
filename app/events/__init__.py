"""What happens: messages of the bus, how clients see them, what of it can be read again.

messages.py  what clients are told, built once and encoded once
replay.py    events built anew from the database
wire.py      entities as Mattermost's JSON
"""
