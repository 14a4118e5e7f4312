"""`python -m hedgerow.cli.reference`: the text of docs/reference.md, from the records of settings and manifest."""

from __future__ import annotations

import dataclasses
import inspect
import sys

from ..config import ENV_PREFIX, Settings
from ..hosting.layers import NAMES, ours
from ..hosting.manifest import FILE_NAME, Manifest
from ..hosting.manifest_keys import keys

TEXT = """# Reference

Made by `python -m hedgerow.cli.reference` from the records in which each option is written once; a test compares.

## `{file}` of an app

All keys are optional. An unknown key is an error that names the nearest known one. `hedgerow app DIR` shows what an
app's file says.

| key | what | default |
| --- | --- | --- |
{keys}

## Middleware

What requests pass on their way to the app, as tables of `{file}`, the first one first:

```toml
[[middleware]]
use = "request_id"

[[middleware]]
use = "cors"
origins = ["https://shop.example"]
```

`use = "module:name"` is any other WSGI middleware, of the app or of a library: called with the callable that it is to
wrap, and the other keys of its table. Relative paths are in the app's folder. In Python each is a class of
`hedgerow.middleware`, for any server: `Cors(application, origins=("https://shop.example",))`.
{middleware}
## Settings of an installation

Environment variables; the command line has some of them as options (`--workers` is `{prefix}WORKERS`).

| variable | what | default |
| --- | --- | --- |
{settings}
"""


def text() -> str:
    """The page."""
    middleware = "".join(_middleware(use) for use in sorted(NAMES))
    return TEXT.format(
        file=FILE_NAME, prefix=ENV_PREFIX, keys=_rows(Manifest), middleware=middleware, settings="\n".join(_settings())
    )


def _rows(kind: type) -> str:
    return "\n".join(f"| `{key.name}` | {key.kind}: {_plain(key.help)} | {_code(key.default)} |" for key in keys(kind))


def _middleware(use: str) -> str:
    kind = ours(use)
    said = " ".join((inspect.getdoc(sys.modules[kind.__module__]) or "").partition("\n\n")[0].split())
    head = f"### `{use}`\n\n{said} In Python `{kind.__module__}.{kind.__name__}`."
    return f"\n{head}\n\n| key | what | default |\n| --- | --- | --- |\n{_rows(kind)}\n"


def _settings() -> list[str]:
    rows = []
    for option in dataclasses.fields(Settings):
        unit = f" ({option.metadata['unit']})" if option.metadata["unit"] else ""
        default = "the host's name" if option.default is dataclasses.MISSING else _code(_shown(option.default))
        rows.append(f"| `{ENV_PREFIX}{option.name.upper()}` | {_plain(option.metadata['help'])}{unit} | {default} |")
    return rows


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    return "" if str(default) == "." else str(default)


def _plain(text: str) -> str:
    """In a table of Markdown."""
    return text.replace("<", "\\<").replace("|", "\\|").replace("*", "\\*")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    print(text(), end="")
