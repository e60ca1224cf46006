#!/usr/bin/env bash
# train_safety.sh — a training run that is killed, stopped, damaged, crowded or misled: nothing is lost, one clear message each.
#   ILAB=path/of/ilab or BUILD=build: the program.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip train-safety: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-train-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cp models/starter.gguf "$dir/base.gguf"
cd "$dir" || exit 1
for i in 1 2 3 4 5 6 7 8; do printf '{"user": "Who leads town %d?", "assistant": "Jo Berg %d leads it."}\n' $i $i; done >some.jsonl
train=("$ILAB" train --model-path base.gguf --data-path some.jsonl --no-merge --quiet --lora-rank 2 --effective-batch-size 64 --num-threads 1)

# ---- killed at any moment: the same bits ----
check "a whole run" 0 "Adapter: whole/adapter.gguf" -- "${train[@]}" --num-epochs 200 --ckpt-output-dir whole
"${train[@]}" --num-epochs 200 --ckpt-output-dir cut --checkpoint-steps 3 >out 2>&1 &
pid=$!
wait_for has_lines cut/metrics.jsonl 8
kill -KILL $pid; wait $pid 2>/dev/null
check "goes on after kill -9" 0 "left the folder .* without ending in order" "resuming at step" -- "${train[@]}" --num-epochs 200 --ckpt-output-dir cut --checkpoint-steps 3
if cmp -s whole/adapter.gguf cut/adapter.gguf; then ok "killed and resumed: the same bits"; else not_ok "killed and resumed: the same bits" "adapters differ"; fi
check "finished: nothing is trained again" 0 "this run is complete \(([0-9]+) steps\): nothing is left" "This run was complete already: [0-9]+ steps" -- "${train[@]}" --num-epochs 200 --ckpt-output-dir cut

# ---- signals, and two runs in one folder ----
"${train[@]}" --num-epochs 5000 --ckpt-output-dir busy >busy.log 2>&1 &
pid=$!
wait_for has_lines busy/metrics.jsonl 3
check "two runs refuse to share a folder" 1 "another run, process $pid is using the folder \"busy\"" "choose another folder" -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir busy
kill -TERM $pid; wait $pid; rc=$?
if [ $rc -eq 0 ] && grep -q "the same command goes on" busy.log; then ok "SIGTERM saves and ends with success"; else cp busy.log out; not_ok "SIGTERM saves and ends with success" "exit code $rc"; fi
if [ -s busy/.lock ]; then not_ok "no stale lock after SIGTERM" "$(cat busy/.lock)"; else ok "no stale lock after SIGTERM"; fi

# ---- asked on a terminal ----
terminal=(python3 "$root/tests/cli/terminal.py")
check "asks on a terminal: yes goes on" 130 "Go on with it.*x" "resuming at step" -- \
    "${terminal[@]}" 'see:Go on with it' 'type:x\n' 'see:y/n. $' 'type:y\n' 'see:resuming at step' kill:INT -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir busy
check "asks on a terminal: no begins anew" 130 "Go on with it" "!resuming at step" -- \
    "${terminal[@]}" 'see:Go on with it' 'type:n\n' 'see:step' kill:INT -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir busy

# ---- what does not belong together ----
check "other settings" 1 "cannot resume the run in 'busy' \(step [0-9]+ of" "rank is '4', was '2'" "\-\-fresh" "--ckpt-output-dir" -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir busy --lora-rank 4
sed 's/Jo/Al/' some.jsonl >other.jsonl
check "other data" 1 "the training data changed" -- "${train[@]}" --data-path other.jsonl --num-epochs 5000 --ckpt-output-dir busy
"$ILAB" model quantize base.gguf q.gguf Q8_0 --json >/dev/null 2>&1
mv base.gguf kept.gguf; mv q.gguf base.gguf
check "a base that changed" 1 "the base model is another one, or its file changed" -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir busy
mv kept.gguf base.gguf
check "fresh begins anew" 0 "Adapter: busy/adapter.gguf" -- "${train[@]}" --num-epochs 1 --ckpt-output-dir busy --fresh
check "a finished run of other settings makes room" 0 "is finished; a new one begins" -- "${train[@]}" --num-epochs 2 --ckpt-output-dir busy
check "nothing to resume" 1 "there is no unfinished run in 'busy'" -- "${train[@]}" --num-epochs 2 --ckpt-output-dir busy --resume

