"""What is left out of a release: what tools leave behind, and what `.hedgerowignore` lists, with git as the judge."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from hedgerow.control import ignore, tree
from hedgerow.errors import UserError

# The file's text, and what of NAMES is left out then. Each row was asked of git 2.39.
NAMES = (
    "a.log", "a.py", "deep/", "deep/a.log", "deep/a.py", "deep/er/", "deep/er/a.log", "deep/er/b.txt", "build/",
    "build/keep.txt", "build/x.txt", "lib/", "lib/build/", "lib/build/x.txt", "#a", "!a", "a b", "a ", "[a]", "ü",
)  # fmt: skip
ROWS = {
    "": "",
    "# a comment\n\n  \n": "",
    "*.log": "a.log deep/a.log deep/er/a.log",
    "*.log\r\n*.py\r\n": "a.log a.py deep/a.log deep/a.py deep/er/a.log",
    "/*.log": "a.log",
    "deep/*.log": "deep/a.log",
    "deep/**/*.log": "deep/a.log deep/er/a.log",
    "**/er/*.log": "deep/er/a.log",
    "deep/**": "deep/a.log deep/a.py deep/er/ deep/er/a.log deep/er/b.txt",
    "build": "build/ build/keep.txt build/x.txt lib/build/ lib/build/x.txt",
    "build/": "build/ build/keep.txt build/x.txt lib/build/ lib/build/x.txt",
    "/build": "build/ build/keep.txt build/x.txt",
    "x.txt/": "",
    "build\n!/lib/build": "build/ build/keep.txt build/x.txt",
    "build\n!keep.txt": "build/ build/keep.txt build/x.txt lib/build/ lib/build/x.txt",
    "build/*\n!build/keep.txt": "build/x.txt",
    "build/**\n!build/keep.txt": "build/x.txt",
    "*\n!*/\n!*.py": "a.log deep/a.log deep/er/a.log deep/er/b.txt build/keep.txt build/x.txt lib/build/x.txt "
    "#a !a a|b a| [a] ü",
    "*.log\n!deep/*.log": "a.log deep/er/a.log",
    "!deep/*.log\n*.log": "a.log deep/a.log deep/er/a.log",
    "\\#a": "#a",
    "\\!a": "!a",
    "a\\ b": "a|b",
    "a b   ": "a|b",
    "a\\ ": "a|",
    "\\[a\\]": "[a]",
    "[[]a]": "[a]",
    "[a": "",
    "a\\": "",
    "?.py": "a.py deep/a.py",
    "[!b].log": "a.log deep/a.log deep/er/a.log",
    "[^b].log": "a.log deep/a.log deep/er/a.log",
    "[b-z].txt": "deep/er/b.txt build/x.txt lib/build/x.txt",
    "[z-b].txt": "",
    "deep?er": "",
    "deep/e[q-s]/": "deep/er/ deep/er/a.log deep/er/b.txt",
    "\ufeffa.py": "a.py deep/a.py",
    "a.p*y": "a.py deep/a.py",
    "/": "",
    "!": "",
}


def left_out(rules: ignore.Rules, path: str) -> bool:
    """As the walk finds it: nothing is asked for below a folder that is left out."""
    parts = path.rstrip("/").split("/")
    tops = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(rules.leave_out(top, top != tops[-1] or path.endswith("/")) for top in tops)


@pytest.mark.parametrize("text", ROWS)
def test_the_file_is_read_as_git_reads_its_own(text: str) -> None:
    rules = ignore.Rules(text)
    found = {name for name in NAMES if left_out(rules, name)}
    assert found == {name.replace("|", " ") for name in ROWS[text].split()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_git_agrees_with_any_file(tmp_path: Path, seed: int) -> None:
    """Lines made of what has a meaning, over a tree in which names come again at every depth."""
    dice = random.Random(seed)
    names = ["a", "b", "ab", "a.c", ".x", "b c"]
    paths = [f"{one}.d/{two}.d/{three}" for one in names for two in names for three in names]
    for path in (*paths, *names, *(f"{one}.d/{two}" for one in names for two in names)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    environ = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    git = ["git", "-C", str(tmp_path), "-c", f"core.excludesFile={os.devnull}"]
    subprocess.run([*git, "init", "--quiet"], env=environ, check=True)
    every = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if ".git" not in path.parts)
    pieces = ["a", "b", "c", "*", "?", ".", "[ab]", "[!a]", "[^b]", "\\a", "\\*", " ", "d", ".d", ".x", "ab"]
    for _ in range(250):
        lines = []
        for _ in range(dice.randint(1, 4)):
            segments = ["".join(dice.choices(pieces, k=dice.randint(1, 3))).replace("**", "*") for _ in range(4)]
            chosen = [dice.choice([segment, segment, "**"]) for segment in segments[: dice.randint(1, 4)]]
            lines.append(dice.choice(["", "", "!", "/"]) + "/".join(chosen) + dice.choice(["", "", "/"]))
        text = "\n".join(lines)
        (tmp_path / ".gitignore").write_text(text)
        asked = [*git, "check-ignore", "--no-index", "--stdin", "-z"]
        answer = subprocess.run(asked, input="\0".join(every).encode(), env=environ, capture_output=True, check=False)
        assert answer.returncode in (0, 1), answer.stderr
        wanted = set(answer.stdout.decode().split("\0")) - {""}
        rules = ignore.Rules(text)
        found = {path for path in every if left_out(rules, path + "/" * (tmp_path / path).is_dir())}
        assert found == wanted, text


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("*a" * 12 + "b", "a" * 250),
        ("**/a/" * 12 + "b", "a/" * 120 + "a"),
        ("**/*a*a*a*a*b/" * 8, "aaaaaaaaaaaaaaaaaaa/" * 60 + "a"),
    ],
)
def test_no_pattern_holds_up_the_others(text: str, path: str) -> None:
    rules = ignore.Rules(text)
    began = time.process_time()
    assert not rules.leave_out(path, is_folder=True)
    assert time.process_time() - began < 0.5


LEAVINGS = (
    ".git/x", ".hg/x", "venv/x", ".venv/x", "node_modules/x", "__pycache__/x", ".idea/x", ".vscode/x", ".tox/x",
    ".mypy_cache/x", ".pytest_cache/x", ".ruff_cache/x", "lib/node_modules/x", "4913", ".DS_Store", "._app.py",
    "app.pyc", ".app.py.swp", ".app.py.swo", "app.py~", ".app.py.un~", ".#app.py", "#app.py#", ".app.py.kate-swp",
    "app.py___jb_tmp___", "app.py___jb_old___", ".goutputstream-ABC123", "flycheck_app.py", ".nfs0000000001",
    "lib/4913",
)  # fmt: skip
APPS_OWN = (
    "app.py",
    ".env",
    ".htaccess",
    "#notes",
    "swp",
    "lib/idea",
    "lib/4914",
    ".gitignore",
    ".hedgerowignore",
    "x#y",
)


def walked(folder: Path, paths: tuple[str, ...]) -> set[str]:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return {relative for relative, entry in tree.walk(folder, frozenset()) if entry.is_file()}


def test_what_tools_leave_behind_is_left_out(tmp_path: Path) -> None:
    assert walked(tmp_path, (*LEAVINGS, *APPS_OWN)) == set(APPS_OWN)


def test_the_file_takes_back_what_is_left_out_by_itself_but_not_bytecode(tmp_path: Path) -> None:
    (tmp_path / ".hedgerowignore").write_text(
        "!node_modules\n!__pycache__\n!*.pyc\nnode_modules/*\n!node_modules/vue\n"
    )
    paths = ("node_modules/vue/vue.js", "node_modules/other/x.js", "__pycache__/x", "app.pyc", "venv/x")
    assert walked(tmp_path, paths) == {".hedgerowignore", "node_modules/vue/vue.js"}


def test_the_file_itself_always_counts(tmp_path: Path) -> None:
    (tmp_path / ".hedgerowignore").write_text("*\n")
    assert walked(tmp_path, ("app.py",)) == {".hedgerowignore"}


def test_only_the_file_at_the_top_is_read(tmp_path: Path) -> None:
    assert walked(tmp_path, ("lib/x.py",)) == {"lib/x.py"}
    (tmp_path / "lib" / ".hedgerowignore").write_text("x.py\n")
    assert walked(tmp_path, ("lib/x.py",)) == {"lib/.hedgerowignore", "lib/x.py"}


def test_what_is_no_file_lists_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".hedgerowignore")  # to open it would wait for ever
    assert walked(tmp_path, ("app.py",)) == {"app.py"}


def test_names_that_are_no_text_are_matched_by_their_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / ".hedgerowignore").write_bytes(b"caf\xe9.*\n")
    assert walked(tmp_path, (name, "cafe.txt")) == {".hedgerowignore", "cafe.txt"}


@pytest.mark.parametrize("target", ["node_modules/vue/dist", "gone.log", "lib/first"])
def test_a_link_to_what_is_left_out_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "node_modules" / "vue" / "dist").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "first").symlink_to("../gone.log")
    (tmp_path / "gone.log").touch()
    (tmp_path / ".hedgerowignore").write_text("*.log\nlib\n")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match=rf"/link is a link to {target}, which is left out of releases; list the link"):
        tree.digest(tmp_path, frozenset())
    (tmp_path / ".hedgerowignore").write_text("*.log\nlib\nlink\n")
    tree.digest(tmp_path, frozenset())
