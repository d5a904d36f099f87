"""What may happen, and what follows: the rules (imports only db).

    api, ws ──> users.py sessions.py teams.py channels.py posts.py statuses.py   the verbs
                  │ asks                    │ tells
                  ▼                         ▼
                permissions.py            events.py ──> ports.Bus (fulfilled by cluster)
                  │
                  └── db

activity.py     which signs of life of users are worth telling
caches.py       what a worker keeps copies of
channels.py     channels and their members
clientconfig.py what /config/client and X-Version-Id tell clients
clusterconfig.py what ClusterSettings must satisfy; the secret in a file
config.py       the sections of config.json, their defaults, what a reload may change
configfile.py   reading config.json: environment overrides, validation
context.py      everything a verb needs, built once per process
edits.py        posts that change: edited, pinned, deleted
errors.py       AppError: Mattermost's error ids, texts and statuses
events.py       what clients are told, built once and encoded once
filestore.py    where files lie
leaving.py      leaving channels and teams; what members are
mentions.py     who a message mentions
origins.py      sans-I/O: of which web pages a browser may talk to us
passwords.py    argon2id off the loop
permissions.py  who may do what
ports.py        what the rules need from the outside
postlists.py    the lists of posts that clients ask for
posts.py        posts
presence.py     sans-I/O: who is online, from connections coming and going
ratelimit.py    sans-I/O: GCRA, with what other workers admitted
reactions.py    reactions to posts
replay.py       events built anew from the database
roles.py        Mattermost's roles and the permissions they carry
sessions.py     log in, log out, who is asking
statuses.py     what users say of themselves
system.py       health
teams.py        teams and their members
users.py        accounts
validate.py     the forms of names, addresses and texts
version.py      our version and the one of Mattermost we speak
wire.py         entities as Mattermost's JSON
"""
