#!/usr/bin/env bash
# Writes formats/config/engine-keys.json5 from llama.cpp's table of metadata keys and the places that read them.
# Usage: tools/golden/engine_keys.sh LLAMA_CPP_FOLDER
# With TINCTURE_FORMATS=FOLDER in the environment it works on that folder in place of formats/.
set -euo pipefail
source="$(realpath "$1")/src"
formats=$(realpath "${TINCTURE_FORMATS:-$(dirname "$0")/../../formats}")
target="$formats/config/engine-keys.json5"

# The table: enumerator and key, {arch} for the architecture.
table=$(grep -o '{ LLM_KV_[A-Z0-9_]*, *"[^"]*"' "$source/llama-arch.cpp" |
  sed 's/{ \(LLM_KV_[A-Z0-9_]*\), *"\(.*\)"/\1 \2/; s/ %s\./ {arch}./')

# keys NAME [START]: the keys of the table (that start so) whose enumerators stand in the text on standard input, as the
# member NAME.
keys() {
  echo "  \"$1\": ["
  { grep -o 'LLM_KV_[A-Z0-9_]*' || true; } | LC_ALL=C sort -u | LC_ALL=C join - <(LC_ALL=C sort <<<"$table") |
    cut -d' ' -f2- | { grep "^${2:-}" || true; } | LC_ALL=C sort -u | sed 's/.*/    "&",/'
  echo "  ],"
}

# What one function of llama-model.cpp reads, without what another architecture alone does.
function_of_model() {
  sed -n "/^void llama_model_base::$1(/,/^}/p" "$source/llama-model.cpp" |
    sed '/if (arch == LLM_ARCH_[A-Z_]*) {/,/^    }/d'
}

# The file of llama.cpp that reads the keys of the architecture NAME: that of ernie4_5 is ernie4-5.cpp, that of
# deepseek2-ocr deepseek2ocr.cpp.
file_of_model() {
  local name file
  for name in "$1" "${1//_/-}" "${1//-/_}" "${1//[-_]/}"; do
    file="$source/models/$name.cpp"
    if [ -f "$file" ]; then
      echo "$file"
      return
    fi
  done
  echo "engine_keys.sh: llama.cpp has no file for the architecture $1" >&2
  echo "  expected  $source/models/$1.cpp, with hyphens, underscores or neither" >&2
  echo "  advice    name in formats/architectures as llama.cpp does (LLM_ARCH_NAMES in src/llama-arch.cpp)" >&2
  return 1
}

names() {
  for file in "$formats"/architectures/*.json5; do
    sed -n 's/^  name: "\(.*\)",/\1/p' "$file"
  done | LC_ALL=C sort -u
}

# The old file is replaced only by a whole one.
new=$(mktemp "$target.XXXXXX")
trap 'rm -f "$new"' EXIT
{
  echo '// Metadata keys that llama.cpp reads, {arch} for the architecture, by who reads them: "general" whatever the file is'
  echo '// (the keys without {arch} of the table LLM_KV_NAMES in src/llama-arch.cpp), "every" whatever the architecture'
  echo '// (load_hparams in src/llama-model.cpp), and each architecture for itself (src/models/NAME.cpp).'
  echo "// Made from llama-cpp-python 0.3.36's copy by tools/golden/engine_keys.sh."
  echo '{'
  grep -v ' {arch}\.' <<<"$table" | cut -d' ' -f1 | keys general
  function_of_model load_hparams | keys every '{arch}'
  while read -r name; do
    file=$(file_of_model "$name")
    {
      cat "$file"
      if grep -q load_swa_pattern "$file"; then function_of_model load_swa_pattern; fi
    } | keys "$name" '{arch}'
  done < <(names)
  echo '}'
} >"$new"
chmod 644 "$new"
mv "$new" "$target"
