"""Which file of an app counts, and what it asks of the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from hedgerow.control.environments.interpreters import Interpreter, choose, numbers, running, satisfies
from hedgerow.control.environments.requirements import Requirements, Wish, hashes, wanted
from hedgerow.errors import UserError

PROJECT = '[project]\nname = "blog"\n'
TOOLS = "[tool.ruff]\nline-length = 100\n"

FILES = {
    "nothing": ({}, None),
    "only tools": ({"pyproject.toml": TOOLS}, None),
    "no dependencies": ({"pyproject.toml": PROJECT + "dependencies = []\n"}, None),
    "a list": ({"requirements.txt": "flask\n"}, "requirements.txt"),
    "a list beside tools": ({"requirements.txt": "flask\n", "pyproject.toml": TOOLS}, "requirements.txt"),
    "a project": ({"pyproject.toml": PROJECT + 'dependencies = ["flask"]\n'}, "pyproject.toml"),
    "dynamic": ({"pyproject.toml": PROJECT + 'dynamic = ["dependencies"]\n'}, "pyproject.toml"),
    "a list beside a project": (
        {"pyproject.toml": PROJECT + 'dependencies = ["flask"]\n', "requirements.txt": "flask==3.1.3\n"},
        "requirements.txt",
    ),
    "a lock beside both": (
        {"pyproject.toml": PROJECT, "requirements.txt": "flask\n", "uv.lock": "version = 1\n"},
        "uv.lock",
    ),
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", FILES)
def test_the_first_file_that_is_there_counts(tmp_path: Path, case: str) -> None:
    files, expected = FILES[case]
    found = wanted("blog", written(tmp_path, files))
    assert (found and found.file) == expected
    assert found is None or found.pythons == ()


def test_project_and_manifest_ask_for_pythons(tmp_path: Path) -> None:
    written(tmp_path, {"pyproject.toml": PROJECT + 'requires-python = ">=3.12"\n'})
    assert wanted("blog", tmp_path, "3.13") == Requirements(
        "blog", tmp_path, "", (Wish(">=3.12", "pyproject.toml"), Wish("3.13", "app.toml"))
    )


WRONG = {
    "uv.lock: there is no pyproject.toml beside it": {"uv.lock": "version = 1\n"},
    "pyproject.toml: 'project' is no table": {"pyproject.toml": "project = 1\n"},
    "pyproject.toml: project.requires-python is not what it should be: 3.12": {
        "pyproject.toml": PROJECT + "requires-python = 3.12\n"
    },
    "pyproject.toml: project.dependencies is not what it should be: 'flask'": {
        "pyproject.toml": PROJECT + 'dependencies = "flask"\n'
    },
    "pyproject.toml: Expected '=' after a key in a key/value pair (at line 1, column 6)": {"pyproject.toml": "flask\n"},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, sentence: str) -> None:
    with pytest.raises(UserError) as told:
        wanted("blog", written(tmp_path, WRONG[sentence]))
    assert str(told.value) == f"blog: {sentence}"


def test_the_hashes_of_a_list_and_of_those_it_refers_to(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "requirements.txt": "-r more.txt\nFlask_Login==1 \\\n  --hash=sha256:aa \\\n  --hash sha512:bb\nplain\n",
            "more.txt": "-c requirements.txt\nother==2 ; python_version > '3' --hash=sha256:cc\n",
        },
    )
    found = hashes(tmp_path / "requirements.txt")
    assert found == {"flask-login": {"sha256:aa", "sha512:bb"}, "other": {"sha256:cc"}}


SPECS = {
    ">=3.11": {"3.11.0", "3.11.7", "3.12.1", "3.14.0"},
    ">=3.12,<3.14": {"3.12.1"},
    "3.11": {"3.11.0", "3.11.7"},
    "3.12.1": {"3.12.1"},
    "==3.11.*": {"3.11.0", "3.11.7"},
    "!=3.11.*": {"3.12.1", "3.14.0"},
    "~=3.11": {"3.11.0", "3.11.7", "3.12.1", "3.14.0"},
    "~=3.11.5": {"3.11.7"},
    ">3.11": {"3.11.7", "3.12.1", "3.14.0"},
    ">3.11.7, !=3.12.1": {"3.14.0"},
    "<=3.11": {"3.11.0"},
    "": {"3.11.0", "3.11.7", "3.12.1", "3.14.0"},
}


@pytest.mark.parametrize("spec", SPECS)
def test_a_specifier_of_pythons(spec: str) -> None:
    assert {version for version in SPECS[""] if satisfies(numbers(version), spec)} == SPECS[spec]


@pytest.mark.parametrize("spec", ["new", ">=3.x", "=>3.12", "3.12 or newer"])
def test_what_is_no_specifier_is_told(tmp_path: Path, spec: str) -> None:
    asked = Requirements("blog", tmp_path, "", (Wish(spec, "app.toml"),))
    with pytest.raises(UserError, match=r"^blog: app.toml: python: '.*' names no versions of Python$"):
        choose([asked], list)


def test_our_own_python_is_taken_before_newer_ones_and_else_the_newest(tmp_path: Path) -> None:
    there = [Interpreter(Path("/usr/bin/python"), version) for version in ("3.10.1", "3.90.1", "3.91.0", "3.9.1")]
    assert choose([Requirements("blog", tmp_path, "", (Wish(">=3.8", "app.toml"),))], lambda: there) == running()
    assert choose([Requirements("blog", tmp_path, "", (Wish(">=3.90", "app.toml"),))], lambda: there) == there[2]
    with pytest.raises(UserError) as told:
        choose([Requirements("blog", tmp_path, "", (Wish("<3.11", "pyproject.toml"),))], lambda: there)
    versions = f"{running().version}, 3.90.1, 3.91.0"
    expected = f"blog: it needs Python <3.11 (pyproject.toml); on this machine there is {versions}"
    assert str(told.value) == expected
