from __future__ import annotations

import timeit
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.hosting.mounts import Mount, Mounts, Redirect, decode, host_name, mount_of


@dataclass(frozen=True)
class App:
    name: str
    mount: Mount


def app(name: str, path: str | None = None, host: str | None = None) -> App:
    return App(name, mount_of(name, path, host))


def found(mounts: Mounts[App], path: str, host: str = "any") -> tuple[str, str, str] | None:
    route = mounts.route(path, host)
    return None if route is None else (route.app.name, route.script_name, route.path_info)


PREFIXES = Mounts(
    [app("api"), app("team", "/team"), app("blog", "/team/blog"), app("deep", "/x/y/z"), app("café", None)]
)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/api", ("api", "/api", "")),
        ("/api/", ("api", "/api", "/")),
        ("/api/v1/x", ("api", "/api", "/v1/x")),
        ("/api//x", ("api", "/api", "//x")),
        ("/apiary", None),
        ("/ap", None),
        ("/API", None),
        ("//api", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("api", None),
        ("/team", ("team", "/team", "")),
        ("/team/blogs", ("team", "/team", "/blogs")),
        ("/team/blog", ("blog", "/team/blog", "")),
        ("/team/blog/1", ("blog", "/team/blog", "/1")),
        ("/team//blog", ("team", "/team", "//blog")),
        ("/x/y", None),
        ("/x/y/z", ("deep", "/x/y/z", "")),
        ("/x/y/z/", ("deep", "/x/y/z", "/")),
        ("/x/y/z/w/", ("deep", "/x/y/z", "/w/")),
        # Percent-encoding: decided on the raw path, by segments that are the same when decoded.
        ("/api%2Fv1", None),
        ("/team%2Fblog/x", None),
        ("/team/blog%2F1", ("team", "/team", "/blog/1")),
        ("/%61pi/x", ("api", "/api", "/x")),
        ("/team/%62log/x", ("blog", "/team/blog", "/x")),
        ("/api/%2e%2e/team", ("api", "/api", "/../team")),
        ("/api/a%20b", ("api", "/api", "/a b")),
        ("/api/%E2%82%AC", ("api", "/api", "/\xe2\x82\xac")),
        ("/api/100%", ("api", "/api", "/100%")),
        ("/caf%C3%A9/1", ("café", "/caf\xc3\xa9", "/1")),
        ("/caf%c3%a9/1", ("café", "/caf\xc3\xa9", "/1")),
        ("/caf\xc3\xa9/1", ("café", "/caf\xc3\xa9", "/1")),
        ("/caf\xe9", None),
    ],
)
def test_the_longest_mount_by_whole_segments(path: str, wanted: tuple[str, str, str] | None) -> None:
    assert found(PREFIXES, path) == wanted


def test_the_root_takes_what_no_other_has() -> None:
    mounts = Mounts([app("home", "/"), app("api"), app("deep", "/x/y")])
    paths = ["/", "/apiary", "/api/1", "/x/z", "/x/y", "//", "/%2f", "*", ""]
    assert [found(mounts, path) for path in paths] == [
        ("home", "", "/"),
        ("home", "", "/apiary"),
        ("api", "/api", "/1"),
        ("home", "", "/x/z"),
        ("deep", "/x/y", ""),
        ("home", "", "//"),
        ("home", "", "//"),
        ("home", "", "*"),
        ("home", "", ""),
    ]


HOSTS = Mounts(
    [
        app("any", "/"),
        app("api"),
        app("shop", None, "shop.org"),
        app("both", "/api", "shop.org"),
        app("v6", "/", "[::1]"),
    ]
)


@pytest.mark.parametrize(
    ("host", "path", "wanted"),
    [
        ("shop.org", "/", "shop"),
        ("shop.org", "/api/1", "both"),
        ("SHOP.org:8080", "/other", "shop"),
        ("shop.org.", "/", "shop"),
        ("www.shop.org", "/", "any"),
        ("shop.org.evil", "/api", "api"),
        ("other", "/api", "api"),
        ("", "/x", "any"),
        ("[::1]:80", "/", "v6"),
        ("[::1]", "/", "v6"),
    ],
)
def test_a_mount_with_a_host_goes_first(host: str, path: str, wanted: str) -> None:
    route = HOSTS.route(path, host)
    assert route is not None
    assert route.app.name == wanted


def test_with_host_and_mount_both_must_match() -> None:
    mounts = Mounts([app("both", "/api", "shop.org")])
    assert [found(mounts, "/api/x", "shop.org"), found(mounts, "/api/x", "b.org"), found(mounts, "/x", "shop.org")] == [
        ("both", "/api", "/x"),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("A.org", "a.org"),
        ("a.org:1", "a.org"),
        ("a.org:", "a.org"),
        ("a.org:x", "a.org:x"),
        ("[::1]:1", "[::1]"),
        ("::1", "::1"),
        ("", ""),
        (":80", ""),
    ],
)
def test_host_name(field: str, wanted: str) -> None:
    assert host_name(field) == wanted


