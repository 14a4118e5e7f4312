"""A person with a browser at one of the apps in `apps`, which all have the same pages."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.cookies
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field


class Wrong(Exception):
    """A step that did not come out as it must."""


@dataclass
class Answer:
    """One. place: its Location."""

    status: int
    body: bytes
    place: str

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    """Keeps its connection and its cookies, as far as their paths let it."""

    port: int
    patience_s: float = 60
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)
    connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Answer:
        """One request. Raises OSError or HTTPException if it is not answered: nothing is sent twice."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience_s)
        headers = {"Content-Type": kind} if kind else {}
        if sent := [f"{name}={value}" for name, (value, below) in self.cookies.items() if path.startswith(below)]:
            headers["Cookie"] = "; ".join(sent)
        try:
            self.connection.request(method, path, body or None, headers)
            found = self.connection.getresponse()
            answer = Answer(found.status, found.read(), found.getheader("Location", ""))
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise
        for line in found.headers.get_all("Set-Cookie", ()):
            for name, morsel in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = morsel.coded_value, morsel["path"] or "/"
        return answer

    def post(self, path: str, **fields: str) -> Answer:
        body = urllib.parse.urlencode(fields).encode()
        return self.ask("POST", path, body, "application/x-www-form-urlencoded")

    def upload(self, path: str, data: bytes) -> Answer:
        head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        body = head + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--edge--\r\n"
        return self.ask("POST", path, body, "multipart/form-data; boundary=edge")

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def session(port: int, app: str, framework: str, mark: str, patience_s: float = 60) -> Iterator[str]:
    """The names of the steps, each when it has come out as it must. Raises Wrong at the first that does not. framework:
    what the app's pages call it; mark: a word that no other session has.
    """
    browser = Browser(port, patience_s)
    with contextlib.closing(browser):
        yield from steps(browser, app, framework, mark)


def steps(browser: Browser, app: str, framework: str, mark: str) -> Iterator[str]:
    """See `session`."""
    mount, note = f"/{app}", f"nöte ☕ {mark}"

    def must(step: str, holds: object, answer: Answer) -> str:
        if not holds:
            raise Wrong(f"{app}: {step}: {answer.status} {answer.place} {answer.body[:300]!r}")
        return step

    home = browser.ask("GET", mount)
    yield must("slash", (home.status, home.place) in ((301, mount + "/"), (308, mount + "/")), home)
    home = browser.ask("GET", mount + "/")
    style = re.search(r'href="(.*?\.css)"', home.text)
    link = re.search(r'<a href="(.*?)"', home.text)
    good = style and link and link.group(1) == f"{mount}/notes" and style.group(1).startswith(f"{mount}/")
    yield must("home", home.status == 200 and f"<h1>{framework}</h1>" in home.text and good, home)
    assert style
    css = browser.ask("GET", style.group(1))
    yield must("static", css.status == 200 and css.body == b"body { color: green }\n", css)
    form = browser.ask("GET", f"{mount}/notes")
    found = re.search(r'name="(\w+)"[^>]* value="(.+?)"', form.text)
    yield must("form", form.status == 200 and found, form)
    assert found
    forged = browser.post(f"{mount}/notes", text=f"forged {mark}", **{found.group(1): "x" * 16})
    yield must("forged", forged.status in (400, 403), forged)
    for count in (1, 2):
        done = browser.post(f"{mount}/notes", text=note, **{found.group(1): found.group(2)})
        place = urllib.parse.urlsplit(done.place).path
        yield must("post", done.status in (302, 303) and place == f"{mount}/notes", done)
        seen = browser.ask("GET", place)
        yield must("session", seen.status == 200 and f"{count} by you" in seen.text, seen)
    kept = browser.ask("GET", f"{mount}/has?text={urllib.parse.quote(note)}")
    yield must("kept", kept.text.strip() == "2", kept)
    none = browser.ask("GET", f"{mount}/has?text={urllib.parse.quote(f'forged {mark}')}")
    yield must("kept out", none.text.strip() == "0", none)
    data = hashlib.sha256(mark.encode()).digest() * 10_000
    sent = browser.upload(f"{mount}/upload", data)
    yield must("upload", sent.text.strip() == f"{len(data)} {hashlib.sha256(data).hexdigest()}", sent)
    stream = browser.ask("GET", f"{mount}/stream")
    whole = stream.status == 200 and stream.body.count(b"\n") == 20 and len(stream.body) > 20_000
    yield must("stream", whole, stream)
    missing = browser.ask("GET", f"{mount}/nowhere")
    yield must("404", (missing.status, missing.text.strip()) == (404, f"{framework} does not have this"), missing)
    for path, status, text in (("%6Eotes", 200, " by you"), ("caf%C3%A9", 404, f"{framework} does not have this")):
        named = browser.ask("GET", f"{mount}/{path}")
        yield must("path", named.status == status and text in named.text, named)
    broken = browser.ask("GET", f"{mount}/error")
    yield must("error", (broken.status, broken.text.strip()) == (500, f"{framework} is sorry"), broken)
