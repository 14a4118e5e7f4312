#!/usr/bin/env bash
# Every linter over everything, all findings before the end.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
failed=0

try() {
    echo "== $*" >&2
    "$@" || failed=1
}

try $bin/ruff check
try $bin/mypy
try $bin/hadolint appserver/Dockerfile nginx/Dockerfile loadtest/Dockerfile
try $bin/compose-lint check --quiet --skip-suppressed --fail-on low docker-compose.yml
try $bin/python -m pytest -q tests/live/test_front_config.py tests/live/test_front_rules.py # nginx -t, both gixys, our own rules
exit $failed
