"""Environments by uv, from an index on this machine: what is accepted, what conflicts, what is told, what is built."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from environment_support import Site, index_of, repacked, repacked_engine, sdist, wheel

from hedgerow.control import references
from hedgerow.control.child import Cancelled
from hedgerow.control.environments import base, builds, interpreters, resolution
from hedgerow.control.environments.lock import Lock
from hedgerow.control.environments.resolution import Conflict
from hedgerow.control.process import interpreter
from hedgerow.errors import UserError

HERE = {name: importlib.metadata.version(name) for name in ("flask", "werkzeug", "gevent")}
CANCEL_S = 1.0
PLAIN = "plain-1.0-py3-none-any.whl"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the index has. Werkzeug's present version has only a name here: it is installed already."""
    folder = tmp_path_factory.mktemp("packages")
    wheel(folder, "werkzeug", "2.3.8")
    wheel(folder, "werkzeug", HERE["werkzeug"])
    wheel(folder, "plain", "1.0")
    wheel(folder, "plain", "2.0")
    wheel(folder, "other", "1.0", ["plain>=1"])
    wheel(folder, "old-fashioned", "1.0", ["plain<2"])
    wheel(folder, "with-extra", "1.0", ["plain; extra == 'more'", "nowhere; python_version < '3'"])
    wheel(folder, "new-flask-friend", "1.0", [f"werkzeug=={HERE['werkzeug']}"])
    wheel(folder, "tomorrow", "1.0", python=">=3.99")
    wheel(folder, "gevent", "1.0")
    sdist(folder, "only-source", "1.0")
    repacked_engine(folder)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv's, so that it asks each interpreter what it is only once. Each test's index is another one."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def site(tmp_path: Path, packages: Path, cache: Path) -> Iterator[Site]:
    with index_of(packages) as index:
        made = Site(tmp_path, index)
        (made.settings.state / "cache").symlink_to(cache)
        yield made


def run(site: Site, name: str, code: str) -> str:
    """What an environment's interpreter prints."""
    command = [interpreter(site.settings.state, name), "-P", "-W", "error", "-c", code]
    environ = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def whole(site: Site) -> set[str]:
    """The environments. Beside them lie the stand-ins of what is installed; nothing of who builds is left."""
    names = site.names
    assert {name for name in names if name.startswith(".") and not name.startswith(base.STAND_INS)} == set()
    return {name for name in names if not name.startswith(".")}


def join(site: Site, name: str, text: str, present: str = "") -> str:
    """The shared environment in which there is what this app asks for, too."""
    asked = site.app(name, text)
    found = resolution.shared(site.uv(), asked, builds.overlay(site.settings.state, present))
    assert isinstance(found, Lock)
    return builds.build(site.uv(), builds.shared(found), asked)


def test_what_the_base_has_needs_no_environment_and_no_network(site: Site) -> None:
    text = f"Flask>=3\nwerkzeug=={HERE['werkzeug']}\nnowhere; python_version < '3'\n"
    began = time.monotonic()
    assert join(site, "blog", text) == ""
    print(f"found met in {time.monotonic() - began:.2f} s")
    assert site.index.asked == []
    project = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask"]\n'
    found = resolution.shared(site.uv(), site.app("shop", project, "pyproject.toml"), base.Overlay())
    assert found == Lock()
    assert site.index.asked == []


def test_the_shared_set_grows_and_changes_nothing(site: Site) -> None:
    first = join(site, "blog", "flask\nplain<2\n")
    second = join(site, "shop", "other\nwith-extra[more]\n", first)
    state = site.settings.state
    assert builds.overlay(state, second).lock.versions == {"plain": "1.0", "other": "1.0", "with-extra": "1.0"}
    told = "import flask, plain, other, hedgerow.worker, click; print(plain.version, flask.__file__)"
    version, _, place = run(site, second, told).partition(" ")
    assert version == "1.0"
    assert place == importlib.metadata.distribution("flask").locate_file("flask/__init__.py").__fspath__()
    asked = len(site.index.asked)
    assert join(site, "wiki", "other>=1\nplain\nflask\n", second) == second
    assert len(site.index.asked) == asked
    assert join(site, "blog", "flask\nplain<2\n") == first
    assert whole(site) == {first, second}


