from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hosting_help import get, load_fixture

from hedgerow.config import Settings
from hedgerow.hosting.app import HostedApp, load_app
from hedgerow.hosting.mounts import Mount

Load = Callable[..., HostedApp]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raises_at_import", "raises_at_import/settings.py line 2: KeyError: 'prot'"),
        ("exits_at_import", "exits_at_import/app.py line 5: SystemExit: set TOKEN first"),
        (
            "missing_dependency",
            "missing_dependency/app.py line 3: ModuleNotFoundError: No module named 'no_such_library_anywhere'",
        ),
        ("not_callable", "not_callable/app.py: application is not callable, it is of type str"),
        (
            "factory_returns_none",
            "factory_returns_none/app.py: create_app() returns no callable but a value of type NoneType",
        ),
        ("asgi", "asgi/app.py: app is an ASGI application; a WSGI callable is wanted"),
    ],
)
def test_a_broken_app_is_told_in_one_sentence(name: str, sentence: str) -> None:
    app = load_fixture(name)
    assert app.application is None
    assert app.error is not None
    assert app.error.sentence == sentence
    assert repr(app) == f"<HostedApp {name} at /{name}: down, {sentence}>"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = (\n", "broken/models.py line 1: SyntaxError: '(' was never closed"),
        ("def f():\nreturn", "broken/models.py line 2: IndentationError: expected an indented block after function"),
        ("x = '\0'", "broken/models.py"),
        ("\n\nraise ValueError('two\\nlines')", "broken/models.py line 3: ValueError: two lines"),
        (
            "import json; json.loads('{')",
            "broken/models.py line 1: json.decoder.JSONDecodeError: Expecting property name",
        ),
        ("from values import X", "broken/models.py line 1: ImportError: cannot import name 'X' from 'values' ("),
        ("import pkg.none", "broken/models.py line 1: ModuleNotFoundError: No module named 'pkg.none'"),
        ("raise KeyError('a' * 1000)", "broken/models.py line 1: KeyError: 'aaa"),
    ],
)
def test_the_place_is_the_innermost_own_one(load: Load, source: str, sentence: str) -> None:
    app = load(
        "broken", {"app.py": "import models\napp = 1", "models.py": source, "values.py": "", "pkg/__init__.py": ""}
    )
    assert app.error is not None
    assert app.error.sentence.startswith(sentence)
    assert len(app.error.sentence) < 450


def test_the_traceback_has_the_apps_frames_and_none_of_the_hosts(load: Load) -> None:
    source = "try:\n  import models\nexcept ValueError as error:\n  raise RuntimeError('told') from error"
    app = load("framed", {"app.py": source + "\napp = 1", "models.py": "raise ValueError('cause')"})
    assert app.error is not None
    text = app.error.traceback
    frames = [line.strip() for line in text.splitlines() if line.startswith('  File "')]
    assert [frame.rpartition("/")[2] for frame in frames] == [
        'app.py", line 2, in <module>',
        'models.py", line 1, in <module>',
        'app.py", line 4, in <module>',
    ]
    assert "ValueError: cause" in text
    assert "_hedgerow_app_" not in text


def test_keyboard_interrupt_passes(load: Load) -> None:
    with pytest.raises(KeyboardInterrupt):
        load("interrupted", {"app.py": "raise KeyboardInterrupt\napp = 1"})


def test_a_wrong_manifest_leaves_the_app_down_at_its_default_mount() -> None:
    app = load_fixture("wrong_manifest")
    assert app.error is not None
    assert app.error.sentence.startswith("wrong_manifest/app.toml: unknown key 'mont': did you mean 'mount'?; host = ")
    assert app.mount == Mount("/wrong_manifest")


def test_no_entry() -> None:
    app = load_fixture("no_entry")
    assert app.error is not None
    assert app.error.sentence.startswith("no_entry: no entry; looked for app.py")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    app = load_app("gone", tmp_path / "gone", Settings())
    assert app.error is not None
    assert app.error.sentence == f"gone: there is no folder {tmp_path}/gone"


def test_a_loaded_app_says_where_and_how_busy_it_is() -> None:
    app = load_fixture("named_entry")
    assert app.gate.enter()
    assert repr(app) == "<HostedApp named_entry at /named/deep: up, 1 running>"
    assert get(app) == "named\n"


def test_the_gate_has_the_limit_of_the_settings(make_app: Callable[..., Path]) -> None:
    folder = make_app("limited", {"app.py": "application = print"})
    assert load_app("limited", folder, Settings(app_running=3)).gate.limit == 3
