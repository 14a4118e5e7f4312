"""Sessions and authorization as a person meets them: a browser, the front, two workers and apps side by side.

No engine is needed: it is `hedgerow up`, as the live tests start it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from .browser import browser, fill, install, text
from .engine import HERE

sys.path.append(str(HERE.parent / "live"))
from control_support import Stack, drop, stack, until

from hedgerow.middleware.credentials import password_entry

# Logs in whoever asks; one page is for those who have, as the function `may` says.
APP = """
from urllib.parse import parse_qs

FORM = '<form method=post action=login><input id=user name=user><input type=submit value=in></form>'

def application(environ, start_response):
    session, path = environ["hedgerow.session"], environ["PATH_INFO"]
    if path in ("/login", "/logout"):
        if path == "/login":
            session["user"] = parse_qs(environ["wsgi.input"].read().decode())["user"][0]
            session.renew()
        else:
            session.clear()
        start_response("303 See Other", [("Location", environ["SCRIPT_NAME"] + "/")])
        return []
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    who = environ.get("REMOTE_USER", "-") if path == "/members" else session.get("user", "nobody")
    return [f"<p>{who}</p>{FORM}".encode()]

def may(environ, start_response):
    user = environ["hedgerow.session"].get("user")
    start_response("204 No Content" if user else "403 Forbidden", [("Remote-User", user)] if user else [])
    return []
"""
SESSION = '[[middleware]]\nuse = "session"\n'
MEMBERS = '[[middleware]]\nuse = "auth"\npaths = ["/members"]\ndelegate = "app:may"\n'
KIOSK_S = 4
MANIFESTS = {
    "shop": f'{SESSION}folder = "data/sessions"\n{MEMBERS}',
    "forum": f"{SESSION}{MEMBERS}",
    "news": SESSION,
    "kiosk": f"{SESSION}lifetime_s = {KIOSK_S}\n",
    "vault": f'[[middleware]]\nuse = "auth"\nusers = "USERS"\n{SESSION}',
}
ANNA, BEN = {"user": "anna"}, {"user": "ben"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All apps have the same key."""
    secrets = tmp_path_factory.mktemp("secrets")
    with stack(workers=2, HEDGEROW_SECRETS=str(secrets)) as made:
        for name, manifest in MANIFESTS.items():
            drop(made.apps, name, APP)
            drop(made.apps, name, manifest, "app.toml")
            (secrets / f"{name}.env").write_text(f"SESSION_KEY={'k' * 43}\nUSERS={password_entry('anna', 'horse')}\n")
        made.up()

        def ups() -> list[str]:
            return [one["name"] for one in made.status()["apps"] if one["state"] == "up"]

        until(lambda: sorted(ups()) == sorted(MANIFESTS), 30, f"all are up: {made.status()['apps']}")
        assert {one["pool"] for one in made.status()["apps"]} == {"shared"}, "it takes no app out of the shared pool"
        yield made


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Chrome]:
    install()
    with browser(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def url(here: Stack) -> Callable[[str], str]:
    return lambda path: f"http://127.0.0.1:{here.port}{path}"


def log_in(driver: Chrome, page: str, who: dict[str, str]) -> None:
    driver.get(page)
    fill(driver, who)
    assert text(driver, "p") == who["user"]


def cookie(driver: Chrome) -> dict[str, Any]:
    """The one cookie that the page's address brings."""
    (found,) = driver.get_cookies()
    return found


def put_cookie(driver: Chrome, changed: dict[str, Any]) -> None:
    driver.delete_cookie(changed["name"])
    driver.add_cookie(changed)


@pytest.mark.parametrize("app", ["shop", "forum"], ids=["in a folder", "in the cookie"])
def test_who_logs_in_is_known_to_both_workers_until_the_log_out(
    driver: Chrome, url: Callable[[str], str], app: str
) -> None:
    driver.get(url(f"/{app}/"))
    assert (text(driver, "p"), driver.get_cookies()) == ("nobody", [])
    driver.get(url(f"/{app}/members"))
    assert text(driver) == "This is not for you."
    log_in(driver, url(f"/{app}/"), ANNA)
    kept = cookie(driver)
    assert (kept["path"], kept["httpOnly"], kept["sameSite"], "expiry" in kept) == (f"/{app}", True, "Lax", False)
    assert driver.execute_script("return document.cookie") == "", "no script reads it"
    for _ in range(8):
        driver.get(url(f"/{app}/members"))
        assert text(driver, "p") == "anna"
    driver.get(url(f"/{app}/logout"))
    assert (text(driver, "p"), driver.get_cookies()) == ("nobody", [])
    put_cookie(driver, kept)
    driver.get(url(f"/{app}/"))
    assert text(driver, "p") == ("nobody" if app == "shop" else "anna"), "what a cookie holds cannot be taken back"


@pytest.mark.parametrize("app", ["shop", "forum"], ids=["in a folder", "in the cookie"])
def test_a_cookie_that_was_changed_is_refused(driver: Chrome, url: Callable[[str], str], app: str) -> None:
    log_in(driver, url(f"/{app}/"), ANNA)
    good = cookie(driver)
    middle = len(good["value"]) // 2
    letter = "A" if good["value"][middle] != "A" else "B"
    put_cookie(driver, good | {"value": good["value"][:middle] + letter + good["value"][middle + 1 :]})
    driver.get(url(f"/{app}/"))
    assert text(driver, "p") == "nobody"
    put_cookie(driver, good)
    driver.get(url(f"/{app}/"))
    assert text(driver, "p") == "anna"


def test_two_apps_under_one_host_do_not_see_each_others_session(driver: Chrome, url: Callable[[str], str]) -> None:
    log_in(driver, url("/forum/"), ANNA)
    anna = cookie(driver)
    driver.get(url("/news/"))
    assert (text(driver, "p"), driver.get_cookies()) == ("nobody", [])
    log_in(driver, url("/news/"), BEN)
    ben = cookie(driver)
    assert ben["name"] != anna["name"]
    driver.get(url("/forum/"))
    assert text(driver, "p") == "anna"
    for name in (anna["name"], ben["name"]):  # somebody carries it over, under either name
        driver.get(url("/news/"))
        driver.delete_all_cookies()
        driver.add_cookie(anna | {"name": name, "path": "/news"})
        driver.get(url("/news/"))
        assert text(driver, "p") == "nobody"


def test_a_session_ends(driver: Chrome, url: Callable[[str], str]) -> None:
    log_in(driver, url("/kiosk/"), ANNA)
    began = time.monotonic()

    def who() -> str:
        driver.get(url("/kiosk/"))
        return text(driver, "p")

    until(lambda: who() == "nobody", 15, "it ends, although it is used")
    assert KIOSK_S - 2 < time.monotonic() - began < KIOSK_S + 4
    assert cookie(driver)["path"] == "/kiosk", "the browser has the cookie still; it is worth nothing"


def test_a_page_behind_a_password(driver: Chrome, here: Stack) -> None:
    """As it is typed into the browser; of a wrong one the browser shows a page of its own."""

    def seen_with(given: str) -> tuple[str, int]:
        driver.get(f"http://{given}127.0.0.1:{here.port}/vault/members")
        return text(driver, "p"), driver.execute_script(
            "return performance.getEntriesByType('navigation')[0].responseStatus"
        )

    assert seen_with("")[1] == 401
    assert seen_with("anna:cow@")[1] == 401
    assert seen_with("root:horse@")[1] == 401
    assert seen_with("anna:horse@") == ("anna", 200)
    assert seen_with("") == ("anna", 200), "the browser remembers it"
