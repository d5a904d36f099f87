"""Statements, by noun.

attempts.py     wrong passwords, and the delays after them
audits.py       who did what
channels.py     channels, their members and their heads
edits.py        posts that change or go
figures.py      figures of the installation, counted or estimated
leases.py       leases with fencing tokens
members.py      memberships of channels that end or change
mysql/          what has to be said to MySQL and MariaDB in other statements
nodes.py        the nodes of the cluster, as they registered
outbox.py       what changed since the last poll, whoever changed it
posts.py        posts and the statement that writes a batch of them
preferences.py  preferences of users
reactions.py    reactions to posts
sessions.py     sessions, looked up by the hash of their token
statuses.py     online, away, do not disturb, offline
teams.py        teams and their members
trims.py        what is old goes
users.py        users
"""
