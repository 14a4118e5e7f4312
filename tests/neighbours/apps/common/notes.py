"""The notes of the app in whose folder this lies."""

import contextlib
import os
import sqlite3

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "notes.sqlite3")


def opened():
    base = sqlite3.connect(PATH, timeout=20)
    base.execute("create table if not exists notes (text text)")
    return base


def add(text):
    with contextlib.closing(opened()) as base, base:
        base.execute("insert into notes values (?)", (text,))


def latest(count=5):
    with contextlib.closing(opened()) as base:
        return [row[0] for row in base.execute("select text from notes order by rowid desc limit ?", (count,))]


def has(text):
    with contextlib.closing(opened()) as base:
        return base.execute("select count(*) from notes where text = ?", (text,)).fetchone()[0]
