"""Tests mirror the folders; `stories/` runs real nodes through faults, `clients/` drives them with others' clients.

rig/   what tests are made of: nodes as processes, REST and WebSocket clients, provisioning
"""
