"""Who may come in, and by what: names with hashes of passwords (scrypt) or of tokens (SHA-256), one an entry.

    anna:scrypt:16384:8:1:<salt>:<hash>       robot:sha256:<hash>

An entry is made by `python -m hedgerow.middleware.credentials anna`, which asks for the password; with `--token` it
makes a token, which is random, so that a fast hash is enough. Nothing here knows HTTP.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import hashlib
import hmac
import secrets
import sys
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

# 16 MB and some 30 ms for each password that is tried. A password that was right is remembered for as long as the
# process runs, since the client sends it with each request.
COST, BLOCK, PARALLEL = 2**14, 8, 1
_MOST_MEMORY = 2**28
_REMEMBERED = 1_000


class Scrypt(NamedTuple):
    """A password's hash."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    def of(self, password: str) -> bytes:
        """Of another password, in the same way."""
        return hashlib.scrypt(
            _normal(password),
            salt=self.salt,
            n=self.cost,
            r=self.block,
            p=self.parallel,
            maxmem=_MOST_MEMORY,
            dklen=len(self.digest),
        )

    def __str__(self) -> str:
        numbers = f"{self.cost}:{self.block}:{self.parallel}"
        return f"scrypt:{numbers}:{_base64(self.salt)}:{_base64(self.digest)}"


class Credentials:
    """The names of one list. Raises ValueError for an entry that is none, never with a secret in it."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.passwords: dict[str, Scrypt] = {}
        self.tokens: list[tuple[str, bytes]] = []
        for number, entry in enumerate(entries, 1):
            try:
                self._add(entry)
            except ValueError as error:
                raise ValueError(f"entry {number} is no name:scrypt:… or name:sha256:… ({error})") from None
        # Who asks for an unknown name waits as long as for a wrong password.
        like = next(iter(self.passwords.values()), Scrypt(COST, BLOCK, PARALLEL, b"", bytes(32)))
        self._nobody = like._replace(salt=secrets.token_bytes(16), digest=secrets.token_bytes(32))
        self._secret = secrets.token_bytes(32)
        self._right: set[bytes] = set()

    def _add(self, entry: str) -> None:
        name, _, rest = entry.partition(":")
        kind, *fields = rest.split(":")
        name = unicodedata.normalize("NFC", name)
        if not name or not name.isprintable():
            raise ValueError("no name")
        if kind == "sha256" and len(fields) == 1:
            digest = bytes.fromhex(fields[0])
            if len(digest) != hashlib.sha256().digest_size:
                raise ValueError("no hash of SHA-256")
            self.tokens.append((name, digest))
        elif kind == "scrypt" and len(fields) == 5:
            cost, block, parallel = map(int, fields[:3])
            salt, digest = (base64.b64decode(field, validate=True) for field in fields[3:])
            made = Scrypt(cost, block, parallel, salt, digest)
            if len(made.digest) < 32:
                raise ValueError("a short hash")
            if all(made[:3] != known[:3] for known in self.passwords.values()):
                made.of("")  # its numbers may be none that scrypt can do
            if name in self.passwords:
                raise ValueError(f"{name} is there already")
            self.passwords[name] = made
        else:
            raise ValueError("an unknown kind")

    def is_remembered(self, name: str, password: str) -> bool:
        """Whether this password was right before, which takes no time to know."""
        return self._mark(name, password) in self._right

    def is_right(self, name: str, password: str) -> bool:
        """Whether it is the password of this name; as slow for an unknown one."""
        known = self.passwords.get(unicodedata.normalize("NFC", name))
        tried = known or self._nobody
        same = hmac.compare_digest(tried.of(password), tried.digest)
        if known is None or not same:
            return False
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right.add(self._mark(name, password))
        return True

    def of_token(self, token: str) -> str | None:
        """Whose token it is. All are compared, whichever it is."""
        asked = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        same = [name for name, digest in self.tokens if hmac.compare_digest(digest, asked)]
        return same[0] if same else None

    def _mark(self, name: str, password: str) -> bytes:
        return hmac.digest(self._secret, _normal(name) + b"\0" + _normal(password), "sha256")


def password_entry(name: str, password: str, cost: int = COST) -> str:
    """An entry of the list."""
    salt = secrets.token_bytes(16)
    blank = Scrypt(cost, BLOCK, PARALLEL, salt, bytes(32))
    return f"{_checked(name)}:{blank._replace(digest=blank.of(password))}"


def token_entry(name: str, token: str) -> str:
    """An entry of the list. token: random, as `secrets.token_urlsafe()` makes it; it can be guessed fast."""
    return f"{_checked(name)}:sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def _checked(name: str) -> str:
    if not name.isprintable() or not name or ":" in name:
        raise ValueError(f"{name!r} is no name: printable characters without ':' are wanted")
    return name


def _normal(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def main(arguments: list[str] | None = None) -> None:
    """Prints an entry."""
    parser = argparse.ArgumentParser("python -m hedgerow.middleware.credentials", description="Make an entry for auth.")
    parser.add_argument("name")
    parser.add_argument("--token", action="store_true", help="make a token, which goes to standard error")
    asked = parser.parse_args(arguments)
    try:
        _checked(asked.name)
    except ValueError as error:
        parser.error(str(error))
    if asked.token:
        token = secrets.token_urlsafe(32)
        print(f"token: {token}", file=sys.stderr)
        print(token_entry(asked.name, token))
    else:
        password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        print(password_entry(asked.name, password))


if __name__ == "__main__":
    main()
