"""The System Console and the small web chat: static files that api workers serve.

root.html  what every path outside /api answers
"""
