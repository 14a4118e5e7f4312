"""Stands in for a library with a default connection, which is the last one made."""


class Database:
    name = ""


_default = Database()


def connect(db, host="", connect=True):
    _default.name = db


def get_db():
    return _default
