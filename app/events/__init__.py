"""What happens: messages of the bus, and how clients see them.

messages.py  what clients are told, built once and encoded once
wire.py      entities as Mattermost's JSON
"""
