#!/usr/bin/env bash
# Lists every data file of formats/ in Sources/CFormats/formats.c. Run it after adding or removing one; a test
# compares the table with the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
out=Sources/CFormats/formats.c
files=$(cd formats && find . -name '*.json5' | sed 's,^./,,' | LC_ALL=C sort)
{
  echo '// Made by tools/embed.sh: one #embed (C23) for each data file of formats/.'
  echo '#include "cformats.h"'
  echo
  n=0
  for f in $files; do
    printf 'static const unsigned char file_%d[] = {\n#embed "../../formats/%s"\n};\n' "$n" "$f"
    n=$((n + 1))
  done
  echo
  echo 'static const tf_file table[] = {'
  n=0
  for f in $files; do
    printf '    {"%s", file_%d, sizeof file_%d},\n' "$f" "$n" "$n"
    n=$((n + 1))
  done
  echo '    {0, 0, 0},'
  echo '};'
  echo
  echo 'const tf_file *tf_files(void) { return table; }'
  echo "size_t tf_file_count(void) { return $n; }"
} >"$out.new"
mv "$out.new" "$out"
