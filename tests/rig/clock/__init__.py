"""A folder for PYTHONPATH: see tests/rig/clocks.py."""
