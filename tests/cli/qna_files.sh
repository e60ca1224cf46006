#!/usr/bin/env bash
# qna_files.sh — `ilab taxonomy check` and `fix` on hostile files (one clear message, bounded time and memory), in every
# format, as an editor calls them, with rules of one's own, in the reference's words.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=$PWD/${BUILD:-build}/ilab
[ -x "$ILAB" ] || { echo "skip qna_files: $ILAB is missing"; exit 0; }
shared=$PWD/../shared/data/taxonomy
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-qna-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
I="$ILAB --config DEFAULT taxonomy"
mkdir -p knowledge/x
q=knowledge/x/qna.yaml
ok() { echo "ok qna_files/$1"; }
not_ok() { echo "not ok qna_files/$1: $2"; sed 's/^/#   /' out | head -8; }
# check NAME EXIT PATTERN… -- COMMAND…; within 10 s and 400 MB
check() {
    local name=$1 want=$2 patterns=() rc
    shift 2
    while [ "$1" != -- ]; do patterns+=("$1"); shift; done
    shift
    (ulimit -v 1200000; exec timeout 20 "$@") >out 2>&1
    rc=$?
    [ $rc = "$want" ] || { not_ok "$name" "exit code $rc instead of $want"; return; }
    for p in "${patterns[@]}"; do grep -qE -- "$p" out || { not_ok "$name" "no '$p' in the output"; return; }; done
    ok "$name"
}
good() {
    printf 'version: 2\ncreated_by: me\ntask_description: a test\ndomain: d\nseed_examples:\n'
    for i in 1 2 3 4 5; do printf '  - question: What is %s?\n    answer: It is %s.\n' $i $i; done
    printf 'document:\n  repo: docs\n  commit: HEAD\n  patterns: ["*.md"]\n'
}
printf 'Title of work: t\nLink to work: l\nRevision: 1\nLicense of the work: CC0-1.0\nCreator names: me\n' >knowledge/x/attribution.txt

# ---- hostile files ----
truncate -s 1G $q; check "1 GB" 1 "qna.yaml.*(larger|MB|MiB)" -- $I check $q
{ for _ in {1..10000}; do printf '['; done; } >$q; check "10,000 levels of brackets" 1 "nested deeper than 64 levels|more than 256 levels" -- $I check $q
{ for i in {1..3000}; do printf '%*sa:\n' "$i" ''; done; } >$q; check "3,000 levels of keys" 1 "nested deeper than 64 levels" -- $I check $q
{ echo 'a0: &a0 [x, x, x, x, x, x, x, x, x]'; for i in {1..20}; do p=$((i - 1)); echo "a$i: &a$i [*a$p, *a$p, *a$p, *a$p, *a$p, *a$p, *a$p, *a$p, *a$p]"; done; } >$q
check "billion laughs" 1 ":[0-9]+:[0-9]+: error: syntax error: more than 100000 values" -- $I check $q
good | sed 's/It is 2/It \x00is 2/' >$q; check "NUL byte" 1 ":9:16: error: the file holds a NUL byte" "remove it" -- $I check $q
good | iconv -t UTF-16LE | sed '1s/^/\xff\xfe/' >$q; check "UTF-16" 1 ":1:1: error: the file is UTF-16LE, not UTF-8" "iconv -f UTF-16LE" -- $I check $q
cp $q wide.yaml; check "fix: UTF-16 becomes UTF-8" 0 "utf-16 1" -- $I fix --yes --quiet $q
check "… and is valid" 0 -- $I check $q
good | sed 's/It is 2/caf\xe9/' >$q; check "Latin-1" 1 ":9:16: error: 'utf-8' codec can't decode byte 0xe9" "iconv" -- $I check $q
: >$q; check "empty" 0 "warning: .*empty" -- $I check $q
printf '# nothing\n' >$q; check "comments only" 0 "warning: .*empty" -- $I check $q
printf -- '- a\n' >$q; check "a list" 1 "top-level element is not an object" "version: 2" -- $I check $q
good | sed 's/It is 2\./Yes/' >$q; check "boolean answer" 1 ":9:13: error: \[.seed_examples\[1\].answer\] True is not of type 'string'" "in quotes" -- $I check $q
good | sed 's/It is 2\./1969/; s/It is 3\./2024-13-45/' >$q; check "numbers and dates" 1 "put the date or number in quotes" -- $I check $q
head -c 300000 /dev/urandom >$q; check "random bytes" 1 "error:" -- $I check $q
{ good; for _ in {1..200000}; do printf 'k: v \n'; done; } >$q; check "200,000 repeated keys" 1 "duplication of key" -- $I check $q
check "no such file" 1 "absent.yaml" -- $I check absent.yaml

