"""Routes: which application a request goes to, and what it finds in SCRIPT_NAME and PATH_INFO."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest
from asking_middleware import App, Environ, ask

from hedgerow.middleware.routes import Routes, not_found, raw_path

PLAIN, BLOG, DRAFTS, SHOP = (App(body=(name.encode(),)) for name in ("plain", "blog", "drafts", "shop"))
TABLE = {"/blog": BLOG, "/blog/drafts": DRAFTS, "shop.example/": SHOP, "shop.example/blog": PLAIN}
wrap = functools.partial(Routes, table=TABLE)


def seen(app: App) -> tuple[str, str]:
    environ = app.seen.pop()
    return environ["SCRIPT_NAME"], environ["PATH_INFO"]


@pytest.mark.parametrize(
    ("path", "host", "app", "split"),
    [
        ("/", "", PLAIN, ("", "/")),
        ("/blog/", "", BLOG, ("/blog", "/")),
        ("/blog/a/b", "", BLOG, ("/blog", "/a/b")),
        ("/blog/drafts/a", "", DRAFTS, ("/blog/drafts", "/a")),
        ("/blog/draftsman", "", BLOG, ("/blog", "/draftsman")),
        ("/blogger", "", PLAIN, ("", "/blogger")),
        ("/Blog/", "", PLAIN, ("", "/Blog/")),
        ("//blog/", "", PLAIN, ("", "//blog/")),
        ("/any", "shop.example", SHOP, ("", "/any")),
        ("/any", "SHOP.example.:80", SHOP, ("", "/any")),
        ("/blog/a", "shop.example", PLAIN, ("/blog", "/a")),
        ("/any", "www.shop.example", PLAIN, ("", "/any")),
    ],
)
def test_the_longest_prefix_of_the_host_wins_by_whole_segments(
    path: str, host: str, app: App, split: tuple[str, str]
) -> None:
    answer = ask(wrap, PLAIN, path, Host=host or "other.example")
    assert answer.body == b"".join(app.body)
    assert seen(app) == split


def test_a_bare_prefix_is_sent_on_with_its_query_and_other_methods_are_not() -> None:
    def below(app: Any) -> Any:
        return Routes(not_found, {"/caf%C3%A9": Routes(not_found, {"/in": app})})

    answer = ask(below, PLAIN, "/cafÃ©/in")
    assert (answer.status, answer["Location"]) == ("308 Permanent Redirect", "/caf%C3%A9/in/")
    assert ask(below, PLAIN, "/cafÃ©/in", "HEAD")["Location"] == "/caf%C3%A9/in/"
    environ = {"PATH_INFO": "/blog", "REQUEST_METHOD": "GET", "QUERY_STRING": "a=1&b", "SCRIPT_NAME": "/out"}
    told: list[tuple[str, str]] = []
    Routes(not_found, {"/blog": BLOG})(dict(environ), lambda status, headers: told.extend(headers))  # type: ignore[arg-type, func-returns-value]
    assert ("Location", "/out/blog/?a=1&b") in told
    assert not BLOG.seen
    ask(wrap, PLAIN, "/blog", "POST", b"x")
    assert seen(BLOG) == ("/blog", "")


def test_one_stands_in_another() -> None:
    inner = Routes(not_found, {"/two": Routes(not_found, {"/three": BLOG})})
    assert ask(lambda app: Routes(app, {"/one": inner}), PLAIN, "/one/two/three/four").body == b"blog"
    assert seen(BLOG) == ("/one/two/three", "/four")
    assert ask(lambda app: Routes(app, {"/one": inner}), PLAIN, "/one/other").status == "404 Not Found"
    assert not PLAIN.seen


def test_a_value_of_a_field_chooses_and_changes_no_path() -> None:
    by_value = functools.partial(Routes, table={"next": BLOG, "": SHOP}, header="X-Version")
    assert ask(by_value, PLAIN, "/a", X_Version="next").body == b"blog"
    assert seen(BLOG) == ("", "/a")
    assert ask(by_value, PLAIN, "/a", X_Version="next2").body == b"plain"
    assert ask(by_value, PLAIN, "/a").body == b"shop"
    nested = Routes(PLAIN, {"next": Routes(not_found, {"/blog": BLOG})}, header="X-Version")
    assert ask(lambda _: nested, PLAIN, "/blog/a", X_Version="next").body == b"blog"
    assert seen(BLOG) == ("/blog", "/a")


@pytest.mark.parametrize(
    ("environ", "raw"),
    [
        ({"PATH_INFO": "/a b/c", "REQUEST_URI": "/a%20b%2fc?x=/y"}, "/a%20b%2fc"),
        ({"PATH_INFO": "/b/c", "SCRIPT_NAME": "/a", "REQUEST_URI": "/%61/b%2fc"}, "/b%2fc"),
        ({"PATH_INFO": "/b/c", "RAW_URI": "http://h.example:80/a/b%2Fc"}, "/b%2Fc"),
        ({"PATH_INFO": "/b", "REQUEST_URI": "/a%2Fb"}, "/b"),  # whoever split it there takes it for a slash
        ({"PATH_INFO": "/caf\xc3\xa9", "REQUEST_URI": "/caf%c3%a9"}, "/caf%c3%a9"),
        ({"PATH_INFO": "/rewritten%", "REQUEST_URI": "/as/sent"}, "/rewritten%25"),
        ({"PATH_INFO": "/foo%20bar", "REQUEST_URI": "/foo%20bar?x"}, "/foo%20bar"),  # a server that does not decode
        ({"PATH_INFO": "/b%2Fc", "SCRIPT_NAME": "/a", "REQUEST_URI": "/a/b%2Fc"}, "/b%2Fc"),
        ({"PATH_INFO": "/%41/%41", "REQUEST_URI": "/%2541/%2541"}, "/%2541/%2541"),
        ({"PATH_INFO": "/100%", "REQUEST_URI": "/100%"}, "/100%"),
        ({"PATH_INFO": "/a?#b\xe9"}, "/a%3F%23b%E9"),
        ({"PATH_INFO": "", "REQUEST_URI": "/blog"}, ""),
        ({"REQUEST_URI": "/blog"}, ""),
    ],
)
def test_the_raw_path_is_what_path_info_was_made_of(environ: Environ, raw: str) -> None:
    assert raw_path(environ) == raw


def test_an_encoded_slash_never_makes_a_segment_where_the_server_tells() -> None:
    environ = {"PATH_INFO": "/blog/a", "REQUEST_METHOD": "GET"}
    routes = Routes(PLAIN, {"/blog": BLOG})
    routes({**environ, "REQUEST_URI": "/blog%2Fa"}, lambda *_: lambda _: None)  # type: ignore[arg-type, return-value]
    assert PLAIN.seen.pop()["PATH_INFO"] == "/blog/a"
    routes(dict(environ), lambda *_: lambda _: None)  # type: ignore[arg-type, return-value]
    assert seen(BLOG) == ("/blog", "/a"), "without REQUEST_URI nobody knows"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"blog": BLOG}, "neither '/prefix' nor 'host/prefix'"),
        ({"Shop.example/": BLOG}, "host lower-case"),
        ({"shop.example:80/": BLOG}, "no port"),
        ({"/blog/": BLOG}, "ends with '/'"),
        ({"/a//b": BLOG}, "empty or a dot segment"),
        ({"/a/../b": BLOG}, "empty or a dot segment"),
        ({"/caf\xe9": BLOG}, "not percent-encoded"),
        ({"/a%62": BLOG, "/ab": SHOP}, "there twice, in two spellings"),
        ({"/blog": "nowhere"}, "is not 'module:name'"),
        ({"/blog": "sys:path"}, "no callable but to a value of type list"),
    ],
)
def test_a_table_that_cannot_be_is_refused_when_it_is_made(table: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Routes(PLAIN, table)
