"""Whether an app's file of secrets has changed: it is no part of a release, but of its name, so that new secrets are
deployed, and tried, as new code is.

The name must not tell what the secrets are, so it is made with a key that lies in `state/secrets.key`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from ..hosting.secret_file import secret_path

KEY = "secrets.key"
KEY_BYTES = 32


def glance(folder: Path, app: str) -> str:
    """Changes when the file does; '' if there is none."""
    try:
        status = secret_path(folder, app).stat()
    except OSError:
        return ""
    return f" {status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def digest(settings: Settings, app: str) -> str:
    """Of the file's content; '' if there is none. Raises UserError."""
    path = secret_path(settings.secrets, app)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return hmac.new(_key(settings.state), content, hashlib.sha256).hexdigest()


def _key(state: Path) -> bytes:
    """The key of a state: the first that any replica has made."""
    path = state / KEY
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=state, prefix=f".{KEY}-") as file:  # 0600
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
                os.link(file.name, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return path.read_bytes()
