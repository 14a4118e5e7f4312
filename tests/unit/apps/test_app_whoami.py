"""whoami: the same facts as HTML and as JSON, from any server."""

from __future__ import annotations

import html
import json
import os
import re
from typing import Any

import pytest
from sample_apps import APPS, Answer, Page, call, load

TOLD = {
    "hedgerow.front": "front-1",
    "hedgerow.replica": "replica-<7>",
    "hedgerow.address": "8002",
    "hedgerow.slot": "b",
    "hedgerow.worker": 4711,
    "hedgerow.app": "whoami",
    "hedgerow.request_id": "9f86d081884c7d659a2feaa0c55ad015",
    "REQUEST_URI": "/x/a%2Fb?format=json",
    "HTTP_X_FORWARDED_FOR": "192.0.2.7",
    "REMOTE_ADDR": "192.0.2.7",
}


@pytest.fixture(scope="module")
def whoami() -> Any:
    return load(APPS / "whoami").application


def rows(answer: Answer) -> dict[str, str]:
    found = re.findall(r"<th scope=row>(.*?)</th><td.*?>(.*?)</td>", answer.text)
    return {name: html.unescape(value) for name, value in found}


def test_json_says_what_the_server_told(whoami: Any) -> None:
    answer = call(whoami, "/a%2Fb?format=json", mount="/x", **TOLD)
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.body)
    assert {name: told[name] for name in ("front", "replica", "address", "slot", "worker", "app")} == {
        "front": "front-1",
        "replica": "replica-<7>",
        "address": "8002",
        "slot": "b",
        "worker": "4711",
        "app": "whoami",
    }
    assert (told["script_name"], told["path_info"], told["request_uri"]) == ("/x", "/a/b", "/x/a%2Fb?format=json")
    assert (told["method"], told["client"], told["forwarded_for"]) == ("GET", "192.0.2.7", "192.0.2.7")
    assert told["request_id"] == TOLD["hedgerow.request_id"]


@pytest.mark.parametrize("extra", [TOLD, {}], ids=["all told", "plain server"])
def test_html_and_json_have_the_same_facts(whoami: Any, extra: dict[str, Any]) -> None:
    page = call(whoami, "/é?q=1", mount="/x", **extra)
    as_json = call(whoami, "/é?q=1", mount="/x", HTTP_ACCEPT="application/json", **extra)
    Page(page.text)
    assert rows(page) == json.loads(as_json.body)


def test_a_server_that_tells_nothing_is_said_to_tell_nothing(whoami: Any) -> None:
    told = json.loads(call(whoami, "/?format=json").body)
    unknown = {name for name, value in told.items() if value == "not told"}
    assert {"front", "replica", "address", "slot", "app", "request_id", "request_uri"} <= unknown
    assert told["worker"] == str(os.getpid())
    assert told["greenlet"].startswith("thread ")


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("", "", "text/html; charset=utf-8"),
        ("*/*", "", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", "text/html; charset=utf-8"),
        ("text/html, application/json", "", "text/html; charset=utf-8"),
        ("Application/JSON", "", "application/json"),
        ("text/html", "format=json", "application/json"),
        ("application/json", "format=environ", "text/plain; charset=utf-8"),
        ("application/json", "format=html", "text/html; charset=utf-8"),
    ],
)
def test_who_asks_chooses_the_kind(whoami: Any, accept: str, query: str, kind: str) -> None:
    answer = call(whoami, f"/?{query}", HTTP_ACCEPT=accept)
    assert answer.headers["content-type"] == kind
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["cache-control"] == "no-store"


def test_environ_is_shown_without_the_variables_of_the_process(whoami: Any) -> None:
    lines = call(whoami, "/a%2Fb?format=environ", mount="/x", PATH="/bin", SHELL="/bin/sh", **TOLD).text.splitlines()
    assert {"PATH_INFO = '/a/b'", "SCRIPT_NAME = '/x'", "hedgerow.worker = 4711", "wsgi.run_once = 0"} <= set(lines)
    assert "wsgi.input: InputWrapper" in lines, "a stream, as wsgiref.validate hands it over"
    assert lines == sorted(lines)
    assert not [line for line in lines if line.startswith(("PATH =", "SHELL"))]


def test_what_the_client_wrote_is_escaped(whoami: Any) -> None:
    answer = call(whoami, "/<script>x</script>?<b>", HTTP_HOST='"><script>y</script>', HTTP_X_FORWARDED_FOR="<i>$page")
    Page(answer.text)
    assert answer.text.count("<script") == 1
    assert rows(answer)["forwarded_for"] == "<i>$page"


def test_paths_are_read_as_utf_8_and_broken_ones_do_no_harm(whoami: Any) -> None:
    assert json.loads(call(whoami, "/%C3%A9?format=json").body)["path_info"] == "/é"
    assert json.loads(call(whoami, "/%FF?format=json").body)["path_info"] == "/\ufffd"


def test_the_drawing_goes_from_the_browser_to_the_greenlet(whoami: Any) -> None:
    text = call(whoami, "/", **TOLD).text
    way = re.findall(r"<li><i>(\w+)</i><b.*?>(.*?)</b>", text)
    assert [station for station, _ in way] == ["browser", "nginx", "address", "slot", "greenlet"]
    assert [value for _, value in way][:4] == ["192.0.2.7", "front-1", "8002", "b"]
    assert '<button id="ask">' in text
