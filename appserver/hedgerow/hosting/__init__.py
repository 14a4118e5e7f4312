"""Finds, loads and mounts apps. Knows no socket and no gevent; what runs a request (`worker`) is not known here."""