@pytest.mark.parametrize(
    ("method", "path", "query", "wanted"),
    [
        ("GET", "/api", "", Redirect("/api/")),
        ("HEAD", "/api", "a=1&b=%20", Redirect("/api/?a=1&b=%20")),
        ("POST", "/api", "a=1", None),
        ("OPTIONS", "/api", "", None),
        ("GET", "/api/", "", None),
        ("GET", "/caf%c3%a9", "", Redirect("/caf%C3%A9/")),
    ],
)
def test_a_page_without_its_slash_is_redirected(method: str, path: str, query: str, wanted: Redirect | None) -> None:
    route = PREFIXES.route(path, "h")
    assert route is not None
    assert route.redirect(method, query) == wanted


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("blog", "/blog"),
        ("a b", "/a%20b"),
        ("café", "/caf%C3%A9"),
        ("100%", "/100%25"),
        ("a?b#c", "/a%3Fb%23c"),
        ("x@y+z", "/x@y+z"),
    ],
)
def test_the_default_mount_is_the_name_as_a_browser_sends_it(name: str, path: str) -> None:
    default = app(name)
    assert default.mount == Mount(path)
    assert found(Mounts([default]), path + "/x") == (name, "/" + name.encode().decode("latin-1"), "/x")


def test_names_that_a_client_may_send_raw_are_found_in_both_forms() -> None:
    mounts = Mounts([app('a"^{b}')])
    assert [found(mounts, path) is not None for path in ("/a%22%5E%7Bb%7D", '/a"^{b}', "/a%22^{b}")] == [True] * 3


def test_of_two_apps_on_one_mount_the_first_by_name_has_it() -> None:
    mounts = Mounts([app("b", "/x"), app("a", "/%78")])
    assert found(mounts, "/x/") == ("a", "/x", "/")
    assert {name: error.sentence for name, error in mounts.conflicts.items()} == {
        "b": "b: the mount /x belongs to a; give one of them another in its app.toml"
    }


def test_of_two_apps_on_one_mount_the_one_that_ran_keeps_it() -> None:
    mounts = Mounts([app("a", "/x"), app("b", "/x"), app("c", "/x")], incumbents={"c"})
    assert found(mounts, "/x/") == ("c", "/x", "/")
    assert sorted(mounts.conflicts) == ["a", "b"]


def test_one_path_on_two_hosts_is_no_conflict() -> None:
    assert Mounts([app("a", "/x"), app("b", "/x", "b.org"), app("c", "/x", "c.org")]).conflicts == {}


@given(st.text(st.characters(max_codepoint=255)))
def test_decode_is_the_bytes_of_the_path(text: str) -> None:
    """Any bytes, percent-encoded in full, come out as those bytes, one character each."""
    assert decode("/" + "".join(f"%{ord(c):02X}" for c in text)) == "/" + text


SEGMENT = st.sampled_from(["a", "b", "ab", "a%62", "%61", "c"])
PATH = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))


@given(st.lists(PATH, unique_by=decode, max_size=12), PATH, st.sampled_from(["", "/", "/d", "//a"]))
def test_no_longer_mount_would_have_matched(paths: list[str], path: str, rest: str) -> None:
    """The chosen mount is the longest one whose segments begin the request's; what remains is the path the app sees."""
    mounts = Mounts([app(f"app{n}", mount) for n, mount in enumerate(paths)])
    asked = [decode(segment) for segment in (path + rest).split("/")]
    fitting = [mount for mount in paths if decode(mount).split("/") == asked[: mount.count("/") + 1]]
    route = mounts.route(path + rest, "h")
    if not fitting:
        assert route is None
        return
    assert route is not None
    assert route.app.mount.path == max(fitting, key=lambda mount: mount.count("/"))
    assert route.script_name + route.path_info == decode(path + rest)


def test_a_lookup_costs_the_same_with_many_apps() -> None:
    one, many = Mounts([app("app7")]), Mounts([app(f"app{n}") for n in range(200)])

    def cost(mounts: Mounts[App]) -> float:
        return min(timeit.repeat(lambda: mounts.route("/app7/page", "example.org"), number=2_000, repeat=9)) / 2_000

    single, crowd = cost(one), cost(many)
    print(f"a lookup with one app {single * 1e6:.2f} µs, with 200 apps {crowd * 1e6:.2f} µs")
    assert crowd < 2 * single  # a scan of all would cost a hundred times as much
