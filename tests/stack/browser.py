"""A real browser for the stack tests: Debian's Chromium, without a window, driven by selenium.

How a browser is started and looked at is here; what a page must show is in the tests. Nothing is ever downloaded by
selenium: browser and driver are the machine's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from .engine import ROOT, run, wait_for

DESK = (1280, 860)
PHONE = (390, 844)
# No window, no first-run pages, and no conversation with anybody but the page; --no-sandbox, since tests run as root.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def install() -> None:
    """Browser and driver as Debian packages, unless they are there."""
    run([str(ROOT / ".ci" / "packages.sh"), "chromium:chromium", "chromium-driver:chromedriver"], timeout_s=600)


@contextmanager
def browser(profile: Path, *more: str) -> Iterator[Chrome]:
    """A browser with a profile of its own, so that it shares no cookie with another one. more: flags."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in [*FLAGS, *more, f"--user-data-dir={profile}", f"--window-size={DESK[0]},{DESK[1]}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # A driver that is named is not looked for, and not fetched.
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    driver.set_page_load_timeout(20)
    try:
        yield driver
    finally:
        driver.quit()


def fill(driver: Chrome, values: dict[str, str]) -> None:
    """Types into the fields of these ids and sends their form."""
    for name, value in values.items():
        field = driver.find_element(By.ID, name)
        field.clear()
        field.send_keys(value)
    here = driver.find_element(By.TAG_NAME, "html")
    driver.find_element(By.CSS_SELECTOR, "form input[type=submit]").click()
    # Between two documents there is a moment without any.
    shown = lambda: driver.find_elements(By.TAG_NAME, "html") not in ([], [here])  # noqa: E731
    wait_for(shown, "the form's answer is shown", within_s=10)


def text(driver: Chrome, selector: str = "body") -> str:
    """What is to be read there; nothing if there is no such element."""
    found = driver.find_elements(By.CSS_SELECTOR, selector)
    return found[0].text if found else ""


def photograph(driver: Chrome, file: Path, size: tuple[int, int] = DESK) -> None:
    """The page as it is seen in a viewport of this size, scrolled nowhere."""
    resize(driver, size)
    driver.save_screenshot(str(file))


def resize(driver: Chrome, size: tuple[int, int]) -> None:
    """Makes the viewport this large; a window alone cannot be as narrow as a phone."""
    width, height = size
    measures = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", measures)


def sideways(driver: Chrome) -> int:
    """How many pixels the page is wider than its window."""
    wider: int = driver.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


def complaints(driver: Chrome) -> list[str]:
    """Errors that the browser wrote to its console since the last call; no page here has an icon of its own."""
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call]
    lines = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
    return [line for line in lines if "/favicon.ico" not in line]
