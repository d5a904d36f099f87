"""`make bench`: every benchmark, or those named on the command line."""

import sys

from bench import cluster, fanout, http, sockets

BENCHMARKS = {"http": http.main, "cluster": cluster.main, "fanout": fanout.main, "sockets": sockets.main}

for name in sys.argv[1:] or BENCHMARKS:
    print(f"## {name}")
    BENCHMARKS[name]()
