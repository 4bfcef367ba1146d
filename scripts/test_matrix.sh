#!/bin/sh
# The migrations' tests on each PostgreSQL from 15 to 18 that is to be had: what APPORTION_POSTGRES_BINS names (folders
# separated by colons), the packaged one, and the system's. It says which were not to be had.
#   test_matrix.sh           all of these tests, on every version
#   test_matrix.sh oldest    the gates, the locks and the building blocks, on the oldest: a part of `make test`
set -eu
cd "$(dirname "$0")/.."
common=libs/migrate/tests/migrations
models=tests/architecture/test_migrations_match_models.py
found=$(.venv/bin/python -m apportion_dev.testing.versions)
case "${1:-all}" in
  all) tests="tests/migrations $common $models" ;;
  oldest)
    tests="tests/migrations/gates $common/test_migration_conductor.py $common/test_migration_ops.py $models"
    found=$(printf '%s\n' "$found" | head -n 1)
    ;;
  *)
    echo "usage: $0 [oldest]" >&2
    exit 2
    ;;
esac
# A server that a URL names has the version that it has.
unset APPORTION_TEST_POSTGRES_ADMIN_URL
missing=""
failed=""
while read -r version folder; do
  if [ -z "$folder" ]; then
    missing="$missing $version"
    continue
  fi
  printf '\n== the migrations on PostgreSQL %s\n' "$version"
  APPORTION_POSTGRES_BIN="$folder" .venv/bin/pytest --durations=10 -n 3 --dist loadfile -m "not soak" $tests </dev/null ||
    failed="$failed $version"
done <<END
$found
END
for version in $missing; do
  printf '\n== PostgreSQL %s: not found, not run\n' "$version"
done
if [ -n "$failed" ]; then
  printf '\n== failed on PostgreSQL%s\n' "$failed"
  exit 1
fi
