from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from hedgerow.config import Settings
from hedgerow.errors import LoadError
from hedgerow.hosting import pages
from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.gate import Gate
from hedgerow.hosting.manifest import Manifest
from hedgerow.hosting.mounts import mount_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NASTY = "<script>\"&'"


def hosted(name: str, host: str | None = None, error: LoadError | None = None) -> HostedApp:
    mount = mount_of(name, None, host)
    return HostedApp(name, Settings().apps / name, Manifest(), mount, Gate(1), error=error)


BAD = hosted("bad", error=LoadError("at line 3", "SECRET"))
APPS = [hosted("blog"), hosted("shop", "shop.org"), hosted(NASTY), BAD]
ALL = {
    "index": pages.index(APPS),
    "not found": pages.not_found(),
    "down": pages.app_down(NASTY),
    "failed": pages.failed("0123abcd"),
    "refused": pages.refused(7),
}


class Strict(HTMLParser):
    """Collects what a page would fetch or run, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attributes if key == "href"]
        assert not {key for key, _ in attributes} & {"src", "onclick", "srcset"}


@pytest.mark.parametrize("page", ALL.values(), ids=ALL)
def test_a_page_is_finite_self_contained_and_escaped(page: pages.Page) -> None:
    _, headers, body = page
    assert dict(headers)["Content-Length"] == str(len(body))
    assert len(headers) == len(dict(headers))
    assert len(body) < 4096
    seen = Strict(body.decode())
    assert not seen.tags & {"script", "link", "img", "iframe"}
    assert b"SECRET" not in body
    assert b"url(" not in body


def test_the_index_lists_apps_with_link_and_state() -> None:
    status, _, body = ALL["index"]
    assert status == "200 OK"
    assert Strict(body.decode()).links == ["/blog/", "//shop.org/", "/%3Cscript%3E%22&'/", "/bad/"]
    assert body.count(b'class="up"') == 3
    assert body.count(b'class="down"') == 1


def test_the_index_without_apps_says_what_to_do() -> None:
    assert b"Put a folder" in pages.index([])[2]


def test_the_index_as_json() -> None:
    _, headers, body = pages.index([BAD], "application/json")
    assert dict(headers)["Content-Type"] == "application/json"
    app = {"name": "bad", "mount": "/bad", "link": "/bad/", "state": "down"}
    assert json.loads(body) == {"status": 200, "apps": [app]}


@pytest.mark.parametrize(
    ("page", "status", "words"),
    [
        ("not found", "404 Not Found", "No app answers"),
        ("down", "503 Service Unavailable", "<code>hedgerow status</code>"),
        ("failed", "500 Internal Server Error", "0123abcd"),
        ("refused", "503 Service Unavailable", "try again"),
    ],
)
def test_what_a_page_says(page: str, status: str, words: str) -> None:
    assert ALL[page][0] == status
    assert words in ALL[page][2].decode()


def test_a_refusal_says_when_to_come_back() -> None:
    assert ("Retry-After", "7") in ALL["refused"][1]


def test_a_name_that_is_no_utf8_is_shown() -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    assert b"? is down" in pages.app_down(name)[2]
    assert b"%FF" in pages.index([hosted(name)])[2]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        (BROWSER, False),
        ("application/json", True),
        ("Application/JSON; q=1", True),
        ("application/*", True),
        ("application/json, text/plain, */*", True),
        ("application/json, text/html, */*", False),
        ("application/json, */*;q=0.5", True),
        ("text/html;q=0.5, application/json", True),
        ("text/html, application/json;q=0.9", False),
        ("application/json;q=x", False),
    ],
)
def test_prefers_json(accept: str, wanted: bool) -> None:
    assert pages.prefers_json(accept) is wanted
