#!/bin/sh
# Every architecture beside llama.cpp: random weights (build/tools/make_model), logits of 64 positions, F32 weights and KV: NMSE ≤ 1e-6.
# Then the same with a random adapter on every matrix (rank 4, rsLoRA) that we wrote and llama.cpp reads.
# Near ties of a router are left out and counted. ILAB_LLAMA_CPP: a folder with llama.cpp's shared libraries (npm install
# @node-llama-cpp/linux-x64 in the repository's folder will do).  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.."
bin=${BUILD:-build}/tools
llama=${ILAB_LLAMA_CPP:-node_modules/@node-llama-cpp/linux-x64/bins/linux-x64}
[ -d "$llama" ] || { echo "skip arch_oracle: ILAB_LLAMA_CPP names no folder with llama.cpp's libraries"; exit 0; }
[ -x "$bin/make_model" ] && [ -x "$bin/arch_oracle" ] || { echo "skip arch_oracle: $bin/make_model or arch_oracle is not built"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
for shape in $("$bin/make_model" --list | sed -n 's/^  \([a-z0-9-]*-s\) .*/\1/p'); do
    said=$("$bin/make_model" "$shape" F32 "$dir/$shape.gguf" --seed 5 2>&1) || { echo "not ok arch_oracle $shape: $said"; failed=1; continue; }
    if said=$("$bin/arch_oracle" "$llama" "$dir/$shape.gguf" -c 256 2>"$dir/log"); then echo "ok arch_oracle $said"
    else echo "not ok arch_oracle $shape: $said $(grep -v '^\.*$' "$dir/log" | tail -1)"; failed=1; fi
    case $shape in *bert-s) continue ;; esac
    if said=$("$bin/arch_oracle" "$llama" "$dir/$shape.gguf" -c 256 -a 4 -r 2>"$dir/log"); then echo "ok arch_oracle adapter $said"
    else echo "not ok arch_oracle adapter $shape: $said $(grep -v '^\.*$' "$dir/log" | tail -1)"; failed=1; fi
    rm -f "$dir/$shape.gguf"
done
exit $failed
