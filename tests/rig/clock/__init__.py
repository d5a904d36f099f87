"""A folder for PYTHONPATH: see tests/rig/clocks.py.

sitecustomize.py  what Python imports at its start: clocks that can be moved
"""
