"""Connections: which server, how many, since when; and what is read through them at once.

batching.py    natural batching: the lanes of writer/batch.py and loader.py
cache.py       copies of what was read, and the proof at each hit that they are still true
dsn.py         what may be said of a connection string
failover.py    a change of the master by an operator
generation.py  the connections of one configuration; a recycle replaces all at once
guards.py      changes that no row of the outbox tells of
hosts.py       whether every host of a connection string answers
loader.py      natural batching of reads by key: session and user, access to a channel, a user, a post
masters.py     connections to the master of now, and the end of all others
migrate.py     numbered SQL, run by exactly one of several nodes
place.py       where a connection string leads, without secrets
pool.py        the connection pool
prober.py      who is the master, how far the replicas are: asked every 250 ms
queryable.py   what the functions of this folder work with: the pool, or a transaction
routing.py     which server serves a read, sans-I/O
systems.py     node-independent facts of the installation
terms.py       whether what was written under a term of a master may be acknowledged
triggers.py    the triggers that the description of the tables demands
"""
