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

drivers/  what is particular to one database server
model/    what there is: ids, entities, errors, limits, and what the processes of a node know of the database
order/    what orders writes: the clock, the locks, the number of each change
pool/     connections: which server, how many, since when; and what is read through them at once
schema/   the numbered SQL, a folder a driver
sql/      statements, by noun
writer/   the writer of posts: many in one batch
"""
