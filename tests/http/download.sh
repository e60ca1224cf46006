#!/usr/bin/env bash
# download: the starter, a local file, an address, OWNER/NAME of a hub (HF_ENDPOINT), and what can go wrong.
set -u
cd "$(dirname "$0")/../.." || exit 1
ilab=$PWD/${BUILD:-build}/ilab
model=$PWD/models/starter.gguf
[ -x "$ilab" ] || { echo "skip http/download: $ilab is not built"; exit 0; }
[ -f "$model" ] || { echo "skip http/download: models/starter.gguf is missing"; exit 0; }
dir=$(mktemp -d) && cd "$dir" || exit 1
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
export no_proxy='*'
failed=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1"; failed=1; [ -n "${2:-}" ] && printf '    %s\n' "$2"; }
check() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', want '$3'"; fi; }
has() { case $2 in *"$3"*) ok "$1" ;; *) not_ok "$1" "'$3' is not in: ${2:0:400}" ;; esac; }
same() { if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$2 differs"; fi; }

out=$("$ilab" download 2>&1)
check download/starter-exit $? 0
[ "$(head -c4 models/starter.gguf)" = GGUF ] && ok download/starter || not_ok download/starter "$out"
has download/starter-hash "$out" "sha256 $(sha256sum models/starter.gguf | cut -d' ' -f1)"
has download/exists "$("$ilab" download 2>&1)" 'is there already'
out=$("$ilab" download "$model" --filename copy.gguf 2>&1)
same download/local models/copy.gguf "$model"
"$ilab" download not-a-file.gguf >out 2>&1
check download/nonsense-exit $? 2
has download/nonsense "$(cat out)" "neither a file here, nor an http(s) address, nor OWNER/NAME"
"$ilab" download https://example.org/ >out 2>&1
check download/no-name-exit $? 2
mkdir -p ro && echo x >ro/file
"$ilab" download --model-dir ro/file/models >out 2>&1
check download/no-folder-exit $? 1

if command -v python3 >/dev/null; then
    mkdir -p site/me/some-GGUF/resolve/main site/me/some-GGUF/resolve/v2
    cp "$model" site/model.gguf
    cp "$model" site/me/some-GGUF/resolve/main/some-Q4_K_M.gguf
    cp "$model" site/me/some-GGUF/resolve/v2/other.gguf
    echo '<html>' >site/page.gguf
    python3 -u -m http.server 0 --bind 127.0.0.1 --directory site >server.log 2>&1 &
    pid=$!
    for _ in $(seq 50); do port=$(sed -nE 's/.* port ([0-9]+) .*/\1/p' server.log); [ -n "$port" ] && break; sleep 0.1; done
    url=http://127.0.0.1:$port
    export HF_ENDPOINT=$url
    "$ilab" download "$url/model.gguf?x=1" >out 2>&1
    check download/url-exit $? 0
    same download/url models/model.gguf "$model"
    "$ilab" download --repository me/some-GGUF >out 2>&1
    check download/hub-exit $? 0
    has download/hub-says "$(cat out)" 'Downloading model from me/some-GGUF@main to models...'
    same download/hub models/some-Q4_K_M.gguf "$model"
    "$ilab" download --repository me/some-GGUF --release v2 --filename other.gguf --hf-token t --model-dir elsewhere >out 2>&1
    same download/hub-release elsewhere/other.gguf "$model"
    "$ilab" download --repository me/none >out 2>&1
    check download/missing-exit $? 1
    has download/missing "$(cat out)" 'Downloading model failed with the following Hugging Face Hub error: '
    has download/missing-why "$(cat out)" 'give it with --filename'
    "$ilab" download "$url/page.gguf" >out 2>&1
    check download/page-exit $? 1
    has download/page "$(cat out)" 'no GGUF model'
    [ -e models/page.gguf ] && not_ok download/page-removed || ok download/page-removed
    kill $pid; wait $pid 2>/dev/null; pid=
    "$ilab" download "$url/model.gguf" --filename again.gguf >out 2>&1
    check download/no-server-exit $? 1
    check download/nothing-half-written "$(ls models | grep -c again)" 0
else
    echo "skip http/download-network: python3 is not installed"
fi
[ $failed -eq 0 ]
