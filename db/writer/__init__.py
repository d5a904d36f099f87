"""The writer of posts: many in one batch.

batch.py    natural batching: what queued while a write was under way goes as the next write
connect.py  connections that write batches
mysql.py    writing a batch of posts on MySQL: two sends
outcome.py  what the writer needs of a connection, and what becomes of a batch
postgres.py writing a batch of posts on PostgreSQL: one statement
"""
