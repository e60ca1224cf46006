#!/usr/bin/env bash
# chat and test: single questions, conversations from a pipe, sessions, slash commands, logs, overflow, adapters, the terminal.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
ilab=$root/${BUILD:-build}/ilab
model=$root/models/starter.gguf
[ -x "$ilab" ] || { echo "skip cli/chat: $ilab is not built"; exit 0; }
[ -f "$model" ] || { echo "skip cli/chat: models/starter.gguf is missing"; exit 0; }
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
export HOME=$dir
failed=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1"; failed=1; [ -n "${2:-}" ] && printf '    %s\n' "$2"; }
check() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', want '$3'"; fi; }
has() { case $2 in *"$3"*) ok "$1" ;; *) not_ok "$1" "'$3' is not in: ${2:0:600}" ;; esac; }
free_port=59$((RANDOM % 900 + 100))
cat >config.yaml <<END
chat:
  model: $model
  logs_dir: logs
  max_tokens: 24
generate:
  model: $model
  taxonomy_path: taxonomy
  taxonomy_base: empty
serve:
  model_path: $model
  host_port: 127.0.0.1:$free_port
END

one=$("$ilab" chat -qq Who is the mayor of the town? 2>err)
check cli/chat-quick-exit $? 0
check cli/chat-quick-stderr "$(cat err)" ''
[ -n "$one" ] && ok cli/chat-quick || not_ok cli/chat-quick
has cli/chat-log "$(cat logs/chat_*.log)" ">>> Who is the mayor of the town?

- elapsed 0."
has cli/chat-log-answer "$(cat logs/chat_*.log)" "$one"
check cli/chat-question-echoed "$("$ilab" chat Who is the mayor of the town? </dev/null)" ">>> Who is the mayor of the town?
$one"
check cli/chat-pipe "$(printf 'Who is the mayor of the town?\n\n/q\nnever asked\n' | "$ilab" chat)" "$one"
"$ilab" chat -qq >out 2>err
check cli/chat-quick-without-question $? 2
"$ilab" chat -qq Hello -c nobody >out 2>err
check cli/chat-unknown-context-exit $? 2
has cli/chat-unknown-context "$(cat err)" 'Available contexts: default, cli_helper'
"$ilab" chat -qq Hello -m nothing >out 2>err
check cli/chat-unknown-model-exit $? 1
has cli/chat-unknown-model "$(cat err)" 'Model path does not exist: nothing'

# keys and values in another type: the same kind of answer; a type that is none is refused before a model is read
for kv in f32 q8_0 q4_0; do
    other=$("$ilab" chat -qq Who is the mayor of the town? --kv-type $kv 2>err)
    check cli/chat-kv-type-$kv "$? $([ -n "$other" ] && echo answered)" '0 answered'
done
check cli/complete-kv-type "$("$ilab" model complete -m "$model" -p 'The town' -n 4 --kv-type q8_0 2>err | grep -c .)" 1
for command in 'chat -qq Hello' 'serve' 'model complete -m nothing -p x' 'model perplexity -m nothing -f x' 'system bench -m nothing'; do
    timeout 60 "$ilab" $command --kv-type q9 </dev/null >out 2>err
    check "cli/$command: kv-type refused" "$? $(cat out)" '2 '
    has "cli/$command: kv-type named" "$(cat err)" "--kv-type: 'q9' is none of auto, f32, f16, q8_0, q4_0"
done

# slash commands, on a pipe
printf '%s\n' 'Where is the town?' '/d 1' '/d 9' '/p x' '/c nothing' '/c' '/lc' '/a' '/s' '/s session.json' '/l' '/l none.json' '/n' '/l session.json' '/h' '/nix' 'exit' |
    "$ilab" chat >out 2>&1
