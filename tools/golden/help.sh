#!/usr/bin/env bash
# Writes golden/help anew: what the built program prints. Look at the difference before committing it.
# Usage: tools/golden/help.sh [TINCTURE]
set -euo pipefail
cd "$(dirname "$0")/../.."
tincture=${1:-$(swift build -c release --show-bin-path)/tincture}
mkdir -p golden/help
for words in help "help inspect" "help convert" "help quantize" "help tokenize" "help run" "help completions" "help help" \
  "help version" version "completions bash" "completions zsh" "completions fish"; do
  # shellcheck disable=SC2086
  "$tincture" $words > "golden/help/${words// /-}.txt"
done
