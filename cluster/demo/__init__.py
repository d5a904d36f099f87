"""The demo: three nodes over a PostgreSQL master with two replicas, on one machine.

nodes.py     mmnode demo: three nodes on this machine
postgres.py  the demo's database: a master and two replicas
"""