check cli/chat-commands-exit $? 0
out=$(cat out)
has cli/chat-index "$out" 'Invalid index: /d 9'
has cli/chat-index-word "$out" 'Invalid index: /p x'
has cli/chat-context "$out" '**WARNING**: Context `nothing` not found. Available contexts: `default, cli_helper`'
has cli/chat-context-missing "$out" '**WARNING**: The second argument `context` is missing in the `/c context` command.'
has cli/chat-assistant-missing "$out" '**WARNING**: The second argument `assistant` is missing in the `/a assistant` command.'
has cli/chat-file-missing "$out" '**WARNING**: File `none.json` specified in the `/l filepath` or `/L filepath` command does not exist.'
has cli/chat-history-shown "$out" '>>> Where is the town?'
has cli/chat-help "$out" '/s FILE'
has cli/chat-unknown-command "$out" 'There is no command /nix. /h lists the commands.'
has cli/chat-session-file "$(cat session.json)" '[
    {
        "role": "user",
        "content": "Where is the town?"
    },'
printf '/d\n' | "$ilab" chat -s session.json >out 2>&1
has cli/chat-session-option "$(sed -n 4,9p session.json | grep content || grep -A1 assistant session.json)" "$(cat out)"
echo '{"a": 1}' >bad.json
"$ilab" chat -qq Hello -s bad.json >out 2>&1
check cli/chat-bad-session-exit $? 1
has cli/chat-bad-session "$(cat out)" 'Session file bad.json is not a valid JSON file.'

# a conversation that outgrows the context goes on; a single message that does not fit is refused
ctx=$("$ilab" model info "$model" | sed -nE 's/^ +context_length +//p')
for i in $(seq 12); do for k in $(seq $((ctx / 8))); do printf 'river '; done; echo "question $i?"; done >many
"$ilab" chat --max-tokens 8 <many >out 2>&1
check cli/chat-overflow-exit $? 0
# at least a line for each question: what a model says may itself hold line breaks
check cli/chat-overflow-answers "$([ "$(grep -c . out)" -ge 12 ] && echo all)" all
check cli/chat-overflow-drops-old "$(grep -c 'too large' out)" 0
for k in $(seq "$ctx"); do printf 'river '; done >huge
printf '%s\nHello\n' "$(cat huge)" | "$ilab" chat --max-tokens 8 >out 2>&1
check cli/chat-too-large "$(head -1 out)" 'Message too large for context size.'
check cli/chat-goes-on "$(grep -c . out)" 2

# an adapter works with its base only
printf '{"user": "Who is Zorblax?", "assistant": "A test."}\n%.0s' 1 2 3 4 >train.jsonl
if "$ilab" train --data-path train.jsonl --model-path "$model" --num-epochs 1 --no-merge --quiet --ckpt-output-dir results >out 2>&1; then
    "$ilab" chat -qq Hello --adapter results/adapter.gguf >out 2>&1
    check cli/chat-adapter $? 0
    { cat "$model"; printf x; } >other.gguf
    "$ilab" chat -qq Hello -m other.gguf --adapter results/adapter.gguf >out 2>&1
    check cli/chat-foreign-adapter-exit $? 1
    has cli/chat-foreign-adapter "$(cat out)" 'Executing chat failed with: '
    "$ilab" serve --model-path other.gguf --adapter results/adapter.gguf --host-port 127.0.0.1:0 >out 2>&1
    check cli/serve-foreign-adapter-exit $? 1
    "$ilab" test --test_file train.jsonl --adapter results/adapter.gguf >out 2>&1
    check cli/test-exit $? 0
    has cli/test-output "$(cat out)" 'assistant_new:      '
    has cli/test-expected "$(cat out)" 'assistant_expected: A test.'
    "$ilab" test --test_file train.jsonl --adapter None >out 2>&1
    check cli/test-base-only "$(grep -c assistant_new out)" 0
    "$ilab" test --test_file nothing.jsonl >out 2>&1
    check cli/test-missing-file-exit $? 1
else
    not_ok cli/chat-adapter-trained "$(tail -3 out)"
fi

# the terminal: editing, history, Ctrl-C, several lines
if command -v python3 >/dev/null; then
    python3 "$root/tests/cli/chat_terminal.py" "$ilab" "$model" || failed=1
    TERM=xterm python3 "$root/tests/cli/terminal.py" 'see:>>> .*default' kill:TERM -- "$ilab" chat -m "$model" >out 2>&1
    check cli/chat-terminal-sigterm $? 0
else
    echo "skip cli/chat-terminal: python3 is not installed"
fi
[ $failed -eq 0 ]
