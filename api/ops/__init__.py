"""Operations, by the nouns of their paths. A new one is a declaration here and a verb in app/; nothing else names it.

audits.py    the audit log
categories.py the categories of sidebars
channels.py  channels
members.py   members of teams and of channels
posts.py     posts
preferences.py preferences of users
reactions.py reactions to posts
roles.py     roles, as clients ask for them
sessions.py  log in, log out, sessions
statuses.py  presence, and who types
system.py    ping, time zones, configuration, what operators do
teams.py     teams
users.py     accounts
"""
