"""What the app tells of itself."""

import hashlib
import importlib.metadata
import os
import platform

VERSION = "one"


def told(framework):
    """framework: its distribution, '' where there is none."""
    return {
        "framework": importlib.metadata.version(framework) if framework else platform.python_version(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "version": VERSION,
    }


def digest(data):
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def stream():
    for number in range(20):
        yield f"line {number} ".encode() + b"x" * 1000 + b"\n"
