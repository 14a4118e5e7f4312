"""What the front keeps of answers for apps that wish it, through real nginx and workers: on and off, stale rather than
an error, and nobody gets another's.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from control_support import Stack, get, stack, until
from front_support import Answer, Client
from worker_support import APPS

WISH = "[cache]\nmax_age = 3600\n"
STALE = "[cache]\nmax_age = 1\nstale_if_error = 3600\n"


@contextmanager
def serving(manifests: Mapping[str, str], workers: int = 1, **environ: str) -> Iterator[Stack]:
    """Apps by name, each the same but for its manifest."""
    with stack(workers=workers, **environ) as here:
        here.base.chmod(0o755)  # nginx's processes are another user's where root starts it
        here.state.mkdir(mode=0o755)
        for name, manifest in manifests.items():
            shutil.copytree(APPS / "kept", here.apps / name)
            (here.apps / name / "app.toml").write_text(manifest)
            (here.apps / name / "static").mkdir()
            (here.apps / name / "static" / "site.css").write_text("a{}" * 1000)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/up")[0] == 200 for name in manifests), 30, "the apps answer")
        yield here


def ask(here: Stack, target: str, *lines: str, method: str = "GET") -> Answer:
    with Client(here.port) as client:
        client.head(method, target, *lines, "Connection: close")
        return client.answer(method)


def calls(here: Stack, target: str, *lines: str, times: int = 2) -> list[bytes]:
    """Which call of the app answered, for each of several requests."""
    return [ask(here, target, *lines).body.split()[0] for _ in range(times)]


def status_of(answer: Answer) -> str:
    (told,) = answer.header("Cache-Status") or [""]
    return told.removeprefix("hedgerow; ")


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    own = 'pool = "own"\n'
    run = f'run = "{sys.executable} server.py {{fd}}"\n'
    manifests = {
        "wishes": WISH,
        "own": own + WISH,
        "run": run + WISH,
        "plain": "",
        "anybody": WISH + "cookies = false\n",
    }
    with serving(manifests) as here:
        yield here


# --- on and off -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wishes", "own", "run"])
def test_an_answer_is_made_once(here: Stack, name: str) -> None:
    first, second = ask(here, f"/{name}/once"), ask(here, f"/{name}/once")
    assert (first.body, second.body) == (b"1 GET ", b"1 GET ")
    assert (status_of(first), status_of(second)) == ("fwd=miss", "hit")
    assert second.header("Content-Type") == ["text/plain"]
    assert [name for name, _ in second.headers if name.lower().startswith(("x-accel", "x-hedgerow"))] == []
    assert first.header("X-Request-Id") != second.header("X-Request-Id")
    assert ask(here, f"/{name}/once", method="HEAD").status == 200
    assert calls(here, f"/{name}/once") == [b"1", b"1"]


def test_an_app_that_does_not_wish_it_is_asked_each_time(here: Stack) -> None:
    target = "/plain/each?Cache-Control=max-age%3D3600"
    assert calls(here, target) == [b"1", b"2"]
    answer = ask(here, target)
    assert (answer.header("Cache-Status"), answer.header("Cache-Control")) == ([], ["max-age=3600"])


def test_a_front_that_keeps_nothing_asks_each_time() -> None:
    with serving({"wishes": WISH}, HEDGEROW_CACHE_MB="0") as here:
        assert calls(here, "/wishes/each") == [b"1", b"2"]
        assert ask(here, "/wishes/each").header("Cache-Status") == []


def test_paths_queries_hosts_and_apps_are_apart(here: Stack) -> None:
    for target in ("/wishes/apart", "/wishes/apart?a=1", "/wishes/apart?a=2", "/wishes/%61part"):
        answer = ask(here, target)
        assert status_of(answer) == "fwd=miss", target
    with Client(here.port) as client:
        client.head("GET", "/wishes/apart", "Connection: close", host="other.example")
        assert status_of(client.answer()) == "fwd=miss"


@pytest.mark.parametrize("line", ["Authorization: Basic YTpi", "Range: bytes=0-1"])
def test_requests_that_pass_by(here: Stack, line: str) -> None:
    assert calls(here, f"/wishes/by-{line[:5]}", line) == [b"1", b"2"]
    assert calls(here, f"/wishes/by-{line[:5]}") == [b"3", b"3"], "and what they get is not kept"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_reach_the_app(here: Stack, method: str) -> None:
    assert ask(here, f"/wishes/{method}", method=method).body.split()[1] == method.encode()
    assert ask(here, f"/wishes/{method}").body == b"2 GET "
    assert ask(here, f"/wishes/{method}", method=method).body.split()[0] == b"3"


@pytest.mark.parametrize(
    "said",
    [
        "Cache-Control=no-store", "Cache-Control=private", "Cache-Control=no-cache", "Cache-Control=max-age%3D0",
        "Set-Cookie=a%3D1", "Vary=*", "Expires=0", "pieces=yes", "status=500+No", "status=302+Found", "size=140000",
        "X-Accel-Buffering=no",
    ],
)  # fmt: skip
def test_what_must_not_be_kept_is_made_anew(here: Stack, said: str) -> None:
    target = f"/wishes/not-{said.replace('=', '-').replace('%', '-').replace('+', '-').replace('*', 'x')}?{said}"
    assert calls(here, target) == [b"1", b"2"]


def test_the_apps_own_cache_control_is_what_a_client_sees(here: Stack) -> None:
    for said in ("", "public%2C+max-age%3D600"):
        target = f"/wishes/own{len(said)}?Cache-Control={said}" if said else "/wishes/own0"
        wanted = ["public, max-age=600"] if said else []
        assert [ask(here, target).header("Cache-Control") for _ in range(2)] == [wanted, wanted]


def test_of_what_is_not_kept_the_apps_cache_control_is_whole(here: Stack) -> None:
    """Also if it looks like what a worker tells the front."""
    for said in (
        "stale-while-revalidate=60, stale-if-error=600",
        "private, stale-while-revalidate=6, stale-if-error=9",
    ):
        answer = ask(here, f"/wishes/whole?Set-Cookie=a%3D1&Cache-Control={quote(said)}")
        assert answer.header("Cache-Control") == [said]


# --- nobody gets another's --------------------------------------------------------------------------------------------


def test_who_has_a_cookie_gets_what_is_made_for_it(here: Stack) -> None:
    target = "/wishes/page?personal=yes"
    bodies = {ask(here, target, f"Cookie: {name}").body.split()[2] for name in ("ada=1", "bob=2", "ada=1")}
    assert bodies == {b"ada=1", b"bob=2"}
    assert ask(here, target).body.split()[2] == b"nobody"
    assert status_of(ask(here, target, "Cookie: ada=1")) == "hit", "its own is kept for it"
    assert ask(here, target, "Cookie: ada=1").header("Vary") == ["Cookie"]


def test_an_app_may_say_that_cookies_do_not_matter(here: Stack) -> None:
    assert ask(here, "/anybody/page", "Cookie: ada=1").body == b"1 GET "
    assert ask(here, "/anybody/page", "Cookie: bob=1").body == b"1 GET "
    assert ask(here, "/anybody/page").header("Vary") == []


def test_vary_parts_what_it_names(here: Stack) -> None:
    target = "/anybody/tongue?Vary=Accept-Language"
    assert calls(here, target, "Accept-Language: en") == [b"1", b"1"]
    assert calls(here, target, "Accept-Language: zh") == [b"2", b"2"]
    assert calls(here, target, "Accept-Language: en") == [b"1", b"1"]


def test_what_a_client_claims_of_itself_changes_nothing(here: Stack) -> None:
    lines = (
        "X-Forwarded-Host: evil.example",
        "X-Hedgerow-Cache: 2",
        "X-Accel-Expires: 9",
        "X-Original-URL: /a",
    )
    assert ask(here, "/plain/claims", *lines).header("X-Accel-Expires") == []
    assert calls(here, "/plain/claims", *lines) == [b"2", b"3"]
    assert calls(here, "/wishes/claims", *lines) == [b"1", b"1"]
    assert calls(here, "/wishes/claims") == [b"1", b"1"]


def test_validators_of_what_is_kept_are_heeded(here: Stack) -> None:
    target = "/wishes/tagged?ETag=%22one%22"
    assert ask(here, target).header("ETag") == ['"one"']
    answer = ask(here, target, 'If-None-Match: "one"')
    assert (answer.status, answer.body) == (304, b"")


def test_who_has_a_file_does_not_get_it_again(here: Stack) -> None:
    """Files are not kept, and nginx would ask for them without the validator."""
    first = ask(here, "/wishes/static/site.css")
    (tag,) = first.header("ETag")
    assert (first.status, len(first.body)) == (200, 3000)
    for told in (tag, f"W/{tag}"):
        answer = ask(here, "/wishes/static/site.css", f"If-None-Match: {told}")
        assert (answer.status, answer.body) == (304, b"")
    assert ask(here, "/wishes/static/site.css", f'If-None-Match: "a{tag[1:]}').status == 200


# --- stale rather than an error ---------------------------------------------------------------------------------------


def order(here: Stack, app: str, said: str) -> None:
    assert get(here.port, f"/{app}/order{said}", "POST")[0] == 204


def is_too_old(here: Stack, target: str) -> bool:
    """Whether what is kept of it has been replaced, or would be."""
    return status_of(ask(here, target)) != "hit"


@pytest.fixture(scope="module")
def both() -> Iterator[Stack]:
    with serving({"stale": STALE, "fresh": "[cache]\nmax_age = 1\n", "alone": 'pool = "own"\n' + STALE}) as here:
        yield here


@pytest.mark.parametrize("status", ["500+Oh", "502+Oh", "503+Oh", "504+Oh"])
@pytest.mark.parametrize("app", ["stale", "alone"])
def test_an_app_that_fails_is_answered_for(both: Stack, app: str, status: str) -> None:
    target = f"/{app}/page{status[:3]}"
    assert ask(both, target).body == b"1 GET "
    order(both, app, f"?status={status}")
    try:
        until(lambda: status_of(ask(both, target)) == "hit; detail=stale-if-error", 10, "it is too old")
        answer = ask(both, target)
        assert (answer.status, answer.body) == (200, b"1 GET ")
        unknown = ask(both, f"{target}-unknown", "Accept: application/json")
        assert (unknown.status, unknown.body) == (int(status[:3]), b"2 GET "), "the app's own words; it is asked twice"
        assert ask(both, f"{target}-sent", method="POST").body == b"1 POST ", "others are asked once"
    finally:
        order(both, app, "")
    until(lambda: ask(both, target).body.split()[0] != b"1", 10, "the app answers again")


def test_an_error_that_says_how_long_it_is_good_is_answered_for_too(both: Stack) -> None:
    """As of an app that says Cache-Control for everything."""
    target = "/stale/aged?Cache-Control=max-age%3D600"
    assert ask(both, target).body == b"1 GET "
    order(both, "stale", "?status=500+Oh")
    try:
        until(lambda: status_of(ask(both, target)) != "hit", 10, "it is too old")
        for _ in range(2):
            answer = ask(both, target)
            assert (answer.status, status_of(answer)) == (200, "hit; detail=stale-if-error")
    finally:
        order(both, "stale", "")


def test_without_the_wish_an_error_is_an_error(both: Stack) -> None:
    assert ask(both, "/fresh/page").body == b"1 GET "
    order(both, "fresh", "?status=500+Oh")
    try:
        until(lambda: ask(both, "/fresh/page").status == 500, 10, "it is too old")
        count = int(ask(both, "/fresh/page").body.split()[0])
        assert ask(both, "/fresh/page").body.split()[0] == b"%d" % (count + 1), "asked once for each"
    finally:
        order(both, "fresh", "")


def test_statuses_that_are_no_failure_pass(both: Stack) -> None:
    """A page that has gone is not held up by its former self."""
    assert ask(both, "/stale/gone").status == 200
    order(both, "stale", "?status=404+Gone")
    try:
        until(lambda: ask(both, "/stale/gone").status == 404, 10, "it is too old")
    finally:
        order(both, "stale", "")


def test_only_one_client_waits_for_what_is_renewed(both: Stack) -> None:
    """The others get the former answer for as long again as it was good."""
    with serving({"slow": "[cache]\nmax_age = 2\n"}) as here:
        assert ask(here, "/slow/page").body == b"1 GET "
        order(here, "slow", "?sleep=1.5")
        until(lambda: status_of(ask(here, "/slow/page")) != "hit", 10, "it is too old, and was renewed")
        seen: list[str] = []
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                seen.append(status_of(ask(here, "/slow/page")))

        askers = [threading.Thread(target=go_on) for _ in range(8)]
        for asker in askers:
            asker.start()
        until(lambda: "hit; detail=renewed-by-another" in seen, 20, "somebody renews it")
        stop.set()
        for asker in askers:
            asker.join()


def test_what_is_kept_and_cannot_be_read_costs_no_answer() -> None:
    with serving({"wishes": WISH}) as here:
        assert calls(here, "/wishes/page") == [b"1", b"1"]
        for folder in (here.state / "cache").iterdir():
            folder.chmod(0)
        assert calls(here, "/wishes/page") == [b"2", b"3"]


def test_more_than_fits_is_not_kept_for_ever() -> None:
    """There is never room for more keys than for the megabytes: 8 entries each, and a few."""
    with serving({"wishes": WISH}, HEDGEROW_CACHE_MB="1") as here:
        for number in range(300):
            answer = ask(here, f"/wishes/{number}?size=100000")
            assert (answer.status, len(answer.body) > 100_000) == (200, True)
        kept = [path for path in (here.state / "cache").rglob("*") if path.is_file()]
        assert 8 <= len(kept) <= 8 * 13
        assert calls(here, "/wishes/299?size=100000") == [b"1", b"1"], "the last ones are there"


def test_a_place_without_room_switches_it_off(tmp_path: Path) -> None:
    from test_front_config import nginx_check, run_script  # noqa: PLC0415

    from hedgerow.control.front import find_nginx  # noqa: PLC0415

    tmp_path.chmod(0o755)
    assert run_script(tmp_path, HEDGEROW_CACHE_MB="65535", HEDGEROW_CACHE_FOLDER="/dev/shm/cache").returncode == 0  # noqa: S108
    told = (tmp_path / "installation.txt").read_text()
    assert "# No answers are kept: /dev/shm has room for less than 65567 MB." in told
    assert "HEDGEROW_CACHE_MB=0\n" in told
    binary = find_nginx()
    assert binary is not None
    assert nginx_check(binary, tmp_path).returncode == 0


@pytest.mark.parametrize("given", ["x", "-1", "70000", "01"])
def test_a_size_that_is_none_is_told(tmp_path: Path, given: str) -> None:
    from test_front_config import run_script  # noqa: PLC0415

    done = run_script(tmp_path, HEDGEROW_CACHE_MB=given)
    assert (done.returncode, done.stderr.startswith(f"HEDGEROW_CACHE_MB={given}: not ")) == (2, True)