# ---- formats ----
good | sed 's/^created_by: me/created_by: me  /; s/It is 2\./@home/' >$q
check "text" 1 "^knowledge/x/qna.yaml:9:13: error: syntax error: found character '@' that cannot start any token \(syntax\)$" "^    9 \|     answer: @home$" "^      \|             \^$" "→ .*in double quotes" -- $I check $q
check "line" 1 "^knowledge/x/qna.yaml:2:15: warning: trailing spaces \(trailing-spaces\)$" -- $I check --format line $q
check "an editor's buffer" 1 "^deep/er/qna.yaml:9:13: error: " -- bash -c "$I check --format line --stdin-name deep/er/qna.yaml <$q"
check "… on standard input" 1 "^-:9:13: error: " -- bash -c "$I check - <$q"
check "… is read in lines, with its folder" 1 "^knowledge/x/qna.yaml:2:15: warning: trailing spaces \(trailing-spaces\)$" -- bash -c "$I check --stdin-filename $q <$q"
check "knowledge without its document is still knowledge, wherever it comes from" 1 "^-:1:1: error: 'document' is a required property" -- bash -c "sed '/^document:/,\$d' $q | sed 's/@home/home/' | $I check -"
check "standard input beside a file is refused" 2 "by itself" -- $I check - $q
check "standard input with a name beside a file is refused" 2 "by itself" -- $I check --stdin-filename $q $q
check "github" 1 "^::warning file=knowledge/x/qna.yaml,line=2,col=15,title=trailing-spaces::2:15 trailing spaces" "^::error file=" -- $I check --format github $q
check "github, chosen by its environment" 1 "^::error file=" -- env GITHUB_ACTIONS=true GITHUB_WORKFLOW=w $I check $q
check "json" 1 '"valid":false' '"rule":"trailing-spaces"' '"source":"created_by: me  "' -- $I check --json $q
good | sed 's/^created_by: me/created_by: me  /' >$q
check "style is a warning" 0 "warning: trailing spaces" -- $I check $q
check "… an error with --strict" 1 "error: trailing spaces" -- $I check --strict $q
printf 'extends: relaxed\nrules: {trailing-spaces: disable}\n' >rules; check "--yaml-rules" 0 -- $I check --strict --yaml-rules rules $q
printf 'rules: {trailing-space: disable}\n' >rules; check "--yaml-rules: no such rule" 2 'rules:1:9: invalid config: no such rule: "trailing-space"; did you mean "trailing-spaces"' -- $I check --yaml-rules rules $q
printf 'rules: {colons: {max-spaces-after: x}}\n' >rules; check "--yaml-rules: option" 2 'option "max-spaces-after" of "colons" should be int' -- $I check --yaml-rules rules $q
good | sed 's/^created_by: me/created_by: me   # yamllint disable-line/; s/It is 3\./It is 3.  /' >$q
check "yamllint directives" 1 ":11:21: error: trailing spaces" -- $I check --strict $q
good | sed 's/What is 1/What is 2/; s/It is 1/It is 2/; /^created_by/d' >$q
check "all findings in one pass, sorted" 1 "1:1: error: 'created_by' is a required property" "non-unique elements" -- $I check --format line $q
rm knowledge/x/attribution.txt; good >$q; check "attribution" 0 'attribution.txt" file does not exist' "License of the work" -- $I check $q
mkdir -p "knowledge/Big Folder"; good >"knowledge/Big Folder/qna.yaml"; check "folder names" 0 "the folder 'Big Folder'" -- $I check "knowledge/Big Folder/qna.yaml"
rm -r "knowledge/Big Folder"

# ---- the reference's words ----
good | sed 's/^created_by: me/created_by: me  /' >$q
check "0.14: style ends the check" 1 "Problems found in file .*qna.yaml" "qna.yaml:2:15: \[error\] trailing spaces \(trailing-spaces\)" "failed with the following error: 1 taxonomy files with errors! Exiting" -- $I diff --taxonomy-path . --taxonomy-base empty --compat 0.14
check "0.26: v2 knowledge" 1 "Version 2 is not supported for knowledge. Minimum supported version is 3." "1 taxonomy files!\]|across 1 taxonomy files" -- $I diff --taxonomy-path . --taxonomy-base empty --compat 0.26

