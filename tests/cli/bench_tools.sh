#!/usr/bin/env bash
# bench_tools.sh — make_model's files (the same bytes for any number of threads, sizes as tabled, clear refusals) and
# bench_peers' report (medians, paired ratios, visible skips) with scripted engines in place of real ones.
#   BUILD=build: the programs.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
make_model=$(readlink -f "${BUILD:-build}/tools/make_model")
[ -x "$make_model" ] || { echo "skip bench_tools: make_model is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-bench-tools-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# ---- make_model ----
"$make_model" 135m Q4_K_M a.gguf --layers 2 --threads 1 >out 2>&1 && "$make_model" 135m Q4_K_M b.gguf --layers 2 --threads 2 >>out 2>&1 &&
    cmp a.gguf b.gguf >>out 2>&1 && ok "same bytes for 1 and 2 threads" || not_ok "same bytes for 1 and 2 threads" "differ, or not written"
bad=
for shape in $("$make_model" --list | awk '$1 ~ /-s$/ { print $1 }'); do
    "$make_model" "$shape" Q4_K_M "$shape.gguf" >>out 2>&1 || bad="$bad $shape"
done
[ -z "$bad" ] && [ -f llama-s.gguf ] && ok "every small shape" || not_ok "every small shape" "failed:$bad"
for case in "none Q8_0 shape" "llama-s Q9_9 type"; do
    set -- $case
    "$make_model" "$1" "$2" c.gguf >out 2>&1
    [ $? -eq 2 ] && grep -q "unknown $3" out && [ ! -e c.gguf ] && ok "unknown $3" || not_ok "unknown $3" "exit code or message"
done

# ---- bench_peers ----
command -v python3 >/dev/null || { echo "skip bench_peers: no python3"; exit $failed; }
cat >ilab <<'EOF'
#!/bin/sh
echo '{"read_gb_per_s":30,"prompt_tokens_per_s":120,"generation_tokens_per_s":15,"batch_tokens_per_s":90,"peak_rss_bytes":1}'
EOF
cat >llama-bench <<'EOF'
#!/bin/sh
echo '[{"n_prompt":512,"n_gen":0,"avg_ts":100},{"n_prompt":0,"n_gen":64,"avg_ts":10}]'
EOF
cat >llama-batched-bench <<'EOF'
#!/bin/sh
echo 'loading'
echo '|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |' >&2
echo '|    64 |     32 |    8 |    768 |    5.000 |    99.00 |    2.000 |    60.00 |    7.000 |    90.00 |' >&2
EOF
chmod +x ilab llama-bench llama-batched-bench
mkdir m && cp a.gguf m/135m-Q8_0.gguf && cp a.gguf m/1.1b-Q4_K_M.gguf
ILAB_PEER_LLAMA=$dir/llama-bench ILAB_PEER_IK= "$root/tools/bench_peers" m --ilab ./ilab --rows 135m-q8,1.1b-q4-x8,7b-q8 --rounds 2 --pause 0 >out 2>&1
for line in 'prompt 512 \| 120\.0 \| \*\*100\.0\*\* \| \*\*1\.20×' 'generation 64 \| 15\.00 \| \*\*10\.00\*\* \| \*\*1\.50×' \
            '8 sequences \(64, 32\) \| 90\.0 \| \*\*60\.0\*\* \| \*\*1\.50×' 'memory read, GB/s 30\.0' \
            'SKIPPED ik_llama.cpp: ILAB_PEER_IK is not set' 'SKIPPED 7b-q8: m/7b-Q8_0.gguf is missing'; do
    grep -qE -- "$line" out && ok "bench_peers: $line" || not_ok "bench_peers: $line" "not in the report"
done
exit $failed
