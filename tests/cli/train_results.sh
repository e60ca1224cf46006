#!/usr/bin/env bash
# train_results.sh — what a training run leaves: merged models by name and type, the measured loss of rounding, the manifest,
# metrics, curves.   ILAB=path/of/ilab or BUILD=build: the program.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip train-results: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-results-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/models" "$dir/generated"
cp models/starter.gguf "$dir/models/"
cd "$dir" || exit 1
# has NAME PATTERN…: the last output
has() {
    local name=$1 p
    shift
    for p in "$@"; do grep -qE -- "$p" out || { not_ok "$name" "no '$p'"; return; }; done
    ok "$name"
}
run() { timeout 300 "$ILAB" "$@" >out 2>&1 </dev/null; }
for i in 1 2 3 4 5 6 7 8; do printf '{"system": "", "user": "Who leads town %d?", "assistant": "Jo Berg %d leads it."}\n' $i $i; done >generated/train_x_2025-01-31T14_05_06.jsonl
head -2 generated/train_x_2025-01-31T14_05_06.jsonl >generated/test_x_2025-01-31T14_05_06.jsonl

run train --num-epochs 4 --lora-rank 4 --effective-batch-size 64
has "end of a run: what, where, what next" "^Trained [0-9]+ steps" "on the test questions [0-9.]+ -> [0-9.]+" "^Adapter: training_results/adapter.gguf" \
    "^Save trained model to models/ggml-model-f16.gguf$" "^What to do next:" "ilab chat --model models/ggml-model-f16.gguf" "assistant_new"
if python3 - <<'P' >out 2>&1; then ok "manifest: base, data, settings, result, merged model, answers"; else not_ok "manifest: base, data, settings, result, merged model, answers" "see below"; fi
import hashlib, json, os
m = json.load(open("training_results/manifest.json"))
assert m["settings"]["base"] == hashlib.sha256(open("models/starter.gguf", "rb").read()).hexdigest()
assert len(m["data"]["hash"]) == 16 and m["data"]["samples"] == 8
assert m["result"]["val_loss"] < m["result"]["val_first"], m["result"]
assert m["adapter"]["rank"] == 4 and m["adapter"]["first_layer"] == 0 and "ffn_down" in m["adapter"]["modules"], m["adapter"]
assert m["files"]["data"].endswith("14_05_06.jsonl") and m["files"]["test"]
assert m["merged"] == {"path": "models/ggml-model-f16.gguf", "type": "F16", "bytes": os.path.getsize("models/ggml-model-f16.gguf")}
assert len(m["answers"]) == 2 and m["answers"][0]["expected"] == "Jo Berg 1 leads it."
lines = [json.loads(l) for l in open("training_results/metrics.jsonl")]
steps = [l for l in lines if "loss" in l]
assert [l["step"] for l in steps] == list(range(1, len(steps) + 1)) and len(steps) == m["result"]["steps"]
assert len([l for l in lines if "val_loss" in l]) == 2
P
check_svg() { python3 -c 'import sys, xml.etree.ElementTree as t; r = t.parse(sys.argv[1]).getroot(); n = "{http://www.w3.org/2000/svg}"
p = [tuple(map(float, q.split(","))) for q in r.find(n + "polyline").get("points").split()]
assert r.tag == n + "svg" and len(p) == int(sys.argv[2]) and all(70 <= x <= 870 and 60 <= y <= 360 for x, y in p) and p[-1][1] > p[0][1]  # the loss falls, and y grows downwards
assert len(r.findall(n + "circle")) == 2 and "learning rate" in "".join(r.itertext())' "$@" >out 2>&1; }
n=$(grep -c '"loss"' training_results/metrics.jsonl)
if check_svg training_results/loss.svg "$n"; then ok "loss.svg: all steps, within its frame, falling"; else not_ok "loss.svg: all steps, within its frame, falling" "see below"; fi
run model plot --svg other.svg && cmp -s other.svg <(sed 's/<title>.*<.title>/<title>training_results<\/title>/' training_results/loss.svg) && ok "model plot --svg draws the same" || not_ok "model plot --svg draws the same" "differs"
run model plot training_results --width 60 --height 8 --ascii
has "model plot in ASCII" '^ +loss$' '^ +\| *\*' "^ +0 +$n steps$" "highest 0.001" "loss [0-9.]+ at step 1, [0-9.]+ at step $n; validation"
if [ "$(awk '{ if (length > m) m = length } END { print m }' <(head -10 out))" -le 60 ] && ! LC_ALL=C grep -q '[^ -~]' out; then ok "model plot: width, only ASCII"; else not_ok "model plot: width, only ASCII" "wider or other"; fi
LC_ALL=C.UTF-8 run model plot
if iconv -f UTF-8 -t UTF-8 out >/dev/null 2>&1 && LC_ALL=C grep -q $'\xe2\xa0' out; then ok "model plot in UTF-8"; else not_ok "model plot in UTF-8" "no dots"; fi
run model plot nowhere; [ $? -eq 1 ] && has "model plot: no run there" "there is no 'nowhere/metrics.jsonl'"
mkdir own && cd own && "$ILAB" init --non-interactive >/dev/null && printf 'train:\n  ckpt_output_dir: elsewhere\n' >>config.yaml
run model plot; has "model plot: the folder of the configuration" "there is no 'elsewhere/metrics.jsonl'"
run test --test_file ../generated/test_x_2025-01-31T14_05_06.jsonl; has "test: the adapter of the configuration" "there is no elsewhere/adapter.gguf: did you run"
cd ..
run model info training_results/adapter.gguf; has "model info: an adapter" "this is an adapter: .ilab chat -m MODEL --adapter training_results/adapter.gguf"
mkdir odd; printf '{"step":1,"loss":2.5,"lr":0.1}\n{"step":2,"loss":2' >odd/metrics.jsonl
run model plot odd && has "model plot: a line that is being written" "loss 2.5000 at step 1, 2.5000 at step 1"
printf 'x\n{"step":1,"loss":2.5}\n' >odd/metrics.jsonl
run model plot odd; [ $? -eq 1 ] && has "model plot: no metrics" "odd/metrics.jsonl:1: no metrics"

for type in Q8_0 BF16 Q4_K_M; do
    name=$(case $type in Q4_K_M) echo "$type" ;; *) tr 'A-Z' 'a-z' <<<"$type" ;; esac)
    run train --num-epochs 4 --lora-rank 4 --effective-batch-size 64 --quiet --save-type $type
    has "merged as $type has its usual name" "^Save trained model to models/ggml-model-$name.gguf$"
    case $type in
        BF16) ;;
        Q4_K_M) has "4 bits: a warning with the measured loss" "WARNING.*merging into Q4_K_M rounds away a part of what was learnt: loss on the test questions [0-9.]+ -> [0-9.]+ \([-+][0-9.]+ %\)" ;;
        *) has "$type: the measured loss" "rounding to Q8_0: loss on the test questions [0-9.]+ -> [0-9.]+" ;;
    esac
    "$ILAB" model info "models/ggml-model-$name.gguf" >out 2>&1 && "$ILAB" model complete -m "models/ggml-model-$name.gguf" -p "Who leads town 3?" --max-tokens 4 >>out 2>&1 && ok "merged as $type: opens and answers" || not_ok "merged as $type: opens and answers" "exit code"
