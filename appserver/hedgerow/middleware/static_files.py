"""Which file of a folder a path stands for, as whitenoise finds it: by a list made once, or by looking each time.

Nothing outside of the folder is ever found, and nothing that is hidden (`.git`): a name with a dot in front counts only
as `.well-known`. A link is followed if it is a file's and stays in the folder. What is sent is not decided here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.headers import Headers

from whitenoise import WhiteNoise  # type: ignore[import-untyped, unused-ignore]
from whitenoise.responders import (  # type: ignore[import-untyped, unused-ignore]
    FileEntry,
    MissingFileError,
    NotARegularFileError,
)

from .sending import Found

# Of what may lie beside a file, the smallest first; and how its name ends.
CODINGS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
_SHOWN = ".well-known"
_YEAR_S = 365 * 86_400


class Elsewhere(NamedTuple):
    """The index file of a folder is at this path, below the mount."""

    path: str


class Files(WhiteNoise):  # type: ignore[misc]
    """Those of one folder. Its answers and its redirects are not used, and it wraps nothing."""

    def __init__(
        self, folder: Path, below: str, max_age: int, immutable: str, index: bool, changing: bool, shared: bool = False
    ) -> None:
        """shared: caches between us and a client may keep them, whoever asked for them."""
        self._root = os.path.realpath(folder)
        self._kept = "public, " if shared else ""
        super().__init__(
            None, self._root, below, autorefresh=changing, max_age=max_age, allow_all_origins=False,
            index_file=index, immutable_file_test=immutable or None,
        )  # fmt: skip

    def at(self, path: str) -> Found | Elsewhere | None:
        """What is at this path below the mount, as PATH_INFO has it."""
        try:
            url = path.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return None
        if not self.autorefresh:
            found: Found | Elsewhere | None = self.files.get(url)
            return found
        if "\0" in url or any(map(_is_hidden, url.split("/"))):
            return None
        with suppress(NotARegularFileError, OSError, ValueError):  # what cannot be looked at is not there
            looked: Found | Elsewhere | None = self.find_file(url or "/")
            return Elsewhere("/") if looked and not url else looked
        return None

    # What whitenoise calls.

    def update_files_dictionary(self, root: str, prefix: str) -> None:
        """All that there is now. Its own way goes through links in circles, and stops at a pipe."""
        there = dict.fromkeys(self._walk())
        for path in there:
            self.add_file_to_dictionary(prefix + path[len(root) :].replace(os.sep, "/"), path, stat_cache=there)

    def _walk(self) -> Iterator[str]:
        folders = [self._root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if _is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file() and (not entry.is_symlink() or self._is_inside(entry.path)):
                        yield entry.path

    def get_static_file(self, path: str, url: str, stat_cache: Mapping[str, Any] | None = None) -> Found:
        if stat_cache is None:
            if not self._is_inside(path):
                raise MissingFileError(path)
            FileEntry(path)  # raises what its callers know
        headers = Headers([])
        self.add_mime_headers(headers, path, url)
        self.add_cache_headers(headers, path, url)
        paths = {coding: path + end for coding, end in CODINGS.items() if self._is_there(path + end, stat_cache)}
        return Found(headers.items(), paths | {"": path})

    @staticmethod
    def is_compressed_variant(path: str, stat_cache: Mapping[str, Any] | None = None) -> bool:
        """Which is not at a path of its own."""
        plain, end = os.path.splitext(path)
        return end in CODINGS.values() and (os.path.isfile(plain) if stat_cache is None else plain in stat_cache)

    def _is_there(self, path: str, stat_cache: Mapping[str, Any] | None) -> bool:
        return path in stat_cache if stat_cache is not None else os.path.isfile(path) and self._is_inside(path)

    def _is_inside(self, path: str) -> bool:
        """Its folder is the one that it seems to be, and the file is in ours."""
        folder = os.path.dirname(path)
        return os.path.realpath(folder) == folder and os.path.realpath(path).startswith(self._root.rstrip("/") + "/")

    def add_cache_headers(self, headers: Headers, path: str, url: str) -> None:
        """Its own is always `public`: that would let caches keep what is guarded by `auth`."""
        if self.immutable_file_test(path, url):
            headers["Cache-Control"] = f"{self._kept}max-age={_YEAR_S}, immutable"
        else:
            headers["Cache-Control"] = f"{self._kept}max-age={self.max_age}"

    def redirect(self, from_url: str, to_url: str) -> Elsewhere:
        """Its own is relative, and wrong at the mount itself."""
        return Elsewhere(to_url)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != _SHOWN
