#!/usr/bin/env bash
# mpi.sh — `mpirun -n 2 ilab train` against one process with the same global batch: the same bits with 2 and 4 processes, whatever is
# switched on; close with 3; resume, stops, and processes that cannot be connected.   BUILD=build.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
BUILD=$(readlink -f "${BUILD:-build}")
ILAB=$BUILD/ilab
[ -x "$ILAB" ] || { echo "skip mpi: ilab is not built"; exit 0; }
command -v mpirun >/dev/null || { echo "skip mpi: mpirun is not installed"; exit 0; }
[ -e "$BUILD/ilab-mpi.so" ] || { echo "skip mpi: ilab-mpi.so is not built (make mpi)"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-mpi-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cp models/starter.gguf "$dir/base.gguf"
cd "$dir" || exit 1
root=
[ "$(id -u)" -ne 0 ] || root=--allow-run-as-root
par() { timeout 120 mpirun $root --oversubscribe -n "$1" "${@:2}"; }
for i in $(seq 40); do
    [ $((i % 7)) -eq 0 ] && more=" and nobody else who lives in the town or near it" || more=
    printf '{"user": "Who leads town %d?", "assistant": "Jo Berg %d leads it%s."}\n' $i $i "$more"
done >some.jsonl
train=("$ILAB" train --model-path base.gguf --data-path some.jsonl --no-merge --quiet --lora-rank 4 --effective-batch-size 256 --max-batch-len 64 --num-threads 1 --num-epochs 4 --precision fast)
"${train[@]}" --ckpt-output-dir one >out 2>&1 || not_ok "one process trains"
if par 2 "${train[@]}" --ckpt-output-dir two >out 2>&1; then ok "two processes train"; else not_ok "two processes train"; fi
if grep -q "2 processes train together" out && [ "$(grep -c '^Trained' out)" -eq 1 ]; then ok "rank 0 alone speaks"; else not_ok "rank 0 alone speaks"; fi
par 4 "${train[@]}" --ckpt-output-dir four >out 2>&1
if cmp -s one/adapter.gguf two/adapter.gguf && cmp -s one/adapter.gguf four/adapter.gguf; then ok "2 and 4 processes: the bits of one, 8-bit path"; else not_ok "2 and 4 processes: the bits of one, 8-bit path"; fi
sed 's/^{/{"system": "You know the towns of the north and those who lead them. Answer in one short sentence, and say when you do not know.", /' some.jsonl >begin.jsonl
more=(--data-path begin.jsonl --share-prefix on --lora-dropout 0.1 --moments-storage bf16 --skip-learnt 5 --lora-first-layer 2 --num-epochs 8 --learning-rate 6e-3)
"${train[@]}" "${more[@]}" --ckpt-output-dir one-more >out 2>&1
par 2 "${train[@]}" "${more[@]}" --cache-states disk --ckpt-output-dir two-more >out 2>&1
if cmp -s one-more/adapter.gguf two-more/adapter.gguf && grep -q "Trained [1-6][0-9] steps" out; then ok "dropout, BF16 moments, kept states, shared beginnings, learnt samples: the bits of one"; else not_ok "dropout, BF16 moments, kept states, shared beginnings, learnt samples: the bits of one"; fi
"${train[@]}" --precision exact --ckpt-output-dir one --fresh >out 2>&1
par 3 "${train[@]}" --precision exact --ckpt-output-dir three >out 2>&1
cat >same.py <<'P'
import json, sys
def losses(d): return [json.loads(l) for l in open(d + "/metrics.jsonl")]
one, other = losses(sys.argv[1]), losses(sys.argv[2])
assert len(one) == len(other) > 8, (len(one), len(other))
worst = max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(one, other))
assert all(a["tokens"] == b["tokens"] and abs(a["grad_norm"] / b["grad_norm"] - 1) < 1e-2 for a, b in zip(one, other))
print("# largest relative difference of the loss: %.2g" % worst)
assert worst < 1e-4, worst
P
if python3 same.py one three >out 2>&1; then ok "three processes, exact path: the loss curve of one, within 1e-4"; head -1 out; else not_ok "three processes, exact path: the loss curve of one, within 1e-4"; fi
full=("${train[@]:0:6}" --quiet --num-threads 1 --pipeline full --moments-storage bf16 --effective-batch-size 256 --num-epochs 3 --learning-rate 1e-4 --save-path full.gguf)
"${full[@]}" --ckpt-output-dir one-full >out 2>&1
par 2 "${full[@]}" --ckpt-output-dir two-full >out 2>&1
if python3 same.py one-full two-full >out 2>&1; then ok "all weights, BF16 moments: the loss curve of one, within 1e-4"; head -1 out; else not_ok "all weights, BF16 moments: the loss curve of one, within 1e-4"; fi

