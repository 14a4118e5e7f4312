import sys  # isort: skip  # it is there before the first line anyway; nothing else may be imported before patching

if "threads" not in sys.argv[3:]:  # behind PLAN and SLOT: the apps run in native threads, and find Python as it is
    from gevent import monkey

    monkey.patch_all()

from ..errors import UserError
from .start import main

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"hedgerow worker: {error}")
