#!/usr/bin/env bash
# Builds engine/sqlite3.wasm from its pinned sources, and the files generated
# from it.
#
#   engine/build.sh           build, and write the module, its checksum and the generated files
#   engine/build.sh --check   build beside the checked-in module and fail if the bytes differ
set -euo pipefail

cd -P -- "$(dirname -- "$0")"

missing=()
command -v clang-19 >/dev/null || missing+=(clang-19)
command -v wasm-ld-19 >/dev/null || missing+=(lld-19)
if ((${#missing[@]})); then
  sudo=()
  if [ "$(id -u)" != 0 ]; then sudo=(sudo); fi
  "${sudo[@]}" apt-get update
  "${sudo[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
fi
if [ ! -x ../node_modules/binaryen/bin/wasm-opt ]; then
  (cd .. && npm ci)
fi

if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  (cd build && go run . -o "$out/sqlite3.wasm")
  for module in sqlite3.wasm simd.wasm; do
    if ! cmp "$out/$module" "$module"; then
      echo "engine: the sources do not give the $module that is checked in" >&2
      exit 1
    fi
  done
  (cd .. && go run ./engine/gen -check)
  exit
fi

(cd build && go run . -o ../sqlite3.wasm)
(cd .. && go run ./engine/gen)
