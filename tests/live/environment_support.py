"""Packages made on the spot and an index of them on this machine, so that no test of environments needs a network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import importlib.metadata
import io
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hedgerow.config import Settings
from hedgerow.control.child import Clock
from hedgerow.control.environments.engine import ENGINE
from hedgerow.control.environments.lock import normal
from hedgerow.control.environments.requirements import Requirements, of
from hedgerow.control.environments.uv import Uv
from hedgerow.hosting.manifest import read_manifest

BACKEND = """
import os, sys, zipfile
sys.path.insert(0, os.path.dirname(__file__))

def build_wheel(folder, settings=None, metadata=None):
    name = "{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in {files!r}.items():
            wheel.writestr(path, text)
    return name
"""


def wheel(
    folder: Path, name: str, version: str, requires: Sequence[str] = (), files: Mapping[str, str] | None = None,
    python: str = "",
) -> Path:  # fmt: skip
    """A pure one. Its module says its version."""
    content = wheel_files(name, version, requires, files, python)
    path = folder / f"{stem(name)}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in content.items():
            archive.writestr(place, text)
    return path


def stem(name: str) -> str:
    return name.replace("-", "_")


def wheel_files(
    name: str, version: str, requires: Sequence[str], files: Mapping[str, str] | None, python: str
) -> dict[str, str]:
    info = f"{stem(name)}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    extras = {one.partition("extra == ")[2].strip("'\"") for one in requires if "extra ==" in one}
    needs += "".join(f"Provides-Extra: {extra}\n" for extra in sorted(extras))
    needs += f"Requires-Python: {python}\n" if python else ""
    content = {f"{stem(name)}/__init__.py": f"version = {version!r}\n", **(files or {})}
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.3\nName: {name}\nVersion: {version}\n{needs}"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{place},sha256={digest(text.encode())},{len(text)}" for place, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    return content


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def sdist(folder: Path, name: str, version: str) -> Path:
    """One that is only there as source, with a backend of its own that needs nothing."""
    root = f"{stem(name)}-{version}"
    content = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(stem=stem(name), version=version, files=wheel_files(name, version, (), None, "")),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    path = folder / f"{root}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for place, text in content.items():
            entry = tarfile.TarInfo(f"{root}/{place}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def repacked(folder: Path, name: str) -> list[Path]:
    """What is installed here made into wheels again, with all that it requires here."""
    made = []
    for one in sorted(closure(name)):
        found = importlib.metadata.distribution(one)
        tags = [line.split()[1] for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
        python, abi = tags[0].split("-")[:2]
        platforms = ".".join(dict.fromkeys(tag.split("-")[2] for tag in tags))
        made.append(folder / f"{stem(found.name)}-{found.version}-{python}-{abi}-{platforms}.whl")
        with zipfile.ZipFile(made[-1], "w") as archive:
            for file in found.files or ():
                if file.parts[0] != ".." and file.suffix != ".pyc" and file.name not in ("INSTALLER", "REQUESTED"):
                    archive.write(found.locate_file(file), str(file))
    return made


def repacked_engine(folder: Path) -> None:
    """What an environment without the base needs in any case."""
    for name in ENGINE:
        repacked(folder, name)


def closure(name: str) -> set[str]:
    found = {name}
    for line in importlib.metadata.distribution(name).requires or ():
        needed = line.replace(";", " ").replace(">", " ").replace("<", " ").split()[0]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if "extra ==" not in line:
                found |= closure(needed)
    return found


class Index:
    """A simple index of the files in a folder. delay_s: how long each answer takes; asked: what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.delay_s = 0.0
        self.asked: list[str] = []
        self.password = ""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, name: str) -> str | None:
        files = sorted(path for path in self.folder.iterdir() if normal(path.name.split("-")[0]) == name)
        hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        links = (f'<a href="/files/{file}#sha256={of}">{file}</a>' for file, of in hashes.items())
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>" if files else None

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                index.asked.append(self.path)
                time.sleep(index.delay_s)
                kind, _, name = self.path.strip("/").partition("/")
                told = base64.b64encode(f"me:{index.password}".encode()).decode()
                if index.password and self.headers.get("Authorization") != f"Basic {told}":
                    self.answer(401, b"")
                elif kind == "files" and (index.folder / name).exists():
                    self.answer(200, (index.folder / name).read_bytes())
                elif kind == "simple" and (page := index.page(name)) is not None:
                    self.answer(200, page.encode())
                else:
                    self.answer(404, b"")

            def answer(self, status: int, body: bytes) -> None:
                with contextlib.suppress(OSError):  # who asked may be gone
                    self.send_response(status)
                    self.send_header("Content-Type", "text/html")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(b"" if self.command == "HEAD" else body)

            def log_message(self, format: str, *args: object) -> None:
                """Not on the terminal."""

        return Handler


@contextlib.contextmanager
def index_of(folder: Path) -> Iterator[Index]:
    index = Index(folder)
    try:
        yield index
    finally:
        index.close()


class Site:
    """An installation's state and apps, beside an index."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root = root
        self.index = index
        self.settings = Settings.from_env({}, state=root / "state", run=root / "run")
        self.settings.state.mkdir(parents=True)
        self.cancel = threading.Event()
        self.environ = {**os.environ, "UV_DEFAULT_INDEX": index.url}

    def uv(self, limit_s: float = 60.0, **environ: str) -> Uv:
        return Uv(self.settings, Clock(limit_s, self.cancel), self.environ | environ)

    def app(self, name: str, text: str, file: str = "requirements.txt") -> Requirements:
        folder = self.root / "apps" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
        found = of(name, folder, read_manifest(folder))
        assert found is not None
        return found

    @property
    def names(self) -> set[str]:
        """What lies in the folder of environments."""
        return {path.name for path in (self.settings.state / "environments").iterdir()}
