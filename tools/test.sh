#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: the package's own (model-free), ten million seeded damaged inputs, and
# the real models against their witnesses. Less than half an hour on two cores. Exit status 0 only when all pass.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install.sh
export SWIFT_BACKTRACE=enable=no
step() { printf '\n== %s (%d:%02d so far)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }
# Runs two of the functions below side by side, each of which keeps one core busy; prints what they print one after the other.
side_by_side() {
  local out
  out=$(mktemp -d)
  "$1" >"$out/first" 2>&1 &
  local other=$! status=0
  "$2" >"$out/second" 2>&1 || status=$?
  wait "$other" || status=$?
  cat "$out/first" "$out/second"
  rm -r "$out"
  return "$status"
}

step "style"
swift format lint --strict --recursive Package.swift Sources Tests

step "build"
swift build -c release --product tincture
binary=$(swift build -c release --show-bin-path)

step "tests"
python=$(tools/python.sh models)
# A scratch folder of its own: tests are built with other flags, and sharing would rebuild everything at each switch.
TINCTURE_PYTHON=$python timeout 1500 swift test -c release --scratch-path .build-test
helpers=$(swift build -c release --scratch-path .build-test --show-bin-path)

step "fuzzing: ten million damaged files"
parsers=$("$helpers/tincture-fuzz" list)
# One process for each parser, as many at a time as there are cores; xargs fails when one of them does.
xargs -P "$(nproc)" -I PARSER nice "$helpers/tincture-fuzz" PARSER --seed 1 --corpus golden/attacks/corpus \
  --executions $((10000000 / $(wc -w <<<"$parsers"))) <<<"$parsers"

step "golden files"
"$python" tools/golden/manifest.py --check

encoding_error() {
  step "encoding error against ggml"
  CLANG=${CLANG:-$(dirname "$(readlink -f "$(command -v swift)")")/clang} \
    "$python" tools/bench/encode_error.py --formats q4_0,q4_1,q5_0,q5_1,q2_k,q3_k,q4_k,q5_k,q6_k,iq4_nl,iq4_xs --rows 16 --no-speed --no-real
}
chat_templates() {
  step "chat templates against jinja2"
  "$python" tools/check/chat.py --program "$helpers/tincture-chat" --count 10000
}
side_by_side encoding_error chat_templates

tiny_models() {
  step "every architecture through stock llama.cpp, against transformers"
  "$python" tools/check/tiny_models.py --tincture "$binary/tincture"
}
parity_packs() {
  step "parity packs read by another program, against transformers"
  "$python" tools/check/parity.py --tincture "$binary/tincture"
}
side_by_side tiny_models parity_packs

step "real models against their witnesses"
models=${TINCTURE_MODELS:-.cache/models}
mkdir -p "$models"
[ -f "$models/gemma3-270m/config.json" ] || "$python" tools/models/gemma3_270m.py "$models/gemma3-270m"
[ -f "$models/minilm/config.json" ] || "$python" tools/models/minilm.py "$models/minilm"
"$python" tools/check/real_models.py --tincture "$binary/tincture" --models "$models"

step "the runtime on real models against transformers and stock llama.cpp"
"$python" tools/check/runtime.py --tincture "$binary/tincture" --models "$models"

step "token ids against tokenizers and sentencepiece"
"$python" tools/golden/unicode_tables.py --check
"$python" tools/check/tokenizers.py --tincture "$binary/tincture" --models "$models" --count 100000

step "all passed"
