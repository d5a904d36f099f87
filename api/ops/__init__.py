"""Operations, by the nouns of their paths. A new one is a declaration here and a verb in app/; nothing else names it.

absent.py    what clients ask of features that are not there
accounts.py  what people change of their accounts, and administrators of others'
audits.py    the audit log
categories.py the categories of sidebars
channels.py  channels
customstatuses.py what people say of themselves for a while
installation.py  busy or not, figures, what clients measure, first steps
members.py   members of teams and of channels
people.py    lists of users, searches, completions
pictures.py  pictures of users
posts.py     posts
preferences.py preferences of users
reactions.py reactions to posts
roles.py     roles, as clients ask for them
sessions.py  log in, log out, sessions
statuses.py  presence, and who types
system.py    ping, time zones, configuration, what operators do
teammembers.py members of teams: lists, many at once, by invitation, what is not read
teams.py     teams
usage.py     how much there is
users.py     accounts
versions.py  what posts said before they were edited
"""
