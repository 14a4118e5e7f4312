"""`os._exit` ends a process without a word: in a worker it says first where it was called, in the file that is there
for faults, and in their form, so that whose code ended the worker is known. What it must not know: who reads that.
"""

from __future__ import annotations

import faulthandler
import functools
import os
from typing import IO, NoReturn

exit_now = os._exit  # for our own ends: threads of apps that do not end must not hold them


def install(faults: IO[str]) -> None:
    """From now on, in this process and in none that it forks: those end so as a matter of course."""
    mine = os.getpid()

    @functools.wraps(exit_now)
    def tell_and_exit(status: int) -> NoReturn:
        try:
            if os.getpid() == mine:
                faults.write(f"os._exit({status!r})\n\n")
                faults.flush()
                faulthandler.dump_traceback(faults, all_threads=False)
        finally:  # whatever came of it: a full disk, or no memory left
            exit_now(status)

    os._exit = tell_and_exit
