"""Pruning: what goes and what never does, and that a release is there as a whole or not at all."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from hedgerow.control import releases
from hedgerow.control.releases import Found

OLD, LIMIT, YOUNG = 1000.0, 2000.0, 3000.0


def root(name: str) -> Path:
    return Path("/state/releases/blog", name)


def superfluous(ages: dict[str, float], *referred: str) -> set[str]:
    found = [Found(root(name), age) for name, age in ages.items()]
    return {path.name for path in releases.superfluous(found, referred, LIMIT)}


def old(*names: str) -> dict[str, float]:
    return {name: OLD + number for number, name in enumerate(names)}


def test_the_newest_three_stay_and_older_ones_go() -> None:
    assert superfluous(old("a", "b", "c", "d", "e")) == {"a", "b"}
    assert superfluous(old("a", "b", "c")) == set()


def test_what_is_referred_to_stays_however_old() -> None:
    assert superfluous(old("a", "b", "c", "d", "e"), "a") == {"b"}
    assert superfluous(old("a", "b", "c", "d", "e"), "a", "b", "nowhere") == set()


def test_what_was_asked_for_lately_stays() -> None:
    assert superfluous(dict.fromkeys("abcdefgh", YOUNG)) == set()
    assert superfluous(old("a", "b") | dict.fromkeys("cdefgh", YOUNG)) == {"a", "b"}


def test_what_a_killed_maker_left_goes_when_it_is_old_and_counts_for_nothing() -> None:
    assert superfluous(old("a", "b", "c", ".making-x", ".going-y")) == {".making-x", ".going-y"}
    assert superfluous({".making-x": YOUNG}) == set()


def test_no_choice_of_ages_and_references_lets_a_needed_one_go() -> None:
    for ages in itertools.product((OLD, YOUNG), repeat=5):
        for referred in itertools.chain.from_iterable(itertools.combinations("abcde", n) for n in range(6)):
            gone = superfluous({name: age + ord(name) for name, age in zip("abcde", ages, strict=True)}, *referred)
            assert not gone & set(referred)
            assert all(ages["abcde".index(name)] == OLD for name in gone)
            assert len(gone) <= 2


@pytest.fixture
def made(tmp_path: Path) -> list[releases.Release]:
    """Six releases of one app, each older than the limit, the first the oldest."""
    folder = tmp_path / "apps" / "blog"
    folder.mkdir(parents=True)
    found = []
    for number in range(6):
        (folder / "app.py").write_text(f"application = {number}\n")
        found.append(releases.make(folder, tmp_path / "state"))
        os.utime(found[-1].root, (time.time() - 9000 + number,) * 2)
    return found


def test_references_are_paths_or_hashes_by_app(made: list[releases.Release], tmp_path: Path) -> None:
    state = tmp_path / "state"
    half = made[0].root.with_name(".making-x")
    half.mkdir()
    os.utime(half, (time.time() - 9000,) * 2)
    assert releases.prune(state, [], time.time() - 8000) == []
    named = {"blog": [made[0].root.name], "other": [made[2].root.name], "gone": ["x"]}
    assert set(releases.prune(state, [made[1].code], named=named)) == {made[2].root, half}
    left = set((state / "releases" / "blog").iterdir())
    assert left == {release.root for release in made} - {made[2].root}


def test_a_reference_through_a_link_counts(made: list[releases.Release], tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "state")
    used = [tmp_path / "alias" / release.code.relative_to(tmp_path / "state") for release in made]
    assert releases.prune(tmp_path / "state", used) == []
    assert releases.prune(tmp_path / "state", [release.root for release in made]) == []


def test_one_that_goes_loses_its_name_first(
    made: list[releases.Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def dies(gone: Path) -> None:
        seen.append(gone)
        raise KeyboardInterrupt  # killed as soon as it begins to delete

    monkeypatch.setattr(releases, "remove", dies)
    with pytest.raises(KeyboardInterrupt):
        releases.prune(tmp_path / "state", [])
    monkeypatch.undo()
    (gone,) = seen
    assert gone.name.startswith(".")
    assert sum(release.root.exists() for release in made) == 5
    releases.prune(tmp_path / "state", [])
    assert set(gone.parent.iterdir()) == {release.root for release in made[3:]}


def test_one_that_is_asked_for_at_that_moment_stays(
    made: list[releases.Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica finds the release and says that it is in use, between our look at it and its end."""
    look = releases._found

    def asked_for_meanwhile(home: Path) -> list[Found]:
        found = look(home)
        os.utime(made[0].root)
        return found

    monkeypatch.setattr(releases, "_found", asked_for_meanwhile)
    assert set(releases.prune(tmp_path / "state", [])) == {made[1].root, made[2].root}
    assert made[0].code.is_dir()
