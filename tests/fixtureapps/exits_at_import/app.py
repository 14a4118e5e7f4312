"""A script at heart: it ends the process when a variable is missing."""

import sys

sys.exit("set TOKEN first")

application = None
