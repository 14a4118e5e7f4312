"""plants: XML that the middleware of its app.toml makes a page of."""

from __future__ import annotations

import re
from collections.abc import Callable
from wsgiref.types import WSGIApplication
from xml.etree import ElementTree

import pytest
from sample_apps import APPS, Page, as_deployed, call, environ_for, load


@pytest.fixture(scope="module")
def plants() -> WSGIApplication:
    return as_deployed(APPS / "plants")


def order(app: WSGIApplication, query: str = "") -> list[str]:
    return re.findall(r"<h2>(.*?) <i>", call(app, f"/{query}").text)


def test_without_middleware_it_is_xml() -> None:
    answer = call(load(APPS / "plants").application, "/")
    assert answer.headers["content-type"] == "application/xml"
    assert len(ElementTree.fromstring(answer.body)) == 8


def test_with_it_it_is_a_page_and_the_xml_is_there_too(plants: WSGIApplication) -> None:
    answer = call(plants, "/")
    assert answer.headers == {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "max-age=60",
        "content-length": str(len(answer.body)),
        "x-witness": "outside: text/html; charset=utf-8",
    }
    Page(answer.text)
    assert "look &amp; do not eat" in answer.text
    raw = call(plants, "/catalogue.xml")
    assert raw.headers["content-type"] == "application/xml"
    assert len(ElementTree.fromstring(raw.body)) == 8


def test_one_middleware_stands_before_and_behind_the_stylesheet_and_sees_two_types(plants: WSGIApplication) -> None:
    seen: list[list[tuple[str, str]]] = []

    def start(status: str, headers: list[tuple[str, str]], *error: object) -> Callable[[bytes], object]:
        seen.append(headers)
        return lambda block: None

    list(plants(environ_for("/", mount="/plants"), start))
    assert [value for name, value in seen[0] if name == "X-Witness"] == [
        "inside: application/xml",
        "outside: text/html; charset=utf-8",
    ]


def test_the_address_says_how_it_is_sorted(plants: WSGIApplication) -> None:
    names = order(plants)
    assert len(names) == 8
    assert names == sorted(names) == order(plants, "?sort=name")
    assert order(plants, "?sort=height_m") == [
        *("Dog rose", "Blackthorn", "Spindle", "Hazel"),
        *("Honeysuckle", "Elder", "Hawthorn", "Field maple"),
    ], "numbers, not texts"
    assert order(plants, "?sort=flowers")[:2] == ["Hazel", "Blackthorn"]


@pytest.mark.parametrize(
    "sort", ["", "nothing", "name'", '"', "%00", "document('/etc/passwd')", "<script>", "%ff", "a" * 5000]
)
def test_any_text_sorts_somehow(plants: WSGIApplication, sort: str) -> None:
    answer = call(plants, f"/?sort={sort}")
    assert answer.status == "200 OK"
    assert "<script" not in answer.text
    assert order(plants, f"?sort={sort}") == order(plants)
