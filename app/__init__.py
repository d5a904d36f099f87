"""What may happen, and what follows: the rules (imports only db).

    api, ws ──> users.py sessions.py teams.py channels.py posts.py statuses.py   the verbs
                  │ asks                    │ tells
                  ▼                         ▼
                permissions.py            events.py ──> ports.Bus (fulfilled by cluster)
                  │
                  └── db

accounts.py     what people change of their accounts, and administrators of others'
activity.py     which signs of life of users are worth telling
adding.py       who may become a member
ancillary.py    which permissions a page of the console needs beside its own
audit.py        the audit log: verbs say what they leave in it
audits.py       who may read the audit log
busy.py         whether the servers are declared busy
categories.py   the categories of sidebars
caches.py       what a worker keeps copies of
channels.py     channels and their members
config/         the configuration: its fields, its file, what clients see of it
context.py      everything a verb needs, built once per process
counting.py     how a node counts: counters, gauges and histograms in cells of memory
customstatus.py sans-I/O: what people say of themselves for a while
edits.py        posts that change: edited, pinned, deleted
emergency.py    administrators while there is no master
ephemeral.py    a post that one user shows another
errors.py       AppError: Mattermost's error ids, texts and statuses
events/         what happens: messages of the bus, and how clients see them
exposition.py   what was counted, in Prometheus' text format
fields.py       name=value, as the log and the audit log write it
filestore.py    where files lie
guard.py        sans-I/O: how long the next log-in waits after wrong passwords
guests.py       guests become users, and users guests
initials.py     pictures of users who have none of their own
history.py      what a post said before it was edited
installation.py busy or not, figures, first steps
jobs.py         what one node does for all, every so often
journal.py      the audit log as one process writes it
keywords.py     sans-I/O: words of a message by which somebody may be mentioned
leaving.py      leaving channels and teams; what members are
licence.py      what clients take for the licence
logfile.py      the newest lines of the log
logins.py       log in, and the delay after wrong passwords
markdown.py     what of a message is prose, and what code or the destination of a link
may.py          who may, as data: the rules that operations declare
mentioned.py    whom a new post mentions, by what they want to be told
mentions.py     which names a message mentions
metrics.py      what is counted: names, types, labels, buckets
origin.py       where a request comes from
origins.py      sans-I/O: of which web pages a browser may talk to us
passwords.py    argon2id off the loop
people.py       lists of users, searches and completions
permissionlists.py  the permissions of Mattermost's roles, as data
permissions.py  who may do what
pictures.py     the pictures of users
ports.py        what the rules need from the outside
postlists.py    the lists of posts that clients ask for
postrules.py    what a change of a post needs
posts.py        posts
preferences.py  what clients keep of a user's settings
presence.py     sans-I/O: who is online, from connections coming and going
props.py        what may stand in the props of a post, and what of it is shown
questions.py    questions to another process and their answers, by a key
ratelimit.py    sans-I/O: GCRA, with what other workers admitted
reactions.py    reactions to posts
reading.py      reading posts: which are asked for, who may have them
redaction.py    what a process knows to be secret, and texts without it
replay.py       events built anew from the database
roles.py        Mattermost's roles, the permissions they carry in their scope, and who may be given which
sessions.py     log in, log out, who is asking
sidebar.py      sans-I/O: what is shown of a sidebar, and what changes make of it
statuses.py     what users say of themselves
system.py       health
teamchanges.py  teams that change, are archived, come back
teamlists.py    teams and members as they are listed, counted and looked for
teams.py        teams and their members
teamunread.py   what a user has not read in their teams
timezones.py    the time zones that users may choose
turns.py        sans-I/O: a bounded queue that is fair to sources
unread.py       a channel that its reader marks as unread again
unstored.py     posts that are stored nowhere
users.py        accounts
validate.py     the forms of names, addresses and texts
version.py      our version; what versions of Mattermost look like
visible.py      which users somebody sees at all
workpool.py     work in threads: bounded, fair to sources
"""
