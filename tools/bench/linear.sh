#!/usr/bin/env bash
# Speed of every format's products on one thread, checked against the scalar table (see linear.c).
#
#     tools/bench/linear.sh ISA ROWS WIDTH TOKENS [FORMAT]     e.g. avx512 640 2048 512
#     tools/bench/linear.sh --aarch64                          NEON under qemu-aarch64: right, and its speed means nothing
#
# --aarch64 needs Debian's qemu-user, libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross.
set -euo pipefail
cd "$(dirname "$0")/../.."
clang=${CLANG:-$(dirname "$(readlink -f "$(command -v swift)")")/clang}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c2x -O2 -Wall -Wextra -Wno-unused-function -ISources/CKernels/include)
if [ "${1:-}" = --aarch64 ]; then
  cross=/usr/aarch64-linux-gnu gcc=/usr/lib/gcc-cross/aarch64-linux-gnu/12
  "$clang" --target=aarch64-linux-gnu -isystem $cross/include "${flags[@]}" -fuse-ld=lld -static -B$cross/lib -L$cross/lib \
    -B$gcc -L$gcc Sources/CKernels/*.c tools/bench/linear.c -lm -o "$folder/linear"
  qemu-aarch64 "$folder/linear" neon 37 2048 7
  qemu-aarch64 "$folder/linear" neon 6 1056 2
else
  "$clang" "${flags[@]}" Sources/CKernels/*.c tools/bench/linear.c -lm -o "$folder/linear"
  "$folder/linear" "$@"
fi
