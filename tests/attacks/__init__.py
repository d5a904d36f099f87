"""Strangers who send anything, and the people who must not notice.

strangers.py       what they send: a program of its own
innocents.py       people who chat meanwhile, and what they saw
test_strangers.py  on one node, and through nginx
"""
