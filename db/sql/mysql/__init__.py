"""What has to be said to MySQL and MariaDB in other statements than to PostgreSQL (decision 0010).

A function of `db/<noun>.py` comes here when a different text alone will not do: no RETURNING, no statement that changes
several tables. Each runs in one transaction and keeps what the one statement of PostgreSQL promises. Under READ
COMMITTED every statement sees what was committed before it began, so what follows a lock is current.

channels.py   joining and reading channels
outbox.py     reading the outbox
statuses.py   changes of presence
teams.py      joining teams
witnesses.py  rows that only TRUNCATE removes without a word
"""
