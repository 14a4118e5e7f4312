from gevent import monkey  # isort: skip  # the first line patches; nothing may be imported before

monkey.patch_all()  # isort: skip

import sys  # noqa: E402

from ..errors import UserError  # noqa: E402
from .start import main  # noqa: E402

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"hedgerow worker: {error}")