def test_a_newcomer_with_another_version_conflicts_and_gets_its_own(site: Site) -> None:
    """Of Werkzeug, whose present version a running app's Flask needs; which stays as it is."""
    before = base.versions()
    asked = site.app("old", "werkzeug<3\n")
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert found == Conflict(f"needs werkzeug<3, but the shared pool has werkzeug {HERE['werkzeug']}", ("werkzeug",))
    mine = resolution.own(site.uv(), asked, interpreters.choose([asked], site.uv().interpreters))
    name = builds.build(site.uv(), builds.own(mine, interpreters.running()), asked)
    assert run(site, name, "import werkzeug; print(werkzeug.version)") == "2.3.8"
    assert base.versions() == before
    # nothing but what it asks for, the engine and Hedgerow
    worker = "import gevent.monkey; gevent.monkey.patch_all(); import hedgerow.worker.start, hedgerow.control.process"
    assert run(site, name, worker) == ""
    with pytest.raises(subprocess.CalledProcessError):
        run(site, name, "import flask")


def test_what_follows_from_a_requirement_conflicts_too(site: Site) -> None:
    first = join(site, "blog", "plain\n")
    present = builds.overlay(site.settings.state, first)
    found = resolution.shared(site.uv(), site.app("old", "old-fashioned\n"), present)
    assert found == Conflict("needs plain<2, but the shared pool has plain 2.0", ("plain",))


def test_an_upgrade_takes_the_newest_that_all_apps_together_allow(site: Site) -> None:
    blog, shop = site.app("blog", "plain\n"), site.app("shop", "other\nflask\n")
    first = join(site, "early", "plain<2\n")
    assert builds.overlay(site.settings.state, first).lock.versions == {"plain": "1.0"}
    wheel(site.index.folder, "flask", "99.0")
    try:
        found = resolution.together(site.uv(), [blog, shop])
        assert isinstance(found, Lock)
        assert found.versions == {"plain": "2.0", "other": "1.0", "flask": "99.0"}
        name = builds.build(site.uv(), builds.shared(found), shop)
        assert run(site, name, "import flask, click; print(flask.version)") == "99.0"
        old = site.app("old", "old-fashioned\nplain>=2\n")
        conflict = resolution.together(site.uv(), [blog, old])
        assert isinstance(conflict, Conflict)
        assert "plain" in conflict.sentence
    finally:
        (site.index.folder / "flask-99.0-py3-none-any.whl").unlink()


def test_what_one_app_asks_for_anew_changes_no_more_for_all_than_it_must(site: Site, packages: Path) -> None:
    asked = [site.app("blog", "plain<2\n"), site.app("shop", "plain\nnew-flask-friend\n")]
    first = lock_of(resolution.together(site.uv(), asked))
    assert first.versions == {"plain": "1.0", "new-flask-friend": "1.0"}
    name = builds.build(site.uv(), builds.shared(first), asked[0])
    kept = builds.overlay(site.settings.state, name)
    later = wheel(packages, "new-flask-friend", "1.1")
    try:
        asked[0] = site.app("blog", "plain>1\n")
        assert resolution.shared(site.uv(), asked[0], kept) == Conflict(
            "needs plain>1, but the shared pool has plain 1.0", ("plain",)
        )
        found = lock_of(resolution.together(site.uv(), asked, kept))
        assert found.versions == {"plain": "2.0", "new-flask-friend": "1.0"}
        assert builds.missing(site.settings.state, name, "") == ["new-flask-friend 1.0", "plain 1.0"]
        assert builds.missing(site.settings.state, name, name) == []
    finally:
        later.unlink()
    of_base = resolution.together(site.uv(), [site.app("blog", "werkzeug<3\n"), asked[1]], kept)
    assert isinstance(of_base, Conflict), "what the base has stays"
    pinned = resolution.together(site.uv(), [site.app("blog", "plain>1\n"), site.app("shop", "plain==1.0\n")], kept)
    assert isinstance(pinned, Conflict)


