"""Binds the name to something that cannot be called."""

application = "a text"
