"""Which app a request goes to, and which path that app sees: decided once, here, on the raw path.

Pure. The path is matched still percent-encoded and by whole segments, so an encoded slash never makes a segment and
`/apiary` never reaches `/api`. A lookup costs the depth of the mounts, not their number, and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from ..errors import LoadError

# What a browser leaves as it is in a path's segment, beside letters, digits and "_.-~".
_BROWSER_SAFE = "!$&'()*+,;=:@|[]"
# The form that two spellings of one segment share: all printable as it is, but for what cannot stand in a raw path.
_CANONICAL_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%/?#")


class Mount(NamedTuple):
    """Where an app answers. path: '' for the root, else '/…', percent-encoded; host: lower-case, '' for every host."""

    path: str
    host: str = ""

    @property
    def link(self) -> str:
        """What a page links to: on the same host a path, else with the host."""
        return f"//{self.host}{self.path}/" if self.host else f"{self.path}/"

    def __str__(self) -> str:
        return self.host + (self.path or "/")


class Mounted(Protocol):
    """What routing needs to know of an app."""

    @property
    def name(self) -> str: ...
    @property
    def mount(self) -> Mount: ...


class Redirect(NamedTuple):
    """Answer 308 with this location."""

    location: str


class Route:
    """The app of a request and the split of its path. script_name and path_info are decoded, as environ has them."""

    __slots__ = ("app", "path_info_raw", "script_name")

    def __init__(self, app: Mounted, script_name: str, path_info_raw: str) -> None:
        self.app = app
        self.script_name = script_name
        self.path_info_raw = path_info_raw

    @property
    def path_info(self) -> str:
        return decode(self.path_info_raw)

    def redirect(self, method: str, query: str) -> Redirect | None:
        """`GET /name` goes to `/name/`, so that relative links work; other methods reach the app with PATH_INFO ''."""
        if self.path_info_raw or method not in ("GET", "HEAD"):
            return None
        # The mount as it is written, not as it was asked for: nothing of the request but its query is echoed.
        return Redirect(f"{self.app.mount.path}/?{query}" if query else f"{self.app.mount.path}/")


def split(app: Mounted, raw_path: str, raw_mount: str) -> Route:
    """The route that another worker has decided: it tells which part of the raw path it took for the mount."""
    return Route(app, decode(raw_mount), raw_path[len(raw_mount) :])


def mount_of(name: str, path: str | None, host: str | None) -> Mount:
    """Where the app `name` answers, when its manifest says `path` and `host`."""
    if path is None:
        path = "/" if host else "/" + quote(name, safe=_BROWSER_SAFE, errors="surrogateescape")
    return Mount("" if path == "/" else path, host or "")


def decode(raw: str) -> str:
    """A raw path as PEP 3333 wants it: percent-decoded to bytes, each byte one character."""
    if "%" not in raw:
        return raw
    return unquote_to_bytes(raw.encode("latin-1")).decode("latin-1")


def encode(path: str) -> str:
    """A raw path that `decode` gives `path` for: which of its slashes were encoded is not known any more."""
    return quote_from_bytes(path.encode("latin-1"), safe=_CANONICAL_SAFE + "/")


def host_name(host: str) -> str:
    """The name in a Host header: lower-case, without port and without the root's dot."""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isdigit() or not port) or (":" in name and not name.endswith("]")):
        name = host
    return name.lower().rstrip(".")


def _canonical(segment: str) -> str:
    return quote_from_bytes(unquote_to_bytes(segment.encode("latin-1")), safe=_CANONICAL_SAFE)


def _canonical_path(path: str) -> str:
    return "/".join(map(_canonical, path.split("/")))


class _Tree:
    """The mounts of one host: by path, and for each first segment how deep the deepest goes."""

    __slots__ = ("by_path", "depths")

    def __init__(self) -> None:
        self.by_path: dict[str, Mounted] = {}
        self.depths: dict[str, int] = {}

    def add(self, path: str, app: Mounted) -> None:
        self.by_path[path] = app
        first = path[: path.find("/", 1)] if path.count("/") > 1 else path
        self.depths[first] = max(self.depths.get(first, 0), path.count("/"))

    def find(self, raw: str) -> Route | None:
        if "%" in raw or not raw.isascii():
            return self._find_spelled_otherwise(raw)
        end = raw.find("/", 1)
        first = raw if end < 0 else raw[:end]
        depth = self.depths.get(first, 0)
        if depth > 1:
            cuts = [first]
            while end >= 0 and len(cuts) < depth:
                end = raw.find("/", end + 1)
                cuts.append(raw if end < 0 else raw[:end])
            for cut in reversed(cuts):
                if cut in self.by_path:
                    return Route(self.by_path[cut], cut, raw[len(cut) :])
        elif depth:
            return Route(self.by_path[first], first, raw[len(first) :])
        return Route(self.by_path[""], "", raw) if "" in self.by_path else None

    def _find_spelled_otherwise(self, raw: str) -> Route | None:
        """The same, with segments decoded one by one: `%c3%a9` and `%C3%A9` are one, and `%2F` stays in its segment."""
        segments = raw[1:].split("/")
        depth = min(self.depths.get("/" + _canonical(segments[0]), 0), len(segments))
        canonical = list(map(_canonical, segments[:depth]))
        for count in range(depth, 0, -1):
            app = self.by_path.get("/" + "/".join(canonical[:count]))
            if app is not None:
                prefix = "/" + "/".join(segments[:count])
                return Route(app, decode(prefix), raw[len(prefix) :])
        return Route(self.by_path[""], "", raw) if "" in self.by_path else None


class Mounts:
    """All mounts of a worker. conflicts: the apps that lost their mount to another, by name."""

    def __init__(self, apps: Iterable[Mounted], incumbents: Collection[str] = ()) -> None:
        self.conflicts: dict[str, LoadError] = {}
        self._any: _Tree = _Tree()
        self._hosts: dict[str, _Tree] = {}
        for app in sorted(apps, key=lambda app: (app.name not in incumbents, app.name)):
            tree = self._hosts.setdefault(app.mount.host, _Tree()) if app.mount.host else self._any
            path = _canonical_path(app.mount.path)
            if path in tree.by_path:
                holder = tree.by_path[path].name
                self.conflicts[app.name] = LoadError(
                    f"{app.name}: the mount {app.mount} belongs to {holder}; give one of them another in its app.toml"
                )
            else:
                tree.add(path, app)

    def route(self, raw_path: str, host: str) -> Route | None:
        """The app for a raw path, without its query, and a Host header; None when no app is mounted there.

        What is no path ('' of `OPTIONS *` and CONNECT) asks about the whole host: it goes to the app at its root.
        """
        if self._hosts:
            tree = self._hosts.get(host_name(host))
            if tree is not None and (route := tree.find(raw_path)) is not None:
                return route
        return self._any.find(raw_path)
