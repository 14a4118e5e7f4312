"""Which paths are guarded: no spelling of a guarded path gets past, and what is open is open as it is written."""

from __future__ import annotations

import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hedgerow.middleware.guarded import Guarded, check_paths

ADMIN = Guarded(["/admin", "/a/B c/é"], ["/admin/login", "/admin/public"])


@pytest.mark.parametrize(
    "path",
    [
        "/admin", "/admin/", "/admin/x", "//admin", "/./admin", "/admin//x", "/ADMIN", "/Admin/x", "/x/../admin",
        "/admin/../x", "/%61dmin", "/%2561dmin", "/%252561dmin", "/x/%2e%2e/admin", "/%2e/admin", "/x%2f..%2fadmin",
        "/..%2fadmin", "/admin%2f", "/admin%00", "/admin\0x", "/admin;x=1", "/admin;x/y", "/;x/admin", "/admin.",
        "/admin ", "/ admin", "/admin\t", "/\\admin", "\\admin", "/x\\..\\admin", "/.../admin", "admin", "/. /admin",
        "/\xef\xbd\x81dmin", "/\xe2\x85\xb0/../admin", "/%ef%bd%81dmin", "/%25252561dmin", "/a/b c/\xc3\xa9",
        "/a/B c/e\xcc\x81", "/A/b%20C/\xc3\x89/x", "/admin/login/../x", "/admin/./login", "/admin//login",
        "/admin/LOGIN", "/admin/login;x", "/admin/login%2f..", "/admin/loginx", "/admin/%6cogin", "/admin/login/..",
        "/admin/login\0", "/admin/login\\..\\x", "/admin\xff", "/\xffad\xc3min", "/admin%ff", "/admin?x", "/admin%3fx",
        "/admin#x", "/admin/login?x", "/admin/login/.\xff./x", "/admin/login/\xe2\x80\xa5/x",
        "/%" + "25" * 30_000 + "61dmin",
    ],
)  # fmt: skip
def test_no_spelling_gets_past(path: str) -> None:
    assert ADMIN.has(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/x%20y", "/x%252520y", "/administrator", "/x/admin", "/a", "/a/b c", "/a/b c/e", "/%", "/%zz",
        "/admi", "/admin/login",
        "/admin/login/", "/admin/login/x.css", "/admin/public", "/x/..admin", "/x;admin", "/\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_open(path: str) -> None:
    assert not ADMIN.has(path)


def test_the_whole_app_with_one_page_for_all() -> None:
    whole = Guarded(["/"], ["/health"])
    asked = ["", "/", "/x", "/health", "/health/", "/HEALTH", "//health", "/health/../x", "/healthy"]
    assert [path for path in asked if not whole.has(path)] == ["/health", "/health/"]


PARTS = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda text: "/" not in text)


@given(st.lists(PARTS, max_size=4), st.sampled_from([0, 1, 2]))
@example(["a%41"], 1)
def test_all_below_is_guarded_however_it_is_encoded(rest: list[str], times: int) -> None:
    path = "/".join(["/admin", *rest])
    for _ in range(times):
        path = quote(path, safe="/")
    assert Guarded(["/admin"], []).has(path.encode().decode("latin-1"))


PIECES = ["/", "//", "/./", "/.", "/..", "/x/../", "admin", "ADMIN", "%61dmin", "/login", "%2e", "%2F", "x", ";", "\\"]
SPELLINGS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(SPELLINGS)
def test_what_an_application_would_make_of_it_is_guarded(path: str) -> None:
    """An application that joins slashes, resolves dots, decodes once more and ignores case; and one that does not."""
    guarded = Guarded(["/admin"], ["/admin/login"])
    for seen in (path, unquote(path)):
        for resolved in (seen, posixpath.normpath("/" + seen.lower().replace("\\", "/"))):
            flat = "/" + "/".join(part for part in resolved.split("/") if part)
            if (flat == "/admin" or flat.startswith("/admin/")) and not flat.startswith("/admin/login"):
                assert guarded.has(path), (path, flat)


@pytest.mark.parametrize("path", ["admin", "", "/a//b", "/a/../b", "/./a", "/%61", "/a;b", "/a.", "/a\\b"])
def test_a_path_that_has_another_spelling_is_no_option(path: str) -> None:
    assert check_paths((path,)) is not None


def test_paths_as_options() -> None:
    assert check_paths(("/", "/a", "/A/b/", "/Straße/ü", "/a.b", "/.well-known")) is None
