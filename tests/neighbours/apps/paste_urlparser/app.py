import os

import store  # noqa: F401  # before a page has its modules' names
from paste.session import make_session_middleware
from paste.urlparser import make_url_parser

HERE = os.path.dirname(os.path.abspath(__file__))
SESSIONS = os.path.join(HERE, "data", "sessions")
os.makedirs(SESSIONS, exist_ok=True)
parser = make_url_parser({}, os.path.join(HERE, "pages"), "paste_pages")
application = make_session_middleware(parser, {}, session_file_path=SESSIONS)
