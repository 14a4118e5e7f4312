"""Needs a library that nobody has."""

import no_such_library_anywhere

application = no_such_library_anywhere.app
