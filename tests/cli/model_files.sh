#!/usr/bin/env bash
# model_files.sh — `ilab model convert`, `quantize` and `info` as a user runs them, and what can be wrong with directories.
#   ILAB=path/of/ilab or BUILD=build: the program; ../shared/data: a real directory with a known loss (skipped without it).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
real=$root/../shared/data/weights/tinystories-656k
stories=$root/../shared/data/eval/tinystories_sample.txt
[ -x "$ILAB" ] || { echo "skip model_files: ilab is not built"; exit 0; }
command -v python3 >/dev/null || { echo "skip model_files: python3 is missing"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-model-files-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
python3 tests/check/hf_families.py make "$dir" llama-wide mixtral || { echo "not ok model_files: no directories"; exit 1; }
cd "$dir" || exit 1

absent() { if ls "$@" >/dev/null 2>&1; then not_ok "nothing is left behind" "$*"; else echo "ok nothing is left behind: $*"; fi; }

# ---- usage ----
for c in "model convert" "model quantize" "model info"; do check "help: $c" 0 "Usage: ilab $c" "[Ee]xamples:" -- $ILAB $c --help; done
check "convert: nothing given" 2 "Missing argument" -- "$ILAB" model convert
check "convert: no output" 2 "Missing option '--output'" -- "$ILAB" model convert llama-wide
check "convert: unknown type" 2 "none of F32 F16 BF16 Q8_0" -- "$ILAB" model convert llama-wide -o x.gguf --type Q9
check "convert: unknown format" 2 "neither gguf nor safetensors" -- "$ILAB" model convert llama-wide -o x.gguf --to onnx
check "convert: a folder back" 2 "is a folder already" -- "$ILAB" model convert llama-wide -o x --to safetensors
check "quantize: nothing given" 2 "Missing argument 'IN.gguf'" -- "$ILAB" model quantize
check "quantize: no type" 2 "Missing argument 'TYPE'" -- "$ILAB" model quantize a b
check "quantize: a folder" 1 "ilab model convert llama-wide -o x.gguf --type Q8_0" -- "$ILAB" model quantize llama-wide x.gguf Q8_0

# ---- the way ----
check "convert: dry run" 0 "nothing was written" -- "$ILAB" model convert llama-wide -o w.gguf --dry-run
absent w.gguf
check "convert" 0 "w.gguf: llama, [0-9]+ parameters" -- "$ILAB" model convert llama-wide -o w.gguf

# ---- adapters ----
python3 - <<'PY' || not_ok "adapter: made" "python3"
import json, os, random, struct
c = json.load(open("llama-wide/config.json"))
d = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
names = [("self_attn.q_proj", c["hidden_size"], d * c["num_attention_heads"]), ("mlp.down_proj", c["intermediate_size"], c["hidden_size"])]
random.seed(3)
head, body = {}, b""
for module, n_in, n_out in names:
    for half, shape in (("A", [4, n_in]), ("B", [n_out, 4])):
        n = shape[0] * shape[1]
        head[f"base_model.model.model.layers.1.{module}.lora_{half}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + 4 * n]}
        body += struct.pack(f"<{n}f", *[random.gauss(0, 0.1) for _ in range(n)])
head = json.dumps(head).encode()
os.mkdir("lora")
open("lora/adapter_model.safetensors", "wb").write(struct.pack("<Q", len(head)) + head + body)
json.dump({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}, open("lora/adapter_config.json", "w"))
PY
check "adapter: needs its base" 2 "is an adapter: --model" -- "$ILAB" model convert lora -o lora.gguf
check "adapter: a base that is not there" 1 "nowhere.gguf" -- "$ILAB" model convert lora --model nowhere.gguf -o lora.gguf
check "adapter: PEFT to GGUF" 0 "rank 4 on 2 matrices" -- "$ILAB" model convert lora --model w.gguf -o lora.gguf
check "adapter: GGUF to PEFT" 0 "rank 4 on 2 matrices" -- "$ILAB" model convert lora.gguf --model w.gguf --to safetensors -o lora2
check "adapter: and to GGUF again" 0 "rank 4" -- "$ILAB" model convert lora2 --model w.gguf -o lora3.gguf
if cmp -s lora.gguf lora3.gguf; then echo "ok adapter: there and back, byte by byte"; else not_ok "adapter: there and back, byte by byte" ""; fi
for f in lora lora.gguf; do "$ILAB" model complete -m w.gguf --adapter $f -p 'once upon' -n 8 >$f.txt 2>&1 || not_ok "adapter: --adapter $f" "$(cat $f.txt)"; done
if cmp -s lora.txt lora.gguf.txt; then echo "ok adapter: --adapter takes both"; else not_ok "adapter: --adapter takes both" ""; fi

check "convert: does not overwrite" 1 "exists: choose another name, or --force" -- "$ILAB" model convert llama-wide -o w.gguf
check "convert: unless told to" 0 -- "$ILAB" model convert llama-wide -o w.gguf --force
check "convert: a file needs --to" 2 "ilab model quantize" -- "$ILAB" model convert w.gguf -o x.gguf
check "convert: no such type of safetensors" 2 "F32, F16 or BF16" -- "$ILAB" model convert w.gguf --to safetensors -o back --type Q8_0
check "convert: back" 0 "safetensors" -- "$ILAB" model convert w.gguf --to safetensors -o back --shard-size 0.001
if [ -f back/model.safetensors.index.json ] && [ -f back/config.json ] && [ -f back/tokenizer.model ]; then echo "ok convert: back in shards"; else not_ok "convert: back in shards" "$(ls back)"; fi
if python3 - <<'PY'
import sys; sys.argv = ['x', 'x', '.']
def tensors(folder):
    import glob, json, struct
    out = {}
    for p in glob.glob(folder + '/*.safetensors'):
        d = open(p, 'rb').read(); n = struct.unpack('<Q', d[:8])[0]
        for k, v in json.loads(d[8:8 + n]).items():
            if k != '__metadata__': out[k] = (v['dtype'], v['shape'], d[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]])
    return out
sys.exit(tensors('llama-wide') != tensors('back'))
PY
then echo "ok convert: the same bits back"; else not_ok "convert: the same bits back" "they differ"; fi
check "the directory itself answers" 0 "tokens" -- "$ILAB" model complete -m llama-wide -p 'the cat' -n 4 --json
cp out direct
check "and the file alike" 0 "tokens" -- "$ILAB" model complete -m w.gguf -p 'the cat' -n 4 --json
if cmp -s out direct; then echo "ok directory and file: the same bits"; else not_ok "directory and file: the same bits" "they differ"; fi
check "quantize: dry run" 0 "Q4_K_M, .* become .*nothing was written" -- "$ILAB" model quantize w.gguf q.gguf Q4_K_M --dry-run
absent q.gguf
check "quantize" 0 "q.gguf: Q4_K_M" -- "$ILAB" model quantize w.gguf q.gguf q4_k_m
check "quantize: as JSON" 0 '"bytes_out":' '"changed":' -- "$ILAB" model quantize w.gguf q8.gguf Q8_0 --json
check "quantize: does not overwrite" 1 "exists" -- "$ILAB" model quantize w.gguf q.gguf Q8_0
check "quantize: twice rounds twice" 0 "quantised already" -- "$ILAB" model quantize q.gguf q2.gguf Q4_0
check "quantize: the result answers" 0 "tokens" -- "$ILAB" model complete -m q.gguf -p 'the cat' -n 4 --json
"$ILAB" model convert llama-wide -o direct.gguf --type Q4_K_M >/dev/null 2>&1
if cmp -s q.gguf direct.gguf; then echo "ok convert --type is convert, then quantize"; else
    "$ILAB" model info q.gguf --json >a 2>&1; "$ILAB" model info direct.gguf --json >b 2>&1
    python3 -c 'import json;a,b=(json.load(open(x))for x in"ab");exit(a["types"]!=b["types"])' && echo "ok convert --type is convert, then quantize" || not_ok "convert --type is convert, then quantize" "types differ"
fi

# ---- info ----
check "info: of a directory" 0 "Hugging Face directory" "context: at most 128 tokens" "this program can run it" "KV cache in Q8_0" -- "$ILAB" model info mixtral --ctx-size 64
check "info: beyond the context" 0 "Memory for 4096 tokens" "4096 tokens are asked for, the model was made for 128" -- "$ILAB" model info w.gguf --ctx-size 4096
check "info: check" 0 "all weights are finite" -- "$ILAB" model info w.gguf --check
check "info: as JSON" 0 '"runs":true' '"tensor_types":' '"metadata":' -- "$ILAB" model info q.gguf --json
python3 - <<'PY'
import struct
d = bytearray(open('w.gguf', 'rb').read())
i = d.index(b'general.architecture') + len('general.architecture') + 12
d[i:i + 5] = b'plumb'
i = d.index(b'tokenizer.ggml.model') + len('tokenizer.ggml.model') - 1
d[i:i + 1] = b'x' # its tokenizer is as new as the architecture
open('other.gguf', 'wb').write(d)
d = bytearray(open('w.gguf', 'rb').read())
d[-64:-60] = struct.pack('<f', float('nan'))
open('nan.gguf', 'wb').write(d)
PY
check "info: unknown architecture" 0 "architecture +plumb" "cannot run it: .*'plumb'" "general.architecture +plumb" -- "$ILAB" model info other.gguf
check "complete: unknown architecture" 1 "^'other.gguf': unsupported model architecture 'plumb' \(known: llama" "!tokenizer" -- "$ILAB" model complete -m other.gguf -p x
check "info: not a number" 1 "fault:" "not finite" -- "$ILAB" model info nan.gguf --check
for c in "complete -p cat -n 4" "perplexity -f out"; do check "${c%% *}: not a number" 1 "nan.gguf: what the model computes is not finite .*info FILE --check" -- $ILAB model $c -m nan.gguf; done
check "quantize: not a number" 1 "Quantising failed" -- "$ILAB" model quantize nan.gguf x.gguf Q8_0
absent x.gguf 'x.gguf.tmp*'

# ---- directories that are wrong ----
mkdir empty && check "no config.json" 1 "is a folder without a model" -- "$ILAB" model info empty
check "convert: no config.json" 1 "config.json" -- "$ILAB" model convert empty -o x.gguf
cp -r mixtral broken && rm broken/model-00002-of-00002.safetensors
check "a shard is missing" 1 "model-00002-of-00002.safetensors', which is missing" -- "$ILAB" model convert broken -o x.gguf
head -c 3000 mixtral/model-00002-of-00002.safetensors >broken/model-00002-of-00002.safetensors
check "a shard is cut" 1 "model-00002-of-00002.safetensors.*download complete" -- "$ILAB" model convert broken -o x.gguf
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >broken/model-00002-of-00002.safetensors
check "a shard is a pointer" 1 "git lfs pull" -- "$ILAB" model info broken
python3 - <<'PY'
import json
c = json.load(open('mixtral/config.json'))
for name, change in {'arch': {'architectures': ['FooForCausalLM'], 'model_type': 'foo'}, 'quant': {'quantization_config': {'quant_method': 'awq'}},
                     'rope': {'rope_scaling': {'rope_type': 'dynamic', 'factor': 2}}, 'vocab': {'vocab_size': 321}, 'layers': {'num_hidden_layers': 3}}.items():
    json.dump(dict(c, **change), open(name + '.json', 'w'))
PY
cp mixtral/*.safetensors* broken/
for row in "arch:'FooForCausalLM'.*is not known; known are" "quant:quantised \(awq\)" "rope:rope_scaling of type 'dynamic'" "vocab:\[320, 64\].*\[321, 64\]" "layers:layer 2 lacks"; do
    cp "${row%%:*}.json" broken/config.json
    check "config.json: ${row%%:*}" 1 "${row#*:}" -- "$ILAB" model convert broken -o x.gguf
done
absent x.gguf 'x.gguf.tmp*'
echo '{' >broken/config.json
check "config.json: no JSON" 1 "config.json:[0-9]+:[0-9]+:" -- "$ILAB" model info broken
cp mixtral/config.json broken/ && rm -f broken/tokenizer.json && check "no tokenizer" 1 "neither tokenizer.json nor tokenizer.model" -- "$ILAB" model convert broken -o x.gguf
check "an output that cannot be written" 1 "Conversion failed" -- "$ILAB" model convert mixtral -o /nowhere/x.gguf

# ---- a real directory: the same loss from the directory, the file made of it, and the directory made of that ----
if [ -d "$real" ] && [ -f "$stories" ]; then
    LC_ALL=C.UTF-8 sed "s/[‘’]/'/g; s/[“”]/\"/g" "$stories" >text
    check "real: converts" 0 -- "$ILAB" model convert "$real" -o real.gguf
    check "real: back" 0 -- "$ILAB" model convert real.gguf --to safetensors -o real-back
    for m in "$real" real.gguf real-back; do check "real: loss of ${m##*/}" 0 "mean NLL 2\.860[34]" -- "$ILAB" model perplexity -m "$m" -f text; done
else
    echo "skip real directory: ../shared/data/weights/tinystories-656k is missing"
fi
exit $failed
