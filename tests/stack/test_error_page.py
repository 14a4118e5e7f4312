"""The page that `hedgerow serve --reload` shows of an error, as a browser shows it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from .browser import DESK, PHONE, browser, complaints, install, photograph, sideways, text
from .engine import request, wait_for

BROKEN = """from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    prices = {"apple": 3}
    return total(prices, ["apple", "<script>document.title = 'mine'</script>"])


def total(prices, wanted):
    # A line that is far longer than a window is wide, so that it has to scroll inside its own frame: does it?
    return str(sum(prices[name] for name in wanted))
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    app = tmp_path / "apps" / "shop" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text(BROKEN)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "hedgerow.cli", "serve", str(app.parents[1]), "--reload"]
    where = ["--bind", f"127.0.0.1:{number}", "--state", str(tmp_path / "state")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, *where], stdout=log, stderr=log, env=os.environ)
    try:
        wait_for(lambda: answers(number), "it answers", within_s=20)
        yield number
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def answers(port: int) -> bool:
    try:
        return request(port, "GET", "/").status == 200
    except OSError:
        return False


def test_an_author_reads_in_the_browser_what_failed_and_where(port: int, tmp_path: Path) -> None:
    install()
    with browser(tmp_path / "profile") as driver:
        driver.get(f"http://127.0.0.1:{port}/shop/")
        assert text(driver, "h1") == "The app failed on this request"
        assert text(driver, ".what").startswith("shop/app.py line 14: KeyError:")
        assert "return str(sum(prices[name] for name in wanted))" in text(driver, "pre b")
        assert driver.title == "The app failed on this request"
        look(driver, tmp_path / "request")
        (tmp_path / "apps" / "shop" / "app.py").write_text(BROKEN.replace("import Flask", "import Flusk"))
        wait_for(lambda: reloaded(driver, "shop cannot be loaded"), "the page tells of the change", within_s=10)
        assert "cannot import name 'Flusk'" in text(driver, ".what")
        look(driver, tmp_path / "load")
        (tmp_path / "apps" / "shop" / "app.py").write_text(BROKEN.replace("prices[name]", "3"))
        wait_for(lambda: reloaded(driver, "6", "body"), "the app answers again", within_s=10)


def reloaded(driver: Chrome, words: str, where: str = "h1") -> bool:
    driver.refresh()
    return text(driver, where) == words


def look(driver: Chrome, file: Path) -> None:
    """Nothing is cut off sideways, on a desk and on a phone; the error itself is the browser's only complaint."""
    for name, size in (("desk", DESK), ("phone", PHONE)):
        photograph(driver, file.with_name(f"{file.name}-{name}.png"), size)
        assert sideways(driver) == 0
    assert all("status of 50" in line for line in complaints(driver))
