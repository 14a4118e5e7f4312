"""Middleware of app.toml in a real stack: beside others and in a pool of its own, and when it is wrong."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from control_support import Stack, drop, get, stack, until

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["stamp"].encode()]
"""
OWN = """
class Stamp:
    def __init__(self, application, text):
        self.application, self.text = application, text
    def __call__(self, environ, start_response):
        environ["stamp"] = self.text
        return self.application(environ, start_response)
"""
LIST = """
pool = "{pool}"
[[middleware]]
use = "cors"
origins = ["https://shop.example"]
[[middleware]]
use = "maintenance"
file = "data/down"
[[middleware]]
use = "static"
folder = "shown"
path = "/files"
[[middleware]]
use = "own:Stamp"
text = "{text}"
"""


@pytest.fixture
def here() -> Iterator[Stack]:
    with stack(workers=1) as made:
        yield made


def ask(here: Stack, path: str, **headers: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Access-Control-Allow-Origin"), answer.read()
    finally:
        connection.close()


def test_it_is_put_around_an_app_wherever_that_runs_and_tried_with_its_release(here: Stack) -> None:
    for name, pool in (("beside", "auto"), ("alone", "own")):
        folder = here.apps / name
        folder.mkdir()
        (folder / "data").mkdir()
        (folder / "shown").mkdir()
        (folder / "shown" / "a.txt").write_text(f"a file of {name}")
        (folder / "own.py").write_text(OWN)
        (folder / "app.toml").write_text(LIST.format(pool=pool, text=name))
        drop(here.apps, name, APP)
    here.up()
    for name in ("beside", "alone"):
        until(lambda name=name: get(here.port, f"/{name}/")[0] == 200, 30, f"{name} answers")  # type: ignore[misc]
        assert ask(here, f"/{name}/", Origin="https://shop.example") == (200, "https://shop.example", name.encode())
        assert ask(here, f"/{name}/files/a.txt", Range="bytes=2-")[::2] == (206, f"file of {name}".encode())
        down = here.state / "data" / name / "data" / "down"
        down.touch()
        assert ask(here, f"/{name}/")[0] == 503
        down.unlink()
        assert ask(here, f"/{name}/")[0] == 200

    (here.apps / "beside" / "app.toml").write_text(LIST.format(pool="auto", text="next").replace('"cors"', '"corse"'))
    broken = "beside/app.toml: middleware 1, corse: unknown; did you mean 'cors'?"
    until(lambda: broken in here.run("status").stdout, 30, "its trial tells")
    assert ask(here, "/beside/")[2] == b"beside", "the release that works goes on"
