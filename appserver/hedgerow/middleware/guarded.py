"""Which paths are guarded, whatever a client writes to reach one of them by another spelling.

An application may join slashes, resolve dots, decode twice, ignore case, a slash at the end or bytes that are no UTF-8
(Bottle does), or cut off what follows a semicolon, '?' or '#': each is assumed. So too much may be guarded, never too
little. A path is open only as it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

# What file systems and applications cut off at the end of a name.
_CUT_OFF = " .\t\r\n"
_ENDS = re.compile(r"[;?#\0]")
_PARENT = ".."
_MOST_DECODING = 4


def check_paths(paths: tuple[str, ...]) -> str | None:
    """What is wrong with them as an option."""
    for path in paths:
        if not path.startswith("/"):
            return f"{path!r} does not start with '/'"
        parts = segments(_as_environ(path))
        if _PARENT in parts or (path != "/" and "/" + "/".join(parts) != _folded(path).rstrip("/")):
            return f"{path!r}: write it decoded, without empty and dot segments"
    return None


class Guarded:
    """All at and below `paths`, by whole segments, but for what is at and below `open`."""

    def __init__(self, paths: Iterable[str], open: Iterable[str]) -> None:
        self._paths = [segments(_as_environ(path)) for path in paths]
        self._open = [_as_environ(path.rstrip("/")) for path in open]

    def has(self, path: str) -> bool:
        """path: PATH_INFO."""
        asked = segments(path)
        if _PARENT in asked:
            return True
        if not any(asked[: len(one)] == one for one in self._paths):
            return False
        return not (_is_plain(path) and any(path == one or path.startswith(f"{one}/") for one in self._open))


def segments(path: str) -> list[str]:
    """Of PATH_INFO, in the one form that all spellings share; what leads upwards stays."""
    raw = path.encode("latin-1", "replace")
    for _ in range(_MOST_DECODING):
        if (decoded := unquote_to_bytes(raw)) == raw:
            break
        raw = decoded
    else:
        return [_PARENT]  # nobody writes a path so who means well
    text = _folded(raw.decode("utf-8", "ignore")).replace("\\", "/")
    found = (_ENDS.split(part, maxsplit=1)[0].strip() for part in text.split("/"))
    return [one if one == _PARENT else one.rstrip(_CUT_OFF) for one in found if one == _PARENT or one.strip(_CUT_OFF)]


def _is_plain(path: str) -> bool:
    """Whether there is one way to read it."""
    parts = path.split("/")[1:]
    if set("%\\;?#\0") & set(path) or "" in parts[:-1]:
        return False
    return all(part.strip(_CUT_OFF) == part for part in parts)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _as_environ(path: str) -> str:
    return path.encode().decode("latin-1")
