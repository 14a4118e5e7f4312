"""Debian's Chromium against the front by HTTP/2 and by HTTP/3, before a real worker: a large upload that tells how far
it has come, events, and a WebSocket beside them.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from front_support import wait_for
from https_support import SecureFront, certificate, open_folder, secured, with_http3
from selenium.webdriver import Chrome
from worker_support import APPS, Worker, listening

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(TESTS))

from stack.browser import browser, complaints, install  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs

UPLOAD_BYTES = 48_000_000
STEPS = 6
# A page's promise, for selenium: its last argument is what has to be called with the answer.
ASK = """
const [name, given, done] = arguments;
window[name](given).then((found) => done({found}), (error) => done({error: String(error)}));
"""


CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


@contextmanager
def loopback_alone() -> Iterator[None]:
    """This thread, and what it starts, in a network of its own: Chromium cuts all connections (ERR_NETWORK_CHANGED)
    when the machine's interfaces change, as they do with each container. Only root may; others run where they are.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            yield
            return
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        try:
            yield
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@dataclass
class Port:
    port: int


@dataclass
class Visit:
    """A browser and the front that it visits. version: the protocol as the front's log has it."""

    driver: Chrome
    site: SecureFront
    version: str

    def show(self, app: str) -> None:
        self.driver.get(f"https://localhost:{self.site.port}/{app}/")

    def ask(self, name: str, given: object = None) -> Any:
        told = self.driver.execute_async_script(ASK, name, given)
        assert "error" not in told, told
        return told["found"]

    def versions(self, path: str) -> set[str]:
        """By which protocols the front was asked for this path. Its log has a line when a request is over."""

        def found() -> list[list[str]]:
            requests = [str(line["request"]).split() for line in self.site.plain.log_lines()]
            return [request for request in requests if request[1] == path]

        wait_for(lambda: bool(found()), f"{path} in the log")
        return {request[2] for request in found()}


@pytest.fixture(scope="module", params=["HTTP/2.0", "HTTP/3.0"])
def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    install()
    binary = with_http3()
    run = tmp_path_factory.mktemp("run")
    apps = {"steps": APPS / "steps", "streams": TESTS / "stack" / "apps" / "streams_to_browsers"}
    with ExitStack() as stack:
        stack.enter_context(loopback_alone())
        folder, listener = stack.enter_context(open_folder()), stack.enter_context(listening())
        certificate(folder / "site.pem", "localhost")
        worker = Worker(run, apps, listener, "a", settings={"TRUST_FRONT": "1"})
        stack.callback(worker.stop)
        site = stack.enter_context(secured(run, binary, [Port(worker.address[1])], folder))
        flags = [f"--ignore-certificate-errors-spki-list={key_digest(folder / 'site.key')}"]
        if request.param == "HTTP/3.0":  # the name is ::1 first, where the front does not listen
            flags += [
                f"--origin-to-force-quic-on=localhost:{site.port}",
                "--host-resolver-rules=MAP localhost 127.0.0.1",
            ]
        else:
            flags.append("--disable-quic")
        driver = stack.enter_context(browser(tmp_path_factory.mktemp("profile"), *flags))
        driver.set_script_timeout(60)
        yield Visit(driver, site, request.param)


def key_digest(key: Path) -> str:
    """What Chromium calls a certificate's key by that it is to believe."""
    command = ["openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER"]
    public = subprocess.run(command, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


def test_a_large_upload_tells_how_far_it_has_come_and_arrives_whole(visit: Visit) -> None:
    """The app reads a step only when the page has been told of progress, so the page is told as often at least."""
    visit.show("steps")
    told = visit.ask("upload", UPLOAD_BYTES)
    assert told["status"] == 200
    assert told["received"] == {"length": UPLOAD_BYTES, "digest": told["sent"], "steps": STEPS}
    before_the_end = [count for count in told["progress"] if count < UPLOAD_BYTES]
    assert len(before_the_end) >= STEPS - 1
    assert told["progress"] == sorted(told["progress"])
    assert told["progress"][-1] == UPLOAD_BYTES
    assert visit.versions("/steps/upload") == {visit.version}
    assert complaints(visit.driver) == []


def test_events_arrive_each_on_its_own(visit: Visit) -> None:
    visit.show("streams")
    assert visit.ask("listen") == [[str(number), str(number)] for number in range(5)]
    assert visit.versions("/streams/events") == {visit.version}
    assert complaints(visit.driver) == []


def test_a_websocket_comes_beside_by_http_1_1(visit: Visit) -> None:
    visit.show("streams")
    messages = ["one", "zwei ü 🌿", "", "x" * 500_000]
    told = visit.ask("talk", messages)
    assert (told["heard"], told["code"], told["clean"]) == (messages, 4001, True)
    assert visit.versions("/streams/socket") == {"HTTP/1.1"}
    assert complaints(visit.driver) == []
