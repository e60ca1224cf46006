#!/usr/bin/env bash
# train_memory.sh — `ilab train --memory`: fewer tokens at a time, recomputation and weights read layer by layer give the same
# adapter, byte for byte, in the memory that was allowed; too little is refused with the figure that would do; a dry run leaves nothing.
#   BUILD=build: the programs.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
make_model=$(readlink -f "${BUILD:-build}/tools/make_model") ilab=$(readlink -f "${BUILD:-build}/ilab")
[ -x "$make_model" ] || { echo "skip train_memory: make_model is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-train-memory-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
ok() { echo "ok train_memory/$1"; }
not_ok() { echo "not ok train_memory/$1: $2"; sed 's/^/#   /' err | head -12; failed=1; }
value() { grep -o "\"$1\": [0-9.]*" "$2" | head -1 | grep -o '[0-9.]*$'; }
train() { "$ilab" train -m m.gguf --data-path d.jsonl --no-merge --num-epochs 2 --effective-batch-size 256 --lora-rank 4 --seed 3 --json "$@"; }

"$make_model" 135m Q4_0 m.gguf --layers 8 >err 2>&1 || { not_ok make "no model"; exit 1; }
for i in 1 2 3 4 5 6 7 8; do
    printf '{"messages":[{"role":"user","content":"a b c d e f g %d a b c d e f a b c d e f"},{"role":"assistant","content":"h i j %d k l m h i j k"}]}\n' $i $((i * 7))
done >d.jsonl
train --dry-run >dry.json 2>err
[ ! -e training_results ] && grep -q '"share_of_peak"' dry.json && ok dry-run || not_ok dry-run "left something behind, or no figures"
train --ckpt-output-dir free >free.json 2>err || not_ok free "failed"
peak=$(value peak_rss_bytes free.json) said=$(value peak_rss_bytes dry.json)
awk "BEGIN { exit !($said > 0.93 * $peak && $said < 1.07 * $peak) }" && ok dry-run-memory || not_ok dry-run-memory "said $said, was $peak"
same() { # NAME OPTIONS…
    local name=$1; shift
    train --ckpt-output-dir "$name" "$@" >"$name.json" 2>err || { not_ok "$name" "failed"; return; }
    cmp -s $base/adapter.gguf "$name/adapter.gguf" && ok "$name-same" || not_ok "$name-same" "another adapter"
}
base=free
same recompute --recompute on
same micro --max-batch-len 64
train --ckpt-output-dir upper --lora-first-layer 5 --cache-states off >upper.json 2>err || not_ok upper "failed"
base=upper
same states-ram --lora-first-layer 5 --cache-states ram
same states-disk --lora-first-layer 5 --cache-states disk --max-batch-len 64
[ ! -e states-disk/states.bin ] && ok states-removed || not_ok states-removed "a finished run leaves its hidden states behind"
# a document that all samples begin with: computed once a step, the same losses, kept states and dry run included
for i in 1 2 3 4 5 6 7 8; do
    printf '{"messages":[{"role":"user","content":"%s %d %d"},{"role":"assistant","content":"h i j %d"}]}\n' "$(printf 'a b c d e f g h %.0s' 1 2 3 4 5 6)" $i $((i * 3)) $i
done >d.jsonl
train --effective-batch-size 1024 --ckpt-output-dir apart --share-prefix off >apart.json 2>err || not_ok apart "failed"
grep -q 'prefix sharing' err && not_ok apart "shares although it is off"
train --effective-batch-size 1024 --ckpt-output-dir shared >shared.json 2>err || not_ok shared "failed"
grep -q 'prefix sharing: [0-9,]* tokens computed as [0-9,]*$' err && ok share-log || not_ok share-log "no log line"
if awk -F'[:,]' '/"loss"/ { if (FNR == NR) want[FNR] = $6; else if ($6 / want[FNR] > 1.002 || $6 / want[FNR] < 0.998) bad = 1; n[FNR == NR]++ } END { exit bad || n[0] != n[1] || n[0] < 2 }' \
    apart/metrics.jsonl shared/metrics.jsonl; then ok share-losses; else not_ok share-losses "other losses"; fi
train --effective-batch-size 1024 --dry-run >dry.json 2>err
computed=$(value computed dry.json) all=$(value epoch_tokens dry.json)
awk "BEGIN { exit !($computed > 100 && $computed < 0.5 * $all) }" && ok share-dry-run || not_ok share-dry-run "$all tokens as $computed"
head -1 d.jsonl >one.jsonl
"$ilab" train -m m.gguf --data-path one.jsonl --no-merge --dry-run --share-prefix on >out 2>err
grep -q 'prefix sharing: none, no two samples begin' out && ok share-none || not_ok share-none "not a word"
"$ilab" train --share-prefix some >out 2>err && not_ok share-usage "takes any word" || ok share-usage
base=shared
same share-micro --effective-batch-size 1024 --max-batch-len 64 --recompute on
rm -f d.jsonl && for i in 1 2 3 4 5 6 7 8; do
    printf '{"messages":[{"role":"user","content":"a b c d e f g %d a b c d e f a b c d e f"},{"role":"assistant","content":"h i j %d k l m h i j k"}]}\n' $i $((i * 7))
done >d.jsonl
base=free
least=$(train --memory 1M --dry-run 2>&1 >/dev/null | grep -o 'at least [0-9.]* [kMG]B' | grep -o '[0-9.]* [kMG]B')
[ -n "$least" ] && ok refused || not_ok refused "no figure of what is needed at least"
[ -n "$least" ] || exit 1
allowed=$(awk "BEGIN { print int(1.05 * ${least% MB}) }")
same tight --memory "${allowed}M"
grep -q 'are read from the disk up to twice for each' err && ok streams-told || not_ok streams-told "no word before the work"
train --memory "${allowed}M" --dry-run >tight-dry.json 2>err
grep -q '"streams_weights": true' tight-dry.json && ok streams || not_ok streams "the weights do not stream at $allowed MB"
peak=$(value peak_rss_bytes tight.json)
awk "BEGIN { exit !($peak < 1.06e6 * $allowed) }" && ok "within" || not_ok within "$peak bytes, $allowed MB allowed"
exit $failed
