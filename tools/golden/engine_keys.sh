#!/usr/bin/env bash
# Writes formats/config/engine-keys.json5 from llama.cpp's table of metadata keys.
# Usage: tools/golden/engine_keys.sh LLAMA_CPP_FOLDER
set -euo pipefail
table="$1/src/llama-arch.cpp"
cd "$(dirname "$0")/../.."
{
  echo '// Metadata keys that llama.cpp reads, {arch} for the architecture: the table LLM_KV_NAMES of src/llama-arch.cpp'
  echo "// and the dense heads; made from llama-cpp-python 0.3.36's copy by tools/golden/engine_keys.sh."
  echo '['
  grep -o '{ LLM_KV_[A-Z0-9_]*, *"[^"]*"' "$table" | sed 's/.*"\(.*\)"/\1/; s/^%s\./{arch}./' |
    LC_ALL=C sort -u | sed 's/.*/  "&",/'
  echo ']'
} >formats/config/engine-keys.json5
