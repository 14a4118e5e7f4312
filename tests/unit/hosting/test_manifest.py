from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hedgerow.errors import UserError
from hedgerow.hosting.manifest import Deploy, Limits, Manifest, read_manifest


def manifest_of(folder: Path, text: str | bytes) -> Manifest:
    (folder / "app.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_manifest(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blog").mkdir()
    return tmp_path / "blog"


def test_without_a_file_all_is_default(folder: Path) -> None:
    assert read_manifest(folder) == Manifest(entry=None, mount=None, host=None, data=())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('entry = "site"', Manifest(entry="site")),
        ('entry = "pkg.site:make_app"', Manifest(entry="pkg.site:make_app")),
        ('entry = "site:factory.app"', Manifest(entry="site:factory.app")),
        ('entry = "my-site.py:app"', Manifest(entry="my-site.py:app")),
        ('entry = "src/site.py:app"', Manifest(entry="src/site.py:app")),
        ('mount = "/"', Manifest(mount="/")),
        ('mount = "/team/blog"', Manifest(mount="/team/blog")),
        ('mount = "/caf%C3%A9"', Manifest(mount="/caf%C3%A9")),
        ('host = "blog.example.org"', Manifest(host="blog.example.org")),
        ('host = "[::1]"', Manifest(host="[::1]")),
        ('data = ["uploads", "var/db.sqlite3", "./x"]', Manifest(data=("uploads", "var/db.sqlite3", "./x"))),
        ("data = []", Manifest()),
        ("server_timing = true", Manifest(server_timing=True)),
        ("server_timing = false", Manifest()),
    ],
)
def test_good_values(folder: Path, line: str, wanted: Manifest) -> None:
    assert manifest_of(folder, line) == wanted


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('entry = "a b"', "neither 'module'"),
        ('entry = ""', "neither 'module'"),
        ('entry = ":app"', "neither 'module'"),
        ('entry = "mod:"', "neither 'module'"),
        ('entry = "mod:app:x"', "neither 'module'"),
        ('entry = "../site.py:app"', "leaves the folder"),
        ("entry = 3", "a text is wanted"),
        ('mount = ""', "must start with '/'"),
        ('mount = "blog"', "must start with '/'"),
        ('mount = "/blog/"', "must not end with '/'"),
        ('mount = "//blog"', "empty or dot segment"),
        ('mount = "/a/../b"', "empty or dot segment"),
        ('mount = "/a/."', "empty or dot segment"),
        ('mount = "/café"', "percent-encoded"),
        ('mount = "/a b"', "percent-encoded"),
        ('mount = "/a%2"', "percent-encoded"),
        ('mount = "/a?b"', "percent-encoded"),
        ('mount = "/a%2fb"', "encoded dot, slash"),
        ('mount = "/%2e%2E"', "encoded dot, slash"),
        ('host = "Example.org"', "lower-case"),
        ('host = "example.org:80"', "without port"),
        ('host = "-a"', "lower-case"),
        ('host = ""', "lower-case"),
        ('data = "uploads"', "a list is wanted"),
        ("data = [1]", "a text is wanted"),
        ('data = ["/etc"]', "'/etc' is not a relative path"),
        ('data = ["a/../../b"]', "stays in the folder"),
        ('data = ["."]', "stays in the folder"),
        ('data = [""]', "stays in the folder"),
        ('server_timing = "yes"', "true or false is wanted"),
        ("server_timing = 1", "true or false is wanted"),
    ],
)
def test_a_wrong_value_is_told_with_file_and_key(folder: Path, line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        manifest_of(folder, line)
    sentence = str(caught.value)
    assert sentence.startswith("blog/app.toml: " + line.partition(" ")[0] + " = ")
    assert words in sentence
    assert "\n" not in sentence


def test_an_unknown_key_names_the_nearest_known_one(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^blog/app.toml: unknown key 'mont': did you mean 'mount'\?$"):
        manifest_of(folder, 'mont = "/x"')


def test_an_unknown_key_that_is_near_none_names_all(folder: Path) -> None:
    names = ", ".join(field.name for field in dataclasses.fields(Manifest))
    with pytest.raises(UserError, match=f"unknown key 'zzz': known are {names}$"):
        manifest_of(folder, "zzz = 1")


def test_all_mistakes_are_told_together(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        manifest_of(folder, 'mont = "/x"\nhost = "A:1"\ndata = ["/etc"]\nentry = 1')
    assert all(word in str(caught.value) for word in ("'mont'", "host = 'A:1'", "data = ['/etc']", "entry = 1"))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", Deploy()),
        ('before = "flask db upgrade"', Deploy(before="flask db upgrade")),
        ("check = \"sh -c 'exit 0'\"", Deploy(check="sh -c 'exit 0'")),
        ('warmup = "/health?deep=1&caf%C3%A9"', Deploy(warmup="/health?deep=1&caf%C3%A9")),
        ("status = 204", Deploy(status=204)),
        ("timeout_s = 90", Deploy(timeout_s=90.0)),
        ("timeout_s = 0.5", Deploy(timeout_s=0.5)),
    ],
)
def test_good_values_of_the_table(folder: Path, line: str, wanted: Deploy) -> None:
    assert manifest_of(folder, f'mount = "/x"\n[deploy]\n{line}') == Manifest(mount="/x", deploy=wanted)
    assert manifest_of(folder, f"deploy.{line}" if line else "").deploy == wanted


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("before = 3", "a text is wanted"),
        ('before = ""', "a command and its arguments are wanted"),
        ('check = "  "', "a command and its arguments are wanted"),
        ('check = "a\\u0000b"', "a command and its arguments are wanted"),
        ('check = "sh -c \'x"', "not a command line: no closing quotation"),
        ('check = ["sh"]', "a text is wanted"),
        ('warmup = "health"', "must start with '/'"),
        ('warmup = "/a b"', "percent-encoded"),
        ('warmup = "/café"', "percent-encoded"),
        ('warmup = "/a#b"', "percent-encoded"),
        ('warmup = "/a\\r\\nX: y"', "percent-encoded"),
        ("status = 199", "from 200 to 599"),
        ("status = 600", "from 200 to 599"),
        ("status = true", "a whole number is wanted"),
        ('status = "200"', "a whole number is wanted"),
        ("timeout_s = 0", "above 0"),
        ("timeout_s = -1", "above 0"),
        ("timeout_s = nan", "above 0"),
        ("timeout_s = 86401", "at most 86400 seconds"),
        ("timeout_s = 1" + "0" * 400, "too large"),
        ('timeout_s = "1"', "a number is wanted"),
    ],
)
def test_a_wrong_value_of_the_table_is_told_with_the_tables_name(folder: Path, line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        manifest_of(folder, f"[deploy]\n{line}")
    assert str(caught.value).startswith("blog/app.toml: deploy." + line.partition(" ")[0] + " = ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[deploy]\nchek = 1", "unknown key 'deploy.chek': did you mean 'deploy.check'?"),
        ("[deploy]\nzzz = 1", "unknown key 'deploy.zzz': known are deploy.before, deploy.check, deploy.warmup, "),
        ("[deplo]\ncheck = 1", "unknown key 'deplo': did you mean 'deploy'?"),
        ("deploy = 3", "deploy = 3: a table is wanted"),
        ("[[deploy]]", "deploy = [{}]: a table is wanted"),
        ("[deploy.check]\nx = 1", "deploy.check = {'x': 1}: a text is wanted"),
        ("[limits]\nrunning = 0", "limits.running = 0: 1 to 1000000 are wanted"),
        ("[limits]\nrate = -1.0", "limits.rate = -1.0: 0 to 1000000 requests a second are wanted"),
        ("[limits]\nwait_s = 0.0", "limits.wait_s = 0.0: above 0"),
        ("[limits]\nruning = 3", "unknown key 'limits.runing': did you mean 'limits.running'?"),
        ("[limits]\ndeadline_s = 301.0", "limits.deadline_s = 301.0: 0.1 to 300 seconds are wanted"),
        ('[limits]\npaths = {"a" = 3}', "limits.paths = {'a': 3}: 'a': it must start with '/'"),
        ('[limits]\npaths = {"/a" = "3"}', "limits.paths = {'/a': '3'}: a table of numbers is wanted"),
    ],
)
def test_a_wrong_table_is_told_with_a_hint(folder: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        manifest_of(folder, text)
    assert str(caught.value).startswith(f"blog/app.toml: {words}")


def test_mistakes_inside_and_outside_of_the_table_are_told_together(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        manifest_of(folder, 'mont = "/x"\n[deploy]\nstatus = 1\nchek = 1\nbefore = ""')
    told = ("'mont'", "deploy.status = 1", "'deploy.chek'", "deploy.before = ''")
    assert [word in str(caught.value) for word in told] == [True] * 4


@pytest.mark.parametrize(("text", "words"), [("mount = x", "line 1"), (b'mount = "\xff"', "utf-8")])
def test_what_is_no_toml_is_told_with_its_place(folder: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=rf"^blog/app.toml: .*{words}"):
        manifest_of(folder, text)


@pytest.mark.parametrize(
    "field",
    [field for kind in (Manifest, Deploy, Limits) for field in dataclasses.fields(kind)],
    ids=lambda field: field.name,
)
def test_each_option_has_help(field: dataclasses.Field[object]) -> None:
    assert len(field.metadata["help"]) > 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data = " + "[" * 2000, "nested too deeply"),
        ("mount = " + "1" * 5000, "digits"),
        ("mount = 0x" + "f" * 5000, "mount: a text is wanted"),
        ("mount = 2026-13-45", "app.toml"),
    ],
)
def test_what_the_parser_itself_trips_over_is_one_sentence(folder: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        manifest_of(folder, text)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_opened(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "app.toml")
    with pytest.raises(UserError, match=r"blog/app\.toml is not a file"):
        read_manifest(folder)


def test_a_limit_of_memory_is_no_shared_process_s(folder: Path) -> None:
    assert manifest_of(folder, "limits.memory_mb = 300\n").limits.memory_mb == 300
    with pytest.raises(UserError, match=r"limits.memory_mb is for a pool of its own, and pool is shared"):
        manifest_of(folder, 'pool = "shared"\nlimits.memory_mb = 300\n')
    with pytest.raises(UserError, match=r"limits.memory_mb = 10: 64 to 10000000 are wanted"):
        manifest_of(folder, "limits.memory_mb = 10\n")
