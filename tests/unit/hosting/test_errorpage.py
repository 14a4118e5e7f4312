"""What an app's author is shown of a failure, and what its clients are never shown."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hedgerow.errors import Place
from hedgerow.hosting import errorpage, failure, pages
from hedgerow.hosting.failure import Failure

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CURL = "*/*"
NASTY = "</pre><script>alert('x')</script>&\x1b[31m"


class Parsed(HTMLParser):
    """Tags, and the text of each element of one name."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link"):
            self._open.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += [(tag, data) for tag in self._open]

    def text(self, tag: str) -> str:
        return "".join(data for name, data in self.texts if name == tag)


@pytest.fixture
def raised(tmp_path: Path) -> Failure:
    """Of an app whose own code calls its own code, which calls a library's, which raises."""
    app = tmp_path / "shop"
    installed = app / ".venv" / "lib" / "site-packages" / "lib.py"
    installed.parent.mkdir(parents=True)
    sources = {
        app / "app.py": "import models\n\n\ndef view():\n    '<b>' ; return total()\n\n\n# the end\n",
        app / "models.py": f"def total():\n    return add({NASTY[:-5]!r})\n",
        installed: "def add(text):\n    raise ValueError(text)\n",
    }
    for path, source in sources.items():
        path.write_text(source)
    names: dict[str, object] = {}
    for path in reversed(sources):
        exec(compile(path.read_text().replace("import models", ""), str(path), "exec"), names)  # noqa: S102
    try:
        names["view"]()  # type: ignore[operator]
    except ValueError as error:
        return failure.tell(error, app)
    raise AssertionError("it did not raise")


def test_the_places_are_the_apps_own_lines_innermost_first(raised: Failure, tmp_path: Path) -> None:
    assert raised.places == (
        Place(f"{tmp_path}/shop/models.py", "shop/models.py", 2, "total"),
        Place(f"{tmp_path}/shop/app.py", "shop/app.py", 5, "view"),
    )
    assert raised.sentence == f"shop/models.py line 2: ValueError: {NASTY[:-5]}"
    assert 'site-packages/lib.py", line 2, in add' in raised.traceback


def test_a_browser_is_shown_the_apps_own_lines_before_the_traceback(raised: Failure) -> None:
    status, headers, body = pages.failed("0123", BROWSER, raised)
    page = Parsed(body)
    assert status == "500 Internal Server Error"
    assert dict(headers)["Content-Type"] == "text/html; charset=utf-8"
    assert page.text("b") == f"2    return add({NASTY[:-5]!r})5    '<b>' ; return total()"
    assert page.text("h2") == "shop/models.py line 2, in totalshop/app.py line 5, in view"
    own, whole = body.decode().split("<details>")
    assert "site-packages" not in own
    assert "site-packages" in whole
    assert "# the end" in own


def test_all_that_is_shown_is_escaped(tmp_path: Path) -> None:
    source = tmp_path / "nasty.py"
    source.write_text(f"{NASTY}\n")
    place = Place(str(source), NASTY, 1, NASTY)
    page = Parsed(pages.app_down(NASTY, BROWSER, Failure(NASTY, NASTY, (place,)))[2])
    assert "script" not in page.tags
    assert page.text("main").count("<script>") == 6


def test_who_asks_for_no_html_gets_text_that_tells_a_terminal_nothing(raised: Failure) -> None:
    status, headers, body = pages.app_down("shop", CURL, Failure(raised.sentence, raised.traceback + "\x1b[31m"))
    assert status == "503 Service Unavailable"
    assert dict(headers)["Content-Type"] == "text/plain; charset=utf-8"
    assert raised.traceback in body.decode()
    assert b"\\x1b[31m" in body
    assert b"\x1b" not in body


def test_as_json(raised: Failure) -> None:
    told = json.loads(pages.failed("0123", "application/json", raised)[2])
    assert told == {"status": 500, "error": raised.sentence, "traceback": raised.traceback}


def test_a_page_has_an_end() -> None:
    many = tuple(Place(f"/none/{number}", f"place-{number}", 1, "f") for number in range(1000))
    body = pages.failed("0123", BROWSER, Failure("x", "first " + "<" * 10**7 + " last", many))[2]
    assert len(body) < 8 * errorpage.MAX_CHARS
    assert body.count(b"place-") == errorpage.MAX_PLACES
    assert b"first " in body
    assert b" last" in body


def test_a_recursion_is_one_place(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(compile("def f():\n    f()\n", str(tmp_path / "app.py"), "exec"), names)  # noqa: S102
    with pytest.raises(RecursionError) as caught:
        names["f"]()  # type: ignore[operator]
    assert [place.line for place in failure.tell(caught.value, tmp_path).places] == [2]


def test_a_failure_without_a_traceback_is_its_sentence() -> None:
    page = Parsed(pages.app_down("shop", BROWSER, Failure("shop/app.toml: unknown key 'mont'"))[2])
    assert "unknown key 'mont'" in page.text("p")
    assert "details" not in page.tags


def test_the_authors_own_paths_are_told(raised: Failure, tmp_path: Path) -> None:
    told = failure.as_edited(raised, tmp_path / "shop", Path("/home/ann/shop"))
    assert 'File "/home/ann/shop/models.py", line 2' in told.traceback
    assert str(tmp_path) not in told.traceback


@pytest.mark.parametrize("accept", [BROWSER, CURL, "application/json", ""])
def test_without_a_failure_nothing_of_it_is_told(accept: str) -> None:
    for page in (pages.failed("0123", accept), pages.app_down("shop", accept)):
        assert b"raceback</summary>" not in page[2]
        assert b"<pre>" not in page[2]
