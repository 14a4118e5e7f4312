"""PEP 3333: one request and one callable in, blocks of an answer out. Knows HTTP's framing, but no socket and no
gevent.
"""
