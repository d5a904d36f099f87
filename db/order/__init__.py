"""What orders writes: the database's clock, the locks in their order, the number of each change.

changes.py  the number and time of a change in a channel, and its recoverable event
clock.py    the database's clock
locks.py    the locks that order writes, in the order in which they are taken
"""
