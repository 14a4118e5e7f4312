"""Many Python web apps, side by side, on greenlets, behind one nginx."""

__version__ = "0.1.0"
