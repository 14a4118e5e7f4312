"""`hedgerow.wsgi:application`: the apps of the folder that HEDGEROW_APPS names, side by side, for any WSGI server:
`HEDGEROW_APPS=/srv/apps gunicorn --threads 8 hedgerow.wsgi:application`.
"""

from __future__ import annotations

from .composite import composite, to_stderr
from .config import Settings

application = composite(Settings.from_env(), to_stderr)
