"""The configuration: its fields, its file, what clients see of it.

client.py    what /config/client and X-Version-Id tell clients
cluster.py   what ClusterSettings must satisfy; the secret in a file
file.py      reading config.json: environment overrides, validation
settings.py  the sections of config.json, their defaults, what a reload may change
"""