def test_what_those_who_share_an_environment_have_already_takes_no_network(site: Site, packages: Path) -> None:
    here = interpreters.running()
    asked = [site.app("blog", "plain<2\n"), site.app("shop", "other\n")]
    first = lock_of(resolution.apart(site.uv(), asked, here))
    kept = builds.overlay(site.settings.state, builds.build(site.uv(), builds.own(first, here), asked[0]))
    before = len(site.index.asked)
    assert lock_of(resolution.apart(site.uv(), [site.app("new", "plain>=1\n"), *asked], here, kept)) == first
    assert site.index.asked[before:] == []
    for more in ("", "with-extra\n"):  # also if what is there has its version: the others keep their files
        strange = site.app("new", f"plain==1.0 --hash=sha256:{'0' * 64}\n{more}")
        refused = resolution.apart(site.uv(), [strange, *asked], here, kept)
        assert refused == Conflict("no file of plain==1.0 in the package index has one of its hashes")
    grown = lock_of(resolution.apart(site.uv(), [site.app("new", "with-extra\n"), *asked], here, kept))
    assert grown.versions == first.versions | {"with-extra": "1.0"}


def lock_of(found: Lock | Conflict) -> Lock:
    assert isinstance(found, Lock), found
    return found


WRONG = {
    "there is no package nowhere-to-be-found in the package index": "nowhere-to-be-found\n",
    "there is no version of plain==7": "plain==7\n",
    "plain<2 and plain>=2 exclude each other": "plain<2\nplain>=2\n",
    "old-fashioned": "old-fashioned\nplain>=2\n",
    "a line is no requirement": "plain=>2\n",
    "tomorrow==1.0 needs Python >=3.99": "tomorrow==1.0\n",
    "included file": "-r other.txt\n",
    "Distribution not found at: lib": "./lib\n",
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_nothing_can_fulfil_is_one_sentence(site: Site, sentence: str) -> None:
    asked = site.app("blog", WRONG[sentence])
    with pytest.raises(UserError) as told:
        resolution.shared(site.uv(), asked, base.Overlay())
    print(told.value)
    assert re.match(rf"blog: requirements\.txt: [^\n]*{re.escape(sentence)}[^\n]*$", str(told.value))
    if sentence == "old-fashioned":
        with pytest.raises(UserError, match=re.escape(sentence)):
            resolution.own(site.uv(), asked, interpreters.running())


def test_without_a_compiler_a_source_is_refused_and_with_one_it_is_built(site: Site, tmp_path: Path) -> None:
    asked = site.app("blog", "only-source\n")
    with pytest.raises(UserError) as told:
        resolution.shared(site.uv(PATH=str(tmp_path)), asked, base.Overlay())
    print(told.value)
    expected = "only-source has no wheel for this Python and machine, and there is no C compiler to build it"
    assert str(told.value) == f"blog: requirements.txt: {expected}"
    compiler = tmp_path / "cc"
    compiler.touch(mode=0o755)
    found = resolution.shared(site.uv(PATH=f"{tmp_path}:{os.environ['PATH']}"), asked, base.Overlay())
    assert isinstance(found, Lock)
    name = builds.build(site.uv(), builds.shared(found), asked)
    assert run(site, name, "import only_source; print(only_source.version)") == "1.0"


def test_an_own_environment_stays_as_it_is_until_its_app_asks_for_more(site: Site) -> None:
    mine, state = interpreters.running(), site.settings.state
    asked = site.app("blog", "other\nplain<2\n")
    name = builds.build(site.uv(), builds.own(resolution.own(site.uv(), asked, mine), mine), asked)
    kept = builds.overlay(state, name)
    questions = len(site.index.asked)
    assert resolution.own(site.uv(), site.app("blog", "other\nplain\n"), mine, kept) == kept.lock
    assert len(site.index.asked) == questions
    asked = site.app("blog", "other\nplain\nwerkzeug\n")
    assert resolution.own(site.uv(), asked, mine, kept).versions == {
        **kept.lock.versions,
        "werkzeug": HERE["werkzeug"],
    }
    assert resolution.own(site.uv(), asked, mine).versions["plain"] == "2.0"


def test_what_is_in_the_cache_is_not_fetched_again(site: Site) -> None:
    asked = site.app("blog", "other\n")
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert isinstance(found, Lock)
    builds.build(site.uv(), builds.shared(found), asked)
    questions = len(site.index.asked)
    more = builds.own(found, interpreters.running())
    builds.build(site.uv(), more, asked)
    assert len(site.index.asked) == questions


def test_an_app_cannot_have_another_engine(site: Site) -> None:
    asked = site.app("blog", "gevent<2\n")
    with pytest.raises(UserError) as told:
        resolution.own(site.uv(), asked, interpreters.running())
    expected = f"needs gevent<2, but Hedgerow's workers run on gevent {HERE['gevent']}"
    assert str(told.value) == f"blog: requirements.txt: {expected}"


def test_what_an_apps_middleware_needs_is_there_too(site: Site, packages: Path) -> None:
    for name in ("itsdangerous", "whitenoise"):
        repacked(packages, name)
    wheel(packages, "itsdangerous", "1.1")
    here = interpreters.running()

    def made(text: str, *uses: str, kept: str = "") -> str:
        lists = "".join(f"[[middleware]]\nuse = '{use}'\n" for use in uses)
        site.app("old", text)
        asked = site.app("old", lists, "app.toml")
        found = resolution.own(site.uv(), asked, here, builds.overlay(site.settings.state, kept))
        others = lock_of(resolution.apart(site.uv(), [asked], here))
        assert others.versions.keys() == found.versions.keys()
        return builds.build(site.uv(), builds.own(found, here), asked)

    first = made("werkzeug<3\n", "session", "cors")
    loads = "import werkzeug, hedgerow.middleware.{} as m; print(werkzeug.version, m.__name__)"
    assert run(site, first, loads.format("session")) == "2.3.8 hedgerow.middleware.session"
    with pytest.raises(subprocess.CalledProcessError):
        run(site, first, loads.format("xslt"))
    assert run(site, first, loads.format("public")) == "2.3.8 hedgerow.middleware.public"
    lent = "import os, whitenoise; print(os.path.islink(os.path.dirname(whitenoise.__file__)))"
    assert run(site, first, lent) == "True"
    assert made("werkzeug<3\n", "session", kept=first) == first
    second = made("werkzeug<3\n", "session", "static", kept=first)
    assert run(site, second, loads.format("static")) == "2.3.8 hedgerow.middleware.static"
    assert run(site, second, lent) == "False", "what is asked for is installed"

    expected = 'needs itsdangerous<2, but use = "session" in its app.toml needs itsdangerous>=2.2'
    with pytest.raises(UserError, match=rf"^old: requirements\.txt: {re.escape(expected)}$"):
        made("itsdangerous<2\n", "session")
    run(site, made("itsdangerous<2\n", "cors"), "import hedgerow.middleware.cors")


def test_an_index_that_is_away_is_the_machines_fault(site: Site) -> None:
    uv = site.uv(UV_DEFAULT_INDEX="http://me:secret@127.0.0.1:1/simple/", UV_HTTP_RETRIES="0")
    with pytest.raises(UserError, match=r"^blog: requirements\.txt: the package index cannot be reached: ") as told:
        resolution.shared(uv, site.app("blog", "plain\n"), base.Overlay())
    assert isinstance(told.value.__cause__, OSError)
    assert "secret" not in str(told.value)


def test_while_the_index_is_away_what_it_said_before_counts(site: Site) -> None:
    old, more = site.app("old", "werkzeug<3\n"), site.app("more", "plain<2\n")
    conflict, lock = (resolution.shared(site.uv(), one, base.Overlay()) for one in (old, more))
    mine = resolution.own(site.uv(), old, interpreters.running())
    site.index.close()
    assert resolution.shared(site.uv(UV_HTTP_RETRIES="0"), old, base.Overlay()) == conflict
    assert resolution.shared(site.uv(UV_HTTP_RETRIES="0"), more, base.Overlay()) == lock
    assert resolution.own(site.uv(UV_HTTP_RETRIES="0"), old, interpreters.running()) == mine
    with pytest.raises(UserError, match="the package index cannot be reached") as told:
        resolution.shared(site.uv(UV_HTTP_RETRIES="0"), site.app("new", "other\n"), base.Overlay())
    assert isinstance(told.value.__cause__, OSError)


def test_credentials_of_the_installation_are_used_and_kept_nowhere(site: Site) -> None:
    site.index.password = "top-s3cr3t"  # noqa: S105
    uv = {"UV_DEFAULT_INDEX": site.index.url.replace("//", "//me:top-s3cr3t@")}
    asked = site.app("blog", "plain\n")
    found = resolution.shared(site.uv(**uv), asked, base.Overlay())
    assert isinstance(found, Lock)
    name = builds.build(site.uv(**uv), builds.shared(found), asked)
    home = site.settings.state / "environments" / name
    assert [path for path in home.rglob("*") if path.is_file() and b"top-s3cr3t" in path.read_bytes()] == []
    with pytest.raises(UserError, match=r"there is no package other to be seen: the index .* answers 401"):
        resolution.shared(site.uv(), site.app("shop", "other\n"), base.Overlay())


def test_wheels_in_the_folder_of_the_app_are_its_own(site: Site) -> None:
    asked = site.app("blog", "--no-index\n--find-links wheels\nbrought\n")
    (asked.folder / "wheels").mkdir()
    wheel(asked.folder / "wheels", "brought", "1.0")
    assert resolution.shared(site.uv(), asked, base.Overlay()) == Conflict("brings brought in its own folder")


def test_a_lock_is_taken_as_it_is_and_must_fit(site: Site) -> None:
    project = '[project]\nname = "blog"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["plain"]\n'
    folder = site.app("blog", project, "pyproject.toml").folder
    uv = site.uv()
    uv.run("lock", "--python", sys.executable, "--upgrade-package", "plain==1.0", cwd=folder)
    asked = site.app("blog", project, "pyproject.toml")
    assert asked.file == "uv.lock"
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert isinstance(found, Lock)
    assert found.versions == {"plain": "1.0"}
    asked = site.app("blog", project.replace('"plain"', '"plain", "other"'), "pyproject.toml")
    with pytest.raises(UserError, match=r"^blog: uv.lock: it is not what pyproject.toml asks for; `uv lock` makes"):
        resolution.shared(site.uv(), asked, base.Overlay())


def test_a_file_whose_hash_is_not_the_one_asked_for_is_refused(site: Site) -> None:
    flask = wheel(site.root, "flask", HERE["flask"])
    [right, other] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (site.index.folder / PLAIN, flask)]
    text = f"flask=={HERE['flask']} \\\n    --hash=sha256:{other}\nplain==1.0 \\\n    --hash=sha256:"
    found = resolution.shared(site.uv(), site.app("blog", f"{text}{right}\n"), base.Overlay())
    assert isinstance(found, Lock)
    assert found.versions == {"plain": "1.0"}
    with pytest.raises(UserError) as told:
        resolution.shared(site.uv(), site.app("blog", f"{text}{other}\n"), base.Overlay())
    expected = "no file of plain==1.0 in the package index has one of its hashes"
    assert str(told.value) == f"blog: requirements.txt: {expected}"


