"""The patch audit: what modules, code and errors tell of an app."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hosting_help import settings_for  # noqa: F401