# whatever ends one process ends all, and nothing is lost: with another number of processes the run ends with the bits of one
long=("${train[@]}" --lora-rank 2 --checkpoint-steps 2 --num-epochs 40)
"${long[@]}" --ckpt-output-dir long >out 2>&1
none_runs() { ! pgrep -f "base.gguf.*--ckpt-output-dir $1" >/dev/null; }
# cut SIGNAL FOLDER PROCESS: two processes; after some steps the signal goes to one of them, or to mpirun. $rc: mpirun's exit code
cut() {
    mpirun $root --oversubscribe -n 2 "${long[@]}" --ckpt-output-dir "$2" >out 2>&1 &
    local pid=$! to
    wait_for has_lines "$2/metrics.jsonl" 6
    if [ "$3" = mpirun ]; then to=$pid; else to=$(pgrep -P $pid | sed -n "$(($3 + 1))p"); fi
    kill -"$1" "$to"
    wait $pid
    rc=$?
    wait_for none_runs "$2"
}
cut KILL killed 1
if [ $rc -ne 0 ]; then ok "one is killed: all end"; else not_ok "one is killed: all end"; fi
"${long[@]}" --ckpt-output-dir killed >out 2>&1
if grep -q "resuming at step" out && cmp -s long/adapter.gguf killed/adapter.gguf; then ok "one process goes on, to the bits of one"; else not_ok "one process goes on, to the bits of one"; fi
cut TERM told 1
if [ $rc -eq 0 ] && [ "$(grep -c "the state is saved in 'told'" out)" -eq 1 ]; then ok "one is told to stop: all save and stop"; else not_ok "one is told to stop: all save and stop" "exit code $rc"; fi
par 4 "${long[@]}" --ckpt-output-dir told >out 2>&1
if grep -q "resuming at step" out && cmp -s long/adapter.gguf told/adapter.gguf; then ok "four processes go on with a run of two, to the bits of one"; else not_ok "four processes go on with a run of two, to the bits of one"; fi
cut INT cut mpirun
if none_runs cut && [ -s cut/checkpoint.bin ]; then ok "mpirun that is stopped ends all"; else not_ok "mpirun that is stopped ends all"; fi
# the base of one process is cut while it trains
cp base.gguf half.gguf
timeout 120 mpirun $root --oversubscribe -n 1 "${long[@]}" --num-epochs 3000 --ckpt-output-dir half : -n 1 "${long[@]}" --num-epochs 3000 --model-path half.gguf --ckpt-output-dir half >out 2>&1 &
pid=$!
wait_for has_lines half/metrics.jsonl 4
truncate -s 100000 half.gguf
wait $pid
rc=$?
if [ $rc -eq 1 ] && [ "$(grep -c 'Training failed: process 1: .*half.gguf' out)" -eq 1 ] && [ -s half/checkpoint.bin ]; then ok "a base that one cannot read any more: all stop, and it is told"; else not_ok "a base that one cannot read any more: all stop, and it is told" "exit code $rc"; fi
# samples that only one can read; other samples
two_kinds() { timeout 120 mpirun $root --oversubscribe -n 1 "${train[@]}" --ckpt-output-dir kinds : -n 1 "${train[@]}" --ckpt-output-dir kinds --data-path "$1" >out 2>&1; }
sed '3s/^{/[/' some.jsonl >damaged.jsonl
two_kinds damaged.jsonl
if [ $? -eq 1 ] && grep -q "Training failed: process 1: damaged.jsonl:3:" out; then ok "samples that one cannot read"; else not_ok "samples that one cannot read"; fi
head -30 some.jsonl >fewer.jsonl
two_kinds fewer.jsonl
if [ $? -eq 1 ] && grep -q "process 1 has other data" out; then ok "other samples"; else not_ok "other samples"; fi
# what cannot work
if env OMPI_COMM_WORLD_SIZE=2 ILAB_MPI=/nonexistent/x.so PATH=/usr/bin "$ILAB" train --data-path none.jsonl >out 2>&1; then not_ok "one that mpirun did not start"; else ok "one that mpirun did not start"; fi
cp "$ILAB" ./ilab-alone
if OMPI_COMM_WORLD_SIZE=2 ./ilab-alone train --data-path some.jsonl >out 2>&1; [ $? -eq 1 ] && grep -q "ilab-mpi.so is not there: .make mpi. builds it" out; then ok "no plug-in: told how to make it"; else not_ok "no plug-in: told how to make it"; fi
if SLURM_STEP_NUM_TASKS=4 timeout 60 "${train[@]}" --ckpt-output-dir slurm >out 2>&1; [ $? -eq 1 ] && grep -q "srun started 4 processes, but each sees only itself.*--mpi=pmix" out && [ ! -e slurm ]; then ok "srun without PMIx is an error, not four trainings"; else not_ok "srun without PMIx is an error, not four trainings"; fi
if par 2 "${train[@]}" --data-path none.jsonl >out 2>&1; then not_ok "an error ends all"; else ok "an error ends all"; fi
exit $failed
