"""The stack as a person meets it: in a browser, with an application that knows nothing of where it runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from . import flaskr
from .browser import DESK, PHONE, browser, complaints, fill, install, photograph, resize, sideways, text
from .conftest import SAMPLES
from .engine import HERE, Stack, run, wait_for

BROKEN = "raises_at_import"
APPS = [*SAMPLES, HERE / "apps" / BROKEN]
BLOGS = ["blog1", "blog2"]
ANNA = {"username": "anna", "password": "a long secret"}
BEN = {"username": "ben", "password": "another secret"}

# A path and what is to be read on its page.
PAGES = {f"/{folder.name}/": "" for folder in SAMPLES} | {
    "/": "Apps",
    "/nothing-is-here": "Nothing is here",
    f"/{BROKEN}/": f"{BROKEN} is down",
}


@pytest.fixture(scope="module")
def chromium() -> None:
    install()


@pytest.fixture(scope="module")
def driver(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def blogs(stack: Stack) -> Stack:
    """The stack, into which the tutorial was dropped twice while it ran, each with an empty database of its own."""
    for name in BLOGS:
        shutil.copytree(flaskr.folder(), stack.apps / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BLOGS:
        # Its first page needs the database, so its trial fails until there is one.
        refused = partial(is_refused, stack, name)
        wait_for(refused, f"{name} is refused")
        said = stack.exec("appserver", "hedgerow", "exec", name, "--", "flask", "init-db")
        assert said.strip() == "Initialized the database."
        stack.exec("appserver", "hedgerow", "deploy", name, "--wait")
        wait_for(partial(is_everywhere, stack, name), f"{name} is up on all addresses")
        assert stack.get(f"/{name}/hello").text == "Hello, World!"
    return stack


def is_refused(stack: Stack, app: str) -> bool:
    """Whether the app's trial has failed at its first page, for want of a table."""
    told = json.loads(stack.exec("appserver", "hedgerow", "status", "--json"))
    found = [known for known in told["apps"] if known["name"] == app]
    error, traceback = (found[0]["error"] or "", found[0].get("traceback", "")) if found else ("", "")
    return f"GET /{app}/ answered 500" in error and "no such table" in traceback


def is_everywhere(stack: Stack, app: str) -> bool:
    """Whether each worker of each replica has the app, and no other worker still serves."""
    told = json.loads(stack.exec("appserver", "hedgerow", "status", "--json"))
    slots = [list(address["slots"].values()) for replica in told["replicas"] for address in replica["addresses"]]
    ups = [[known["name"] for known in pair[0].get("apps", []) if known["state"] == "up"] for pair in slots]
    return [len(pair) for pair in slots] == [1] * 4 and all(app in names for names in ups)


def url(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.port}{path}"


def users(stack: Stack, blog: str) -> list[str]:
    """Who is registered, read from where the app's data is said to lie."""
    file = f"/state/data/{blog}/instance/flaskr.sqlite"
    query = "sqlite3.connect(sys.argv[1], uri=True).execute('select username from user')"
    code = f"import sqlite3, sys; [print(*row) for row in {query}]"
    return stack.exec("appserver", "python3", "-c", code, f"file:{file}?mode=ro").split()


def register_and_log_in(driver: Chrome, blog: str, who: dict[str, str]) -> None:
    """Ends on the blog's list of posts, logged in."""
    driver.get(f"{blog}/auth/register")
    fill(driver, who)
    assert driver.current_url == f"{blog}/auth/login"
    fill(driver, who)
    assert driver.current_url == f"{blog}/"
    assert who["username"] in text(driver, "nav")


def write_and_edit(driver: Chrome, blog: str) -> None:
    driver.find_element(By.LINK_TEXT, "New").click()
    fill(driver, {"title": "A hedgerow", "body": "Blackthorn and hazel."})
    assert text(driver, "article .body") == "Blackthorn and hazel."
    driver.find_element(By.LINK_TEXT, "Edit").click()
    fill(driver, {"title": "A hedgerow in May", "body": "Hawthorn in flower, ünïcode <b>too</b>."})
    assert driver.current_url == f"{blog}/"
    assert text(driver, "article h1") == "A hedgerow in May"
    assert text(driver, "article .body") == "Hawthorn in flower, ünïcode <b>too</b>."


