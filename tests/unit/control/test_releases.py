"""Releases: what is copied, what is not, what is data, and every way in which making one must fail in one sentence."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import threading
from pathlib import Path

import pytest

from hedgerow.control import layout, releases, tree
from hedgerow.errors import UserError


def files(root: Path) -> set[str]:
    """All that was copied; bytecode was not."""
    found = (path for path in root.rglob("*") if not path.is_dir() and not path.is_symlink())
    return {str(path.relative_to(root)) for path in found if path.suffix != ".pyc"}


def test_the_same_content_is_the_same_release(folder: Path, state: Path) -> None:
    first = releases.make(folder, state)
    (folder / "app.py").touch()
    assert releases.make(folder, state) == first
    assert first.code == state / "releases" / "blog" / first.root.name / "blog"


@pytest.mark.parametrize("change", ["bytes", "name", "x-bit", "folder"])
def test_every_change_of_content_is_another_release(folder: Path, state: Path, change: str) -> None:
    first = releases.make(folder, state)
    if change == "bytes":
        (folder / "app.py").write_text("application = 1234\n")
    elif change == "name":
        (folder / "app.py").rename(folder / "wsgi.py")
    elif change == "x-bit":
        (folder / "app.py").chmod(0o755)
    else:
        (folder / "empty").mkdir()
    assert releases.make(folder, state).root != first.root


def test_what_is_listed_is_left_out_and_the_list_is_a_part_of_the_app(folder: Path, state: Path) -> None:
    (folder / ".hedgerowignore").write_text("*.log\n")
    (folder / "a.log").touch()
    (folder / ".env").write_text("A=1")
    (folder / ".git").mkdir()
    first = releases.make(folder, state)
    assert files(first.code) == {"app.py", ".env", ".hedgerowignore"}
    (folder / "a.log").write_text("more")
    assert releases.make(folder, state) == first
    seen = releases.scan(folder)
    (folder / ".hedgerowignore").write_text("*.log\n# more\n")
    assert releases.make(folder, state) != first
    assert releases.scan(folder) != seen


def test_a_release_is_read_only_and_keeps_x_bits_and_times(folder: Path, state: Path) -> None:
    script = folder / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    os.utime(script, (1000, 1000))
    code = releases.make(folder, state).code
    assert (code / "app.py").stat().st_mode & 0o777 == 0o444
    assert (code / "run.sh").stat().st_mode & 0o777 == 0o555
    assert code.stat().st_mode & 0o777 == 0o555
    assert (code / "run.sh").stat().st_mtime == 1000


def test_data_is_seeded_once_and_outlives_releases(folder: Path, state: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "words.txt").write_text("seed")
    (folder / "data").chmod(0o555)
    first = releases.make(folder, state)
    (first.code / "data" / "words.txt").write_text("written by the app")
    (folder / "data" / "words.txt").write_text("a newer seed")
    (folder / "app.py").write_text("application = 2\n")
    second = releases.make(folder, state)
    assert second.root != first.root
    assert (second.code / "data" / "words.txt").read_text() == "written by the app"
    assert (state / "data" / "blog" / "data" / "words.txt").read_text() == "written by the app"


def test_data_is_no_change(folder: Path, state: Path) -> None:
    releases.make(folder, state)
    before = releases.scan(folder)
    (folder / "instance").mkdir()
    (folder / "instance" / "x.sqlite").touch()
    (folder / "db.sqlite3").touch()
    assert releases.scan(folder) == before


def test_data_names_are_links_and_instance_is_beside_the_package_too(folder: Path, state: Path) -> None:
    release = releases.make(folder, state)
    data = state / "data" / "blog"
    for name in ("instance", "data", "media"):
        assert (release.code / name).resolve() == data / name
        assert (data / name).is_dir()
    assert (release.root / "instance").resolve() == data / "instance"
    (release.code / "db.sqlite3").write_text("created through the link")
    assert (data / "db.sqlite3").read_text() == "created through the link"


def test_the_state_can_be_moved(folder: Path, state: Path) -> None:
    release = releases.make(folder, state)
    moved = state.rename(state.with_name("moved"))
    there = moved / release.code.relative_to(state)
    (there / "instance" / "x").write_text("y")
    assert (moved / "data" / "blog" / "instance" / "x").read_text() == "y"


def test_the_manifest_names_more_data(folder: Path, state: Path) -> None:
    (folder / "app.toml").write_text('data = ["var/uploads", "notes.db", "data/inner"]\n')
    (folder / "notes.db").write_text("seed")
    code = releases.make(folder, state).code
    assert (code / "var" / "uploads").is_dir()
    assert (code / "notes.db").read_text() == "seed"
    assert not (code / "data" / "inner").is_symlink()
    assert files(code) == {"app.py", "app.toml"}


def test_a_package_called_data_is_code(folder: Path, state: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "__init__.py").touch()
    code = releases.make(folder, state).code
    assert not (code / "data").is_symlink()
    assert files(code) == {"app.py", "data/__init__.py"}


def test_a_wrong_manifest_is_one_sentence_and_still_has_a_fingerprint(folder: Path, state: Path) -> None:
    (folder / "app.toml").write_text("data = 3\n")
    with pytest.raises(UserError, match=r"blog/app\.toml: data"):
        releases.make(folder, state)
    assert releases.scan(folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "deep/../../other/file"])
def test_a_link_that_leaves_the_folder_is_named(folder: Path, state: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    with pytest.raises(UserError, match=r"blog/link is a link that leaves"):
        releases.make(folder, state)
    assert not list(state.glob("releases/blog/*"))


def test_links_inside_hold_in_the_copy(folder: Path, state: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "real.txt").write_text("here")
    (folder / "absolute").symlink_to(folder / "lib" / "real.txt")
    (folder / "lib" / "up").symlink_to("../app.py")
    (folder / "by-name").symlink_to("../blog/lib")
    (folder / "dangling").symlink_to("not-yet")
    code = releases.make(folder, state).code
    shutil.rmtree(folder)
    assert (code / "absolute").read_text() == "here"
    assert (code / "lib" / "up").read_text() == "application = None\n"
    assert (code / "by-name" / "real.txt").read_text() == "here"
    assert (code / "dangling").is_symlink()


def test_a_link_into_the_data_follows_what_the_app_changes_there(folder: Path, state: Path) -> None:
    (folder / "data" / "v1").mkdir(parents=True)
    (folder / "data" / "current").symlink_to("v1")
    (folder / "lib").mkdir()
    (folder / "lib" / "latest").symlink_to("../data/current/words")
    code = releases.make(folder, state).code
    data = state / "data" / "blog" / "data"
    shutil.rmtree(data / "current")  # a seed is a copy of what the link led to
    (data / "v2").mkdir()
    (data / "v2" / "words").write_text("two")
    (data / "current").symlink_to("v2")
    assert (code / "lib" / "latest").read_text() == "two"


def test_data_may_itself_lie_elsewhere(folder: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "words").write_text("seed")
    (folder / "data").symlink_to(tmp_path / "large")
    (folder / "words").symlink_to("data/words")
    assert (releases.make(folder, state).code / "words").read_text() == "seed"


def test_links_to_links_and_links_in_circles_are_as_they_were(folder: Path, state: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("app.py")
    (folder / "round").symlink_to("round")
    (folder / "here").symlink_to(".")
    (folder / "lib").mkdir()
    (folder / "lib" / "top").symlink_to("..")
    code = releases.make(folder, state).code
    texts = {name: os.readlink(code / name) for name in ("a", "b", "round", "here", "lib/top")}
    assert texts == {"a": "b", "b": "app.py", "round": "round", "here": ".", "lib/top": ".."}


def test_a_link_that_leaves_through_another_is_named(folder: Path, state: Path) -> None:
    (folder / "b").symlink_to("c")
    (folder / "c").symlink_to("../outside")
    with pytest.raises(UserError, match=r"blog/b is a link that leaves the app's folder: it points to c; list it in"):
        releases.make(folder, state)


def test_data_that_is_listed_as_left_out_starts_empty(folder: Path, state: Path) -> None:
    (folder / "instance").mkdir()
    (folder / "instance" / "mine.sqlite").touch()
    (folder / "db.sqlite3").write_text("mine")
    (folder / ".hedgerowignore").write_text("instance/\n*.sqlite3\n")
    code = releases.make(folder, state).code
    assert list((code / "instance").iterdir()) == []
    assert not (state / "data" / "blog" / "db.sqlite3").exists()
    (code / "db.sqlite3").write_text("the app's")


def test_sockets_and_pipes_are_no_content(folder: Path, state: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.sock"))
        assert files(releases.make(folder, state).code) == {"app.py"}


def test_an_app_folder_may_itself_be_a_link(folder: Path, state: Path) -> None:
    named = folder.with_name("journal")
    named.symlink_to("blog")
    release = releases.make(named, state)
    assert release.code == state / "releases" / "journal" / release.root.name / "journal"
    assert files(release.code) == {"app.py"}


def test_a_folder_that_is_gone_is_one_sentence(folder: Path, state: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="blog is gone"):
        releases.make(folder, state)


def test_a_folder_that_changes_while_copied_never_becomes_a_half_release(folder: Path, state: Path) -> None:
    """One thread writes pairs of files that always agree at rest; any release must be a state the hash describes."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (folder / "one").write_text(str(number) * 500)
            (folder / f"n{number % 7}").write_text("x")
            (folder / f"n{(number + 3) % 7}").unlink(missing_ok=True)

    writer = threading.Thread(target=write)
    writer.start()
    made, refused = [], []
    try:
        for _ in range(40):
            try:
                made.append(releases.make(folder, state))
            except UserError as error:
                refused.append(str(error))
    finally:
        stop.set()
        writer.join()
    assert all("changes while it is copied" in sentence for sentence in refused)
    assert set(state.glob("releases/blog/*")) == {release.root for release in made}
    for release in made:
        assert tree.digest(release.code, releases.data_names(folder)) == release.root.name


