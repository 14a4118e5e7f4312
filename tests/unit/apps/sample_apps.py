"""The sample apps without any server of ours: loads them, calls them under wsgiref.validate, reads their pages."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from hedgerow.hosting.layers import wrap
from hedgerow.hosting.manifest import read_manifest

APPS = Path(__file__).parents[3] / "apps"
NAMES = ("clock", "function", "instance", "klass", "notes", "plants", "whoami")
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """The folder's modules are importable meanwhile, and forgotten after."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(f"{folder}/"):
                del sys.modules[name]


def load(folder: Path) -> Any:
    """The module `app.py` of the folder, fresh."""
    spec = importlib.util.spec_from_file_location(f"sample_{folder.name}", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Flask looks there for its root folder
    with importable(folder):
        spec.loader.exec_module(module)
    return module


def callable_of(module: Any) -> WSGIApplication:
    found = getattr(module, "application", None) or module.app
    assert callable(found)
    return found  # type: ignore[no-any-return]


def as_deployed(folder: Path) -> WSGIApplication:
    """The callable of a folder in what its app.toml puts around it."""
    found = callable_of(load(folder))
    with importable(folder):
        return wrap(found, read_manifest(folder).middleware, folder)


@dataclass(frozen=True)
class Answer:
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def environ_for(path: str, *, mount: str = "", method: str = "GET", **extra: Any) -> WSGIEnvironment:
    """`path` is below the mount and may carry a query."""
    raw, _, query = path.partition("?")
    environ: WSGIEnvironment = {"REQUEST_METHOD": method, "SCRIPT_NAME": mount, "QUERY_STRING": query}
    environ["PATH_INFO"] = unquote_to_bytes(raw).decode("latin-1")
    environ |= extra
    setup_testing_defaults(environ)
    return environ


def call(app: WSGIApplication, path: str, *, mount: str = "", method: str = "GET", **extra: Any) -> Answer:
    """One request under wsgiref.validate, which raises on each breach of PEP 3333."""
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        seen.append((status, headers))
        return lambda data: None

    chunks = validator(app)(environ_for(path, mount=mount, method=method, **extra), start_response)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    status, headers = seen[-1]
    return Answer(status, {name.lower(): value for name, value in headers}, body)


class Page(HTMLParser):
    """Checks that each element is closed where it must be, and collects the links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> at {self.getpos()} closes <{self._open[-1]}>"
        self._open.pop()

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
