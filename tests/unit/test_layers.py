"""Imports go one way (docs/design.md, "Layers"), and gevent is imported where it may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hedgerow

PACKAGE = Path(hedgerow.__file__).parent

# What each part may import of the package. Entry modules and leaves are parts of their own.
ALLOWED = {
    "errors": set(),
    "options": set(),
    "config": {"errors"},
    "http": {"errors"},
    "pep3333": {"errors", "http"},
    "hosting": {"errors", "config", "options", "http", "pep3333"},
    "middleware": {"errors", "options", "hosting.mounts", "http.answer"},
    "control": {"errors", "config", "hosting", "__init__"},
    # plan, entries, ledger and layout are data that both sides of the control plane know; nothing else of control
    "worker": {
        "errors",
        "config",
        "http",
        "pep3333",
        "hosting",
        "middleware",
        "control.plan",
        "control.entries",
        "control.ledger",
        "control.layout",
        "control.beats",
        "control.wear",
    },
    # what an app asks of Python, read from its files
    "composite": {
        "errors",
        "config",
        "hosting",
        "middleware",
        "control.environments.requirements",
        "control.environments.interpreters",
    },
    "wsgi": {"config", "composite"},
    "gunicorn": {"errors", "config", "pep3333", "worker"},
    "paste": {"config", "worker", "control.local"},
    "gateways": {"errors", "pep3333", "middleware.answer"},
    "cli": {"errors", "config", "hosting", "control", "composite", "gateways", "__init__"},
    "__init__": set(),
}
THIRD_PARTY_ONLY_IN = {
    "gevent": {"worker", "gunicorn", "paste"},
    "greenlet": {"worker"},
    "gunicorn": {"gunicorn"},
    "click": {"cli"},
    "watchfiles": {"control"},
    "httptools": {"http"},
    "lxml": {"middleware"},
    "whitenoise": {"middleware"},
    "uv": {"control"},
    "fcgisgi": {"gateways"},
    "itsdangerous": {"middleware"},
    "wsproto": {"middleware"},
}


def imports(path: Path) -> Iterator[str]:
    """The absolute dotted names that a module imports, at any depth."""
    module = ("hedgerow", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module[: -node.level]) if node.level else ""
            yield from (".".join(filter(None, (base, node.module, alias.name))) for alias in node.names)


MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_one_way() -> None:
    wrong = []
    for path in MODULES:
        part = part_of(path)
        for name in imports(path):
            head, _, rest = name.partition(".")
            if head != "hedgerow":
                continue
            target = rest.split(".")[0] if (PACKAGE / rest.split(".")[0]).exists() else None
            target = target or (rest.split(".")[0] if (PACKAGE / f"{rest.split('.')[0]}.py").exists() else "__init__")
            allowed = ALLOWED[part] | {part}
            if target not in allowed and not any(rest.startswith(entry) for entry in allowed if "." in entry):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_libraries_are_imported_where_they_belong() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in MODULES
        for name in imports(path)
        if name.split(".")[0] in THIRD_PARTY_ONLY_IN and part_of(path) not in THIRD_PARTY_ONLY_IN[name.split(".")[0]]
    ]
    assert wrong == []


def test_the_worker_patches_on_its_first_line() -> None:
    lines = (PACKAGE / "worker" / "__main__.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code[0].startswith("import sys ")  # which is there before any line
    assert code[1].startswith("import gc ")  # which has nothing that could be patched
    assert code[2].startswith("gc.disable()")
    assert code[3].startswith('if "threads" not in sys.argv[3:]:')
    before = code[4 : code.index("    monkey.patch_all()")]
    # gevent itself imports importlib.metadata before it patches.
    assert [line.split(" #")[0].strip() for line in before if "import " in line] == [
        "from gevent import monkey",
        "from importlib import metadata",
    ]
