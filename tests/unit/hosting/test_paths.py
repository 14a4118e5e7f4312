"""What an app puts on `sys.path` becomes its own: it finds the modules in there, and nobody else does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hosting_help import get

from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

ANSWERS = "def application(e, s):\n  s('200 OK', [])\n  return [%s]\n"
INSERTS = "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"


@pytest.fixture(autouse=True)
def _path_is_left_alone() -> object:
    before, modules = list(sys.path), set(sys.modules)
    yield
    assert sys.path == before
    new = {name for name in set(sys.modules) - modules if not name.startswith("_hedgerow_app_")}
    assert not new & {"words", "deep", "models", "lazy"}


def assert_each_of_two_sees_its_own(load: Load) -> None:
    apps = [
        load(
            name,
            {"app.py": INSERTS + "from words import WORD\n" + ANSWERS % "WORD", "lib/words.py": f"WORD = b'{name}'"},
        )
        for name in ("one", "two")
    ]
    assert [get(app) for app in apps] == ["one", "two"]


def test_two_apps_with_the_same_module_in_a_folder_of_their_own_each_see_theirs(load: Load) -> None:
    assert_each_of_two_sees_its_own(load)


def test_modules_in_there_find_each_other_and_the_apps_own(load: Load) -> None:
    files = {
        "app.py": INSERTS + "import deep.inner\n" + ANSWERS % "deep.inner.WORD",
        "lib/deep/__init__.py": "",
        "lib/deep/inner.py": "from words import WORD\nimport models\nWORD += models.WORD",
        "lib/words.py": "WORD = b'words '",
        "models.py": "WORD = b'models'",
    }
    assert get(load("deep", files)) == "words models"


@pytest.mark.parametrize(("call", "wanted"), [("insert(0, LIB)", "lib"), ("append(LIB)", "own")])
def test_what_is_put_in_front_wins_over_the_apps_own_and_what_is_put_behind_does_not(
    load: Load, call: str, wanted: str
) -> None:
    source = f"import os, sys\nLIB = os.path.join(os.path.dirname(__file__), 'lib')\nsys.path.{call}\nimport models\n"
    files = {"app.py": source + ANSWERS % "models.WORD", "models.py": "WORD = b'own'", "lib/models.py": "WORD = b'lib'"}
    assert get(load("order", files)) == wanted


def test_an_entry_that_is_made_while_a_request_is_served_counts_too(load: Load) -> None:
    source = "import os, sys\ndef application(e, s):\n  sys.path.append(os.path.dirname(__file__) + '/lib')\n"
    files = {
        "app.py": source + "  import lazy\n  s('200 OK', [])\n  return [lazy.WORD]\n",
        "lib/lazy.py": "WORD = b'lazy'",
    }
    app = load("lazy1", files)
    assert [get(app), get(app)] == ["lazy", "lazy"]


def test_an_entry_outside_of_the_folder_is_private_too(load: Load, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "words.py").write_text("COUNT = []\nWORD = b'shared'\n")
    source = f"import sys\nsys.path.append({str(tmp_path / 'shared')!r})\nimport words\nwords.COUNT.append(1)\n"
    apps = [load(name, {"app.py": source + ANSWERS % "b'%d' % len(words.COUNT)"}) for name in ("here", "there")]
    assert [get(app) for app in apps] == ["1", "1"]


def test_the_folder_above_the_app_finds_it_by_its_name(load: Load) -> None:
    source = "import os, sys\nsys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))\n"
    files = {
        "app.py": source + "from blog.models import WORD\nimport models\n" + ANSWERS % "WORD",
        "models.py": "WORD = b'one'",
    }
    app = load("blog", files)
    assert get(app) == "one"
    loaded = [name for name in sys.modules if name.endswith(".models") and "hedgerow_app_blog" in name]
    assert len(loaded) == 1


def test_an_entry_of_an_app_that_imports_nothing_more_is_not_taken_by_the_next(load: Load) -> None:
    files = {"app.py": INSERTS + ANSWERS % "b''", "lib/words.py": ""}
    load("first", files)
    second = load(
        "second",
        {"app.py": "try:\n  import words\nexcept ImportError:\n  words = None\n" + ANSWERS % "repr(words).encode()"},
    )
    assert get(second) == "None"


def test_what_lies_where_libraries_lie_is_everybodys(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendored = tmp_path / "prefix" / "lib" / "vendored"
    vendored.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    before = list(sys.path)
    load("vendor", {"app.py": f"import sys\nsys.path.append({str(vendored)!r})\n" + ANSWERS % "b''"})
    assert sys.path == [*before, str(vendored)]
    sys.path.remove(str(vendored))


FIRST_INSERTS_THEN_IMPORTS = """
import os, sys
steps = []

def application(environ, start_response):
    start_response("200 OK", [])
    steps.append(1)
    sys.path.insert(0, os.path.dirname(__file__) + "/lib")
    if len(steps) == 1:
        return [b"inserted"]
    import words
    return [words.WORD]
"""
ONLY_LOOKS = """
def application(environ, start_response):
    start_response("200 OK", [])
    try:
        import words
    except ImportError:
        return [b"none"]
    return [words.WORD]
"""


def test_an_entry_is_the_app_s_in_whose_folder_it_lies_whoever_looks_up_the_next_name(load: Load) -> None:
    first = load("first", {"app.py": FIRST_INSERTS_THEN_IMPORTS, "lib/words.py": "WORD = b'first'"})
    second = load("second", {"app.py": ONLY_LOOKS})
    assert [get(first), get(second), get(first)] == ["inserted", "none", "first"]


def test_apps_below_a_folder_of_the_path_have_entries_of_their_own_too(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m` does with the folder that it is started in
    assert_each_of_two_sees_its_own(load)
    monkeypatch.undo()
