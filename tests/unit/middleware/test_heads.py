"""Middleware that changes heads, or answers instead: request id, CORS, forwarded fields, maintenance."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from wsgiref.types import WSGIApplication

import pytest
from asking_middleware import App, ask

from hedgerow.middleware.cors import Cors
from hedgerow.middleware.forwarded import Forwarded
from hedgerow.middleware.maintenance import Maintenance
from hedgerow.middleware.request_id import RequestId

SHOP = "https://shop.example"
NAMED = functools.partial(Cors, origins=(SHOP,))


def test_an_id_that_comes_is_kept_and_told_both_ways() -> None:
    app = App(headers=(("Content-Type", "text/plain"), ("x-request-id", "its own")))
    answer = ask(RequestId, app, X_Request_ID="abc-1")
    assert answer["X-Request-ID"] == "abc-1"
    assert app.seen[0]["HTTP_X_REQUEST_ID"] == "abc-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 201, "a\r\nSet-Cookie: b", "é", "a,b"])
def test_an_id_that_is_none_is_made(given: str) -> None:
    app = App()
    made = ask(RequestId, app, X_Request_ID=given)["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert app.seen[0]["HTTP_X_REQUEST_ID"] == made
    assert ask(RequestId, App(), X_Request_ID=given)["X-Request-ID"] != made


def test_who_trusts_nobody_makes_each() -> None:
    distrusting = functools.partial(RequestId, header="X-Trace", trust=False)
    assert re.fullmatch("[0-9a-f]{32}", ask(distrusting, App(), X_Trace="abc")["X-Trace"])


def test_an_origin_that_is_named_may_read() -> None:
    how = functools.partial(NAMED, credentials=True, expose=("X-Total",))
    app = App(headers=(("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*")))
    answer = ask(how, app, Origin=SHOP)
    assert answer["Access-Control-Allow-Origin"] == SHOP
    assert answer["Access-Control-Allow-Credentials"] == "true"
    assert answer["Access-Control-Expose-Headers"] == "X-Total"
    assert answer["Vary"] == "Origin"
    for origin in ("https://shop.example.evil.example", "http://shop.example", "null", "HTTPS://SHOP.EXAMPLE"):
        other = ask(how, app, Origin=origin)
        assert (other.status, other.body) == ("200 OK", b"hello"), "it is no wall"
        assert not [name for name, _ in other.headers if name.startswith("Access-Control")]
        assert other["Vary"] == "Origin", "or a cache would give one's answer to the other"
    assert ask(how, app)["Vary"] == "Origin"


def test_a_preflight_is_answered_here() -> None:
    app = App()
    how = functools.partial(NAMED, methods=("GET", "PUT"), headers=("X-Key",), max_age=5)
    answer = ask(how, app, method="OPTIONS", Origin=SHOP, Access_Control_Request_Method="PUT")
    assert (answer.status, answer.body, app.seen) == ("204 No Content", b"", [])
    assert answer["Access-Control-Allow-Origin"] == SHOP
    assert answer["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer["Access-Control-Allow-Headers"] == "X-Key"
    assert answer["Access-Control-Max-Age"] == "5"
    refused = ask(how, app, method="OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="PUT")
    assert refused.headers == [("Vary", "Origin")]
    assert ask(how, app, method="OPTIONS").body == b"hello", "one that no script has caused is the application's"
    assert len(app.seen) == 1


def test_all_may_read_what_no_cookie_opens() -> None:
    answer = ask(functools.partial(Cors, origins=("*",)), App(), Origin="https://any.example")
    assert (answer["Access-Control-Allow-Origin"], answer["Vary"]) == ("*", "")
    with pytest.raises(ValueError, match="each origin named"):
        Cors(App(), origins=("*",), credentials=True)


def test_while_the_file_is_there_the_page_is_shown(tmp_path: Path) -> None:
    app, file = App(), tmp_path / "down"
    how = functools.partial(Maintenance, file=file, retry_after=60, allow=("/health", "/api/"))
    assert ask(how, app).body == b"hello"
    file.touch()
    answer = ask(how, app)
    assert answer.status == "503 Service Unavailable"
    assert (answer["Retry-After"], answer["Cache-Control"]) == ("60", "no-store")
    assert int(answer["Content-Length"]) == len(answer.body) > 0
    statuses = {path: ask(how, app, path).status[:3] for path in ("/health", "/health/x", "/healthy", "/api/a", "/api")}
    assert statuses == {"/health": "200", "/health/x": "200", "/healthy": "503", "/api/a": "200", "/api": "503"}
    page = tmp_path / "page.html"
    page.write_text("<h1>Back at nine</h1>")
    shown = ask(functools.partial(how, page=page), app)
    assert (shown.body, shown["Content-Type"]) == (b"<h1>Back at nine</h1>", "text/html; charset=utf-8")
    file.unlink()
    assert ask(how, app).body == b"hello"


def seen(how: Callable[[WSGIApplication], WSGIApplication], **fields: str) -> dict[str, str]:
    app = App()
    assert ask(how, app, **fields).status == "200 OK"
    return app.seen[0]


def test_one_proxy_is_believed_and_nobody_before_it() -> None:
    given = {"X_Forwarded_For": "6.6.6.6, 1.2.3.4", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "443"}
    environ = seen(Forwarded, **given, Forwarded="for=6.6.6.6")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("1.2.3.4", "https", "443")
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.2.3.4", "the rest is nobody's word"
    assert "HTTP_FORWARDED" not in environ


def test_of_two_proxies_the_outer_one_has_seen_the_client() -> None:
    two = functools.partial(Forwarded, hops=2)
    environ = seen(two, X_Forwarded_For="6.6.6.6, 1.2.3.4,10.0.0.1", X_Forwarded_Proto="http, https, http")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("1.2.3.4", "https")
    around = seen(two, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https")
    assert around.get("REMOTE_ADDR") != "6.6.6.6", "it has come around one of them"
    assert around["wsgi.url_scheme"] == "http"
    assert not [name for name in around if name.startswith("HTTP_X_FORWARDED")]


def test_host_and_prefix_only_if_they_are_trusted() -> None:
    given = {"X_Forwarded_Host": "shop.example", "X_Forwarded_Prefix": "/x/", "Host": "inside"}
    plain = seen(Forwarded, **given)
    assert (plain["HTTP_HOST"], plain["SCRIPT_NAME"]) == ("inside", "")
    assert not [name for name in plain if name.startswith("HTTP_X_FORWARDED")]
    trusting = seen(functools.partial(Forwarded, host=True, prefix=True), **given)
    assert (trusting["HTTP_HOST"], trusting["SCRIPT_NAME"]) == ("shop.example", "/x")


@pytest.mark.parametrize(
    "fields", [{"X_Forwarded_Proto": "gopher"}, {"X_Forwarded_Port": "x"}, {"X_Forwarded_For": ","}]
)
def test_what_no_proxy_says_changes_nothing(fields: dict[str, str]) -> None:
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT")
    plain, strange = seen(Forwarded), seen(Forwarded, **fields)
    assert [strange.get(name) for name in names] == [plain.get(name) for name in names]