def test_makers_at_once_end_with_one_release(folder: Path, state: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "seed").write_text("x" * 100_000)
    found: list[releases.Release] = []
    makers = [threading.Thread(target=lambda: found.append(releases.make(folder, state))) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert list((state / "releases" / "blog").iterdir()) == [found[0].root]
    assert [path.name for path in (state / "data" / "blog" / "data").iterdir()] == ["seed"]


def test_a_state_that_cannot_be_written_is_one_sentence(folder: Path, state: Path) -> None:
    state.write_text("a file, not a folder")
    with pytest.raises(UserError, match="Not a directory"):
        releases.make(folder, state)


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("blog", "blog"),
        ("my-blog", "my_blog"),
        ("7days", "_7days"),
        ("class", "class_"),
        ("json", "json_"),
        ("instance", "instance_"),
    ],
)
def test_import_names(app: str, name: str) -> None:
    assert layout.import_name(app) == name


def test_a_state_inside_the_apps_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="the state lies inside the app's folder"):
        releases.make(folder, folder / "state")
    link = folder.parent.parent / "elsewhere"
    link.symlink_to(folder)
    with pytest.raises(UserError, match="the state lies inside the app's folder"):
        releases.make(folder, link / "deep" / "state")
    assert files(folder) == {"app.py"}


