#!/usr/bin/env bash
# memory.sh — a model that is larger than the memory (ILAB_MEMORY tells the program so) runs, says so beforehand, and gives the same
# answer; a model file that shrinks while it is used ends the program with a message, not with a crash.
#   BUILD=build: the programs.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
make_model=$(readlink -f "${BUILD:-build}/tools/make_model") ilab=$(readlink -f "${BUILD:-build}/ilab")
[ -x "$make_model" ] || { echo "skip memory: make_model is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-memory-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; sed 's/^/#   /' err | head -12; failed=1; }

"$make_model" 135m Q8_0 m.gguf --layers 6 >err 2>&1 || { not_ok memory/make "no model"; exit 1; }
"$ilab" model complete -m m.gguf -p 'a b c' -n 8 --json >whole.json 2>err
ILAB_MEMORY=40M "$ilab" model complete -m m.gguf -p 'a b c' -n 8 --json >paged.json 2>err
[ -s whole.json ] && cmp -s whole.json paged.json && ok memory/same-answer || not_ok memory/same-answer "differs"
grep -q 'are read from the disk for each step' err && ok memory/told-before || not_ok memory/told-before "no warning"

# A long context: told before anything is computed, with what would fit.
rows=$(printf 'a b c %.0s' $(seq 3000))
ILAB_MEMORY=40M "$ilab" model complete -m m.gguf -f - -n 8 --kv-type f32 <<<"$rows" >out 2>err
rc=$?
[ $rc -eq 1 ] && grep -qE 'not enough memory for [0-9]+ tokens: .* in F32, .* are free. [0-9]+ tokens would fit, or all of them in (F16|Q8_0|Q4_0)' err && ok memory/context-told ||
    not_ok memory/context-told "exit code $rc"
ILAB_MEMORY=40M "$ilab" system bench -m m.gguf -p 30000 -n 1 -r 1 >out 2>err
rc=$?
[ $rc -eq 1 ] && grep -q 'tokens would fit' err && ok memory/bench-told || not_ok memory/bench-told "exit code $rc"
ILAB_MEMORY=40M "$ilab" model info m.gguf >out 2>err; ILAB_MEMORY=80M "$ilab" model info m.gguf --ctx-size 8192 >>out 2>>err
grep -q 'weights are larger than what is free' out && grep -q 'memory: about [0-9]* tokens fit' out && ok memory/info || not_ok memory/info "$(grep memory: out)"
"$ilab" model info m.gguf --json >out 2>err
python3 -c 'import json; k = json.load(open("out"))["memory"]["kv_cache"]; assert 16 * k["Q8_0"] == 9.5 * k["F16"] and 2 * k["F16"] == k["F32"]' 2>>err && ok memory/info-cache || not_ok memory/info-cache "$(grep -o '"kv_cache[^}]*' out)"
printf 'a b c' | "$ilab" model complete -m m.gguf -f - -n 8 --json >stdin.json 2>err
cmp -s whole.json stdin.json && ok memory/prompt-from-a-pipe || not_ok memory/prompt-from-a-pipe "differs"

# A limit of addresses: told, and never a share of what could not be measured.
(ulimit -v 20000; "$ilab" model complete -m m.gguf -p x -n 1 >out 2>err)
rc=$?
[ $rc -eq 1 ] && grep -q '"\?m.gguf"\?.*\(ulimit -v\)\|not enough memory to open .m.gguf' err && ok memory/no-addresses || not_ok memory/no-addresses "exit code $rc"
(ulimit -v 250000; "$ilab" system bench -m m.gguf -p 8 -n 1 -r 1 >out 2>err)
rc=$?
[ $rc -le 1 ] && ! grep -qE 'inf|nan' out && ok memory/bench-without-limits || not_ok memory/bench-without-limits "exit code $rc"

echo '{"user": "a", "assistant": "b"}' >data.jsonl
ILAB_MEMORY=40M "$ilab" train --pipeline full -m m.gguf --data-path data.jsonl --save-path all.gguf >out 2>err
rc=$?
[ $rc -eq 1 ] && grep -q 'all weights in F32 take .*train an adapter' err && ok memory/all-weights-told || not_ok memory/all-weights-told "exit code $rc"

"$ilab" system bench -m m.gguf -p 16 -n 64 -r 100 >out 2>err &
pid=$!
sleep 2
truncate -s 8M m.gguf
wait $pid
rc=$?
[ $rc -eq 1 ] && ok memory/shrunk-exit || not_ok memory/shrunk-exit "exit code $rc"
grep -q 'm.gguf' err && ok memory/shrunk-message || not_ok memory/shrunk-message "file not named"
exit $failed
