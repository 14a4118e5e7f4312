"""The public files of an app (`[static]` in its app.toml), in front of all its middleware.

A page that was made by another release of the app still gets its files: what the live release does not have is looked
for in the others that are kept, the newest first. While a release is rolled out, that may also be the one to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication

from .answer import Environ, text
from .sending import Found, send
from .static_files import Elsewhere, Files


class Public:
    """GET and HEAD of what is there; other methods of it are refused. What is not there is the application's.

    changing: files come and go while the app runs; others: asked each time for the public folders of other
    releases, whose names are read once;
    homes: below which a server may let its front send them (`sending.send`).
    """

    def __init__(
        self,
        application: WSGIApplication,
        folder: Path,
        url: str,
        max_age: int,
        immutable: str,
        changing: bool = False,
        others: Callable[[], Iterable[Path]] = tuple,
        homes: tuple[str, ...] = (),
    ) -> None:
        self._application = application
        self._url = url.encode().decode("latin-1")  # as PATH_INFO has it
        self._rules = url, max_age, immutable, False  # no index
        self._files = Files(folder, *self._rules, changing, shared=True)
        self._others = others
        self._others_files: dict[Path, Files] = {}
        self._homes = homes

    def __repr__(self) -> str:
        return f"<Public {self._url} before {self._application!r}>"

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        found = self._find(path) if path.startswith(self._url) else None
        if found is not None and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            refused = HTTPStatus.METHOD_NOT_ALLOWED
            return text(start_response, refused, f"{refused.phrase}.\n", ("Allow", "GET, HEAD"))
        sent = None if found is None else send(found, environ, start_response, self._homes)
        return self._application(environ, start_response) if sent is None else sent

    def _find(self, path: str) -> Found | None:
        found = self._files.at(path)
        if found is None:
            others = (files.at(path) for files in self._files_of_others())
            found = next((each for each in others if each is not None), None)
        return None if isinstance(found, Elsewhere) else found

    def _files_of_others(self) -> list[Files]:
        known, found = self._others_files, {}
        for folder in self._others():
            with suppress(OSError):  # it is pruned just now
                found[folder] = known[folder] if folder in known else Files(folder, *self._rules, False, shared=True)
        self._others_files = found
        return list(found.values())
