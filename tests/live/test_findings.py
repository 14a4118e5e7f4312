"""What is found of apps that share a process, and that nothing is found of ordinary ones. Each group runs in a process
of its own, with all of its apps, in a working directory that is nobody's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from finding_apps import FRAMEWORK_PACKAGES, FRAMEWORKS, LIBRARY, ORDINARY, TOLD, TOLD_FRAMEWORKS, Told
from worker_support import serving

import hedgerow

HERE = Path(__file__).parent
PAIRS = HERE / "apps" / "pairs"
STAND_INS = HERE / "apps" / "pairs_libraries"
WRONG_TOGETHER = ("key", "late_key", "dsn", "connection", "metric")
UNWATCHED = "_HEDGEROW_UNWATCHED"
DEADLINE_S = 60


def look(folders: Iterable[Path], work: Path, *paths: Path, python: str = sys.executable, **env: str) -> dict[str, Any]:
    """What is found of the apps in these folders, which one process loads and asks twice."""
    path = os.pathsep.join(map(str, (Path(next(iter(hedgerow.__path__))).parent, *paths)))
    child = subprocess.run(
        [python, HERE / "finding_child.py", *folders],
        cwd=work,
        env=os.environ | {"PYTHONPATH": path} | env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return dict(json.loads(child.stdout))


def write(root: Path, texts: Mapping[str, str]) -> list[Path]:
    """A folder for each app; each has `data.txt` and `models.py` beside its entry."""
    for name, text in texts.items():
        (root / name).mkdir(parents=True)
        (root / name / "app.py").write_text(text)
        (root / name / "data.txt").write_text("x")
        (root / name / "models.py").write_text("")
    return [root / name for name in texts]


def pairs(kinds: Iterable[str]) -> list[Path]:
    return [PAIRS / f"{kind}_{which}" for kind in kinds for which in "ab"]


def is_right(name: str, found: Mapping[str, Any]) -> bool:
    return found["answers"] == [name, name]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def check_pairs(found: Mapping[str, Any]) -> None:
    for name, told in found.items():
        [cause] = {cause for cause, _ in told["loaded"] + told["served"]}
        assert cause == ("global" if name.startswith("django") else "shared-state"), told
        assert all(sentence.startswith(f"{name}: {name}/app.py line ") for _, sentence in told["loaded"])
        assert bool(told["served"]) is name.startswith("late_key"), told


def check_told(found: Mapping[str, Any], apps: Mapping[str, Told]) -> None:
    wrong = []
    for name, app in apps.items():
        told = found[name]["served" if app.served else "loaded"]
        if not any(cause == app.cause and app.words in sentence for cause, sentence in told):
            wrong.append(f"{name}: {found[name]}")
    assert not wrong, "\n".join(wrong)


def check_quiet(found: Mapping[str, Any]) -> None:
    wrong = [f"{name}: {told}" for name, told in found.items() if told["loaded"] or told["served"] or told["error"]]
    assert not wrong, "\n".join(wrong)


def test_both_of_a_pair_that_sets_the_same_are_found(work: Path) -> None:
    check_pairs(look(pairs(WRONG_TOGETHER), work, STAND_INS))


def test_without_the_watch_nobody_hears_that_one_sees_the_others(work: Path) -> None:
    found = look(pairs(WRONG_TOGETHER), work, STAND_INS, **{UNWATCHED: "1"})
    assert [name for name, told in found.items() if told["loaded"] or told["served"]] == []
    for kind in WRONG_TOGETHER:
        assert not all(is_right(f"{kind}_{which}", found[f"{kind}_{which}"]) for which in "ab"), kind


def test_both_of_a_pair_see_their_own_logging_and_stay(work: Path) -> None:
    found = look(pairs(["log"]), work)
    check_quiet(found)
    assert all(is_right(name, told) for name, told in found.items()), found


def test_what_sets_what_all_share_is_found(work: Path, tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text(LIBRARY)
    found = look(write(tmp_path / "apps", {name: app.text for name, app in TOLD.items()}), work, tmp_path)
    check_told(found, TOLD)


def test_nothing_is_found_of_ordinary_apps(work: Path, tmp_path: Path) -> None:
    check_quiet(look(write(tmp_path / "apps", ORDINARY), work))


def test_a_worker_tells_of_what_it_finds_while_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_INS), prepend=":")
    apps = {name: PAIRS / name for name in ("late_key_a", "key_b", "log_a", "log_b")}
    with serving(tmp_path, apps) as worker:
        assert worker.ask("/late_key_a/")[1] == b"late_key_a"
        assert worker.ask("/key_b/")[1] == b"late_key_a"  # which is wrong, and told
        for name in ("log_a", "log_b"):
            assert worker.ask(f"/{name}/")[1] == name.encode()
        found = {app["name"]: [each["cause"] for each in app["findings"]] for app in worker.status()["apps"]}
        lines = worker.lines("late_key_a/app.py line")
    assert found == {"key_b": ["shared-state"], "late_key_a": ["shared-state"], "log_a": [], "log_b": []}
    told = {line["app"]: line["level"] for line in lines if "sets stripe.api_key" in line.get("message", "")}
    assert told == {"key_b": "warning", "late_key_a": "error"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_frameworks_and_libraries(work: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *FRAMEWORK_PACKAGES], check=True, timeout=800)
    check_quiet(look(write(tmp_path / "quiet", FRAMEWORKS), work, python=python))
    found = look(write(tmp_path / "told", {n: app.text for n, app in TOLD_FRAMEWORKS.items()}), work, python=python)
    check_told(found, TOLD_FRAMEWORKS)
    check_pairs(look(pairs([*WRONG_TOGETHER, "django"]), work, python=python))
