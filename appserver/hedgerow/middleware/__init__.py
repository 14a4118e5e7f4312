"""Plain WSGI middleware (PEP 3333), one concern a file, usable with any server.

Each is a class: `RequestId(application, header="X-Id")` is a WSGI application again. Its options are the fields of a
record, so `app.toml` knows them, too. What several of them need of start_response is in `answer.py`.
"""