def test_called_off_it_ends_at_once_and_leaves_nothing(site: Site) -> None:
    site.index.delay_s = 30.0
    threading.Timer(0.5, site.cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        resolution.shared(site.uv(), site.app("blog", "plain\n"), base.Overlay())
    assert time.monotonic() - began < 0.5 + CANCEL_S
    assert whole(site) == set()


def test_what_takes_too_long_is_one_sentence(site: Site) -> None:
    site.index.delay_s = 30.0
    with pytest.raises(UserError, match=r"uv pip has not ended within 1 s$"):
        resolution.shared(site.uv(1.0), site.app("blog", "plain\n"), base.Overlay())


def test_two_builders_at_once_end_with_one(site: Site) -> None:
    asked = site.app("blog", "other\n")
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert isinstance(found, Lock)
    names: list[str] = []
    barrier = threading.Barrier(2)

    def build() -> None:
        barrier.wait()
        names.append(builds.build(site.uv(), builds.shared(found), asked))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == [names[0]] * 2
    assert whole(site) == {names[0]}


def test_a_damaged_cache_is_noticed_and_mended(site: Site) -> None:
    """As a power cut can leave it. Environments share files with the cache, so it is damaged through one of them."""
    (site.settings.state / "cache").unlink()
    asked = site.app("blog", "plain\n")
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert isinstance(found, Lock)
    first = builds.build(site.uv(), builds.shared(found), asked)
    [file] = (site.settings.state / "environments" / first).rglob("plain/__init__.py")
    assert file.stat().st_nlink > 1
    os.truncate(file, 0)
    second = builds.build(site.uv(), builds.own(found, interpreters.running()), asked)
    assert run(site, second, "import plain; print(plain.version)") == "2.0"


MAKER = """
import sys, threading
from pathlib import Path
from hedgerow.config import Settings
from hedgerow.control.environments import builds, lock
from hedgerow.control.child import Clock
from hedgerow.control.environments.requirements import Requirements
from hedgerow.control.environments.uv import Uv
state, text = Path(sys.argv[1]), Path(sys.argv[2])
uv = Uv(Settings.from_env({}, state=state), Clock(60.0, threading.Event()))
packages = lock.read(text.read_text(), text.parent)
print(builds.build(uv, builds.shared(packages), Requirements("blog", text.parent)))
"""


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_what_a_killed_builder_leaves_is_never_used(site: Site, kills: int) -> None:
    files = {f"many/module_{number}.py": f"value = {number}\n" for number in range(200)}
    wheel(site.index.folder, "many", "1.0", ["plain"], files)
    asked = site.app("blog", "many\n")
    found = resolution.shared(site.uv(), asked, base.Overlay())
    assert isinstance(found, Lock)
    text = site.root / "pylock.toml"
    text.write_text(found.text)
    command = [sys.executable, "-c", MAKER, site.settings.state, text]
    began = time.monotonic()
    wanted = subprocess.run(command, env=site.environ, capture_output=True, text=True, check=True).stdout.strip()
    took_s = time.monotonic() - began
    home = site.settings.state / "environments"
    killed = 0
    for _ in range(kills):
        builds.prune(site.settings.state, (), time.time() + 2 * builds.KEPT_S)
        assert site.names == set()
        maker = subprocess.Popen(command, env=site.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.3, 1.0) * took_s)
        killed += maker.poll() is None
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        for name in site.names:
            if not name.startswith("."):
                builds.check(base.packages_of(home / name))
                assert run(site, name, "import many.module_199, plain; print(many.module_199.value)") == "199"
        assert builds.build(site.uv(), builds.shared(found), asked) == wanted
        assert run(site, wanted, "import many.module_199; print(many.module_199.value)") == "199"
    print(f"{killed} of {kills} builders killed, of {took_s:.2f} s each")
    assert killed > 0


