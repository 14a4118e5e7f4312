"""Stands in for a library with a default register, which has each name once."""

from .registry import REGISTRY


class Gauge:
    def __init__(self, name, documentation, registry=REGISTRY):
        self.line = f"# HELP {name} {documentation}"
        registry.register(self)

    def set(self, value):
        pass


own = Gauge("python_info", "of all")


def generate_latest():
    return "".join(f"{each.line}\n" for each in REGISTRY.known).encode()