def test_flasks_own_tutorial_is_used_in_a_browser_twice_side_by_side(
    blogs: Stack, chromium: None, tmp_path: Path
) -> None:
    """Register, log in, write, edit; the other blog knows neither the user nor the post.

    Each blog gets a browser profile of its own: both set a cookie named `session` for the path `/`, signed with the
    same key. That is the tutorial's own doing: two such apps under one host name take over each other's session.
    """
    with browser(tmp_path / "one") as driver:
        blog = url(blogs, "/blog1")
        register_and_log_in(driver, blog, ANNA)
        write_and_edit(driver, blog)
        photograph(driver, tmp_path / "blog1.png")
        assert complaints(driver) == []
    with browser(tmp_path / "two") as driver:
        blog = url(blogs, "/blog2")
        driver.get(f"{blog}/")
        assert driver.find_elements(By.CSS_SELECTOR, "article") == []
        driver.find_element(By.LINK_TEXT, "Log In").click()
        fill(driver, ANNA)
        assert text(driver, ".flash") == "Incorrect username."
        register_and_log_in(driver, blog, BEN)
        assert complaints(driver) == []
    assert {name: users(blogs, name) for name in BLOGS} == {"blog1": ["anna"], "blog2": ["ben"]}


@pytest.mark.parametrize("blog", BLOGS)
def test_each_blog_is_served_by_both_replicas_from_one_database(blogs: Stack, blog: str) -> None:
    asked = {blogs.get(f"/{blog}/").headers["x-request-id"] for _ in range(40)}
    assert len(asked) == 40

    def shares() -> list[int]:
        """How many of the requests are in the log of each replica."""
        logs = [run(["docker", "logs", container]) for container in blogs.containers("appserver")]
        return [sum(identity in log for identity in asked) for log in logs]

    wait_for(lambda: sum(shares()) == len(asked), "each request is in the log of one replica")
    print(f"{blog}: requests in the logs of the replicas: {shares()}")
    assert len(shares()) == 2
    assert min(shares()) > 0


def test_whoamis_button_shows_more_than_one_address(stack: Stack, driver: Chrome, tmp_path: Path) -> None:
    driver.get(url(stack, "/whoami/"))
    driver.find_element(By.ID, "ask").click()
    wait_for(lambda: driver.find_element(By.ID, "bars").get_attribute("data-asked") == "20", "20 answers are shown")
    photograph(driver, tmp_path / "whoami-asked.png")
    rows = [row.text.split("\n") for row in driver.find_elements(By.CSS_SELECTOR, "#bars .row")]
    bars = {row[0]: int(row[-1]) for row in rows}
    print(f"whoami: requests an address: {bars}")
    assert 1 < len(bars) <= 4
    assert sum(bars.values()) == 20
    assert complaints(driver) == []


def test_the_clocks_stream_of_events_ticks(stack: Stack, driver: Chrome) -> None:
    driver.get(url(stack, "/clock/"))
    seen: list[int] = []

    def third_change() -> bool:
        shown = text(driver, "#n")
        if shown.isdigit() and int(shown) not in seen:
            seen.append(int(shown))
        return len(seen) == 3

    wait_for(third_change, "the page changes with three events", within_s=8)
    assert seen == sorted(seen)
    assert text(driver, "#state") == "connected"
    assert complaints(driver) == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("path", list(PAGES))
def test_a_page_fits_its_window(stack: Stack, driver: Chrome, tmp_path: Path, path: str, size: tuple[int, int]) -> None:
    resize(driver, size)
    driver.get(url(stack, path))
    photograph(driver, tmp_path / f"{path.strip('/') or 'index'}-{size[0]}.png", size)
    assert PAGES[path] in text(driver)
    assert text(driver, "h1") != ""
    assert sideways(driver) == 0
    expected = 0 if path == "/" or PAGES[path] == "" else 1  # a browser also reports that an error page is one
    assert len(complaints(driver)) == expected


def test_without_any_replica_the_front_shows_a_page_of_its_own(stack: Stack, driver: Chrome, tmp_path: Path) -> None:
    stack.scale(0)
    try:
        # At first the front still knows the addresses: a connect to what has just gone may time out (504).
        end = time.monotonic() + 30
        driver.get(url(stack, "/whoami/"))
        while "This takes too long" in text(driver) and time.monotonic() < end:
            driver.get(url(stack, "/whoami/"))
        photograph(driver, tmp_path / "502.png")
        assert "This page cannot be reached right now" in text(driver)
        assert sideways(driver) == 0
    finally:
        stack.scale(2)
