#!/usr/bin/env bash
# `ilab data ingest` as a user runs it, and what the readers of foreign files may not do.
set -u
cd "$(dirname "$0")/../.." || exit 1
ilab=$PWD/${BUILD:-build}/ilab docs=$PWD/tests/documents
work=$(mktemp -d) && cd "$work" || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
check() { if eval "$2"; then echo "ok $1"; else echo "not ok $1"; sed 's/^/# /' out err 2>/dev/null | head -20; fi; }

mkdir models && cp "$OLDPWD/models/starter.gguf" models/
"$ilab" data ingest "$docs"/facts.* --json --out chunks.jsonl >out 2>err
check "ingest reads every format" "[ $? = 0 ] && [ \$(grep -o '\"format\": *\"[a-z]*\"' out | sort -u | wc -l) = 7 ] && grep -q '\"counts_tokens\": *true' out && [ \$(wc -l <chunks.jsonl) -ge 7 ]"
"$ilab" data ingest "$docs/facts.pdf" >out 2>err
check "ingest shows places and losses" "grep -q 'Geschichte  (page 1, ' out && grep -q 'not in the text: 1 image, 4 page headers and footers' out"
"$ilab" data ingest "$docs/facts.md" "$docs/scanned.pdf" "$docs/bomb.docx" >out 2>err
check "a bad document is told, the others are read, the exit code is 1" "[ $? = 1 ] && grep -q OCR err && grep -q 'zip bomb' err && grep -q '2 could not be read' out && grep -q 'facts.md' out"
mkdir leaf && cp "$docs/facts.odt" leaf/ && sed -n '/^version: 2/,/^```$/p' "$OLDPWD/docs/GUIDE.md" | sed '/^```/d; s/torvik_lamps.md/"*.odt"/' >leaf/qna.yaml
"$ilab" data ingest leaf/qna.yaml >out 2>err
check "the documents of a qna.yaml" "[ $? = 0 ] && grep -q 'facts.odt  (odt' out"
"$ilab" data ingest --compat 0.14 "$docs/facts.md" --chunk-word-count 5 >out 2>err || "$ilab" --compat 0.14 data ingest "$docs/facts.md" --chunk-word-count 5 >out 2>err
check "the reference's chunker complains as the reference" "grep -q 'larger chunk overlap (100) than chunk size (24)' err"
"$ilab" data ingest http://example.org/x.git >out 2>err
check "plain http is refused" "[ $? = 1 ] && grep -q 'https, ssh or git only' err"
"$ilab" data ingest >out 2>err
check "no path is wrong usage" "[ $? = 2 ]"

# diff reads a remote document that was fetched before, and only then; a server of git's own stands for the network.
if git daemon --help >/dev/null 2>&1 || [ -x "$(git --exec-path 2>/dev/null)/git-daemon" ]; then
    mkdir far && (cd far && git init -q . && cp "$docs/facts.md" . && git add . && git -c user.name=x -c user.email=x@y commit -qm 1) >/dev/null 2>&1
    port=$((20000 + RANDOM % 20000)) I="$ilab --config DEFAULT diff --taxonomy-base empty --taxonomy-path tax"
    git daemon --reuseaddr --listen=127.0.0.1 --port=$port --base-path="$work" --export-all "$work" 2>daemon.log & daemon=$!
    for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
    mkdir -p tax/knowledge/far && sed "s|repo: .*|repo: git://127.0.0.1:$port/far|; s|commit: .*|commit: $(git -C far rev-parse HEAD)|; s|\"\*.odt\"|facts.md|" leaf/qna.yaml >tax/knowledge/far/qna.yaml
    $I >out 2>err
    check "diff fetches nothing by itself" "[ $? = 0 ] && grep -q '1 document in a repository elsewhere is not at hand' out && [ -z \"\$(ls cache/ilab/documents 2>/dev/null)\" ]"
    $I --documents >out 2>err
    check "diff --documents fetches" "[ $? = 0 ] && ! grep -q 'not at hand' out"
    kill $daemon; wait $daemon 2>/dev/null
    $I >out 2>err
    check "… and then diff has it at hand" "[ $? = 0 ] && ! grep -q 'not at hand' out && grep -q 'is valid' out"
    sed -i 's/facts.md/absent*.md/' tax/knowledge/far/qna.yaml
    $I >out 2>err
    check "… and checks it without a network" "[ $? = 1 ] && grep -q \"qna.yaml:[0-9]*:1: Couldn't find knowledge documents\" out"
    sed -i 's/commit: .*/commit: main/' tax/knowledge/far/qna.yaml
    $I >out 2>err
    check "another commit is not at hand" "[ $? = 0 ] && grep -q 'not at hand' out"
else
    echo "skip documents/remote documents at hand: git daemon is not installed"
fi

# Bad documents of a leaf, by each command that reads them: one message with the place in the qna.yaml, and soon.
mkdir -p spoilt/knowledge/bad && cp "$docs"/{bomb.docx,encrypted.pdf,scanned.pdf,facts.md} spoilt/knowledge/bad/ && cp "$docs/facts.md" outside.md
# refused REPO PATTERN WORDS
refused() {
    sed "s|^  repo:.*|  repo: '$1'|; s|^  *- \"\\*.odt\"|    - '$2'|" leaf/qna.yaml >spoilt/knowledge/bad/qna.yaml
    local command
    for command in "diff --documents --taxonomy-base empty --taxonomy-path spoilt" "generate --quiet --taxonomy-base empty --taxonomy-path spoilt" "data ingest spoilt/knowledge/bad/qna.yaml"; do
        timeout 60 "$ilab" --config DEFAULT $command >out 2>err </dev/null
        check "${command%% [-t]*}: $3" "[ $? = 1 ] && [ \$(cat out err | grep -c '$3') = 1 ] && { [[ '$command' = data* ]] || grep -q 'qna.yaml:[0-9]*:1: .*$3' out err; }"
    done
}
refused . bomb.docx "refused as a zip bomb; if it is none"
refused . encrypted.pdf "the PDF is encrypted: save it without a password"
refused . scanned.pdf "it needs OCR first"
refused . "../../../outside.md" "leaves the folder: name a folder further up"
refused "--upload-pack=touch $work/new" "*.md" "is not the address of a repository: write"
check "an address with a dash runs nothing" "[ ! -e new ]"

# What runs as a limited program inherits the limits (through pipes: the limit of file size counts for redirections, too).
limited() { "$ilab" document-program "$@" 2>&1 | cat >out; return "${PIPESTATUS[0]}"; }
touch readable
limited cat readable
check "a limited program reads" "[ $? = 0 ]"
for what in "touch new" "rm readable" "mv readable moved" "mkdir dir" "ln readable other" "chmod 600 readable" "dd if=/dev/zero of=readable count=1"; do
    limited $what
    check "a limited program cannot: $what" "[ $? != 0 ] && [ -e readable ] && [ ! -s readable ] && [ ! -e new ] && [ ! -e moved ] && [ ! -e dir ] && [ ! -e other ]"
done
limited bash -c ': </dev/tcp/127.0.0.1/9'
check "a limited program makes no socket" "grep -qi 'not permitted' out"
limited no-such-program-anywhere
check "a missing program is 127" "[ $? = 127 ]"
