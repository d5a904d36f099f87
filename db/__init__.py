"""What is true: the database tier (bottom layer: imports none of ours).

    app ──> users.py sessions.py teams.py channels.py posts.py statuses.py preferences.py systems.py
              │ SQL, one file a noun                        │ posts go through
              ▼                                             ▼
            pool.py  read / write / transaction           batch.py  natural batching of posts
              │                                             │
              └──────────────> drivers/postgres.py <────────┘

batch.py        natural batching: what queued while a write was under way goes as the next write
channels.py     channels, their members and their heads
drivers/        what is particular to one database server
entities.py     the rows as typed structs
errors.py       what can go wrong below, in a few kinds
ids.py          26-character ids and random tokens
migrate.py      numbered SQL, run by exactly one of several nodes
pool.py         the connection pool
posts.py        posts and the statement that writes a batch of them
preferences.py  preferences of users
schema/         the numbered SQL, a folder a driver
sessions.py     sessions, looked up by the hash of their token
settings.py     what the pool needs to know
statuses.py     online, away, do not disturb, offline
systems.py      node-independent facts of the installation
teams.py        teams and their members
users.py        users
"""