# ---- damaged, full disk ----
"${train[@]}" --num-epochs 5000 --ckpt-output-dir dam --checkpoint-steps 2 >out 2>&1 &
pid=$!
wait_for test -s dam/checkpoint-previous.bin
kill -KILL $pid; wait $pid 2>/dev/null
head -c 5000 dam/checkpoint.bin >cut.bin; cp --remove-destination cut.bin dam/checkpoint.bin # (killed between two names of one file, both are one)
stop_when INT "going on from" "${train[@]}" --num-epochs 5000 --ckpt-output-dir dam
if grep -q "checkpoint.bin' is damaged; trying the checkpoint before it" out && grep -q "going on from 'dam/checkpoint-previous.bin'" out; then ok "a damaged checkpoint falls back to the one before"; else not_ok "a damaged checkpoint falls back to the one before" "no word of it"; fi
cp cut.bin dam/checkpoint.bin; cp cut.bin dam/checkpoint-previous.bin
check "both damaged" 1 "no checkpoint in 'dam' is sound any more" -- "${train[@]}" --num-epochs 5000 --ckpt-output-dir dam
"${train[@]}" --num-epochs 5000 --ckpt-output-dir full --checkpoint-steps 2 >out 2>&1 &
pid=$!
wait_for has_lines full/metrics.jsonl 5
kill -KILL $pid; wait $pid 2>/dev/null
before=$(sha256sum <full/checkpoint.bin)
check "full disk: told, and tried again" 1 "cannot write.*the training goes on, the state will be saved later" "the last good checkpoint is kept" -- bash -c "trap '' XFSZ; ulimit -f 64; exec ${train[*]} --num-epochs 5000 --ckpt-output-dir full --checkpoint-steps 2"
if [ "$before" = "$(sha256sum <full/checkpoint.bin)" ]; then ok "full disk: the checkpoint is as it was"; else not_ok "full disk: the checkpoint is as it was" "it changed"; fi

# ---- samples ----
long=$(printf 'and on %.0s' {1..60})
{ cat some.jsonl; printf '{"user": "Long?", "assistant": "%s"}\n{"user": "%s", "assistant": "Yes."}\n' "$long" "$long"; } >long.jsonl
check "long samples are counted" 0 "2 of 10 samples are longer than 64 tokens \(--max-seq-len\) and are left out; the first is line 9" -- "${train[@]}" --data-path long.jsonl --num-epochs 1 --max-seq-len 64 --ckpt-output-dir l1
check "long samples are cut" 0 "1 of 10 samples are longer than 64 tokens .* lose their end; the first is line 9" "1 samples are left out: their answers begin behind token 64" -- "${train[@]}" --data-path long.jsonl --num-epochs 1 --max-seq-len 64 --long-samples cut --ckpt-output-dir l2
tail -1 long.jsonl >only.jsonl
check "only long samples" 1 "no sample of 'only.jsonl' teaches anything: all 1 are longer than 64 tokens" -- "${train[@]}" --data-path only.jsonl --max-seq-len 64 --ckpt-output-dir l3
check "only long samples, cut" 1 "no sample of 'only.jsonl' teaches anything" "their answers begin behind that" -- "${train[@]}" --data-path only.jsonl --max-seq-len 64 --long-samples cut --ckpt-output-dir l3
printf '{"user": "a", "assistant": "b"}\n{"messages": [{"role": "user", "content": "nobody answers"}]}\n' >mute.jsonl
check "a sample without an answer" 1 "mute.jsonl:2: no assistant's answer to learn from" -- "${train[@]}" --data-path mute.jsonl --ckpt-output-dir l3
{ cat some.jsonl; printf '{"user": "a", "assistant": " \\n"}\n{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}\n'; } >silent.jsonl
check "empty answers are told once" 0 "2 of 10 samples have an empty answer.* the first is silent.jsonl:9;" -- "${train[@]}" --data-path silent.jsonl --num-epochs 1 --ckpt-output-dir l4
check "answers that are none of them empty" 0 "!empty answer" -- "${train[@]}" --data-path some.jsonl --num-epochs 1 --ckpt-output-dir l5
check "long samples: what else" 2 "'drop' is not one of: skip cut" -- "${train[@]}" --long-samples drop

# ---- contradictions ----
check "resume and fresh" 2 "contradict" -- "$ILAB" train --resume --fresh
check "full and a rank" 2 "has no adapter: leave --lora-rank out" -- "$ILAB" train --pipeline full --lora-rank 4
check "full and dropout" 2 "has no adapter: leave --lora-dropout out" -- "$ILAB" train --pipeline full --lora-dropout 0.1
check "full and a path" 2 "is about frozen weights" -- "$ILAB" train --pipeline full --precision fast
check "states of no layer" 2 "name its lowest layer with --lora-first-layer" -- "$ILAB" train --cache-states disk
check "full and no merge" 2 "nothing would come out" -- "$ILAB" train --pipeline full --no-merge
check "from scratch without full" 2 "needs --pipeline full" -- "$ILAB" train --from-scratch x.yaml
check "from scratch and a base" 2 "makes a new model" -- "$ILAB" train --pipeline full --from-scratch x.yaml --model-path y
check "no merge and a place for it" 2 "wants none" -- "$ILAB" train --no-merge --save-path x.gguf
exit $failed
