"""What an app's failed import is told as: one sentence with file and line, and a traceback of the app's own frames."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

from ..errors import LoadError

_FOREIGN = (str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<frozen importlib")
_MAX_SENTENCE = 400


def explain(error: BaseException, folder: Path, entry_file: str, package: str = "") -> LoadError:
    """`error`, raised while the app in `folder` was loaded as `package`, as `blog/models.py line 3: SyntaxError: …`."""
    told = traceback.TracebackException.from_exception(error)
    _drop_foreign_frames(told, set())
    what = " ".join(_plain(_last_line(told), package).split())
    sentence = f"{_where(told, folder, entry_file)}: {what}"
    if len(sentence) > _MAX_SENTENCE:
        sentence = sentence[:_MAX_SENTENCE] + " …"
    return LoadError(sentence, _plain("".join(told.format()), package))


def _plain(text: str, package: str) -> str:
    """The app's modules under the names that the app itself gives them."""
    return text.replace(f"{package}.", "") if package else text


def _last_line(told: traceback.TracebackException) -> str:
    line = "".join(told.format_exception_only())
    return line[line.rfind("\n", 0, -1) + 1 :] if _is_syntax(told) else line  # without the picture of the line


def _is_syntax(told: traceback.TracebackException) -> bool:
    return hasattr(told, "lineno")


def _where(told: traceback.TracebackException, folder: Path, entry_file: str) -> str:
    """The innermost place in the app's own files."""
    places = [(frame.filename, frame.lineno) for frame in told.stack]
    if _is_syntax(told) and told.filename is not None:
        places.append((told.filename, int(told.lineno) if told.lineno else None))
    for file, line in reversed(places):
        if Path(file).is_relative_to(folder):
            place = f"{folder.name}/{Path(file).relative_to(folder)}"
            return f"{place} line {line}" if line else place
    return f"{folder.name}/{entry_file}"


def _drop_foreign_frames(told: traceback.TracebackException, seen: set[int]) -> None:
    """Take the frames of the host and of the import machinery out of `told` and of what it came from."""
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack = traceback.StackSummary.from_list([f for f in told.stack if not f.filename.startswith(_FOREIGN)])
    for earlier in (told.__cause__, told.__context__):
        if earlier is not None:
            _drop_foreign_frames(earlier, seen)
