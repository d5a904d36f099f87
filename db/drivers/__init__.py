"""What is particular to one database server; everything above speaks to `db/pool.py` and `db/batch.py`.

postgres.py  psycopg: connection set-up, errors, and a connection that sends several statements at once
"""
