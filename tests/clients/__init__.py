"""Real client programs, unchanged but for the address, against the server with real weights.

`table.py` lists every client with its exact version. `installation.py` puts each into an environment of its own.
A script of `python/` or `node/` makes the client's calls and prints what came of them. `requests/` holds the
requests of programs that no registry has, written from their sources.
"""
