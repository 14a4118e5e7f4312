"""Each app's own environment variables in a shared process.

`os.environ` and all that reads it follow the current app: what an app sets is seen by it alone, and by the processes
that it starts. C code reads the process's variables (`getenv`), which are nobody's: see C_READS.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from .space import current_app

# What libraries in C read by themselves: for an app alone it does nothing in a shared process.
C_READS = frozenset({
    "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "LC_NUMERIC", "LD_LIBRARY_PATH", "LD_PRELOAD",
    "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENSSL_CONF", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "SSLKEYLOGFILE", "KRB5_CONFIG", "KRB5CCNAME", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE",
    "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGOPTIONS",
    "PGAPPNAME", "PGTZ", "MYSQL_HOME", "MYSQL_UNIX_PORT", "MYSQL_TCP_PORT", "LIBMYSQL_PLUGINS", "ODBCINI",
    "ODBCSYSINI", "TDSVER", "FREETDSCONF", "ORACLE_HOME", "TNS_ADMIN", "NLS_LANG", "SQLITE_TMPDIR", "GDAL_DATA",
    "PROJ_LIB", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "MAGICK_CONFIGURE_PATH", "GRPC_VERBOSITY", "GRPC_TRACE",
})  # fmt: skip
_POPEN_ENV = 10  # the place of `env` among Popen's arguments

_execv, _system, _putenv, _unsetenv = os.execv, os.system, os.putenv, os.unsetenv


class AppEnviron(os._Environ):  # type: ignore[type-arg]
    """`os.environ`, of the current app where there is one. What is set goes through `os.putenv`, which is ours."""

    @property
    def _data(self) -> dict[bytes, bytes]:
        own = _variables()
        return vars(self)["_data"] if own is None else own

    @_data.setter
    def _data(self, data: dict[bytes, bytes]) -> None:
        vars(self)["_data"] = data

    def __delitem__(self, key: Any) -> None:
        if (own := _variables()) is None:
            super().__delitem__(key)
            return
        try:
            del own[self.encodekey(key)]
        except KeyError:
            raise KeyError(key) from None


def install() -> None:
    """Let this process's variables follow the current app. Once, behind whatever else replaces `subprocess.Popen`."""
    if isinstance(os.environ, AppEnviron):
        return
    os.environ.__class__ = os.environb.__class__ = AppEnviron
    os.execv, os.system, os.putenv, os.unsetenv = execv, system, putenv, unsetenv
    subprocess.Popen.__init__ = _with_variables(subprocess.Popen.__init__)  # type: ignore[method-assign]


def variables(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """The variables of an app: the process's, and those of its own."""
    return _of_the_process() | {os.fsencode(name): os.fsencode(value) for name, value in env.items()}


def unread(own: Mapping[bytes, bytes]) -> list[str]:
    """The variables of an app that C code reads, and finds otherwise in the process."""
    common = _of_the_process()
    changed = [name for name in common.keys() | own.keys() if common.get(name) != own.get(name)]
    return sorted(C_READS.intersection(map(os.fsdecode, changed)))


def _of_the_process() -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = vars(os.environ)["_data"]
    return found


def _variables() -> dict[bytes, bytes] | None:
    space = current_app.get()
    return None if space is None else space.variables


def _with_variables(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def started(self: Any, *args: Any, **kwargs: Any) -> None:
        if _variables() is not None and len(args) <= _POPEN_ENV and kwargs.get("env") is None:
            kwargs["env"] = dict(os.environ)
        init(self, *args, **kwargs)

    return started


def execv(path: Any, argv: Any) -> Any:
    """`os.execv`, which all of `os.exec*` and `os.spawn*` without an environment come to."""
    if _variables() is None:
        return _execv(path, argv)
    return os.execve(path, argv, os.environ)


def system(command: Any) -> int:
    """`os.system`."""
    if _variables() is None:
        return _system(command)
    status = subprocess.call(command, shell=True)
    return -status if status < 0 else status << 8


def putenv(key: Any, value: Any) -> None:
    """`os.putenv`: for the processes that the app starts."""
    if (own := _variables()) is None:
        _putenv(key, value)
    else:
        own[os.fsencode(key)] = os.fsencode(value)


def unsetenv(key: Any) -> None:
    """`os.unsetenv`."""
    if (own := _variables()) is None:
        _unsetenv(key)
    else:
        own.pop(os.fsencode(key), None)