# ---- fix ----
good | tr -d '\n' >/dev/null; good | sed '/^version/d; s/$/\r/' >knowledge/x/qna.yml; rm $q
check "fix: needs --yes" 1 "not written: --yes writes without asking" "^-created_by: me.r$" -- $I fix knowledge/x/qna.yml
check "fix: .yml, CR LF, version" 0 "new-lines [0-9]+, version 1, renamed to qna.yaml" "every value is the same" -- $I fix --yes knowledge/x/qna.yml
check "… is valid, and named so" 0 -- $I check --format line $q
mkdir -p tax/knowledge/{a,b,c,two}; good >tax/knowledge/a/qna.yml; good >tax/knowledge/b/lamps.yml; good >tax/knowledge/c/QNA.YAML; good >tax/knowledge/two/one.yml; good >tax/knowledge/two/two.yml
check "fix: every leaf, .yml among them" 0 "a/qna.yml: renamed to qna.yaml" "b/lamps.yml: renamed" "c/QNA.YAML: renamed" "^5 files looked at, 3 mended" -- $I fix --yes --taxonomy-path tax
if [ "$(cd tax/knowledge && ls */*)" = "$(printf '%s\n' a/qna.yaml a/qna.yml.bak b/lamps.yml.bak b/qna.yaml c/QNA.YAML.bak c/qna.yaml two/one.yml two/two.yml)" ]; then ok "… two in one folder keep their names"; else ls tax/knowledge/* >out; not_ok "… two in one folder keep their names" "no"; fi
if command -v git >/dev/null; then
    (cd tax && git init -q . && git add . && git -c user.name=x -c user.email=x@y commit -qm 1) >/dev/null 2>&1
    good >tax/knowledge/a/more.yml; mkdir tax/knowledge/new; good >tax/knowledge/new/qna.yml
    check "fix: what changed" 0 "new/qna.yml: renamed" "^2 files looked at, 1 mended" -- $I fix --yes --taxonomy-path tax --taxonomy-base HEAD
fi
rm -r tax
if [ -e knowledge/x/qna.yml.bak ] && [ ! -e knowledge/x/qna.yml ]; then ok "fix: a backup is there"; else ls knowledge/x >out; not_ok "fix: a backup is there" "no"; fi
good | sed 's/It is 2\./@home  /' >$q; cp $q before
check "fix: what does not parse is left alone" 0 "cannot start any token" -- $I fix --yes $q
if cmp -s $q before; then ok "… byte for byte"; else not_ok "… byte for byte" "it changed"; fi

# ---- what people wrote most often: the hint names it ----
hint() { printf "$3" >hint.yaml; check "hint: $1" 1 "syntax error" "→ $2" -- $I check --format text hint.yaml; }
hint "no blank behind a dash" 'a blank is missing behind the dash in line 2: write `- source: …`' 'attribution:\n-source: a\n license: b\n'
hint "no blank behind a colon" 'a blank is missing behind the colon in line 3: write `license: MIT`' 'a:\n  - source: a\n   license:MIT\n'
hint "a key one column beside" '`answer` begins in column 4, but `question` above it .line 2. in column 5' 'a:\n  - question: x\n   answer: y\n'
hint "a key one column too deep" '`license` begins in column 6, but `source` above it .line 2. in column 5: put them in one column' 'a:\n  - source: x\n     license: y\n'
hint "an apostrophe in single quotes" "the apostrophe in \`can't\` ends the text" "a:\n  - answer: 'Why can't you?'\n"
hint "a text that is not indented" 'the text below `answer: .` must begin deeper .*line 3' 'a:\n- answer: |\n```\nx\n'

# ---- files of real people that are no YAML: each gets a place, its line and a hint ----
if [ -d "$shared/contributions-invalid-yaml" ]; then
    n=0 bad=
    for f in "$shared"/contributions-invalid-yaml/*/qna.yaml; do
        n=$((n + 1))
        $I check "$f" >out 2>&1
        [ "$(grep -c ': error: syntax error: ' out)" = 1 ] && grep -A3 ': error: syntax error: ' out | grep -qE '→ .*(must end|must begin deeper|holds a colon|every entry begins)' || bad="$bad ${f%/qna.yaml}"
    done
    if [ $n = 12 ] && [ -z "$bad" ]; then ok "12 real files that are no YAML"; else not_ok "12 real files that are no YAML" "no hint:$bad"; fi
else
    echo "skip qna_files/real files that are no YAML: ../shared/data/taxonomy is missing"
fi
