"""Compiles every Python file of a folder; for bytecode.py, which starts it for each release.

    python -P -S compile_all.py CODE SHOWN_AS      tracebacks will tell the files as lying below SHOWN_AS

The bytecode is of the kind that names no time and is never compared with its source (PEP 552, unchecked): a release
does not change. It is this interpreter's; the names of the files say so, and another one passes them over. A file that
cannot be compiled without an error or a SyntaxWarning gets none, so that the worker says so in the app's own log.

It imports little: nearly all of its 11 ms is the start of Python (29 ms with py_compile, subprocess and pathlib).
"""

from __future__ import annotations

import marshal
import os
import resource
import sys
import warnings
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash

LIMIT_S = 20
MEMORY_BYTES = 2 << 30
UNCHECKED = (1).to_bytes(4, "little")


def compile_all(code: str, shown_as: str) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))  # also when nobody waits for us any more
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("error", SyntaxWarning)
    for parent, _, names in os.walk(code):
        for name in names:
            source = os.path.join(parent, name)
            if name.endswith(".py") and not os.path.islink(source):  # a link may lead into data, which changes
                _compile(source, os.path.join(shown_as, os.path.relpath(source, code)))


def _compile(path: str, shown_as: str) -> None:
    with open(path, "rb") as file:
        source = file.read()
    try:
        compiled = marshal.dumps(compile(source, shown_as, "exec", dont_inherit=True))
    except Exception:  # whatever is wrong with it, the worker tells
        return
    folder, name = os.path.split(path)
    # Beside the source, also where PYTHONPYCACHEPREFIX points elsewhere.
    target = os.path.join(folder, "__pycache__", os.path.basename(cache_from_source(name)))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    beside = target + ".new"  # we may be ended at any moment
    with open(beside, "wb") as file:
        file.write(MAGIC_NUMBER + UNCHECKED + source_hash(source) + compiled)
    os.chmod(beside, 0o444)
    os.rename(beside, target)


if __name__ == "__main__":
    compile_all(*sys.argv[1:])
