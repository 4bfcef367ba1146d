#!/bin/sh
# Everything that can be said about the code without running it, and the house rules.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
code="libs services scripts tests benchmarks conftest.py"
step() { printf '\n== %s\n' "$1"; }

step "format"
$bin/ruff format --check $code
step "lint"
$bin/ruff check $code
step "types"
$bin/mypy libs/*/src services/*/src scripts
step "import contracts"
$bin/lint-imports --no-cache
step "dead code"
$bin/python -m scripts.dead_code
step "stubs are fresh"
$bin/python scripts/gen_protos.py --check
step "contracts: lint"
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
$bin/python scripts/gen_protos.py --image "$image/image.binpb"
$bin/buf lint "$image/image.binpb" --config proto/buf.image.yaml
step "contracts: format"
$bin/buf format --diff --exit-code --path proto/apportion
step "contracts: breaking changes"
tag=$(git describe --tags --abbrev=0 2>/dev/null || true)
if [ -n "$tag" ]; then
  git archive "$tag" proto scripts | tar -x -C "$image"
  (cd "$image" && "$OLDPWD/$bin/python" scripts/gen_protos.py --image "$image/tagged.binpb")
  $bin/buf breaking "$image/image.binpb" --against "$image/tagged.binpb" --config proto/buf.image.yaml
else
  echo "no tag yet: a breaking change has a line in the change log instead"
fi
step "migrations: lint"
$bin/apportion-migrate lint
step "migrations: what was let in stays"
$bin/pytest -q tests/migrations/gates/test_gate_text.py
step "house rules"
$bin/pytest -q tests/architecture
echo
echo "All checks passed."
