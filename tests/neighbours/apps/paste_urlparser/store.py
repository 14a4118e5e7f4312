"""What pages use. URLParser enters each into sys.modules by its bare name: in the page `notes`, `import notes` would be
the page itself.
"""

import about
import notes

__all__ = ["about", "notes"]
