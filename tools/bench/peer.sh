#!/usr/bin/env bash
# Builds llama.cpp's own tools natively for this processor and prints two lines: the folder of the built programs and
# the folder of the source tree (convert_hf_to_gguf.py is there).
#
# The source is the PyPI source package llama-cpp-python, which carries llama.cpp's whole tree. About ten minutes on
# two cores the first time; kept in .cache/peer.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
version=0.3.36
programs=(llama-quantize llama-imatrix llama-bench llama-perplexity)
folder=${TINCTURE_PEER:-$here/.cache/peer}
mkdir -p "$folder"
cd "$folder"
python=$("$here/tools/python.sh")
for program in cmake ninja; do
  command -v $program >/dev/null || "$python" -m pip install -q cmake ninja >&2
done
PATH=$(dirname "$python"):$PATH
source=$folder/llama_cpp_python-$version/vendor/llama.cpp
if [ ! -d "$source" ]; then
  "$python" -m pip install -q scikit-build-core >&2
  "$python" -m pip download -q --no-deps --no-build-isolation --no-binary llama-cpp-python \
    "llama-cpp-python==$version" >&2
  tar xf "llama_cpp_python-$version.tar.gz"
fi
missing=()
for program in "${programs[@]}"; do
  [ -x "build/bin/$program" ] || missing+=("$program")
done
if [ ${#missing[@]} != 0 ]; then
  cmake -S "$source" -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF >&2
  ninja -C build "${missing[@]}" >&2
fi
echo "$folder/build/bin"
echo "$source"
