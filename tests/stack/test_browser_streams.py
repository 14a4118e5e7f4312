"""Streams in a real browser: WebSocket, server-sent events, and a large upload that tells how far it has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome

from .browser import browser, complaints, install
from .engine import HERE, Stack

APP = "streams_to_browsers"
APPS = [HERE / "apps" / APP]
UPLOAD_BYTES = 50_000_000

# A page's promise, for selenium: its last argument is what has to be called with the answer.
ASK = """
const [name, given, done] = arguments;
window[name](given).then((found) => done({found}), (error) => done({error: String(error)}));
"""


@pytest.fixture(scope="module")
def driver(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that shows the app's page."""
    install()
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.set_script_timeout(60)
        driver.get(f"http://127.0.0.1:{stack.port}/{APP}/")
        yield driver


def ask(driver: Chrome, name: str, given: object = None) -> Any:
    """What the page's function promises."""
    told = driver.execute_async_script(ASK, name, given)
    assert "error" not in told, told
    return told["found"]


def test_a_websocket_echoes_in_the_order_in_which_it_was_asked(driver: Chrome) -> None:
    messages = ["one", "zwei ü 🌿", "", "x" * 500_000]
    told = ask(driver, "talk", messages)
    assert told["heard"] == messages
    assert told["protocol"] == "echo.example"
    assert (told["code"], told["clean"]) == (4001, True)
    assert complaints(driver) == []


def test_a_page_of_another_origin_may_not_connect(driver: Chrome, stack: Stack) -> None:
    """`localhost` is another origin than the address, and names the same front."""
    driver.get(f"http://localhost:{stack.port}/{APP}/")
    try:
        script = f"""
        const done = arguments[0];
        const socket = new WebSocket("ws://127.0.0.1:{stack.port}/{APP}/socket");
        socket.onopen = () => done("opened");
        socket.onclose = (event) => done(event.code);
        """
        assert driver.execute_async_script(script) == 1006
    finally:
        complaints(driver)  # the browser tells of the 403, as it should
        driver.get(f"http://127.0.0.1:{stack.port}/{APP}/")


def test_server_sent_events_arrive_each_on_its_own(driver: Chrome) -> None:
    assert ask(driver, "listen") == [[str(number), str(number)] for number in range(5)]
    assert complaints(driver) == []


def test_a_large_upload_tells_how_far_it_has_come_and_arrives_whole(driver: Chrome) -> None:
    told = ask(driver, "upload", UPLOAD_BYTES)
    assert told["status"] == 200
    assert told["received"] == {"length": UPLOAD_BYTES, "digest": told["sent"]}
    print(f"{len(told['progress'])} times the page was told how much of the upload has left")
    assert len(told["progress"]) > 1
    assert told["progress"] == sorted(told["progress"])
    assert told["progress"][-1] == UPLOAD_BYTES
    assert complaints(driver) == []