def test_a_state_beside_the_app_is_fine(folder: Path) -> None:
    assert files(releases.make(folder, folder.with_name("blog-state")).code) == {"app.py"}


@pytest.mark.parametrize("place", ["data", "db.sqlite3"])
def test_data_that_cannot_be_copied_is_named(folder: Path, state: Path, place: str) -> None:
    if place == "data":
        (folder / "data").mkdir()
        os.mkfifo(folder / "data" / "pipe")
    else:
        os.mkfifo(folder / place)
    with pytest.raises(UserError, match=r"/blog/(data/pipe|db\.sqlite3): is no regular file$"):
        releases.make(folder, state)


def test_a_seed_that_points_nowhere_is_named(folder: Path, state: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "gone").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"/blog/data/gone: No such file or directory$"):
        releases.make(folder, state)


@pytest.mark.parametrize("place", ["static.bin", "db.sqlite3", "data/words"])
def test_a_state_that_has_no_room_is_named_and_not_what_is_copied(folder: Path, state: Path, place: str) -> None:
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(b"x" * 3_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))  # nothing is written beyond: as on a full disk
    try:
        with pytest.raises(UserError, match=rf"^{state}: File too large$"):
            releases.make(folder, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(state.glob("releases/blog/*"))


def test_data_behind_a_file_or_a_link_is_one_sentence_that_names_no_temporary_place(folder: Path, state: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "link").symlink_to("lib")
    for parent in ("app.py", "link"):
        (folder / "app.toml").write_text(f'data = ["{parent}/x"]\n')
        with pytest.raises(
            UserError, match=rf"^blog: '{parent}/x' cannot be data: '{parent}' is no folder of the app$"
        ):
            releases.make(folder, state)
    assert not (state / "data").exists()