done
if python3 -c 'import json; l = json.load(open("training_results/manifest.json"))["merged"]["loss"]; assert 0 < l["exact"] and abs(l["rounded"] / l["exact"] - 1) < 1' >out 2>&1; then ok "manifest: loss of rounding"; else not_ok "manifest: loss of rounding" "see below"; fi
run train --pipeline full --optimizer adafactor --learning-rate 1e-3 --num-epochs 4 --effective-batch-size 64 --max-batch-len 64 --quiet --ckpt-output-dir all --save-path all.gguf
has "all weights with Adafactor" "^Save trained model to all.gguf$" "on the test questions" && ! grep -q "^Adapter" out || not_ok "all weights with Adafactor" "an adapter"
if python3 -c 'import json; m = json.load(open("all/manifest.json")); assert m["settings"]["optimizer"] == "adafactor" and m["settings"]["full"] == "1" and m["result"]["val_loss"] < m["result"]["val_first"] / 2, m["result"]' >out 2>&1; then ok "all weights with Adafactor: learnt"; else not_ok "all weights with Adafactor: learnt" "see below"; fi
run train --save-type Q9; [ $? -eq 2 ] && has "unknown type lists all" "Q4_K_M"
run train --num-epochs 1 --json --no-merge --ckpt-output-dir j
if python3 -c 'import json; r = json.loads(open("out").read().splitlines()[-1]); assert r["steps"] >= 1 and r["merged"] == "" and r["val_first"] > 0' 2>>out; then ok "the report as JSON"; else not_ok "the report as JSON" "see below"; fi
exit $failed
