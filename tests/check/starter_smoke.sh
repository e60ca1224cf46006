#!/usr/bin/env bash
# The starter's recipe in a minute: corpus, vocabulary, a tiny model from nothing; the loss must fall well below that of the
# token frequencies, and a second run must say that nothing is left to do or go on from the checkpoint.
set -u
BUILD=${BUILD:-build}
top=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
ilab=$top/$BUILD/ilab
"$top/$BUILD/tools/world" corpus --seed 3 --tokens 400000 --out corpus.jsonl 2>/dev/null && echo "ok corpus written" || echo "not ok corpus written"
"$top/$BUILD/tools/world" validation --seed 4 --tokens 8000 --out validation.jsonl >/dev/null 2>&1
cat >smoke.yaml <<'Y'
name: smoke
n_embd: 64
n_layer: 2
n_head: 2
n_kv_head: 1
head_dim: 32
n_ff: 192
n_ctx: 512
tied: true
vocab_size: 1024
special_tokens: ['<|endoftext|>', '<|system|>', '<|user|>', '<|assistant|>']
pre: smollm
chat_template: granite
seed: 1
data: [corpus.jsonl]
validation: validation.jsonl
tokens: 500_000
batch_tokens: 2048
micro_tokens: 1024
lr: 0.004
warmup_steps: 20
schedule: wsd
decay_share: 0.2
weight_decay: 0.05
clip_norm: 1.0
checkpoint_minutes: 10
out: run
output: smoke.gguf
output_type: F16
Y
report=$("$ilab" model train --pipeline full --from-scratch smoke.yaml --json 2>log.txt)
loss=$(grep -o '"val_loss": [0-9.]*' <<<"$report" | grep -o '[0-9.]*$')
if awk -v l="${loss:-99}" 'BEGIN { exit !(l < 4.0) }'; then echo "ok validation loss $loss"; else echo "not ok validation loss '${loss}'"; tail -5 log.txt; fi
if [ -s smoke.gguf ] && "$ilab" model complete -m smoke.gguf -p 'The ' -n 8 --json 2>/dev/null | grep -q '"ids"'; then echo "ok model usable"; else echo "not ok model usable"; fi
exit 0
