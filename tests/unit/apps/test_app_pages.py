"""What is true of every sample app: one page at its root, right under every mount, that needs nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from urllib.parse import urljoin
from wsgiref.types import WSGIApplication

import pytest
from sample_apps import APPS, NAMES, Page, as_deployed, call

MOUNTS = ["", "/x", "/a/b"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def app(name: str, tmp_path_factory: pytest.TempPathFactory) -> WSGIApplication:
    """Loaded from a copy, so that what it stores does not stay in the checkout."""
    return as_deployed(Path(shutil.copytree(APPS / name, tmp_path_factory.mktemp("apps") / name)))


def test_no_sample_app_is_forgotten_here() -> None:
    assert sorted(path.name for path in APPS.iterdir() if path.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_root_is_a_finite_page(app: WSGIApplication, mount: str) -> None:
    answer = call(app, "/", mount=mount)
    assert answer.status == "200 OK"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert int(answer.headers.get("content-length", len(answer.body))) == len(answer.body)
    page = Page(answer.text)
    assert answer.text[:15].lower() == "<!doctype html>"
    assert {"html", "head", "title", "meta", "body", "main", "h1"} <= page.tags
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("mount", MOUNTS)
def test_each_link_stays_below_the_mount(app: WSGIApplication, mount: str) -> None:
    page = f"http://host{mount}/"
    for link in Page(call(app, "/", mount=mount).text).links:
        assert link.startswith("data:") or urljoin(page, link).startswith(page), link


@pytest.mark.parametrize("mount", MOUNTS)
def test_each_link_leads_somewhere(app: WSGIApplication, mount: str) -> None:
    page = f"http://host{mount}/"
    for link in Page(call(app, "/", mount=mount).text).links:
        if not link.startswith("data:"):
            below = "/" + urljoin(page, link).removeprefix(page)
            assert call(app, below, mount=mount).status == "200 OK", link


def test_nothing_is_fetched_from_elsewhere(name: str) -> None:
    for path in (APPS / name).rglob("*"):
        if path.suffix in (".html", ".css", ".svg", ".xsl"):
            text = path.read_text()
            for name_never_fetched in ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/XSL/Transform"):
                text = text.replace(name_never_fetched, "")
            assert "//" not in text.replace("://", "//"), path
            assert "@import" not in text


def test_head_has_the_heads_of_get_and_no_body(app: WSGIApplication, name: str) -> None:
    get, head = call(app, "/"), call(app, "/", method="HEAD")
    assert head.body == b""
    assert head.status == get.status
    assert head.headers["content-type"] == get.headers["content-type"]
    if name != "plants":  # how long a page is becomes known while it is made (RFC 9110, 9.3.2)
        assert ("content-length" in head.headers) == ("content-length" in get.headers)


def test_light_and_dark_are_there(name: str) -> None:
    text = "".join(path.read_text() for path in (APPS / name).rglob("*") if path.suffix in (".html", ".css", ".xsl"))
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text


def test_the_docstring_teaches_and_nothing_of_the_server_is_imported(name: str) -> None:
    for path in (APPS / name).glob("*.py"):
        tree = ast.parse(path.read_text())
        assert len(ast.get_docstring(tree) or "") > 80, path
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {module for module in imported if module.split(".")[0] in ("hedgerow", "gevent", "greenlet")}


@pytest.mark.parametrize("path", ["/nothing/here", "/%2e%2e/app.py", "/app.py", "/page.html"])
def test_what_is_not_there_is_not_found(app: WSGIApplication, name: str, path: str) -> None:
    answer = call(app, path)
    if name == "whoami":  # its paths are there to be played with
        assert answer.status == "200 OK"
    else:
        assert answer.status.startswith("404 ")
        assert b"import annotations" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_a_method_it_does_not_know_is_refused(app: WSGIApplication, name: str, method: str) -> None:
    answer = call(app, "/", method=method)
    if name == "whoami":
        assert answer.status == "200 OK"
    else:
        assert answer.status.upper().startswith("405 ")
        assert {"GET", "HEAD"} <= set(answer.headers["allow"].replace(" ", "").split(","))
