"""The corpus as data; README.md beside this file tells what names and expectations mean."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# The limits under which every file is right. Small, so that what breaks them is a small file.
MAX_HEAD_BYTES = 4096
MAX_TARGET_BYTES = 2048
MAX_HEADERS = 64
MAX_BODY_BYTES = 65_536

# Follows each file where it is tested with trailing bytes: behind a rejected file nobody may ever see it.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r\n"

_NAME = re.compile(r"(?P<status>[45]\d\d)-(?:(?:CVE-\d+-\d+|GHSA(?:-\w{4}){3}|cheroot-\d+)-)?(?P<reason>.+)")


@dataclass(frozen=True)
class Reject:
    """Bytes that are refused. before: requests that are answered before that; entered: how often an app is entered."""

    name: str
    status: int
    before: int
    entered: int

    @property
    def data(self) -> bytes:
        return (HERE / "reject" / f"{self.name}.http").read_bytes()


@dataclass(frozen=True)
class Wanted:
    """One request as an app has to see it: fields are keyed as in environ, without those of the connection."""

    method: str
    target: str
    path: str
    version: str
    fields: dict[str, str]
    body: str
    keep: bool


@dataclass(frozen=True)
class Accept:
    """Bytes that are requests. rest: what stays unread, since the last of them ends the connection."""

    name: str
    requests: tuple[Wanted, ...]
    rest: bytes

    @property
    def data(self) -> bytes:
        return (HERE / "accept" / f"{self.name}.http").read_bytes()

    @property
    def keeps(self) -> bool:
        return self.requests[-1].keep


# Fields that end at the engine (RFC 9110 section 7.6.1), and Expect, which it answers: an app may see them or not.
OF_THE_CONNECTION = frozenset(
    f"HTTP_{name}" for name in ("CONNECTION", "KEEP_ALIVE", "PROXY_CONNECTION", "TE", "TRAILER", "UPGRADE", "EXPECT")
)


def environ_key(name: str) -> str:
    """A header's name as environ has it."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def without_connection(fields: dict[str, str]) -> dict[str, str]:
    """The fields that an app must see, and no others."""
    return {key: value for key, value in fields.items() if key not in OF_THE_CONNECTION}


def rejects() -> list[Reject]:
    """All of reject/, by name."""
    return [_reject(path.name.removesuffix(".http")) for path in _files("reject")]


def accepts() -> list[Accept]:
    """All of accept/, by name."""
    tables = tomllib.loads((HERE / "accept" / "expectations.toml").read_text(encoding="ascii"))
    names = [path.name.removesuffix(".http") for path in _files("accept")]
    assert names == sorted(tables), f"files and expectations differ: {sorted(set(names) ^ set(tables))}"
    return [_accept(name, tables[name]) for name in names]


def _files(folder: str) -> list[Path]:
    return sorted((HERE / folder).glob("*.http"), key=lambda path: path.name.removesuffix(".http"))


def _reject(stem: str) -> Reject:
    match = _NAME.fullmatch(stem)
    assert match is not None, f"{stem} is not <status>-<reason>"
    before = int(match["reason"].startswith("second-request-"))
    in_body = match["reason"].startswith(("chunk-", "chunks-", "trailer-", "trailers-"))
    return Reject(stem, int(match["status"]), before, int(before or in_body))


def _accept(name: str, table: dict[str, Any]) -> Accept:
    assert table.keys() <= {"requests", "rest"}, name
    return Accept(name, tuple(map(_wanted, table["requests"])), _text(table.get("rest", "")).encode("latin-1"))


def _wanted(table: dict[str, Any]) -> Wanted:
    assert table.keys() <= {"method", "target", "path", "version", "fields", "body", "keep"}, table
    target = _text(table.get("target", "/"))
    fields = table.get("fields", {"host": "a.example"})
    return Wanted(
        table.get("method", "GET"),
        target,
        table.get("path", target),
        table.get("version", "1.1"),
        {environ_key(name): _text(value) for name, value in fields.items()},
        _text(table.get("body", "")),
        table.get("keep", True),
    )


def _text(value: str | list[Any]) -> str:
    return value if isinstance(value, str) else value[0] * value[1]
