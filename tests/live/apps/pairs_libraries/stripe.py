"""Stands in for a library whose key is an attribute of its module."""

api_key = None
