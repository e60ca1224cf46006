#!/usr/bin/env bash
# badinput.sh — what people get wrong: each gives one clear message with place and remedy, and the right exit code.
#   ILAB=path/of/ilab or BUILD=build: the program; ../shared/data: a second model (skipped without it).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
stories=$root/../shared/data/weights/stories260K/stories260Ktok512.gguf
[ -x "$ILAB" ] || { echo "skip badinput: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-badinput-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export GIT_CONFIG_GLOBAL=/dev/null XDG_CONFIG_HOME=$dir/user/config XDG_DATA_HOME=$dir/user/data XDG_CACHE_HOME=$dir/user/cache ILAB_LANG=en



# ---- help ----
commands="init download diff generate train test chat serve"
for c in $commands "model complete" "model perplexity" "model evaluate" "model info"; do
    $ILAB $c --help >out 2>&1
    rc=$? lines=$(wc -l <out)
    if [ $rc -eq 0 ] && [ "$lines" -ge 10 ] && grep -q "Usage: ilab $c" out && grep -qi 'example' out; then ok "help: $c"; else not_ok "help: $c" "exit code $rc, $lines lines"; fi
done
for c in "config init" "taxonomy diff" "data generate" "model train" "model chat" "model serve"; do check "help by group: $c" 0 "^Usage: ilab" -- $ILAB $c --help; done
check "help: all commands" 0 "model evaluate" "New here" -- "$ILAB" --help
check "help: nothing given" 0 "^Usage: ilab" -- "$ILAB"
check "help: of a group" 0 "evaluate" -- "$ILAB" model
check "version" 0 "^ilab, version [0-9]" -- "$ILAB" --version
best=$(for _ in {1..40}; do s=$(date +%s%N); "$ILAB" --help >/dev/null; echo $((($(date +%s%N) - s) / 1000)); done | sort -n | head -1)
echo "# ilab --help: ${best} us (best of 40, process start included)"
if [ "$best" -le 10000 ]; then ok "help: within 10 ms"; else not_ok "help: within 10 ms" "$best us"; fi

# ---- usage ----
check "unknown command" 2 "No such command 'generte'" "Did you mean 'generate'" -- "$ILAB" generte
check "unknown command of a group" 2 "No such command 'evaluat'" "Did you mean 'evaluate'" -- "$ILAB" model evaluat
check "unknown option: its kin" 2 "No such option: --model Did you mean --model-path" -- "$ILAB" train --model x
check "unknown option: the end of a name" 2 "No such option: --epochs Did you mean --num-epochs" -- "$ILAB" train --epochs 3
check "unknown option" 2 "No such option: --nm-epochs" "Did you mean --num-epochs" "Try 'ilab train --help'" -- "$ILAB" train --nm-epochs 3
check "unknown option before the command" 2 "No such option: --foo" -- "$ILAB" --foo diff
check "not a size" 2 "a size like 6G" -- "$ILAB" train --memory xyz
check "not a number" 2 "'two' is not a valid integer" -- "$ILAB" train --num-epochs two
check "number out of range" 2 "is not in the range" -- "$ILAB" train --num-epochs 0
check "option without its value" 2 "requires an argument" -- "$ILAB" train --num-epochs
check "config option without its value" 2 "requires an argument" -- "$ILAB" --config
check "value for a flag" 2 "does not take a value" -- "$ILAB" train --dry-run=1
check "word too many" 2 "unexpected extra argument" -- "$ILAB" init foo
check "missing option" 2 "Missing option '--model'" -- "$ILAB" model complete -p x
check "missing argument" 2 "Missing argument" -- "$ILAB" model info
check "full disk behind stdout" 1 "disk full" -- bash -c "'$ILAB' --help >/dev/full"

# ---- configuration ----
check "no configuration" 2 "config.yaml. does not exists, please run .ilab init. or point to a valid configuration file" -- "$ILAB" diff
check "named configuration is missing" 2 "none.yaml. does not exists" -- "$ILAB" --config none.yaml train
printf 'general:\n  log_level: INFO\n' >few.yaml
check "sections are missing" 2 "^3 errors in few.yaml:$" "^- missing chat: field required$" "^- missing serve: field required$" "ilab init" -- "$ILAB" --config few.yaml diff
printf 'chat: {}\ngenerate: {model: x}\nserve: {}\n' >keys.yaml
check "keys are missing" 2 "^4 errors in keys.yaml:$" "^- missing generate->taxonomy_base: field required$" -- "$ILAB" --config keys.yaml diff
printf 'chat:\n\tmodel: x\n' >tab.yaml
check "configuration does not parse" 2 "^tab.yaml:2:1: .*ilab init" -- "$ILAB" --config tab.yaml diff
printf -- '- a\n' >list.yaml
check "configuration is a list" 2 "^list.yaml:1:1: sections" -- "$ILAB" --config list.yaml diff
printf 'general: {log_level: LOUD}\nchat: {model: x}\ngenerate: {model: x, taxonomy_path: t, taxonomy_base: empty}\nserve: {model_path: x}\n' >level.yaml
check "log level" 2 "level.yaml:1:22: general.log_level: 'LOUD' is not one of: DEBUG INFO" -- "$ILAB" --config level.yaml diff
sed 's/LOUD/info/; s/taxonomy_base: empty/taxonomy_base: empty, num_instructions: many/' level.yaml >number.yaml
check "number in the configuration" 2 "generate.num_instructions" "'many' is not a valid integer" -- "$ILAB" --config number.yaml generate
check "configuration is a folder" 2 "is a directory|Is a directory" -- "$ILAB" --config . diff

# ---- init ----
check "init" 0 "Initialization completed successfully" -- "$ILAB" init --non-interactive
check "example taxonomy is valid" 0 "^Taxonomy in /taxonomy/ is valid :\)$" -- "$ILAB" diff
echo "# edited" >>config.yaml
check "init again keeps the edited configuration" 0 "config.yaml.bak" -- "$ILAB" init --non-interactive
if tail -1 config.yaml.bak | grep -q edited; then ok "init: the old configuration is there"; else not_ok "init: the old configuration is there" "no"; fi
check "init mends a broken configuration" 0 "completed" -- "$ILAB" --config tab.yaml init --non-interactive
check "init: a repository that cannot be cloned" 1 "manually run .git clone" -- "$ILAB" --config c2.yaml init --non-interactive --taxonomy-path t2 --repository file:///no/such

# ---- taxonomy ----
good=taxonomy/knowledge/university/germany/bielefeld_university/qna.yaml
leaf=knowledge/bad/qna.yaml
mkdir -p bad/knowledge/bad && cp "${good%/*}/attribution.txt" bad/knowledge/bad/
# qna NAME SED-SCRIPT PATTERN…: the example changed in one place; FILE:LINE:COL and a remedy must be told
qna() {
    local name=$1 script=$2
    shift 2
    sed "$script" "$good" >"bad/$leaf"
    qna_file "$name" "$@"
}
qna_file() {
    local name=$1
    shift
    check "diff: $name" 1 "^bad/$leaf:[0-9]+:[0-9]+: " "^Reading taxonomy failed with the following error: [0-9]+ taxonomy files with errors" "$@" -- "$ILAB" diff --strict --taxonomy-path bad
    grep -A3 -E "^bad/$leaf:[0-9]+:[0-9]+: error" out | grep -qE '^      → .{8}|correct document' || grep -qE 'correct (document|it)|convert the document|check document' out || not_ok "diff: $name" "no remedy"
}
first_answer=$(grep -n -m1 'answer:' "$good" | cut -d: -f1)
qna "answer: Yes" "${first_answer}s/answer:.*/answer: Yes/" ":${first_answer}:[0-9]+: error: \[.seed_examples\[0\].answer\] True is not of type 'string'" "quotes"
qna "a number" "${first_answer}s/answer:.*/answer: 1969/" "1969 is not of type 'string'"
qna "an empty answer" "${first_answer}s/answer:.*/answer:/" "None is not of type 'string'"
qna "a missing key" "/^created_by/d" "'created_by' is a required property" "add a line"
qna "a wrong key" "s/^created_by/createdby/" "'createdby' was unexpected" "did you mean 'created_by'"
qna "a tab" "${first_answer}s/^ */\t/" "syntax error: .*tab|syntax error: .*token" "tabs"
qna "a colon in a text" "${first_answer}s/answer:.*/answer: the answer: it/" "mapping values are not allowed" "quotes"
qna "a key twice" "s/^created_by:.*/&\n&/" "duplication of key \"created_by\"" "remove one"
qna "trailing spaces" "s/^created_by:.*/&  /" "trailing spaces"
qna "Windows line ends" "s/$/\r/" "expected .n \(new-lines\)"
qna "an unknown version" "s/^version:.*/version: 7/" "version 7 of the schema is not known"
qna "a missing document folder" "s#^\( *\)repo:.*#\1repo: no/such/folder#" "there is no (file or )?folder 'no/such/folder'"
qna "a pattern without match" "s/- .*\.md.*/- nothing_*.md/" "Couldn't find knowledge documents"
printf 'version: 2\nseed_examples: caf\351\n' >"bad/$leaf"
qna_file "not UTF-8" ":2:19: error: .*'utf-8' codec can't decode byte 0xe9" "UTF-8"
printf -- '- a\n- b\n' >"bad/$leaf"
qna_file "a list" "top-level element is not an object"
{ sed '$d' "$good"; sed -n '$p' "$good" | tr -d '\n'; } >"bad/$leaf"
qna_file "no final newline" "no new line character at the end of file"
mkdir -p latin && printf 'Stra\337e\n' >latin/bad.md
sed "s#^\( *\)repo:.*#\1repo: $dir/latin#; s/- .*\.md.*/- bad.md/" "$good" >"bad/$leaf"
check "diff: a document that is not UTF-8" 1 "bad.md:1:5: not UTF-8" "iconv" -- "$ILAB" diff --taxonomy-path bad
: >"bad/$leaf"
check "diff: style is a warning" 0 "warning: trailing spaces" "is valid" -- bash -c "sed 's/^created_by:.*/&  /' $good >bad/$leaf; '$ILAB' diff --taxonomy-path bad"
: >"bad/$leaf"
check "diff: an empty file is a warning" 0 "warning: .*because it is empty" "is valid" -- "$ILAB" diff --taxonomy-path bad
echo "- a" >"bad/$leaf"
check "diff --quiet is quiet" 1 -- bash -c "'$ILAB' diff --taxonomy-path bad --quiet >quiet 2>&1; rc=\$?; [ -s quiet ] && exit 9; exit \$rc"
check "diff --json" 1 '"valid":false' '"line":1' '"remedy"' -- "$ILAB" diff --taxonomy-path bad --json
check "diff: one file" 1 "Taxonomy file with errors" -- "$ILAB" diff --taxonomy-path "bad/$leaf"
check "diff: no such taxonomy" 1 "/path/to/taxonomy" "does not exist" -- "$ILAB" diff --taxonomy-path /path/to/taxonomy
check "diff: not a repository" 1 "is not a git repository" "taxonomy-base empty" -- "$ILAB" diff --taxonomy-base main
git init -q -b main taxonomy && check "diff: a repository without a commit" 1 "no commit yet" "commit it once" -- "$ILAB" diff --taxonomy-base main
git -C taxonomy -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m "Initial commit"
check "diff: unknown base" 1 "Couldn't find the taxonomy git ref \"invalid\" from the current HEAD" -- "$ILAB" diff --taxonomy-base invalid
check "diff: against a branch" 0 "bielefeld_university/qna.yaml" "is valid" -- "$ILAB" diff --taxonomy-base main
check "generate: bad taxonomy" 1 "taxonomy files with errors! Exiting" "knowledge/bad/qna.yaml:1:1:" -- "$ILAB" generate --taxonomy-path bad
check "generate: no taxonomy" 1 "Error: taxonomy \(nowhere\) does not exist" -- "$ILAB" generate --taxonomy-path nowhere
mkdir -p nothing && check "generate: nothing changed" 1 "Nothing to generate. Exiting" "No leaf in .nothing. is new or differs" -- "$ILAB" generate --taxonomy-path nothing

# ---- models ----
check "generate: no such model" 1 "Model path does not exist: nope" "ilab download" -- "$ILAB" generate --model nope
for c in "chat -qq hi" "model complete -p x" "model perplexity -f config.yaml"; do check "$c: no such model" 1 "Model path does not exist: nope" "ilab init" -- $ILAB $c --model nope; done
check "model info: no such file" 1 "Model path does not exist: nope" -- "$ILAB" model info nope
check "train: no such model" 1 "Model path does not exist: nope|Could not read directory" -- "$ILAB" train --model-path nope
head -c 100000 models/starter.gguf >cut.gguf
check "a model that was cut off" 1 "cut.gguf" "byte [0-9]+" -- "$ILAB" model info cut.gguf
echo "no model" >text.gguf
check "a file that is no model" 1 "text.gguf.*GGUF" -- "$ILAB" chat -qq hi --model text.gguf
check "a model as adapter" 1 "no adapter" -- "$ILAB" chat -qq hi --adapter models/starter.gguf
long=$(printf 'word and %.0s' {1..900})
check "chat: question larger than the context" 1 "Message too large for context size" -- "$ILAB" chat -qq "$long"
check "complete: prompt larger than the context" 1 "the prompt has [0-9]+ tokens, but the context holds" "shorten the prompt" -- "$ILAB" model complete -m starter -p "$long"

# ---- training and evaluation ----
check "train: no data folder" 1 "Could not read directory: nowhere" "ilab generate" -- "$ILAB" train --input-dir nowhere
check "train: empty data folder" 1 "does not contain training or test files, did you run .ilab generate" -- "$ILAB" train --input-dir nothing
check "train: no such file" 1 "none.jsonl" -- "$ILAB" train --data-path none.jsonl
printf '{"user": "a", "assistant": "b"}\n{"user": \n' >bad.jsonl
check "train: broken data" 1 "bad.jsonl:2:" -- "$ILAB" train --data-path bad.jsonl
printf '{"user": 3}\n' >keys.jsonl
check "train: data without its keys" 1 "keys.jsonl:1:" -- "$ILAB" train --data-path keys.jsonl
check "train: device" 2 "CPU" -- "$ILAB" train --device cuda
check "train: pipeline" 2 "lora" -- "$ILAB" train --pipeline other
check "train: modules" 1 "is no linear layer" -- "$ILAB" train --data-path bad.jsonl --lora-target-modules attn_x
check "evaluate: benchmark" 2 "quiz" -- "$ILAB" model evaluate --benchmark mmlu
check "evaluate: no questions" 2 "Missing option '--input-questions'" -- "$ILAB" model evaluate --benchmark quiz
check "evaluate: broken questions" 1 "keys.jsonl:1:1: 'user_input' is missing" -- "$ILAB" model evaluate --benchmark quiz --input-questions keys.jsonl
for i in 1 2 3 4 5 6 7 8; do printf '{"user": "Who leads town %d?", "assistant": "Jo Berg %d leads it."}\n' $i $i; done >some.jsonl
check "train: a few samples" 0 "Adapter: results/adapter.gguf" -- "$ILAB" train --data-path some.jsonl --num-epochs 1 --no-merge --quiet --ckpt-output-dir results
if [ -f "$stories" ]; then
    check "adapter for another base" 1 "adapter" "base" -- "$ILAB" model complete -m "$stories" -p x --adapter results/adapter.gguf
else
    echo "skip adapter for another base: ../shared is missing"
fi

# ---- places that cannot be written ----
: >regular
check "generate: output below a file" 1 "regular" "--output-dir" -- "$ILAB" generate --taxonomy-base empty --output-dir regular/out
check "train: output below a file" 1 "regular" -- "$ILAB" train --data-path some.jsonl --num-epochs 1 --no-merge --ckpt-output-dir regular/out
check "train: model below a file" 1 "regular" -- "$ILAB" train --data-path some.jsonl --num-epochs 1 --quiet --ckpt-output-dir results2 --save-path regular/m.gguf
check "init: no place" 1 "regular" -- "$ILAB" --config regular/c.yaml init --non-interactive
if become_somebody; then
    mkdir -p closed/home && chmod 555 closed closed/home
    home=(env -u XDG_CONFIG_HOME -u XDG_DATA_HOME -u XDG_CACHE_HOME HOME="$dir/closed/home" "${somebody[@]}" "$their_ilab")
    check "generate: read-only folder" 1 "closed" "ermission" "--output-dir" -- "${somebody[@]}" "$their_ilab" generate --taxonomy-base empty --output-dir closed
    check "read-only home: config init" 1 "init failed: cannot make the folder \"$dir/closed/home/.c[a-z]*\" for .*Permission denied" -- "${home[@]}" config init --non-interactive
    check "read-only home: no runs" 0 "No processes found" -- "${home[@]}" process list
    check "read-only home: a run in the background" 1 "Permission denied" -- "${home[@]}" --config DEFAULT train -dt
    check "read-only home: the rest works" 0 "" -- "${home[@]}" --config DEFAULT taxonomy diff --taxonomy-path taxonomy --taxonomy-base empty
else
    echo "skip generate: read-only folder: root may write everywhere, and setpriv is missing"
fi
mkfifo pipe && check "a pipe that nobody writes to ends with the signal" 124 -- timeout -k 60 1 "$ILAB" taxonomy check --yaml-rules pipe x
check "a file grows over its limit" 1 "cannot write" -- bash -c "trap '' XFSZ; ulimit -f 16; exec '$ILAB' train --data-path some.jsonl --num-epochs 1 --no-merge --quiet --ckpt-output-dir results3"
if [ -e results3/adapter.gguf ]; then not_ok "nothing half-written keeps its name" "results3/adapter.gguf exists"; else ok "nothing half-written keeps its name"; fi

# ---- Ctrl-C ----
# interrupt NAME SECONDS COMMAND…: SIGINT after some time; exit code 130 and a hint how to go on
interrupt() {
    local name=$1 seconds=$2 pid rc
    shift 2
    "$@" >out 2>&1 </dev/null &
    pid=$!
    sleep "$seconds"
    kill -INT $pid 2>/dev/null
    wait $pid
    rc=$?
    if [ $rc -eq 130 ] && grep -qiE 'go(es)? on|again|resume' out; then ok "$name"; else not_ok "$name" "exit code $rc"; fi
}
interrupt "Ctrl-C in generate" 2 "$ILAB" generate --taxonomy-base empty --quiet --output-dir stopped
if ls stopped/generated_* >/dev/null 2>&1; then not_ok "Ctrl-C in generate leaves no files" "there are some"; else ok "Ctrl-C in generate leaves no files"; fi
interrupt "Ctrl-C in train" 2 "$ILAB" train --data-path some.jsonl --num-epochs 10000 --no-merge --quiet --ckpt-output-dir stopped-train
exit $failed
