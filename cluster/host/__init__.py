"""The machine: paths, logs, processes, systemd.

logs.py       one event a line
logwriter.py  where lines go out, and nobody waits for them
paths.py      data directory, runtime directory, node id
spawn.py      starting programs that never outlive us
systemd.py    what a service manager wants to hear
title.py      how this process is called in ps and top
"""
