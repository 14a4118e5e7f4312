"""A module beside the entry."""
