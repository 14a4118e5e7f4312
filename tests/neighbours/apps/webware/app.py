import os

import webware

HERE = os.path.dirname(os.path.abspath(__file__))
webware.addToSearchPath()
os.chdir(HERE)

from Application import Application  # noqa: E402

application = Application(HERE, settings={}, development=False)
