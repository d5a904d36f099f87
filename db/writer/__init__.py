"""The writer of posts: many in one batch.

batch.py  natural batching: what queued while a write was under way goes as the next write
mysql.py  writing a batch of posts
"""
