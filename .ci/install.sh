#!/usr/bin/env bash
# install.sh DIR: makes the virtual environment DIR with pip, everything of requirements-dev.lock and this project in it.
# Works without Debian's python3-venv (no ensurepip) and beside a Python that its distribution manages (PEP 668).
set -euo pipefail

venv=$1
python=${PYTHON:-python3}

fail() { echo "install: $*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "there is no $python; set PYTHON to a Python of 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" --version) is too old; set PYTHON to one of 3.11 or newer"
"$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip; on Debian: apt-get install python3-pip"

"$python" -m venv --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check pip
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
