"""Operations, by the nouns of their paths. A new one is a declaration here and a verb in app/; nothing else names it.

absent.py    what clients ask of features that are not there
audits.py    the audit log
channels.py  channels
installation.py  busy or not, figures, what clients measure, first steps
members.py   members of teams and of channels
posts.py     posts
reactions.py reactions to posts
sessions.py  log in, log out, sessions
statuses.py  presence, and who types
system.py    ping, time zones, configuration, what operators do
teams.py     teams
users.py     accounts
"""