def test_pruning_keeps_what_is_used_and_what_is_new(site: Site) -> None:
    first, second = join(site, "blog", "plain<2\n"), join(site, "shop", "other\n")
    state = site.settings.state
    assert builds.prune(state, (first,)) == []
    later = time.time() + 2 * builds.KEPT_S
    [stand_ins] = site.names - {first, second}
    assert builds.prune(state, (first,), later) == sorted([stand_ins, second])
    assert site.names == {first}


def test_what_nobody_refers_to_goes_and_uvs_cache_with_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    state, told = site.settings.state, list[str]()
    (state / "cache").unlink()  # the one of all tests
    first, second = join(site, "blog", "plain<2\n"), join(site, "shop", "other\n")

    def tidy(*used: str) -> None:
        for path in (state / "environments").iterdir():
            os.utime(path, (0.0, 0.0))
        references.tidy(site.settings, used, lambda level, message, **more: told.append(f"{level} {message}"))(
            site.cancel
        )

    tidy(first)
    assert site.names == {first}
    assert set(told) == {"info an old environment is removed"}
    assert len(told) == 2, "of the stand-ins, too"
    assert list((state / "cache").rglob("other/__init__.py")), "what may be wanted again is kept"
    assert join(site, "shop", "other\n") == second
    monkeypatch.setattr(references, "MOST_CACHE_BYTES", 0)
    tidy(first, second)
    assert builds.size(state / "cache") == 0
    assert run(site, second, "import plain; print(plain.version)") == "2.0", "it has its files still"


def test_an_environment_of_another_base_or_interpreter_is_not_current(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = join(site, "blog", "plain\n")
    state = site.settings.state
    assert builds.is_current(state, name)
    assert builds.is_current(state, "")
    assert not builds.is_current(state, "0" * 32)
    versions = base.versions()
    with monkeypatch.context() as patch:
        patch.setattr(base, "versions", lambda: {**versions, "flask": "4.0"})
        assert not builds.is_current(state, name)
    (state / "environments" / name / "bin" / "python").unlink()
    assert not builds.is_current(state, name)
    assert builds.trouble(state, name) == f"the Python of its environment is gone: {interpreters.running().path}"
    assert join(site, "blog", "plain\n") == name, "it is made again"
    assert (builds.is_current(state, name), builds.trouble(state, name)) == (True, "")
