"""The configuration: its fields, its file, what clients see of it.

client.py    what /config/client and X-Version-Id tell clients
cluster.py   what ClusterSettings must satisfy; the secret in a file
file.py      reading config.json: environment overrides, validation
live.py      the configuration in use in one process, and who watches a key of it
marks.py     what a field says of itself: what applies a change, whether it is secret
settings.py  the sections of config.json: keys, defaults, bounds, marks
"""
