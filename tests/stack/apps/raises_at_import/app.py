"""Cannot be loaded."""

raise RuntimeError("this app never starts")
