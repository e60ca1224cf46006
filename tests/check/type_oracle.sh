#!/bin/sh
# Every element type beside llama.cpp: random weights, logits of 64 positions with the products that inference uses. Each program
# is compared with our exact products of the same file; ours may be no further off than llama.cpp × 1.05. Then real weights: the
# starter in every type, whose mean loss must order as the types do. ILAB_LLAMA_CPP: as in arch_oracle.sh.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
bin=$build/tools
llama=${ILAB_LLAMA_CPP:-node_modules/@node-llama-cpp/linux-x64/bins/linux-x64}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
types="F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 TQ1_0 TQ2_0 Q4_K_M Q5_K_M"
for type in $types; do
    [ -d "$llama" ] || { echo "skip type_oracle $type: ILAB_LLAMA_CPP names no folder with llama.cpp's libraries"; continue; }
    said=$("$bin/make_model" llama-s "$type" "$dir/$type.gguf" --seed 5 2>&1) || { echo "not ok type_oracle $type: $said"; failed=1; continue; }
    if said=$("$bin/arch_oracle" "$llama" "$dir/$type.gguf" -c 256 -q 2>"$dir/log"); then echo "ok type_oracle $said"
    else echo "not ok type_oracle $type: $said $(grep -v '^\.*$' "$dir/log" | tail -1)"; failed=1; fi
    rm -f "$dir/$type.gguf"
done

# NAME LIMIT: mean loss of the starter in this type, above that of its F32 form by at most LIMIT.
head -c 30000 models/starter-heldout.txt >"$dir/text"
loss() { "$build/ilab" model perplexity -m "$1" -f "$dir/text" --json $2 2>"$dir/log" | sed -nE 's/.*"nll_mean": *([0-9.]+).*/\1/p'; }
"$build/ilab" model quantize models/starter.gguf "$dir/F32.gguf" F32 >"$dir/log" 2>&1 || { echo "not ok type_oracle F32"; cat "$dir/log"; exit 1; }
base=$(loss "$dir/F32.gguf" "")
while read -r type limit; do
    "$build/ilab" model quantize "$dir/F32.gguf" "$dir/$type.gguf" "$type" --pure >"$dir/log" 2>&1 || { echo "not ok loss in $type: $(tail -1 "$dir/log")"; failed=1; continue; }
    here=$(loss "$dir/$type.gguf" "")
    if awk -v a="$here" -v b="$base" -v l="$limit" 'BEGIN { exit !(a != "" && b > 0 && a - b <= l && a - b > -l) }'; then echo "ok loss in $type $here, in F32 $base"
    else echo "not ok loss in $type: $here, in F32 $base, at most $limit apart"; failed=1; fi
    rm -f "$dir/$type.gguf"
done <<'T'
F16 0.0005
BF16 0.005
Q8_0 0.005
Q6_K 0.02
Q5_K 0.05
Q5_1 0.05
Q5_0 0.05
Q4_K 0.2
Q4_1 0.2
IQ4_NL 0.2
IQ4_XS 0.2
Q4_0 0.3
MXFP4 1
Q3_K 1
Q2_K 3
T
for kv in f16 q8_0; do
    here=$(loss "$dir/F32.gguf" "--kv-type $kv")
    if awk -v a="$here" -v b="$base" 'BEGIN { d = a - b; exit !(a != "" && d < 0.002 && d > -0.002) }'; then echo "ok loss with keys and values in $kv $here"
    else echo "not ok loss with keys and values in $kv: $here, in F32 $base"; failed=1; fi
done
exit $failed
