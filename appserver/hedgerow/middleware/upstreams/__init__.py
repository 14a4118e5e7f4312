"""What `remote.py` is made of: which server gets a request (`choice.py`, pure; `balance.py`, its state), one connection
(`wire.py`), one answer's bytes (`reply.py`), one request's head and body (`outgoing.py`, `body.py`), and its way there
and back (`exchange.py`, `tunnel.py`).
"""
