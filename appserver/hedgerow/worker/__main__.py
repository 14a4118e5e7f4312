import sys  # isort: skip  # it is there before the first line anyway; nothing else may be imported before patching
import gc  # isort: skip  # all of it is in C, and nothing of it is patched

gc.disable()  # until all is loaded that stays for good, see start.py

if "threads" not in sys.argv[3:]:  # behind PLAN and SLOT: the apps run in native threads, and find Python as it is
    from gevent import monkey
    from importlib import metadata  # isort: skip  # as gevent does before it patches anything

    # It asks 25 times who has plugins of it, each time all distributions that are installed: 35 ms with 70 of them.
    ask = metadata.entry_points
    vars(metadata)["entry_points"] = ask().select
    monkey.patch_all()
    vars(metadata)["entry_points"] = ask

from ..errors import UserError  # noqa: E402
from .start import main  # noqa: E402

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"hedgerow worker: {error}")
