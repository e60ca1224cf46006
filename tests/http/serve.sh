#!/usr/bin/env bash
# The served model: addresses, answers, errors, many clients at once, clean ends. Uses models/starter.gguf, else the stories260K of ../shared.
set -u
cd "$(dirname "$0")/../.." || exit 1
ilab=$PWD/${BUILD:-build}/ilab
model=$PWD/models/starter.gguf
[ -f "$model" ] || model=$(ls "$PWD"/../shared/data/weights/stories260K/*.gguf 2>/dev/null | head -1)
[ -x "$ilab" ] || { echo "skip http/serve: $ilab is not built"; exit 0; }
[ -n "$model" ] || { echo "skip http/serve: no model (models/starter.gguf, ../shared)"; exit 0; }
command -v curl >/dev/null || { echo "skip http/serve: curl is not installed"; exit 0; }

dir=$(mktemp -d) && cd "$dir" || exit 1
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
export no_proxy='*'
failed=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1"; failed=1; [ -n "${2:-}" ] && printf '    %s\n' "$2"; }
check() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', want '$3'"; fi; }
has() { case $2 in *"$3"*) ok "$1" ;; *) not_ok "$1" "'$3' is not in: ${2:0:400}" ;; esac; }
# start LOG OPTIONS…: sets pid and url
start() {
    local log=$1
    shift
    "$ilab" serve --model-path "$model" --host-port 127.0.0.1:0 "$@" 2>"$log" &
    pid=$!
    for _ in $(seq 600); do
        url=$(sed -nE 's/.*Serving on (http:[^ ]+).*/\1/p' "$log")
        [ -n "$url" ] && return 0
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
# stop SIGNAL: rc is the server's exit code. No helper process: one that is ended at once may still run the trap above.
stop() {
    kill -"$1" "$pid"
    for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null
    wait "$pid"; rc=$?
    pid=
}
post() { curl -s --max-time 60 "$url$1" -H 'Content-Type: application/json' -d "$2"; }
status() { curl -s --max-time 60 -o /dev/null -w '%{http_code}' "$@"; }
content() { sed -nE 's/.*"message":\{"role":"assistant","content":"(([^"\\]|\\.)*)".*/\1/p'; }
body() { printf '{"messages":[{"role":"user","content":"%s"}],"max_tokens":%s%s}' "$1" "${2:-24}" "${3:-}"; }

start log || { not_ok http/serve-starts "$(cat log)"; exit 1; }
ok http/serve-starts
has http/serve-log "$(cat log)" "Using model '$model' with -1 gpu-layers and 4096 max context size."
has http/serve-log-start "$(cat log)" "Starting server process, press CTRL+C to shutdown server..."
has http/serve-log-docs "$(cat log)" "After application startup complete see $url/docs for API."
has http/root "$(curl -s "$url/")" '"message":"Hello from InstructLab!'
has http/health "$(curl -s "$url/health")" '"status":"ok"'
has http/docs "$(curl -s "$url/docs")" '/v1/chat/completions'
models=$(curl -s "$url/v1/models")
has http/models-id "$models" "\"id\":\"$model\""
has http/models-hash "$models" "\"hash\":\"$(sha256sum "$model" | cut -d' ' -f1)\""

answer=$(post /v1/chat/completions "$(body 'Who is the mayor of the town?')")
has http/chat "$answer" '"object":"chat.completion"'
has http/chat-usage "$answer" '"total_tokens":'
has http/chat-finish "$answer" '"finish_reason":"'
text=$(printf '%s' "$answer" | content)
stream=$(post /v1/chat/completions "$(body 'Who is the mayor of the town?' 24 ',"stream":true')")
has http/stream-type "$(curl -s -D - -o /dev/null "$url/v1/chat/completions" -d "$(body Hello 4 ',"stream":true')")" 'text/event-stream'
check http/stream-text "$(printf '%s\n' "$stream" | sed -nE 's/^data: .*"delta":\{.*"content":"(([^"\\]|\\.)*)".*/\1/p' | tr -d '\n')" "$text"
check http/stream-done "$(printf '%s\n' "$stream" | grep . | tail -1)" 'data: [DONE]'
has http/logprobs "$(post /v1/chat/completions "$(body Hello 3 ',"logprobs":true,"top_logprobs":2')")" '"top_logprobs":[{"token":'
has http/completions "$(post /v1/completions '{"prompt":"The town","max_tokens":4}')" '"object":"text_completion"'
check http/seed "$(post /v1/chat/completions "$(body Hello 16 ',"temperature":1,"seed":7')" | content)" "$(post /v1/chat/completions "$(body Hello 16 ',"temperature":1,"seed":7')" | content)"

verdict=$(post /v1/taxonomy/check '{"text":"version: 2 \ncreated_by: me\n"}')
has http/check "$verdict" '"valid":false'
has http/check-place "$verdict" '"line":1,"col":11,'
has http/check-remedy "$verdict" '"remedy":"remove the white space at the end of the line"'
has http/check-text "$(post /v1/taxonomy/check '{"file":"x"}')" "'text' is to be a string"
has http/check-deep "$(post /v1/taxonomy/check "{\"text\":\"$(printf '[%.0s' $(seq 10000))\"}")" 'more than 256 levels'
has http/check-page "$(curl -s "$url/check")" '/v1/taxonomy/check'

bad=$(curl -s -w '\n%{http_code}' "$url/v1/chat/completions" -d '{"messages": [')
has http/bad-json "$bad" '"type":"invalid_request_error"'
check http/bad-json-status "${bad##*$'\n'}" 400
for i in $(seq 3000); do printf 'river and town '; done >long
long=$(curl -s -w '\n%{http_code}' "$url/v1/chat/completions" -d "$(body "$(cat long)" 8)")
has http/too-long "$long" '"code":"context_length_exceeded"'
has http/too-long-message "$long" "This model's maximum context length is"
check http/too-long-status "${long##*$'\n'}" 400
has http/too-long-log "$(cat log)" 'exceed context window of'
check http/unknown-route "$(status "$url/v1/nothing")" 404
check http/wrong-method "$(status "$url/v1/chat/completions")" 405
head -c 9000000 /dev/zero | tr '\0' x >big
check http/too-big "$(status -H 'Expect:' --data-binary @big "$url/v1/chat/completions")" 413

# many at once give what each gives alone
n=8 same=0
for i in $(seq $n); do post /v1/chat/completions "$(body "Tell me about number $i of the towns." 32)" | content >alone.$i; done
for i in $(seq $n); do post /v1/chat/completions "$(body "Tell me about number $i of the towns." 32)" | content >together.$i & clients[i]=$!; done
wait "${clients[@]}"
for i in $(seq $n); do cmp -s alone.$i together.$i && [ -s together.$i ] && same=$((same + 1)); done
check http/concurrent "$same" $n

# a client that leaves frees the model: the next answer does not wait for a long one
curl -s --max-time 0.3 -N "$url/v1/chat/completions" -d "$(body 'Tell me a long story.' 400 ',"temperature":1.5,"stream":true')" >/dev/null
has http/after-client-left "$(post /v1/chat/completions "$(body Hello 4)")" '"object":"chat.completion"'

# chat and the taken port
port=${url##*:}
printf 'serve:\n  model_path: %s\n  host_port: 127.0.0.1:%s\nchat:\n  model: %s\n  logs_dir: ""\ngenerate:\n  model: x\n  taxonomy_path: t\n  taxonomy_base: empty\n' "$model" "$port" "$model" >config.yaml
"$ilab" chat -qq 'Who is the mayor of the town?' --max-tokens 24 >chat.out 2>chat.err
check http/chat-command "$(sed 's/"/\\"/g' chat.out)" "$text"
has http/chat-uses-server "$(cat chat.err)" 'using the server that already runs'
check http/chat-endpoint "$("$ilab" --config DEFAULT chat -qq 'Who is the mayor of the town?' --max-tokens 24 --endpoint-url "$url/v1" 2>/dev/null | sed 's/"/\\"/g')" "$text"
"$ilab" serve --model-path "$model" --host-port "127.0.0.1:$port" >taken 2>&1
check http/port-taken-exit $? 1
has http/port-taken "$(cat taken)" "error while attempting to bind on address ('127.0.0.1', $port)"
"$ilab" serve --model-path nothing.gguf >missing 2>&1
check http/missing-model-exit $? 1
has http/missing-model "$(cat missing)" 'Model path does not exist: nothing.gguf'

stop INT
check http/stops-on-sigint $rc 0
"$ilab" chat -qq Hello --max-tokens 4 --endpoint-url "$url/v1" >gone 2>&1
check http/chat-without-server-exit $? 1
has http/chat-without-server "$(cat gone)" 'Executing chat failed with: '

# stopping while it answers
start log2 --max-queue 2 --api-key secret || not_ok http/serve-starts-again "$(cat log2)"
check http/key-missing "$(status "$url/v1/models")" 401
check http/key-right "$(status -H 'Authorization: Bearer secret' "$url/v1/models")" 200
curl -s -N -H 'Authorization: Bearer secret' "$url/v1/chat/completions" -d "$(body 'Tell me a long story.' 400 ',"temperature":1.5,"stream":true')" >cut & client=$!
sleep 0.2
stop TERM
check http/stops-while-answering $rc 0
wait $client
[ $failed -eq 0 ]
