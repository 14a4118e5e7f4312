"""The secret variables of an app: a file `<app>.env` in the installation's folder of secrets, which is neither in the
app's folder nor in a release. Lines are `NAME=value`, with or without quotes; `#` begins a comment line.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from .manifest import wrong_variable

SUFFIX = ".env"


def secret_path(secrets: Path, app: str) -> Path:
    """Where the file of this app is, if it has one."""
    return secrets / f"{app}{SUFFIX}"


def read_secrets(secrets: Path, app: str) -> dict[str, str]:
    """The variables; none if there is no file. Raises UserError with file and line, never with a value."""
    path = secret_path(secrets, app)
    try:
        rows = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: it is not UTF-8") from None
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        text = row.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise UserError(f"{path} line {number}: NAME=value is wanted")
        if value[:1] in ("'", '"'):
            if len(value) < 2 or value[-1] != value[0]:
                raise UserError(f"{path} line {number}: the quote is not closed")
            value = value[1:-1]
        if wrong := wrong_variable(name, value):
            raise UserError(f"{path} line {number}: {wrong}")
        found[name] = value
    return found
