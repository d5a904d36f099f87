"""What there is: ids, entities, errors, limits, and what the processes of a node know of the database.

board.py     what the prober found out about the servers, for every process of the node
entities.py  the rows as typed structs
errors.py    what can go wrong below, in a few kinds
ids.py       26-character ids and random tokens
limits.py    every bound on what a request names and an answer holds
numbers.py   numbers of changes, never given out twice
retries.py   what the database undid to free others, done again
settings.py  what the pool needs to know
shards.py    names of what statements read or change, and their floors
tables.py    the tables: columns, and who is told when a row changes
tasks.py     tasks that have an owner
"""
