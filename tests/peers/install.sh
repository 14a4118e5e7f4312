#!/usr/bin/env bash
# install.sh DIR: makes the virtual environment DIR with the servers of requirements.lock in it, for the same Python as the project's own.
# bjoern, fastwsgi and uWSGI are compiled here: that needs gcc, libev's and Python's header files; on Debian they are installed if missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
python=$(readlink -f "$here/../../.venv/bin/python")

header() { [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; }

"$here/../../.ci/packages.sh" gcc:gcc
# Packages without a command: the header file tells.
[ -e /usr/include/ev.h ] || "$here/../../.ci/packages.sh" libev-dev:/usr/include/ev.h
header || "$here/../../.ci/packages.sh" python3-dev:no-python-header

"$python" -m venv --without-pip "$venv"
"$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check pip
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
