"""The bytecode of a release: workers use it, it says where the source lies, and what cannot have any does no harm."""

from __future__ import annotations

import importlib
import importlib.util
import os
import py_compile
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from hedgerow.control import bytecode, releases
from hedgerow.hosting.imports import install
from hedgerow.hosting.space import Loader, Space, spaces

Load = Callable[[Path, str], ModuleType]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app = tmp_path / "apps" / "blog"
    (app / "lib").mkdir(parents=True)
    (app / "app.py").write_text("from lib import words\n\n\ndef fail():\n    raise ValueError(words.ONE)\n")
    (app / "lib" / "__init__.py").touch()
    (app / "lib" / "words.py").write_text("ONE = 1\n")
    return app


@pytest.fixture
def load() -> Iterator[Load]:
    install()
    before = set(spaces)
    yield lambda code, module: importlib.import_module(f"{Space('compiled', code).package}.{module}")
    for package in spaces.keys() - before:
        del spaces[package]


def pycs(root: Path) -> set[str]:
    """The sources that have bytecode of this interpreter."""
    found = [Path(importlib.util.source_from_cache(str(path))) for path in root.rglob("*.pyc")]
    return {str(path.relative_to(root)) for path in found}


def test_every_file_is_compiled_read_only_and_not_a_part_of_the_name(folder: Path, tmp_path: Path) -> None:
    release = releases.make(folder, tmp_path / "state")
    assert pycs(release.code) == {"app.py", "lib/__init__.py", "lib/words.py"}
    for path in release.code.rglob("*.pyc"):
        assert path.stat().st_mode & 0o777 == 0o444
        assert path.read_bytes()[4:8] == b"\1\0\0\0"  # by hash, never compared
    for path in release.code.rglob("__pycache__"):
        assert path.stat().st_mode & 0o777 == 0o555
    py_compile.compile(str(folder / "app.py"))  # what the folder has of it is left out
    assert releases.make(folder, tmp_path / "state") == release


def test_a_worker_compiles_nothing_of_a_release(
    folder: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = releases.make(folder, tmp_path / "state")
    compiled: list[str] = []
    compile_it = Loader.source_to_code

    def told(loader: Loader, data: bytes, path: str) -> CodeType:
        compiled.append(path)
        return compile_it(loader, data, path)

    monkeypatch.setattr(Loader, "source_to_code", told)
    load(release.code, "app")
    assert compiled == [str(release.code / "__init__.py")]  # the folder, which has no such file
    for path in release.code.rglob("*.pyc"):
        path.parent.chmod(0o755)
        path.unlink()
    load(release.code, "app")
    assert str(release.code / "app.py") in compiled


def test_a_traceback_shows_the_line_also_where_the_state_has_been_moved(
    folder: Path, tmp_path: Path, load: Load
) -> None:
    release = releases.make(folder, tmp_path / "state")
    (tmp_path / "state").rename(tmp_path / "moved")
    code = tmp_path / "moved" / release.code.relative_to(tmp_path / "state")
    module = load(code, "app")
    with pytest.raises(ValueError, match="1") as caught:
        module.fail()
    text = "".join(traceback.format_exception(caught.value))
    assert f'File "{code}/app.py", line 5, in fail\n    raise ValueError(words.ONE)' in text


@pytest.mark.parametrize(
    "source",
    [
        b"def broken(:\n",
        b"x = 1\0\n",
        b"# coding: latin-2-no-such\n",
        b"\xff\xfe = 1\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"x = " + b"-" * 200_000 + b"1\n",
        b"x is 1\n",  # a SyntaxWarning, that the worker is to tell
    ],
)
def test_a_file_that_cannot_be_compiled_has_none_and_the_others_have(
    folder: Path, tmp_path: Path, source: bytes
) -> None:
    (folder / "bad.py").write_bytes(source)
    release = releases.make(folder, tmp_path / "state")
    assert pycs(release.code) == {"app.py", "lib/__init__.py", "lib/words.py"}
    assert not [path for path in release.code.rglob("__pycache__/*") if path.suffix != ".pyc"]


def test_compiling_has_an_end(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "big.py").write_text("x = [\n" + "    {'a': (1, [2, 3], 'b')},\n" * 300_000 + "]\n")
    monkeypatch.setattr(bytecode, "LIMIT_S", 0.3)
    release = releases.make(folder, tmp_path / "state")
    assert "big.py" not in pycs(release.code)
    assert (release.code / "big.py").exists()


def test_links_have_none_since_they_may_lead_into_data(folder: Path, tmp_path: Path, load: Load) -> None:
    (folder / "instance").mkdir()
    (folder / "instance" / "settings.py").write_text("ONE = 1\n")
    (folder / "settings.py").symlink_to("instance/settings.py")
    (folder / "blog.py").symlink_to("app.py")
    release = releases.make(folder, tmp_path / "state")
    assert pycs(release.code) == {"app.py", "lib/__init__.py", "lib/words.py"}
    assert load(release.code, "settings").ONE == 1
    (release.code / "settings.py").write_text("ONE = 2\n")
    assert load(release.code, "settings").ONE == 2


def test_bytecode_goes_beside_the_source_wherever_python_puts_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "prefix"))
    release = releases.make(folder, tmp_path / "state")
    assert "app.py" in pycs(release.code)
    assert not list((tmp_path / "prefix").rglob("app.*"))


def test_bytecode_that_names_a_time_is_not_believed_and_none_is_written(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source can change and keep its time and size: what editors and `cp -p` do, within a second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "words.py").write_text("ONE = 1\n")
    os.utime(tmp_path / "words.py", (1000, 1000))
    py_compile.compile(str(tmp_path / "words.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")}
    (tmp_path / "words.py").write_text("ONE = 2\n")
    os.utime(tmp_path / "words.py", (1000, 1000))
    (tmp_path / "other.py").touch()
    assert load(tmp_path, "words").ONE == 2
    load(tmp_path, "other")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")} == before
