#!/bin/sh
# Make the virtual environment with the pinned uv in it; needs nothing but Python 3.11 or newer.
set -eu
venv=$1
uv_version=$2
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
  [ -n "$candidate" ] || continue
  command -v "$candidate" >/dev/null 2>&1 || continue
  "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
  found=$candidate
  break
done
if [ -z "${found:-}" ]; then
  echo "Apportion needs Python 3.11 or newer; none was found on the PATH." >&2
  exit 1
fi
if ! "$found" -c 'import venv, ensurepip' 2>/dev/null; then
  version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  echo "This Python cannot make virtual environments. Install one package and run make again:" >&2
  echo "  apt-get install python$version-venv" >&2
  exit 1
fi
echo "Making $venv with $($found --version) ..."
"$found" -m venv "$venv"
install_uv() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" "uv==$uv_version"
}
install_uv && exit 0
# Unless it is told, pip before 24.2 does not trust the authorities that only the system's store knows.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  [ -r "$bundle" ] || continue
  echo "Trying once more with the system's certificates in $bundle ..." >&2
  install_uv --cert "$bundle"
  exit
done
exit 1
