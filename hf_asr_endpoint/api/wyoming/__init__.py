"""The Wyoming protocol, Home Assistant's, on a TCP port of its own: one utterance on each connection.

`wire` reads and writes events; `parameters` reads what a client wants; `conversation` carries both between the
wire and a live session, whose one turn the client ends; `info` says what there is; `server` has the port, its
limits and its log. Source: the README and the package `wyoming` 1.10 of https://github.com/OHF-Voice/wyoming.

That package is a client of the tests only. Its reader takes as many bytes as the other side announces, and ends
without a word at what is no event; its server knows no number of connections. Without it, the port needs no extra.
"""
