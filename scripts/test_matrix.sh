#!/bin/sh
# The migrations' tests on each PostgreSQL that is to be had: what APPORTION_POSTGRES_BINS names (folders separated by
# colons), what the system has, and the packaged one.
set -eu
cd "$(dirname "$0")/.."
tests="tests/migrations libs/common/tests/migrations tests/architecture/test_migrations_match_models.py"
found=$(echo "${APPORTION_POSTGRES_BINS:-}" | tr ':' '\n')
for folder in $found /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin; do
  [ -x "$folder/postgres" ] || continue
  printf '\n== %s\n' "$("$folder/postgres" --version)"
  APPORTION_POSTGRES_BIN="$folder" .venv/bin/pytest -q $tests
done
printf '\n== the packaged PostgreSQL\n'
env -u APPORTION_POSTGRES_BIN .venv/bin/pytest -q $tests
