"""What is true: the database tier (bottom layer: imports none of ours).

    app ──> users.py sessions.py teams.py channels.py posts.py statuses.py preferences.py systems.py
              │ SQL, one file a noun                        │ posts go through
              ▼                                             ▼
            pool.py  read / write / transact              batch.py  natural batching of posts
              │ which server?  routing.py                   │
              │ by key?  loader.py, natural batching        │
              ▼                                             │
            generation.py  pools of master and replicas     │
              └──────────────> drivers/ <───────────────────┘

attempts.py     wrong passwords, and the delays after them
audits.py       who did what
batch.py        natural batching: what queued while a write was under way goes as the next write
board.py        what the prober found out about the servers, for every process of the node
cache.py        copies of what was read, and the proof at each hit that they are still true
changes.py      the number and time of a change in a channel, and its recoverable event
channels.py     channels, their members and their heads
clock.py        the database's clock
drivers/        what is particular to one database server
dsn.py          what may be said of a connection string
edits.py        posts that change or go
entities.py     the rows as typed structs
errors.py       what can go wrong below, in a few kinds
failover.py     a change of the master by an operator
generation.py   the connections of one configuration; a recycle replaces all at once
guards.py       changes that no row of the outbox tells of
hosts.py        whether every host of a connection string answers
ids.py          26-character ids and random tokens
jobs.py         what one node at a time does for all, guarded by a lease
leases.py       leases with fencing tokens
limits.py       every bound on what a request names and an answer holds
loader.py       natural batching of reads by key: session and user, access to a channel, a user, a post
locks.py        the locks that order writes, in the order in which they are taken
masters.py      connections to the master of now, and the end of all others
members.py      memberships of channels that end or change
migrate.py      numbered SQL, run by exactly one of several nodes
mysql/          what has to be said to MySQL and MariaDB in other statements
nodes.py        the nodes of the cluster, as they registered
numbers.py      numbers of changes, never given out twice
outbox.py       what changed since the last poll, whoever changed it
place.py        where a connection string leads, without secrets
pool.py         the connection pool
posts.py        posts and the statement that writes a batch of them
preferences.py  preferences of users
prober.py       who is the master, how far the replicas are: asked every 250 ms
queryable.py    what the functions of this folder work with: the pool, or a transaction
reactions.py    reactions to posts
retries.py      what the database undid to free others, done again
routing.py      which server serves a read, sans-I/O
schema/         the numbered SQL, a folder a driver
sessions.py     sessions, looked up by the hash of their token
settings.py     what the pool needs to know
shards.py       names of what statements read or change, and their floors
statuses.py     online, away, do not disturb, offline
systems.py      node-independent facts of the installation
teams.py        teams and their members
terms.py        whether what was written under a term of a master may be acknowledged
users.py        users
"""
