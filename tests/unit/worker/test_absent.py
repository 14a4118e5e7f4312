"""What a worker knows of apps that it has not loaded: those that a round is bringing, and those that are down."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from hedgerow.config import Settings
from hedgerow.control import layout
from hedgerow.control.entries import AppState, Deploy
from hedgerow.control.ledger import Ledger
from hedgerow.control.packages import Passed
from hedgerow.control.rounds import ReplicaView, advance, begin, fail, goal
from hedgerow.errors import LoadError
from hedgerow.hosting.app import load_app
from hedgerow.hosting.host import Host
from hedgerow.worker.absent import AbsentApps
from hedgerow.worker.router import Router

APP = "def application(environ, start_response): ...\n"


def release(state: Path, app: str, name: str, manifest: str = "") -> Passed:
    code = layout.code(state, app, name)
    code.mkdir(parents=True)
    (code / "app.toml").write_text(manifest)
    (code / "app.py").write_text(APP)
    return Passed(app, Deploy(name))


def found(apps: AbsentApps) -> dict[str, str]:
    """Where which app is expected, or why it is down."""
    apps.look()
    return {str(app.mount): app.error.sentence if app.error else "arrives" for app in (*apps.wanted, *apps.failed)}


def test_an_app_is_expected_from_its_round_on_until_it_is_removed(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    assert not apps.look(), "there is no ledger"
    ledger.write(ledger.read().with_app("old", AppState()))
    assert found(apps) == {}
    rolling = ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    assert found(apps) == {"/blog": "arrives"}
    assert not apps.look(), "nothing has changed"
    ended = advance(rolling, [ReplicaView("r1", (goal(rolling),))])
    assert ended is not None
    ledger.write(ended)
    assert found(apps) == {"/blog": "arrives"}, "a worker that drains may be asked when its round has ended"
    ledger.write(begin(ledger.read(), [Passed("blog", Deploy("", cause="removed"))]))
    assert found(apps) == {}


def test_the_new_releases_own_mount_counts(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1", 'mount = "/journal"\nhost = "blog.example"')]))
    assert found(apps) == {"blog.example/journal": "arrives"}


def test_what_is_loaded_is_not_absent_but_at_another_mount(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    apps = AbsentApps(tmp_path, [load_app("blog", layout.code(tmp_path, "blog", "b1"), Settings(state=tmp_path))])
    assert found(apps) == {}
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b2")]))
    assert found(apps) == {}, "another release at the same place is no news"
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b3", 'mount = "/journal"')]))
    assert found(apps) == {"/journal": "arrives"}


def test_one_that_is_left_out_here_is_down(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1", 'mount = "/journal"')]))
    app = load_app("blog", tmp_path, Settings(state=tmp_path))
    app.fail(LoadError("it hangs"))
    assert found(AbsentApps(tmp_path, [app])) == {"/journal": "it hangs"}


def test_an_app_that_never_lived_is_down_where_its_manifest_says(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    ledger.write(fail(ledger.read(), "shop", Deploy("", step="snapshot", reason="a link leaves it")))
    passed = release(tmp_path, "blog", "b1", 'mount = "/journal"')
    ledger.write(fail(ledger.read(), "blog", dataclasses.replace(passed.deploy, step="load", reason="it raised")))
    assert found(apps) == {"/journal": "it raised", "/shop": "a link leaves it"}
    assert not apps.wanted


def test_an_app_that_goes_is_not_expected_until_the_round_turns_back(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    passed = release(tmp_path, "blog", "b1")
    ledger.write(ledger.read().with_app("blog", AppState("b1")))
    going = ledger.write(begin(ledger.read(), [dataclasses.replace(passed, deploy=Deploy(""))]))
    assert found(apps) == {}
    back = advance(going, [ReplicaView("r1", rejected=goal(going))])
    assert back is not None
    ledger.write(back)
    assert found(apps) == {"/blog": "arrives"}


def test_two_changes_within_one_tick_of_the_file_system_are_both_seen(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    ledger.write(ledger.read().with_app("old", AppState()))
    then = os.stat(ledger.folder).st_mtime_ns
    assert found(apps) == {}
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    os.utime(ledger.folder, ns=(then, then))
    assert found(apps) == {"/blog": "arrives"}


def test_a_broken_ledger_or_manifest_expects_nothing(tmp_path: Path) -> None:
    ledger, apps = Ledger(tmp_path), AbsentApps(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1", "mount = 3")]))
    assert found(apps) == {}
    ledger.write(begin(ledger.read(), [release(tmp_path, "shop", "s1")]))
    assert found(apps) == {"/shop": "arrives"}
    for path in ledger.folder.iterdir():
        path.write_text("{")
    assert found(AbsentApps(tmp_path)) == {}
    (ledger.folder / "0000000009.json").write_text("{")
    assert found(apps) == {"/shop": "arrives"}, "what was known"


def test_who_never_lived_takes_no_path_from_who_does(tmp_path: Path) -> None:
    settings, ledger = Settings(state=tmp_path), Ledger(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "site", "s1", 'mount = "/site"')]))
    for name, mount in (("new", "/site/blog"), ("aaa", "/x"), ("lone", "/lone")):
        failed = release(tmp_path, name, "1", f'mount = "{mount}"').deploy
        ledger.write(fail(ledger.read(), name, dataclasses.replace(failed, step="load", reason="it raised")))
    ledger.write(begin(ledger.read(), [release(tmp_path, "zzz", "z1", 'mount = "/x"')]))
    site = load_app("site", layout.code(tmp_path, "site", "s1"), settings)
    router = Router(Host([site]), settings, tmp_path)
    assert router.look()
    paths = {path: router.route(path, "") for path in ("/site/blog/post", "/x/page", "/lone/page", "/nowhere")}
    assert {path: route.app.name if route else None for path, route in paths.items()} == {
        "/site/blog/post": "site", "/x/page": "zzz", "/lone/page": "lone", "/nowhere": None,
    }  # fmt: skip


def test_a_worker_without_a_ledger_knows_its_own_apps_alone(tmp_path: Path) -> None:
    """As `hedgerow serve` has it, and a trial: another stack may have left a ledger in the same state."""
    ledger = Ledger(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    router = Router(Host([]), Settings(state=tmp_path))
    assert not router.look()
    assert router.route("/blog/", "") is None
