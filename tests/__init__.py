"""Tests mirror the folders; `stories/` runs real nodes through faults, `clients/` drives them with others' clients.

rig/          what tests are made of: nodes and servers as processes, REST and WebSocket clients, waiting
plugins/      what our runs add to pytest: marks of servers, databases as an axis, groups for workers, durations
provision.py  what tests need beyond pip
prove.py      everything at full counts, and the record of it
flakes.py     how often tests fail on a busy machine
mutations.py  deliberate breaks that tests must notice
"""
