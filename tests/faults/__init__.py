"""Faults from one table, one by one and in pairs drawn at random, judged by witnesses that know nothing of the product.

table.py      every fault: how it begins and heals, what it touches
scene.py      three nodes and their servers, and the acts that faults are made of
witnesses.py  clients that write, read, listen, edit and log out all the time, and remember
checker.py    what they saw against what is promised
rounds.py     a round: some faults over a running cluster, then the judgement
"""
