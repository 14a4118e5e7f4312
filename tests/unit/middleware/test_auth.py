"""Who comes in, who does not and what is told to whom: by password, by token, by what another application says."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import pytest
from asking_middleware import Answer, App, Environ, ask
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.middleware.auth import Auth
from hedgerow.middleware.credentials import Credentials, password_entry, token_entry

CHEAP = 2**4
ANNA = password_entry("anna", "correct horse", CHEAP)
UMLAUT = password_entry("jürgen", "pässwörd:with:colons", CHEAP)
ROBOT = token_entry("robot", "t0ken-._~+/==")
USERS = f"{ANNA} {UMLAUT}\t{ROBOT}"
BASIC = 'Basic realm="Restricted", charset="UTF-8"'
BEARER = 'Bearer realm="Restricted"'


@pytest.fixture(autouse=True)
def _users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_USERS", USERS)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def auth(**options: Any) -> Callable[[WSGIApplication], WSGIApplication]:
    return functools.partial(Auth, **({"users": "AUTH_USERS"} | options))


BOTH = auth(schemes=("basic", "bearer"))


def challenges(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "WWW-Authenticate"]


def with_environ(made: Callable[[WSGIApplication], WSGIApplication], **more: Any) -> Callable[..., WSGIApplication]:
    """The same, in a server that gives it more of an environ."""

    def wrap(app: WSGIApplication) -> WSGIApplication:
        inner = made(app)

        def outer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ.update(more)
            return inner(environ, start_response)

        return outer

    return wrap


@pytest.mark.parametrize(
    ("given", "user", "scheme"),
    [
        (basic("anna", "correct horse"), "anna", "Basic"),
        (basic("anna", "correct horse").replace("Basic ", "bASIC   "), "anna", "Basic"),
        (basic("jürgen", "pässwörd:with:colons"), "jürgen", "Basic"),
        (basic("ju\u0308rgen", "pässwörd:with:colons"), "jürgen", "Basic"),
        ("Bearer t0ken-._~+/==", "robot", "Bearer"),
        ("bearer  t0ken-._~+/==", "robot", "Bearer"),
    ],
)
def test_who_is_known_comes_in_and_the_application_knows_who_it_is(given: str, user: str, scheme: str) -> None:
    app = App()
    wrap = with_environ(BOTH, REMOTE_USER="root", AUTH_TYPE="Negotiate")
    for _ in range(2):  # also when it is remembered
        answer = ask(wrap, app, Authorization=given)
        assert (answer.status, answer.headers) == ("200 OK", list(app.headers))
        seen = app.seen[-1]
        assert (seen["REMOTE_USER"].encode("latin-1").decode(), seen["AUTH_TYPE"]) == (user, scheme)
        assert "HTTP_AUTHORIZATION" not in seen, "a password is no matter of the application"


WRONG = [
    "", "Basic", "Basic ", basic("anna", "wrong"), basic("anna", ""), basic("", ""), basic("nobody", "correct horse"),
    basic("Anna", "correct horse"), basic("anna", "correct horse\0"), basic("anna", "correct horse "),
    basic("robot", "t0ken-._~+/=="), "Basic !!!", "Basic YW5uYQ==", "Basic /w==", "Basic YW5uYTpj\x7f", "Basic é",
    "Basicx " + basic("anna", "correct horse")[6:], "Digest a", "Bearer", "Bearer ", "Bearer t0ken", "Bearer t0ken x",
    "Bearer ü", basic("anna", "correct horse") + ", " + basic("anna", "correct horse"),
]  # fmt: skip


@pytest.mark.parametrize("given", WRONG)
def test_nobody_else_comes_in(given: str) -> None:
    app = App()
    answer = ask(BOTH, app, Authorization=given)
    assert (answer.status, app.seen) == ("401 Unauthorized", [])
    wrong = ', error="invalid_token"' if given.startswith("Bearer") else ""
    assert challenges(answer) == [BASIC, BEARER + wrong]
    assert answer["Cache-Control"] == "no-store"
    assert int(answer["Content-Length"]) == len(answer.body) > 0


@given(
    st.one_of(
        st.text(st.characters(max_codepoint=255)),
        st.binary().map(lambda raw: "basic " + base64.b64encode(raw).decode()),
    )
)
def test_whatever_comes_is_401(given: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTH_USERS", USERS)
        assert ask(auth(schemes=("basic", "bearer"), tries=10**9), App(), Authorization=given).status[:3] == "401"


def test_only_the_schemes_that_are_wanted() -> None:
    assert challenges(ask(auth(), App())) == [BASIC]
    assert challenges(ask(auth(schemes=("bearer",), realm="Keys"), App())) == ['Bearer realm="Keys"']
    assert ask(auth(), App(), Authorization="Bearer t0ken-._~+/==").status[:3] == "401"
    assert ask(auth(schemes=("bearer",)), App(), Authorization=basic("anna", "correct horse")).status[:3] == "401"


def test_who_is_known_but_not_allowed_is_told_so() -> None:
    only = auth(schemes=("basic", "bearer"), allow=("ju\u0308rgen",))
    assert ask(only, App(), Authorization=basic("jürgen", "pässwörd:with:colons")).status == "200 OK"
    answer = ask(only, App(), Authorization=basic("anna", "correct horse"))
    assert (answer.status, challenges(answer)) == ("403 Forbidden", [])
    answer = ask(only, App(), Authorization="Bearer t0ken-._~+/==")
    assert (answer.status, challenges(answer)) == ("403 Forbidden", [BEARER + ', error="insufficient_scope"'])
    assert ask(only, App(), Authorization=basic("anna", "wrong")).status[:3] == "401"


def test_only_the_paths_that_are_guarded() -> None:
    some = auth(paths=("/admin", "/api"), open=("/admin/login",))
    paths = ["/", "/admin", "/api/x", "//admin", "/admin/login", "/administrator", "/%2e/admin", "/Api", "/admin/"]
    assert [path for path in paths if ask(some, App(), path).status == "200 OK"] == [
        "/", "/admin/login", "/administrator",
    ]  # fmt: skip


def test_a_client_names_no_user_also_where_nobody_is_asked() -> None:
    app = App()
    made = auth(paths=("/admin",), users="", delegate=App(), hand_on=("X-Groups",), user_field="X-Name")
    wrap = with_environ(made, REMOTE_USER="root", AUTH_TYPE="Basic")
    for path in ("/", "/admin"):
        ask(wrap, app, path, Remote_User="root", X_Groups="wheel", X_Name="root", X_Other="kept")
        seen = app.seen[-1]
        assert [
            name for name in seen if "USER" in name or "AUTH_TYPE" in name or "GROUPS" in name or "X_N" in name
        ] == []
        assert seen["HTTP_X_OTHER"] == "kept"


def test_what_is_handed_on_is_not_the_clients_to_take_out_on_the_way() -> None:
    app = App()
    delegate = App(status="204 No Content", headers=(("X-Groups", "guests"),), body=())
    ask(auth(users="", delegate=delegate, hand_on=("X-Groups",)), app, Connection="close, x-groups, X-Mine")
    assert (app.seen[0]["HTTP_X_GROUPS"], app.seen[0]["HTTP_CONNECTION"]) == ("guests", "close, X-Mine")


def test_one_within_another_leaves_what_the_outer_one_has_said() -> None:
    def two(app: WSGIApplication) -> WSGIApplication:
        inner = Auth(app, users="AUTH_USERS", paths=("/admin",), allow=("nobody",))
        return Auth(inner, users="AUTH_USERS")

    app = App()
    assert ask(two, app, Authorization=basic("anna", "correct horse")).status == "200 OK"
    assert app.seen[0]["REMOTE_USER"] == "anna"


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"\n{ANNA}\n\n")
    app = auth(users="", file=file)(App())
    who = {name: basic(name, password) for name, password in [("anna", "correct horse"), ("ben", "b")]}

    def inside() -> list[str]:
        return [
            name for name, given in who.items() if ask(lambda _: app, App(), Authorization=given).status == "200 OK"
        ]

    assert inside() == ["anna"]
    beside = tmp_path / "new"
    beside.write_text(password_entry("ben", "b", CHEAP))
    beside.replace(file)
    assert inside() == ["ben"], "also what was remembered is forgotten"
    file.unlink()
    with pytest.raises(ValueError, match=r"the file .*users: No such file or directory"):
        inside()


def test_one_address_has_so_many_wrong_passwords_a_minute() -> None:
    now = [1_000.0]
    app = App()
    made = auth(tries=3, clock=lambda: now[0])(app)

    def status(password: str, address: str = "192.0.2.1", name: str = "anna") -> Answer:
        return ask(
            lambda _: with_environ(lambda _: made, REMOTE_ADDR=address)(app), app, Authorization=basic(name, password)
        )

    assert status("pässwörd:with:colons", name="jürgen").status == "200 OK"
    assert [status(f"wrong {n}").status[:3] for n in range(5)] == ["401", "401", "401", "429", "429"]
    now[0] += 20.5
    answer = status("correct horse")
    assert (answer.status, answer["Retry-After"], challenges(answer)) == ("429 Too Many Requests", "40", [])
    assert status("pässwörd:with:colons", name="jürgen").status == "200 OK", "what was right before costs nothing"
    assert status("correct horse", "192.0.2.2").status == "200 OK"
    now[0] += 40
    assert status("correct horse").status == "200 OK"
    assert status("wrong").status[:3] == "401"


def test_many_at_once_are_as_many_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_USERS", password_entry("anna", "correct horse", 2**14))  # each takes its time
    made = auth(tries=5)(App())

    def status(number: int) -> str:
        return ask(lambda _: made, App(), Authorization=basic("anna", f"wrong {number}")).status[:3]

    with ThreadPoolExecutor(40) as pool:
        statuses = [*pool.map(status, range(40))]
    assert statuses.count("401") <= 6, "in threads two may see the last one free"
    assert statuses.count("429") >= 34


def test_a_right_one_is_no_try() -> None:
    made = auth(tries=1)(App())
    for password, status in (("correct horse", "200"), ("wrong", "401"), ("correct horse", "200"), ("wrong", "429")):
        assert ask(lambda _: made, App(), Authorization=basic("anna", password)).status[:3] == status


def test_a_name_that_is_unknown_takes_as_long_as_a_wrong_password() -> None:
    known = Credentials([password_entry("anna", "x", 2**12)])

    def tried_s(name: str) -> float:
        began = time.thread_time()  # of this thread alone, whatever else the machine does
        assert not known.is_right(name, "wrong")
        return time.thread_time() - began

    pairs = [(tried_s("anna"), tried_s("nobody")) for _ in range(15)]
    anna, nobody = (min(times) for times in zip(*pairs, strict=True))
    print(f"wrong password {anna * 1e3:.1f} ms, unknown name {nobody * 1e3:.1f} ms")
    assert 0.7 < anna / nobody < 1.4
    assert known.is_right("anna", "x")
    began = time.thread_time()
    assert known.is_remembered("anna", "x")
    assert not known.is_remembered("anna", "wrong")
    assert not known.is_remembered("nobody", "x")
    assert time.thread_time() - began < anna


SALT = base64.b64encode(bytes(16)).decode()


@pytest.mark.parametrize(
    "entry",
    [
        "anna", "anna:", ":sha256:" + "0" * 64, "anna:sha256:00", "anna:sha256:" + "x" * 64, "anna:md5:" + "0" * 64,
        "anna:plain:secret", "anna:secret", f"anna:scrypt:16:8:1:{SALT}:AAAA", "anna:scrypt:15:8:1::" + "A" * 44,
        "anna:scrypt:16:8:1:!:" + "A" * 44, "anna:scrypt:x:8:1::" + "A" * 44, "an\7na:sha256:" + "0" * 64,
        f"anna:scrypt:1073741824:8:1:{SALT}:" + "A" * 43 + "=",
    ],
)  # fmt: skip
def test_what_is_no_entry_is_an_error_that_tells_no_secret(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("AUTH_USERS", f"{ROBOT} {entry}")
    with pytest.raises(ValueError, match="the environment variable AUTH_USERS: entry 2 is no name:scrypt:") as error:
        auth()(App())
    assert "secret" not in str(error.value)
    assert SALT not in str(error.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"users": ""}, "one of users, file and delegate is wanted"),
        ({"delegate": App()}, "one of users, file and delegate is wanted"),
        ({"users": "GONE"}, "the environment variable GONE has nobody for basic; `python -m hedgerow.middleware"),
        ({"users": "", "file": Path("/gone")}, "the file /gone: No such file or directory"),
        ({"users": "", "delegate": "name"}, "delegate = 'name': module:name is wanted, or a path from '/'"),
        ({"users": "", "delegate": "os:gone"}, "delegate = 'os:gone': module 'os' has no attribute 'gone'"),
        ({"users": "", "delegate": "os:sep"}, "delegate = 'os:sep': it is no callable but of type str"),
    ],
)
def test_what_is_wrong_is_found_when_it_is_made(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("|", r"\|")):
        auth(**options)(App())


def test_the_command_makes_entries() -> None:
    command = [sys.executable, "-m", "hedgerow.middleware.credentials"]

    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], input=given, capture_output=True, text=True, check=False, timeout=20
        )

    entry = run("jürgen", given="geheim\n").stdout.strip()
    assert entry.startswith("jürgen:scrypt:16384:8:1:")
    made = run("robot", "--token")
    token = made.stderr.removeprefix("token: ").strip()
    known = Credentials([entry, made.stdout.strip()])
    assert known.is_right("jürgen", "geheim")
    assert not known.is_right("jürgen", "geheim\n")
    assert (known.of_token(token), known.of_token(token + "x")) == ("robot", None)
    assert made.stdout.strip() == f"robot:sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    assert "is no name" in run("a:b").stderr


# By another application


class Delegate:
    """Answers with these, and keeps what it was asked."""

    def __init__(self, status: str = "200 OK", *headers: tuple[str, str], late: bool = False) -> None:
        self.status, self.headers, self.late = status, headers, late
        self.seen: list[Environ] = []
        self.body = b""
        self.closed = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.seen.append(environ)
        if not self.late:
            start_response(self.status, list(self.headers))
        return self._blocks(environ, start_response)

    def _blocks(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        try:
            if self.late:
                start_response(self.status, list(self.headers))
            yield b"body of the delegate"
            yield b"which nobody reads"
        finally:
            self.closed += 1


def by(delegate: Any, **options: Any) -> Callable[[WSGIApplication], WSGIApplication]:
    return functools.partial(Auth, delegate=delegate, **options)


@pytest.mark.parametrize("late", [False, True])
def test_a_delegate_lets_pass_and_says_who_it_is(late: bool) -> None:
    app = App()
    told = (
        ("remote-user", "anna"),
        ("X-Groups", "a"),
        ("x-groups", "b"),
        ("X-Secret", "s"),
        ("Content-Type", "text/plain"),
    )
    delegate = Delegate("204 No Content", *told, late=late)
    body = b"x" * 100
    how = by(delegate, hand_on=("X-Groups", "X-None"))
    fields = {
        "Authorization": "Own abc",
        "Range": "bytes=0-1",
        "If_None_Match": "*",
        "Expect": "100-continue",
        "X_A": "1",
    }
    answer = ask(how, app, "/a/b", "POST", body, Cookie="c=1", **fields)
    assert (answer.status, answer.body) == ("200 OK", b"hello")
    asked, seen = delegate.seen[0], app.seen[0]
    assert (asked["REQUEST_METHOD"], asked["PATH_INFO"], asked["HTTP_COOKIE"]) == ("POST", "/a/b", "c=1")
    assert (asked["HTTP_AUTHORIZATION"], asked["HTTP_X_A"]) == ("Own abc", "1")
    assert asked["wsgi.input"].read() == b""
    assert asked["CONTENT_LENGTH"] == "0"
    assert not {"HTTP_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_EXPECT"} & asked.keys()
    assert seen["wsgi.input"].read(100) == body, "the body is still there for the application"
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"], seen["HTTP_X_GROUPS"]) == ("anna", "Delegate", "a, b")
    assert not {"HTTP_X_SECRET", "HTTP_X_NONE"} & seen.keys()
    assert seen["HTTP_AUTHORIZATION"] == "Own abc"
    assert seen["HTTP_RANGE"] == "bytes=0-1"


def test_a_delegate_is_closed_once() -> None:
    delegate = Delegate(late=True)
    ask(by(delegate), App())
    assert delegate.closed == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("told", "status"), [("401 No", "401 Unauthorized"), ("403 No", "403 Forbidden")])
def test_a_delegate_refuses(told: str, status: str, late: bool) -> None:
    app = App()
    headers = ("www-authenticate", 'Own realm="x"'), ("WWW-Authenticate", "Other"), ("Set-Cookie", "a=b")
    answer = ask(by(Delegate(told, *headers, late=late)), app)
    assert (answer.status, app.seen) == (status, [])
    assert [value for name, value in answer.headers if name.lower() == "www-authenticate"] == ['Own realm="x"', "Other"]
    assert answer["Set-Cookie"] == ""
    assert b"delegate" not in answer.body


@pytest.mark.parametrize("told", ["302 Found", "404 Not Found", "500 Oh", "304 Not Modified", "101 Switching"])
def test_anything_else_of_a_delegate_is_500(told: str) -> None:
    app, errors = App(), io.StringIO()
    answer = ask(with_environ(by(Delegate(told, ("Location", "/login"))), **{"wsgi.errors": errors}), app)
    assert (answer.status, app.seen, answer["Location"]) == ("500 Internal Server Error", [], "")
    assert errors.getvalue() == f"auth: its delegate answered {told[:3]}; 2xx, 401 or 403 is wanted\n"


def test_a_delegate_that_fails_lets_nobody_pass() -> None:
    def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError

    def nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return []

    app = App()
    with pytest.raises(LookupError):
        ask(by(fails), app)
    assert ask(by(nothing), app).status[:3] == "500"
    assert app.seen == []


def test_a_path_of_the_application_is_asked_what_the_client_asks_for() -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(dict(environ))
        ok = environ["PATH_INFO"] != "/may" or environ["HTTP_X_ORIGINAL_URI"] == "/m/a%20b?c=%20"
        start_response("200 OK" if ok else "403 No", [("Content-Type", "text/plain"), ("Remote-User", "anna")])
        return [b"hello"]

    how = with_environ(by("/may", open=("/may",)), SCRIPT_NAME="/m", QUERY_STRING="c=%20")
    assert ask(how, app, "/a b", "DELETE", X_Original_URI="/forged").body == b"hello"
    asked, got = seen
    assert (asked["REQUEST_METHOD"], asked["HTTP_X_ORIGINAL_METHOD"], asked["QUERY_STRING"]) == ("GET", "DELETE", "")
    assert (got["REQUEST_METHOD"], got["PATH_INFO"], got["QUERY_STRING"]) == ("DELETE", "/a b", "c=%20")
    assert got["REMOTE_USER"] == "anna"
    assert ask(how, app, "/other").status[:3] == "403"


def test_a_delegate_is_found_by_name() -> None:
    assert ask(by("wsgiref.simple_server:demo_app"), App()).status == "200 OK"
