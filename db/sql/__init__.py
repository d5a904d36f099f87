"""Statements, by noun.

attempts.py     wrong passwords, and the delays after them
audits.py       who did what
channels.py     channels, their members and their heads
chosen.py       posts chosen one by one: by ids, flagged, as they were before
edits.py        posts that change or go
figures.py      figures of the installation, counted or estimated
guests.py       what a user is in all their teams and channels at once
leases.py       leases with fencing tokens
members.py      memberships of channels that end or change
mysql/          what has to be said to MySQL and MariaDB in other statements
mentionkeys.py  by which words users are mentioned, and who is by a message
nodes.py        the nodes of the cluster, as they registered
outbox.py       what changed since the last poll, whoever changed it
people.py       lists of users, and finding them by how their names begin
posts.py        posts and the statement that writes a batch of them
preferences.py  preferences of users
reactions.py    reactions to posts
sessions.py     sessions, looked up by the hash of their token
sidebar.py      the categories of users' sidebars
statuses.py     online, away, do not disturb, offline
teams.py        teams and their members
teamunread.py   what a user has not read, by team
texts.py        texts in patterns
trims.py        what is old goes
unread.py       how far a member has read, set back
usage.py        how much there is, about
users.py        users
"""
