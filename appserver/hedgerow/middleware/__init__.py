"""Plain WSGI middleware, one concern a file, usable with any server."""
