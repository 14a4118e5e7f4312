"""The notes in SQLite: what is stored and how several processes share the file. Knows nothing of the web."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

MAX_CHARS = 2000
MAX_ID = 2**63 - 1
PATIENCE_S = 20.0

T = TypeVar("T")
SCHEMA = """
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    made_at INTEGER NOT NULL
)
"""


class Note(NamedTuple):
    id: int
    text: str
    made_at: int

    @property
    def made(self) -> str:
        return time.strftime("%d %b %Y, %H:%M UTC", time.gmtime(self.made_at))


class Notes:
    """All notes of the file at `path`; folder, file and table are made at the first use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, text: str) -> int:
        insert = "INSERT INTO note (text, made_at) VALUES (?, ?) RETURNING id"
        return int(self._run(lambda db: db.execute(insert, (text, int(time.time()))).fetchone()[0]))

    def get(self, note_id: int) -> Note | None:
        rows = self._select("WHERE id = ?", _fitting(note_id))
        return rows[0] if rows else None

    def newest(self, number: int, before: int = MAX_ID) -> list[Note]:
        return self._select("WHERE id < ? ORDER BY id DESC LIMIT ?", _fitting(before), number)

    def count(self) -> int:
        return int(self._run(lambda db: db.execute("SELECT count(*) FROM note").fetchone()[0]))

    def delete(self, note_id: int) -> None:
        self._run(lambda db: db.execute("DELETE FROM note WHERE id = ?", (_fitting(note_id),)))

    def _select(self, where: str, *values: object) -> list[Note]:
        query = f"SELECT id, text, made_at FROM note {where}"
        return self._run(lambda db: [Note(*row) for row in db.execute(query, values)])

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in one transaction, again and again while another process holds the file.

        SQLite would wait by itself (its `timeout`), but inside C, where a server on greenlets stands still with it;
        `time.sleep` lets the others run. A connection for each call needs no thought of who else may use it.
        """
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                with closing(self._open()) as db, db:
                    return work(db)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                if time.monotonic() > give_up:
                    raise
            # A random time keeps two waiters apart.
            time.sleep(random.uniform(0.001, 0.02))

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=0)
        try:
            db.execute(SCHEMA)  # takes no lock for writing when the table is there
        except BaseException:
            db.close()
            raise
        return db


def _fitting(number: int) -> int:
    """SQLite's integers have 64 bits; what a visitor writes into an address may have more."""
    return max(0, min(number, MAX_ID))
