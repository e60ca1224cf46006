#!/usr/bin/env bash
# export.sh — what `ilab export` writes is read back by PyYAML and Python's json, and has the keys that each trainer reads.
#   ILAB=path/of/ilab or BUILD=build: the program.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip export: ilab is not built"; exit 0; }
python3 -c 'import yaml' 2>/dev/null || { echo "skip export: python3-yaml is not installed"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-export-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export XDG_CONFIG_HOME=$dir/none XDG_DATA_HOME=$dir/none  # not the settings of whoever runs it
failed=0
report() { if [ "$1" -eq 0 ]; then echo "ok $2"; else echo "not ok $2"; sed 's/^/#   /' out | tail -8; failed=1; fi; }
mkdir generated
cat >generated/messages_x_2025-01-31T14_05_06.jsonl <<'D'
{"messages":[{"role":"user","content":"Who is \"Jo\"?\nSay: yes"},{"role":"assistant","content":"Jö — #1: 'x'"}],"kind":"forward","weight":2.0}
{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}
{"system":"","user":"e","assistant":"f"}
{"text":"plain"}
D
echo '{"system":"","user":"t","assistant":"u"}' >generated/test_x_2025-01-31T14_05_06.jsonl
for format in instructlab axolotl llamafactory; do
    for form in messages sharegpt alpaca; do
        [ $format = instructlab ] && [ $form != messages ] && continue
        "$ILAB" export --format $format --data-form $form --output-dir $format-$form --base 'org/Mistral: "7B" #x' --lora-rank 8 >out 2>&1
        report $? "$format, $form: written"
    done
done
"$ILAB" export --format instructlab --output-dir llamafactory-none >out 2>&1 && "$ILAB" export --format llamafactory --output-dir llamafactory-none >out 2>&1 && grep -q "holds what was written for instructlab" out
report $? "another format in the same folder is told"
cat >check.py <<'P'
import json, sys, yaml
format, form = sys.argv[1].split("-")
d = sys.argv[1] + "/"
rows = [json.loads(l) for l in open(d + "train.jsonl")]
assert json.loads(open(d + "test.jsonl").read())
first = 'Who is "Jo"?\nSay: yes'
key = {"messages": "messages", "sharegpt": "conversations"}.get(form)
if form == "alpaca":
    assert rows[0]["instruction"] == first and rows[0]["output"] == "Jö — #1: 'x'" and rows[0]["input"] == ""
    assert len(rows) == (2 if format == "axolotl" else 3)  # axolotl's alpaca has no history
    if format == "llamafactory":
        assert all("history" in r and "system" in r for r in rows) and rows[1]["history"] == [["a", "b"]] and rows[1]["system"] == "Be short." and rows[1]["instruction"] == "c"
else:
    role, text = ("role", "content") if form == "messages" else ("from", "value")
    names = ["user", "assistant", "system"] if form == "messages" else ["human", "gpt", "system"]
    assert len(rows) == 3 and rows[0][key][0] == {role: names[0], text: first}
    assert [t[role] for t in rows[1][key]] == [names[2], names[0], names[1], names[0], names[1]]
if format == "instructlab":
    assert set(rows[0]) == {"messages", "metadata", "id", "unmask"} and rows[0]["unmask"] is False and json.loads(rows[0]["metadata"]) == {}
    c = yaml.safe_load(open(d + "train.yaml"))
    assert set(c) == {"model_path", "data_path", "ckpt_output_dir", "data_output_dir", "max_seq_len", "max_batch_len", "num_epochs", "effective_batch_size", "save_samples",
                      "learning_rate", "warmup_steps", "is_padding_free", "random_seed", "checkpoint_at_epoch", "lora"}, set(c)
    assert c["max_batch_len"] >= c["max_seq_len"] and c["lora"]["rank"] == 8 and isinstance(c["learning_rate"], float)
    compile(open(d + "train.sh").read().split("-c '")[1].split("'")[0], "train.sh", "exec")
    base = c["model_path"]
if format == "axolotl":
    c = yaml.safe_load(open(d + "axolotl.yaml"))
    s = c["datasets"][0]
    assert s["path"] == "train.jsonl" and c["test_datasets"][0]["path"] == "test.jsonl" and c["test_datasets"][0]["split"] == "train"
    assert s["type"] == ("alpaca" if form == "alpaca" else "chat_template")
    if key: assert s["field_messages"] == key and s["roles_to_train"] == ["assistant"]
    if form == "sharegpt": assert s["message_property_mappings"] == {"role": "from", "content": "value"}
    assert c["adapter"] == "lora" and c["lora_r"] == 8 and c["lora_target_linear"] is True and isinstance(c["learning_rate"], float) and c["sequence_len"] == 2048
    assert c["sdp_attention"] is True  # packed samples apart
    base = c["base_model"]
if format == "llamafactory":
    c, i = yaml.safe_load(open(d + "train.yaml")), json.load(open(d + "dataset_info.json"))
    assert c["dataset"] == "ilab_train" and c["eval_dataset"] == "ilab_test" and set(i) == {"ilab_train", "ilab_test"} and c["stage"] == "sft" and c["finetuning_type"] == "lora"
    assert c["template"] == "mistral" and c["lora_target"] == "all" and isinstance(c["learning_rate"], float)
    s = i["ilab_train"]
    assert s["file_name"] == "train.jsonl" and s["formatting"] == ("alpaca" if form == "alpaca" else "sharegpt")
    if form == "alpaca": assert all(v in ("instruction", "input", "output", "system", "history") for v in s["columns"].values())
    else: assert s["columns"]["messages"] == key and s["tags"]["role_tag"] in rows[0][key][0] and s["tags"]["user_tag"] == rows[0][key][0][s["tags"]["role_tag"]]
    base = c["model_name_or_path"]
assert base == 'org/Mistral: "7B" #x'
P
for d in instructlab-messages axolotl-messages axolotl-sharegpt axolotl-alpaca llamafactory-messages llamafactory-sharegpt llamafactory-alpaca; do
    python3 check.py $d >out 2>&1
    report $? "$d: keys and texts as the trainer reads them"
done
"$ILAB" export --format axolotl --full --output-dir full >out 2>&1 && ! grep -q lora full/axolotl.yaml; report $? "all weights: no adapter in the configuration"
grep -q "1 samples are left out" out && grep -q "1 samples have a weight" out; report $? "what is not exported is told"
"$ILAB" export >out 2>&1; [ $? -eq 2 ] && grep -q "Missing option '--format'" out; report $? "no format"
"$ILAB" export --format x >out 2>&1; [ $? -eq 2 ] && grep -q "instructlab axolotl llamafactory" out; report $? "unknown format"
"$ILAB" export --format instructlab --data-form alpaca >out 2>&1; [ $? -eq 1 ] && grep -q "reads the form 'messages' only" out; report $? "a form that the trainer does not read"
"$ILAB" export --format axolotl --base m.gguf >out 2>&1; [ $? -eq 2 ] && grep -q "read no GGUF" out; report $? "a GGUF file as base"
echo '{"text":"x"}' >t.jsonl
"$ILAB" export --format axolotl --data-path t.jsonl --output-dir t >out 2>&1; [ $? -eq 1 ] && grep -q "no conversation" out; report $? "no conversation"
echo 'x' >t.jsonl
"$ILAB" export --format axolotl --data-path t.jsonl --output-dir t >out 2>&1; [ $? -eq 1 ] && grep -q "t.jsonl:1:" out && [ ! -e t/train.jsonl ]; report $? "broken data leave nothing"
exit $failed
