"""The table `[cache]` of `app.toml`: for how long the front may answer with what it has kept of an app."""

from __future__ import annotations

from dataclasses import dataclass

from ..options import option, within

_LONGEST_S = 86_400  # nginx forgets what nobody has asked for so long (nginx/cache.sh)


@dataclass(frozen=True)
class CacheTable:
    """What it may say. An absent key has its default."""

    max_age: int = option(0, "seconds for which an answer to GET is kept; 0: none is", within(0, _LONGEST_S, "seconds"))
    stale_if_error: int = option(
        0,
        "seconds after that for which it is sent if the app fails or nobody answers",
        within(0, _LONGEST_S, "seconds"),
    )
    cookies: bool = option(True, "whether answers depend on the client's cookies: each client's are kept apart")


NOTHING = CacheTable()
