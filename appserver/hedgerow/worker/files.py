"""Files that the front sends in a worker's stead: which, and how it is told.

An app asks by `X-Accel-Redirect` with a path, as `[static]` does, or by `wsgi.file_wrapper` with a file. What nginx
gets is always `X-Accel-Redirect: @file` with `X-Accel-File`, the path below the state, and is made here from what the
file really is, with all links followed. Where the front cannot reach the file, or its answer would say less than the
app's, the worker sends it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from email.utils import formatdate
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from ..hosting.public import homes
from ..http.response import Headers, ResponseHead
from ..middleware.conditional import Known, has_each, seconds
from ..middleware.sending import Found, send
from ..pep3333.bridge import AppError, Application
from ..pep3333.environ import Environ, FileWrapper

FILE = "@file"  # nginx/snippets/files.conf
SMALLEST_BYTES = 65_536  # of a wrapped file: a smaller one is one block, and leaves with its head
# What nginx keeps of the head when it sends a file instead: by itself, and by add_header in snippets/files.conf.
KEPT = frozenset({"cache-control", "content-disposition", "content-type", "expires", "set-cookie"})
ADDED = frozenset({
    "access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers",
    "content-encoding", "content-language", "content-location", "content-security-policy",
    "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy", "etag", "link",
    "permissions-policy", "referrer-policy", "server-timing", "strict-transport-security", "timing-allow-origin",
    "vary", "x-content-type-options", "x-frame-options", "x-robots-tag",
})  # fmt: skip
_FRONTS_OWN = frozenset({"date", "server", "x-request-id"})


class Files:
    """Those of one app: of its releases, of its data, and of the folder that it runs from. See pep3333.bridge.Files."""

    def __init__(self, state: Path, name: str, folder: Path | None = None) -> None:
        self._folder = folder
        self._state = os.path.realpath(state) + "/"
        self._homes = homes(state / "releases" / name, folder)

    def __call__(
        self, environ: Environ, status: str, head: ResponseHead, wrapper: FileWrapper | None
    ) -> tuple[Application, tuple[str, ...]] | None:
        if not head.redirect and not environ.get("hedgerow.files"):
            return None
        path = self.asked(head.redirect) if head.redirect else self._wrapped(wrapper, head)
        if path is None:
            return None
        try:
            fields, told = head.fields(), os.stat(path)
        except OSError:  # deleted since we have found it; what is open is still there
            if head.redirect:
                raise AppError(f"X-Accel-Redirect names a file that cannot be read: {path}") from None
            return None
        if status.startswith("200") and _can_be_cut(environ, told.st_size):
            lines = self.lines(path, environ.get("hedgerow.files", ""))
            if lines and _keeps(fields, told):
                return _Handed(status, fields), lines
        return (_Sent(status, fields, path), ()) if head.redirect else None

    def lines(self, path: str, reader: str) -> tuple[str, ...]:
        """What tells the front to send the file at this real path; none if it cannot. reader: its user's number."""
        inside = path.removeprefix(self._state)
        if not reader or inside == path or not path.startswith(self._homes):
            return ()
        told = os.fsencode(inside)
        if told.endswith(b" ") or any(byte < 0x20 or byte == 0x7F for byte in told):  # what no field can hold
            return ()
        if reader != str(os.geteuid()) and not _is_open_to_all(path):
            return ()
        return f"X-Accel-Redirect: {FILE}", f"X-Accel-File: /{told.decode('latin-1')}"

    def told(self, inside: str, reader: str) -> tuple[str, ...]:
        """The same of what the worker of a pool has told. Raises AppError if it is no file of the app's."""
        lines = self.lines(os.path.realpath(self._state + os.fsdecode(inside.encode("latin-1"))), reader)
        if not lines:
            raise AppError(f"the pool names {inside!r}, which is no file in the app's releases or data")
        return lines

    def asked(self, target: str) -> str:
        """The real path of the file that X-Accel-Redirect names: percent-encoded, absolute or below the app's folder.

        Raises AppError if it is no file of the app's.
        """
        path = os.fsdecode(unquote_to_bytes(target.partition("?")[0].encode("latin-1")))
        for named in [path, f"{self._folder}{path}"] if "\0" not in path else []:
            real = os.path.realpath(named)
            if real.startswith(self._homes) and os.path.isfile(real):
                return real
        raise AppError(f"X-Accel-Redirect names {target!r}, which is no file in the app's releases or data")

    def _wrapped(self, wrapper: FileWrapper | None, head: ResponseHead) -> str | None:
        """The real path of a whole file, if the front may send it: at its beginning, and large enough."""
        file = None if wrapper is None else wrapper.file
        if type(file) is not FileIO and not (type(file) is BufferedReader and type(file.raw) is FileIO):
            return None  # others may be anything: what gzip.open gives has the descriptor of the compressed file
        told = os.fstat(file.fileno())
        if not stat.S_ISREG(told.st_mode) or told.st_size < SMALLEST_BYTES or file.tell():
            return None
        if head.length not in (None, told.st_size):
            return None
        try:  # Linux alone tells a descriptor's path
            path = os.readlink(f"/proc/self/fd/{file.fileno()}")
            same = os.path.samestat(told, os.stat(path, follow_symlinks=False))
        except OSError:  # it is deleted, or this is no Linux
            return None
        return path if same and path.startswith(self._homes) else None


