#!/usr/bin/env bash
# Installs the Debian packages the build, the tests and the demonstration need and that are missing.
set -euo pipefail
packages=(python3 python3-venv git ca-certificates libzstd-dev)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${missing[@]}"
fi
if ! command -v swift >/dev/null; then
  echo "install.sh: Swift 6.1 or later is needed: see https://www.swift.org/install" >&2
  exit 1
fi
