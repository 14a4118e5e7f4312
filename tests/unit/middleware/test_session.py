"""Sessions: what the client gets, what is worth nothing elsewhere, later or changed, and when it is saved."""

from __future__ import annotations

import http.cookies
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import pytest
from asking_middleware import Answer, App, Environ, ask
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.middleware.session import KEY, Session
from hedgerow.middleware.session_data import Changes, Kept, SessionData
from hedgerow.middleware.session_places import InFolder

SECRET, OLDER = "k" * 43, "o" * 43
HEAD = [("Content-Type", "text/plain")]
Do = Callable[[SessionData], Any]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_KEY", SECRET)


@pytest.fixture(params=["cookie", "folder"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Both ways to keep them."""
    return {"folder": tmp_path / "sessions"} if request.param == "folder" else {}


@dataclass
class Client:
    """A browser at one app: it keeps the app's cookie and sends it. more: of the environ."""

    options: dict[str, Any] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    now: float = 1_000_000.0
    cookie: str = ""

    def do(self, what: Do, app: Callable[[Do], WSGIApplication] | None = None) -> Any:
        """What `what` returns, done by the application with its session."""
        told: list[Any] = []
        whole = (app or plain)(lambda session: told.append(what(session)))
        self.answer = ask(self.wrap, whole, Cookie=self.cookie)
        if given := self.answer["Set-Cookie"]:
            self.cookie = given.partition(";")[0] if "Max-Age=0" not in given else ""
        return told[0]

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        made = Session(app, **({"clock": lambda: self.now} | self.options))

        def with_more(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ.update(self.more)
            return made(environ, start_response)

        return with_more

    def copy(self, **changed: Any) -> Client:
        return Client(self.options, changed.get("more", self.more), self.now, changed.get("cookie", self.cookie))


def plain(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        do(environ[KEY])
        start_response("200 OK", HEAD)
        return [b"done"]

    return app


def after_start(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", HEAD)
        do(environ[KEY])
        return [b"done"]

    return app


def late(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", HEAD)
        do(environ[KEY])
        yield b"do"
        yield b"ne"

    return app


def writing(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", HEAD)
        do(environ[KEY])
        write(b"do")
        return [b"ne"]

    return app


def empty(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", HEAD)
        do(environ[KEY])
        yield from ()

    return app


def failing(do: Do) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", HEAD)
        try:
            do(environ[KEY])
            raise LookupError
        except LookupError:
            start_response("500 Oh", HEAD, sys.exc_info())
        return [b"done"]

    return app


def put(**values: Any) -> Do:
    return lambda session: session.update(values)


def attributes(answer: Answer) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in answer["Set-Cookie"].split("; ")[1:])


@pytest.mark.parametrize("app", [plain, after_start, late, writing, empty, failing])
def test_what_is_stored_before_the_first_block_is_there_again(
    options: dict[str, Any], app: Callable[[Do], WSGIApplication]
) -> None:
    client = Client(options)
    client.do(put(user="ännä", cart=[1]), app)
    assert client.answer.body == (b"" if app is empty else b"done")
    assert [name for name, _ in client.answer.headers].count("Set-Cookie") == 1
    assert client.do(dict) == {"user": "ännä", "cart": [1]}
    assert client.answer["Set-Cookie"] == "", "nothing was changed"
    client.do(lambda session: session["cart"].append(2))  # also what is changed inside
    client.do(lambda session: session.pop("user"), app)
    assert client.do(dict) == {"cart": [1, 2]}


def test_an_error_page_instead_is_the_one_that_is_sent() -> None:
    client = Client()
    client.do(put(a=1), failing)
    assert client.answer.status == "500 Oh"


def test_a_head_that_comes_after_the_first_block_is_the_servers_matter() -> None:
    """Only the server knows whether bytes have gone: it gets the second head, with what has happened."""
    told: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        environ[KEY]["a"] = 1
        start_response("200 OK", HEAD)
        yield b"first"
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oh", HEAD, sys.exc_info())
        yield b"second"

    body = Session(app)({"HTTP_HOST": "a", "wsgi.url_scheme": "http"}, lambda *head: told.append(head))  # type: ignore[arg-type, func-returns-value]
    assert b"".join(body) == b"firstsecond"
    assert [(head[0], len(head)) for head in told] == [("200 OK", 2), ("500 Oh", 3)]
    assert told[1][2][0] is LookupError
    assert [dict(head[1])["Set-Cookie"] for head in told] == [dict(told[0][1])["Set-Cookie"]] * 2


def test_to_begin_twice_is_an_error() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", HEAD)
        start_response("200 OK", HEAD)
        return []

    with pytest.raises(AssertionError, match="start_response was called twice"):
        ask(Client().wrap, app)


def test_what_is_changed_too_late_is_an_error(options: dict[str, Any]) -> None:
    def app(do: Do) -> WSGIApplication:
        def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", HEAD)
            yield b"first"
            do(environ[KEY])

        return app

    with pytest.raises(RuntimeError, match="too late: the head of the answer has been sent"):
        Client(options).do(put(a=1), app)
    assert Client(options).do(lambda session: session.get("a"), app) is None, "it can be read"


def test_who_does_not_ask_for_it_pays_and_changes_nothing(options: dict[str, Any]) -> None:
    for cookie in ("", "session-x=1"):
        app = App()
        answer = ask(Client(options).wrap, app, Cookie=cookie)
        assert (answer.headers, app.closed) == (list(app.headers), 1)
    assert not options or not options["folder"].exists()


def test_who_only_looks_gets_no_cookie_but_caches_are_told() -> None:
    client = Client()
    assert client.do(len) == 0
    assert (client.answer["Set-Cookie"], client.answer["Vary"], client.answer["Cache-Control"]) == ("", "Cookie", "")
    client.do(put(a=1))
    assert (client.answer["Vary"], client.answer["Cache-Control"]) == ("Cookie", "private")


def test_a_cookie_is_kept_by_no_shared_cache() -> None:
    for said, sent in [("public, max-age=60", "public, max-age=60, private"), ("no-store", "no-store")]:

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ[KEY]["a"] = 1
            start_response("200 OK", [*HEAD, ("Cache-Control", said)])  # noqa: B023
            return []

        assert ask(Client().wrap, app)["Cache-Control"] == sent


def test_the_cookie_by_default(options: dict[str, Any]) -> None:
    client = Client(options)
    client.do(put(a=1))
    assert attributes(client.answer) == {"Path": "/", "HttpOnly": "", "SameSite": "Lax"}
    client = Client(options, {"SCRIPT_NAME": "/shop", "wsgi.url_scheme": "https"})
    client.do(put(a=1))
    assert attributes(client.answer) == {"Path": "/shop", "HttpOnly": "", "SameSite": "Lax", "Secure": ""}
    assert re.fullmatch(r"session-[0-9a-f]{8}", client.cookie.partition("=")[0])


def test_the_cookie_by_options() -> None:
    how = {"secure": True, "same_site": "None", "persistent": True, "lifetime_s": 100, "cookie": "id"}
    client = Client(how)
    client.do(put(a=1))
    assert attributes(client.answer) == {
        "Path": "/", "HttpOnly": "", "SameSite": "None", "Secure": "", "Max-Age": "100",
    }  # fmt: skip
    assert client.cookie.startswith("id-")
    client = Client({"secure": False}, {"wsgi.url_scheme": "https"})
    client.do(put(a=1))
    assert "Secure" not in attributes(client.answer)


def test_the_path_of_the_cookie_is_as_browsers_write_it() -> None:
    for mount, path in [
        ("/caf\xc3\xa9", "/caf%C3%A9"),
        ("/a b;Domain=x", "/a%20b%3BDomain=x"),
        ("/a\r\nb", "/a%0D%0Ab"),
    ]:
        client = Client({}, {"SCRIPT_NAME": mount})
        client.do(put(a=1))
        assert attributes(client.answer)["Path"] == path


@pytest.mark.parametrize(
    "other",
    [
        {"SCRIPT_NAME": "/blog"}, {"SCRIPT_NAME": "/shop/a"}, {"SCRIPT_NAME": ""}, {"hedgerow.app": "other"},
        {"HTTP_HOST": "b.example"},
    ],
    ids=str,
)  # fmt: skip
def test_the_cookie_of_one_app_is_worth_nothing_at_another(options: dict[str, Any], other: dict[str, str]) -> None:
    """With the same key, even if somebody carries it over under the other's name."""
    here = {"SCRIPT_NAME": "/shop", "hedgerow.app": "shop", "HTTP_HOST": "a.example:80"}
    client = Client(options, here)
    client.do(put(user="anna"))
    assert client.copy(more={**here, "HTTP_HOST": "A.example"}).do(dict) == {"user": "anna"}
    there = Client(options, here | other)
    there.do(put(user="ben"))
    names = {one.cookie.partition("=")[0] for one in (client, there)}
    assert len(names) == (2 if "SCRIPT_NAME" in other else 1)
    carried = there.cookie.partition("=")[0] + "=" + client.cookie.partition("=")[2]
    assert there.copy(cookie=carried).do(dict) == {}
    assert there.copy(cookie=f"{client.cookie}; {carried}; {there.cookie}").do(dict) == {"user": "ben"}


def test_each_changed_letter_makes_it_no_session(options: dict[str, Any]) -> None:
    client = Client(options)
    client.do(put(user="anna"))
    name, _, sealed = client.cookie.partition("=")
    for place, letter in enumerate(sealed):
        changed = sealed[:place] + ("A" if letter != "A" else "B") + sealed[place + 1 :]
        # The last letter of base64 has bits that say nothing.
        found = client.copy(cookie=f"{name}={changed}").do(dict)
        assert found == {} or place == len(sealed) - 1, changed
    for changed in (sealed[:-1], sealed + "A", sealed * 2, "." + sealed, "", "..", sealed.upper()):
        assert client.copy(cookie=f"{name}={changed}").do(dict) == {}


NAME = "session-e3b0c442"


@given(
    st.one_of(
        st.text(st.characters(max_codepoint=255)),
        st.text(st.characters(max_codepoint=255)).map(lambda text: f"{NAME}={text}"),
        st.from_regex(rf"{NAME}=\.?[\w-]+\.[\w-]*(; ?{NAME}=[\w.-]*)?", fullmatch=True),
    )
)
def test_whatever_comes_as_a_cookie_is_a_new_session(cookie: str) -> None:
    client = Client(cookie=cookie)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSION_KEY", SECRET)
        assert client.do(dict) == {}
        assert client.answer["Set-Cookie"] == ""
        client.do(put(a=1))
    assert client.cookie.partition("=")[0] == NAME


def test_a_cookie_that_nobody_can_read_hides_none(options: dict[str, Any]) -> None:
    """Another app of the host may set one of our name, or of a form that the standard library gives up at."""
    client = Client(options)
    client.do(put(a=1))
    client.cookie = f'x[]="a; b=\\; {NAME}=forged; {client.cookie}'
    assert client.do(dict) == {"a": 1}


def test_it_ends_when_it_is_not_used(options: dict[str, Any]) -> None:
    client = Client(options | {"idle_s": 100})
    client.do(put(a=1))
    first = client.cookie
    client.now += 9
    assert client.do(dict) == {"a": 1}
    for _ in range(5):
        client.now += 85
        assert client.do(dict) == {"a": 1}
    assert "folder" in options or client.copy(cookie=first).do(dict) == {}, "a cookie of long ago has ended"
    client.now += 101
    assert client.do(dict) == {}
    client.do(put(b=2))
    assert client.do(dict) == {"b": 2}


def test_it_ends_at_the_latest_when_its_lifetime_does(options: dict[str, Any]) -> None:
    client = Client(options | {"idle_s": 100, "lifetime_s": 250})
    client.do(put(a=1))
    for seconds in (90, 90, 60, 9):
        client.now += seconds
        assert client.do(dict) == {"a": 1}
    client.now += 1
    assert client.do(dict) == {}
    if "folder" in options:
        assert [path.stat().st_mtime for path in files(options["folder"])] == [client.now], "it is swept from then on"


def test_a_lifetime_that_is_made_shorter_counts_for_those_that_are_there(options: dict[str, Any]) -> None:
    client = Client(options)
    client.do(put(a=1))
    client.now += 60
    client.options = options | {"lifetime_s": 50}
    assert client.do(dict) == {}


def test_on_log_in_id_and_lifetime_are_new(options: dict[str, Any]) -> None:
    client = Client(options | {"lifetime_s": 100, "idle_s": 100})
    client.do(put(cart=[1]))
    before, old = client.do(lambda session: session.id), client.cookie
    assert client.do(lambda session: session.id) == before
    client.now += 60

    def log_in(session: SessionData) -> None:
        session["user"] = "anna"
        session.renew()

    client.do(log_in)
    assert client.do(lambda session: session.id) != before
    assert client.cookie != old
    if "folder" in options:
        assert client.copy(cookie=old).do(dict) == {}, "who had it before has nothing"
    client.now += 60
    assert client.do(dict) == {"cart": [1], "user": "anna"}


def test_on_log_out_nothing_is_left(options: dict[str, Any]) -> None:
    client = Client(options, {"SCRIPT_NAME": "/shop"})
    client.do(put(user="anna"))
    old = client.cookie
    client.do(lambda session: session.clear())
    assert attributes(client.answer) | {"Max-Age": "0", "Path": "/shop"} == attributes(client.answer)
    assert client.cookie == ""
    if "folder" in options:
        assert files(options["folder"]) == []
        assert client.copy(cookie=old).do(dict) == {}


def test_what_is_stored_behind_a_log_out_begins_another(options: dict[str, Any]) -> None:
    client = Client(options)
    client.do(put(user="anna", cart=[1]))
    before = client.do(lambda session: session.id)

    def log_out(session: SessionData) -> str:
        session.clear()
        session["bye"] = True
        return session.id

    assert client.do(log_out) == client.do(lambda session: session.id) != before
    assert client.do(dict) == {"bye": True}


def test_the_last_value_that_goes_ends_it(options: dict[str, Any]) -> None:
    client = Client(options)
    client.do(put(a=1))
    client.do(lambda session: session.pop("a"))
    assert attributes(client.answer)["Max-Age"] == "0"
    assert not options or files(options["folder"]) == []


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_keeps_them_for_its_owner_and_tells_no_id(tmp_path: Path) -> None:
    client = Client({"folder": tmp_path / "data" / "sessions"})
    client.do(put(a="x" * 100_000))
    assert len(client.cookie) < 200
    found = files(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in found] == [0o600]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "data" / "sessions").iterdir()} == {0o700}
    name = client.do(lambda session: session.id)
    assert name not in str(found[0]) + found[0].read_text()


def test_two_at_once_change_what_each_has_changed(tmp_path: Path) -> None:
    client = Client({"folder": tmp_path})
    client.do(put(a=1, b=1, c=1))
    client.do(lambda session: (session["c"], session.pop("a"), client.copy().do(put(b=2, d=2))))
    assert client.do(dict) == {"b": 2, "c": 1, "d": 2}


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    place = InFolder(tmp_path)
    kept = Kept("one", 0, 100, {"first": 1})
    place.add(kept, 0)

    def change(number: int) -> None:
        place.save(kept, Changes({f"key{number}": number}, []))
        found = place.load("one")
        assert found is not None
        assert found.data["first"] == 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(change, range(300)))
    finally:
        sys.setswitchinterval(interval)
    assert place.load("one") == Kept("one", 0, 100, {"first": 1} | {f"key{number}": number for number in range(300)})


@pytest.mark.parametrize("how", ["clear", "renew"])
def test_who_is_late_brings_no_ended_session_back(tmp_path: Path, how: str) -> None:
    client = Client({"folder": tmp_path})
    client.do(put(user="anna"))
    old = client.cookie
    client.do(lambda session: (session.update(late=1), client.copy().do(lambda other: getattr(other, how)())))
    assert client.answer["Set-Cookie"] == "", "nor does it take the new cookie away"
    assert client.copy(cookie=old).do(dict) == {}


def test_those_that_ended_are_swept(tmp_path: Path) -> None:
    """A new one sweeps the one of 256 folders that it comes into, so sooner or later all have been swept."""
    place = InFolder(tmp_path)
    for number in range(20):
        place.add(Kept(f"old {number}", 0, 100, {}), 0)
    place.add(Kept("mine", 0, 201, {"a": 1}), 0)
    old = [path for path in files(tmp_path) if path.stat().st_mtime == 100]
    assert len(old) == 20
    for number in range(20_000):
        place.add(Kept(f"new {number}", 200, 300, {}), 200)
        if not any(path.exists() for path in old):
            break
    assert len(files(tmp_path)) == number + 2
    assert place.load("mine") == Kept("mine", 0, 201, {"a": 1})
    print(f"20 sessions that ended were swept by {number + 1} new ones")


def test_a_file_that_was_cut_off_is_no_session(tmp_path: Path) -> None:
    client = Client({"folder": tmp_path})
    client.do(put(a=1))
    files(tmp_path)[0].write_text("[1000, {")
    assert client.do(dict) == {}


def test_a_cookie_that_browsers_would_drop_is_an_error_that_says_what_to_do() -> None:
    client = Client()
    client.do(put(a="x" * 2_000))
    noise = "".join(chr(33 + n * n * 7 % 89) for n in range(5_000))
    with pytest.raises(
        ValueError, match=r"cookie of \d{4} bytes, and browsers keep 4096: .*folder = \"data/sessions\""
    ):
        client.do(put(a=noise + "".join(map(str, range(3_000)))))


def test_what_cannot_be_kept_is_named() -> None:
    with pytest.raises(TypeError, match=r"session\['when'\] cannot be kept: Object of type object"):
        Client().do(put(when=object()))
    with pytest.raises(TypeError, match="keys of a session are texts, not 3"):
        Client().do(lambda session: session.__setitem__(3, 3))  # type: ignore[arg-type]


def test_keys_are_exchanged_one_by_one(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(options)
    monkeypatch.setenv("SESSION_KEY", OLDER)
    client.do(put(a=1))
    old = client.cookie
    monkeypatch.setenv("SESSION_KEY", f"{SECRET}  {OLDER}")
    assert client.do(dict) == {"a": 1}
    client.do(lambda session: session.renew())
    monkeypatch.setenv("SESSION_KEY", SECRET)
    assert client.do(dict) == {"a": 1}, "the first one signs"
    assert client.copy(cookie=old).do(dict) == {}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("", "key: the environment variable SESSION_KEY is not set; `python -c .* makes one"),
        ("short", "key: a key in SESSION_KEY has 5 characters, 32 at least"),
        (f"{SECRET} {'y' * 31}", "key: a key in SESSION_KEY has 31 characters, 32 at least"),
    ],
)
def test_without_a_key_it_is_not_made(monkeypatch: pytest.MonkeyPatch, keys: str, sentence: str) -> None:
    monkeypatch.setenv("SESSION_KEY", keys)
    with pytest.raises(ValueError, match=sentence) as error:
        Session(App())
    assert "short" not in str(error.value)
    assert "yyy" not in str(error.value)


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match='same_site = "None" wants secure = true'):
        Session(App(), same_site="None")


def test_a_file_goes_to_the_server_as_it_is() -> None:
    body = [b"a", b"b"]
    seen: Any = Session(lambda environ, start_response: (start_response("200 OK", HEAD), body)[1])(
        {"HTTP_HOST": "a", "wsgi.url_scheme": "http"}, lambda *head: lambda block: None
    )
    assert seen is body


def test_what_a_body_is_closed_by_is_called_also_when_saving_fails() -> None:
    app = App()

    def storing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY]["a"] = object()
        return app(environ, start_response)

    with pytest.raises(TypeError):
        ask(Client().wrap, storing)
    assert app.closed == 1


def test_a_browser_of_the_standard_library_reads_the_cookie() -> None:
    client = Client()
    client.do(put(a=1))
    jar = http.cookies.SimpleCookie(client.answer["Set-Cookie"])
    assert {name: morsel["path"] for name, morsel in jar.items()} == {NAME: "/"}


def test_it_is_a_mapping() -> None:
    def use(session: SessionData) -> None:
        assert repr(session) == "<SessionData, not read yet>"
        session.setdefault("a", {})["b"] = 1
        assert ("a" in session, len(session), list(session), session == {"a": {"b": 1}}) == (True, 1, ["a"], True)
        assert repr(session) == "<SessionData {'a': {'b': 1}}>"
        with pytest.raises(KeyError):
            session["c"]

    Client().do(use)


def test_a_body_that_nobody_begins_to_read_is_closed() -> None:
    closed: list[str] = []

    class Late:
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("it is not read")

        def close(self) -> None:
            closed.append("closed")

    body: Any = Session(lambda environ, start_response: Late())(
        {"HTTP_HOST": "a", "wsgi.url_scheme": "http"}, lambda *head: lambda block: None
    )
    body.close()
    assert closed == ["closed"]