def _is_open_to_all(path: str) -> bool:
    """Also for who is not our user: nginx of another container, or of root, which leaves its work to nobody."""
    try:
        if not os.stat(path).st_mode & stat.S_IROTH:
            return False
        while path != "/":
            path = os.path.dirname(path)
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return False
    except OSError:  # it has gone just now
        return False
    return True


def _can_be_cut(environ: Environ, size: int) -> bool:
    """Whether nginx does with it what the worker would: it has GET only, no ETags to match, and its 416, which it gives
    for whatever it cannot read, says some fields twice.
    """
    if environ["REQUEST_METHOD"] != "GET" or "HTTP_IF_MATCH" in environ:
        return False
    return "HTTP_RANGE" not in environ or has_each(environ["HTTP_RANGE"], size)


def _keeps(fields: Headers, told: os.stat_result) -> bool:
    """Whether nothing of the head is lost when the front sends the file."""
    for name, value in fields:
        lower = name.lower()
        if lower in KEPT or lower in ADDED or lower in _FRONTS_OWN:
            continue
        if lower == "accept-ranges" and value == "bytes":
            continue
        if lower != "last-modified" or value != formatdate(int(told.st_mtime), usegmt=True):
            return False
    return True


class _Handed:
    """The answer to the front: a head, and no body."""

    def __init__(self, status: str, fields: Headers) -> None:
        self._status = status
        self._fields = [(name, value) for name, value in fields if name.lower() in KEPT | ADDED]

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(self._status, self._fields)
        return [b""]


class _Sent:
    """The file by the worker, with the app's head around it.

    Its validators are the app's, which may make other answers with the same file. What the app has not given, no client
    can know from it: then it gets the file. Of the file itself only Last-Modified is told, as nginx does.
    """

    def __init__(self, status: str, fields: Headers, path: str) -> None:
        self._status, self._fields, self._path = status, fields, path
        self._validators = [field for field in fields if field[0].lower() in ("etag", "last-modified")]
        given = {name.lower(): value.strip() for name, value in self._validators}
        self._etag, self._modified = given.get("etag", ""), seconds(given.get("last-modified"))

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:

        def start(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
            # A page that says why there is no file is not what the app's head speaks of.
            fields = self._validators if status.startswith("4") else self._fields
            named = {name.lower() for name, _ in fields}
            own = [(name, value) for name, value in headers if name.lower() not in named]
            return start_response(self._status if status.startswith("200") else status, [*fields, *own])

        left_out = self._left_out(environ["REQUEST_METHOD"])
        environ = {key: value for key, value in environ.items() if not key.startswith(left_out)}
        environ["hedgerow.files"] = ""
        sent = send(Found([], {"": self._path}), environ, start, known_as=self._known)
        if sent is None:
            raise AppError(f"X-Accel-Redirect names a file that cannot be read: {self._path}")
        return sent

    def _left_out(self, method: str) -> tuple[str, ...]:
        """The fields of the request that mean nothing, by how their names begin."""
        if not self._status.startswith("200") or method not in ("GET", "HEAD"):
            return "HTTP_IF_", "HTTP_RANGE", "HTTP_ACCEPT_ENCODING"
        unknown = () if self._etag else ("HTTP_IF_NONE_MATCH",)
        return "HTTP_ACCEPT_ENCODING", *unknown, *(() if self._modified is not None else ("HTTP_IF_MODIFIED_SINCE",))

    def _known(self, told: os.stat_result, coding: str) -> Known:
        modified = told.st_mtime if self._modified is None else self._modified
        return Known(self._etag, int(modified), told.st_size)
