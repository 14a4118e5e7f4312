"""Named like an entry, but only a helper: the entry is wsgi.py."""

TEXT = b"wsgi.py\n"
