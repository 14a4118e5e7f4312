"""Each app has a `sys.path` of its own: it finds the modules in what it puts there, and nobody else does."""

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


CHANGES = {
    "insert": "sys.path.insert(0, LIB)",
    "append": "sys.path.append(LIB)",
    "extend": "sys.path.extend([LIB])",
    "+=": "sys.path += [LIB]",
    "slice": "sys.path[:0] = [LIB]",
    "assignment": "sys.path = [LIB] + sys.path",
    "setattr": "setattr(sys, 'path', [*sys.path, LIB])",
    "from sys import path": "from sys import path\npath.append(LIB)",
    "import_module": "import importlib\nimportlib.import_module('sys').path.append(LIB)",
    "site": "import site\nsite.addsitedir(LIB)",
    "relative": "sys.path.insert(0, 'lib')\nLIB = 'lib'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_however_an_app_changes_the_path_it_alone_sees_it(load: Load, change: str) -> None:
    files = {
        "app.py": "import os, sys\nLIB = os.path.join(os.path.dirname(__file__), 'lib')\n"
        f"{change}\nfrom words import WORD\nassert LIB in sys.path\n" + ANSWERS % "WORD",
        "lib/words.py": "WORD = b'found'",
    }
    before = list(sys.path)
    app, other = load("changes", files), load("other", {"app.py": SHOWS_THE_PATH})
    assert get(app) == "found"
    assert get(other) == "\n".join([str(other.folder), *before])
    assert sys.path == before


SHOWS_THE_PATH = "import sys\n" + ANSWERS % "'\\n'.join(sys.path).encode()"


def test_an_app_finds_its_place_first_as_in_a_process_of_its_own(load: Load) -> None:
    script = load("script", {"app.py": SHOWS_THE_PATH})
    package = load("package", {"__init__.py": SHOWS_THE_PATH})
    assert get(script).splitlines() == [str(script.folder), *sys.path]
    assert get(package).splitlines() == [str(package.folder.parent), *sys.path]


def test_what_is_taken_off_the_path_is_found_no_more_but_for_what_was_imported(load: Load) -> None:
    source = INSERTS + "import words\nsys.path.pop(0)\ndef later():\n  import words\n  return words.WORD\n"
    source += "def never():\n  try:\n    import late\n  except ModuleNotFoundError:\n    return b' only'\n"
    files = {
        "app.py": source + ANSWERS % "later() + never()",
        "lib/words.py": "WORD = b'words'",
        "lib/late.py": "",
    }
    before = list(sys.path)
    assert get(load("off", files)) == "words only"
    assert sys.path == before


def test_one_folder_after_the_other_may_have_the_same_name(load: Load) -> None:
    source = """
import os, sys
found = []
for each in ("one", "two"):
    sys.path.append(os.path.join(os.path.dirname(__file__), each))
    import plugin
    found.append(plugin.WORD)
    del sys.modules["plugin"], sys.path[-1]
"""
    files = {"app.py": source + ANSWERS % "b' '.join(found)"}
    files |= {f"{each}/plugin.py": f"WORD = b'{each}'" for each in ("one", "two")}
    assert get(load("plugins", files)) == "one two"


INSERTS_THEN_IMPORTS = """
import os, sys
steps = []

def application(environ, start_response):
    start_response("200 OK", [])
    steps.append(1)
    if len(steps) == 1:
        %s
        return [b"inserted"]
    import words
    return [words.WORD]
"""
ONLY_LOOKS = """
import sys
def application(environ, start_response):
    start_response("200 OK", [])
    try:
        import words
    except ImportError:
        return [b"seen" if any("lib" in entry for entry in set(sys.path) - set(BEFORE)) else b"none"]
    return [words.WORD]
BEFORE = list(sys.path)
"""


@pytest.mark.parametrize("insert", ["sys.path.insert(0, LIB)", "import site\n        site.addsitedir(LIB)"])
def test_an_entry_is_the_app_s_in_whose_folder_it_lies_whoever_looks_up_the_next_name(load: Load, insert: str) -> None:
    insert = insert.replace("LIB", "os.path.dirname(__file__) + '/lib'")
    first = load("first", {"app.py": INSERTS_THEN_IMPORTS % insert, "lib/words.py": "WORD = b'first'"})
    second = load("second", {"app.py": ONLY_LOOKS})
    assert [get(first), get(second), get(first)] == ["inserted", "none", "first"]


def test_an_entry_that_lies_in_no_app_s_folder_is_the_app_s_that_made_it(load: Load, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.py").write_text("WORD = b'first'")
    source = INSERTS_THEN_IMPORTS % f"sys.path.insert(0, {str(tmp_path / 'lib')!r})"
    first, second = load("first", {"app.py": source}), load("second", {"app.py": ONLY_LOOKS})
    assert [get(first), get(second), get(first)] == ["inserted", "none", "first"]


def test_apps_below_a_folder_of_the_path_have_entries_of_their_own_too(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m` does with the folder that it is started in
    assert_each_of_two_sees_its_own(load)
    monkeypatch.undo()
