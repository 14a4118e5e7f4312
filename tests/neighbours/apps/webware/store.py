"""What servlets use: they have names of modules that they want themselves."""

import about
import notes

__all__ = ["about", "notes"]
