"""A folder for PYTHONPATH: see tests/rig/clocks.py.

sitecustomize.py changes the clock of the process that finds it
"""
