#!/usr/bin/env bash
# taxonomy.sh — `ilab taxonomy diff`, `list`, `tree` and `new` as a user runs them, and what stands in the way of reading a leaf.
#   ILAB=path/of/ilab or BUILD=build: the program; ../shared/data/taxonomy: real leaves (skipped without them).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
shared=$root/../shared/data/taxonomy
[ -x "$ILAB" ] || { echo "skip taxonomy: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-taxonomy-XXXXXX") || exit 1
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$dir
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
I="$ILAB --config DEFAULT"


# ---- a taxonomy with leaves of each kind ----
skill() { # skill FILE CONTEXT: five examples, version 2
    mkdir -p "$(dirname "$1")"
    { printf 'version: 2\ncreated_by: ada\ntask_description: a test\nseed_examples:\n'
      for i in 1 2 3 4 5; do
          printf '  - question: "Question %s?"\n    answer: "Answer %s."\n' $i $i
          [ -n "$2" ] && printf '    context: "Context %s."\n' $i
      done; } >"$1"
}
mkdir t && git -C t init -q -b main . && echo x >t/README.md && git -C t add . && git -C t commit -qm one
skill t/compositional_skills/old/qna.yaml ""
skill t/compositional_skills/grounded/edit/qna.yaml c
git -C t add . && git -C t commit -qm two
skill t/compositional_skills/writing/neu\ ä/qna.yaml ""
sed -i 's/Answer 3/Answer three/' t/compositional_skills/grounded/edit/qna.yaml
check "list: states, kinds, counts" 0 '^new +freeform +2 +5 +0 +5 +ada +compositional_skills/writing/neu ä/qna.yaml' '^changed +grounded +2 +5 +5 +5 +ada' '^unchanged +freeform' \
    '^3 leaves: 1 new, 1 changed, 1 unchanged' -- $I taxonomy list --taxonomy-path t --taxonomy-base main
check "list: filters" 0 'edit/qna.yaml' '^1 leaf: 1 changed' '!old' -- $I taxonomy list --taxonomy-path t --taxonomy-base main --state changed --kind skill --created-by ada --schema-version 2 grounded
check "list: a pattern" 0 '^1 leaf' -- $I taxonomy list --taxonomy-path t --taxonomy-base main 'compositional_skills/o*'
check "list: an unknown state" 2 'invlid' -- $I taxonomy list --taxonomy-path t --state invlid
check "tree" 0 '^compositional_skills/$' '^  grounded/$' '^    edit  \[changed\] grounded, v2, 5 contexts, 5 Q&A, by ada' '^  old  \[unchanged\]' -- $I taxonomy tree --taxonomy-path t --taxonomy-base main
check "list: no such base is said, the leaves are listed" 0 "What is new or changed is not known: Couldn't find" '^unknown' -- $I taxonomy list --taxonomy-path t --taxonomy-base origin/main
$I taxonomy list --taxonomy-path t --taxonomy-base main --json >json 2>out
if python3 -c 'import json,sys; d=json.load(open("json")); l={x["path"]:x for x in d["leaves"]}; g=l["compositional_skills/grounded/edit/qna.yaml"]
assert d["total"]==3 and d["new"]==1 and g["state"]=="changed" and g["contexts"]==5 and g["valid"] and g["kind"]=="grounded", d' 2>>out; then echo "ok list --json"; else not_ok "list --json" "other values"; fi
check "diff lists what changed" 0 'neu ä' 'grounded/edit' '!skills/old' 'is valid :)' -- $I taxonomy diff --taxonomy-path t --taxonomy-base main
cp -r t/compositional_skills plain_skills && mkdir plain && mv plain_skills plain/compositional_skills
check "diff in a folder that is no repository" 1 'is not a git repository' 'taxonomy-base empty' -- $I taxonomy diff --taxonomy-path plain --taxonomy-base main
check "list without git" 0 'not a git repository' '^unknown' '^3 leaves' -- $I taxonomy list --taxonomy-path plain
check "diff --taxonomy-base empty without git" 0 'is valid :)' -- $I taxonomy diff --taxonomy-path plain --taxonomy-base empty

# ---- new ----
mkdir docs
cat >docs/lamps.md <<'END'
---
title: Torvik Lamps
author: [Ada Berg, Jon Dahl]
license: CC-BY-4.0
source: https://example.org/lamps
date: 2024-03-01
---
# Torvik Lamps

Torvik Lamps is a company in Sandmar. It was founded in 1962 by Aksel Brandt, who had worked as a glass-blower. The first lamp, the Torvik 1, was sold in March 1963. It cost 42 crowns.

## People

The director of Torvik Lamps is Marta Engelund. She has led the company since 2011. In 2023, Torvik Lamps had 348 employees. Most of them work in the hall at the harbour, which was built in 1987.

## Products

The best known lamp is the Nordlys, designed by Siri Holm in 1978. More than 200,000 of them were sold until 1999. A table lamp called Fyr followed in 1981. The street lamps of Sandmar are made by Torvik Lamps, too.

| Lamp | Year | Designer |
|---|---|---|
| Nordlys | 1978 | Siri Holm |
| Fyr | 1981 | Per Lund |

## History

In 1991 a fire destroyed the old hall. Nobody was hurt. The company moved to Bergvik for two years. It came back in 1993 with the help of the town. Since 2005 all lamps use light-emitting diodes.
END
check "new: from a document" 0 't/knowledge/company/lamps/qna.yaml' 'places to fill in' -- $I taxonomy new company/lamps --taxonomy-path t --document docs/lamps.md --created-by ada --non-interactive
for p in 'Title of work: Torvik Lamps' 'Link to work: https://example.org/lamps' 'Revision: 2024-03-01' 'License of the work: CC-BY-4.0' 'Creator names: Ada Berg, Jon Dahl'; do
    cp t/knowledge/company/lamps/attribution.txt out
    if grep -qxF "$p" out; then echo "ok new: attribution: ${p%%:*}"; else not_ok "new: attribution" "no '$p'"; fi
done
cp t/knowledge/company/lamps/qna.yaml out
if [ "$(grep -c '  - context: |' out)" = 5 ] && grep -q 'Marta Engelund' out && grep -q 'domain: "company"' out && ! grep -qE ' $|.{121}' out && [ "$(grep -c 'question: "<fill in' out)" = 15 ]; then echo "ok new: the skeleton"; else not_ok "new: the skeleton" "contexts, domain, marks or lines"; fi
check "new: diff names the marks" 1 'seed_examples\[0\]\.questions_and_answers\[1\]\.question\] not filled in yet: .<fill in: question 1\.2' '15 taxonomy files with errors' -- $I taxonomy diff --taxonomy-path t --taxonomy-base main
check "new: list shows it" 0 '^unfilled +knowledge +3 +5 +5 +15' -- $I taxonomy list --taxonomy-path t --taxonomy-base main --state unfilled
sed -i 's/<fill in: \([^>]*\)>/\1/' t/knowledge/company/lamps/qna.yaml
check "new: filled in, it is valid" 0 'knowledge/company/lamps/qna.yaml' 'is valid :)' -- $I taxonomy diff --taxonomy-path t --taxonomy-base main
sed -i 's/^domain: .*/domain: "<fill in: the field>"/' t/knowledge/company/lamps/qna.yaml
printf 'Title of work: <fill in: title>\n' >t/knowledge/company/lamps/attribution.txt
check "new: a mark is shown where it stands" 1 'qna.yaml:3:9: error: \[.domain\] not filled in yet' '^    3 \| domain: "<fill in' 'qna.yaml:1:1: warning: not filled in yet in attribution.txt: Title of work' '!    1 \| version' -- $I taxonomy diff --taxonomy-path t --taxonomy-base main
check "no taxonomy: what to do" 1 'taxonomy \(nowhere\) does not exist. `ilab init` makes one' -- $I taxonomy tree --taxonomy-path nowhere
mkdir -p wrong/knowledge/a && echo 'version: 3' >wrong/knowledge/a/qna.yml
check "qna.yml: what to do" 0 'must be named .qna.yaml.. File will not be checked. `ilab taxonomy fix` renames it' -- $I taxonomy diff --taxonomy-path wrong --taxonomy-base empty
for what in "config init" "init" "taxonomy new"; do # Ctrl-C at a question ends the command, and nothing is written
    mkdir -p asked && cd asked || exit 1
    XDG_CONFIG_HOME=$dir/asked XDG_DATA_HOME=$dir/asked python3 "$root/tests/cli/terminal.py" 'see:[:?\]>] *$' 'type:\x03' -- $ILAB $what >../out 2>&1
    rc=$?
    cd ..
    if [ $rc = 130 ] && [ -z "$(find asked -name '*.yaml')" ]; then ok "Ctrl-C at a question of $what"; else not_ok "Ctrl-C at a question of $what" "exit code $rc: $(find asked -name '*.yaml')"; fi
done
check "new: never overwrites" 1 'exists already and is left as it is' -- $I taxonomy new company/lamps --taxonomy-path t --document docs/lamps.md --non-interactive
check "new: a folder, copied beside the leaf" 0 '' -- $I taxonomy new company/copied --taxonomy-path t --document docs --copy --non-interactive
cp t/knowledge/company/copied/qna.yaml out
if grep -q 'repo: "\."' out && cmp -s docs/lamps.md t/knowledge/company/copied/lamps.md; then echo "ok new: repo and patterns of a copy"; else not_ok "new: repo and patterns of a copy" "other"; fi
cp -r docs gitdocs && git -C gitdocs init -q -b main . && git -C gitdocs add . && git -C gitdocs commit -qm docs
check "new: a git repository" 0 "repo: \"file://$dir/gitdocs\"" "commit: \"$(git -C gitdocs rev-parse HEAD)\"" '- "\*\.md"' 'Marta Engelund' "Title of work: Torvik Lamps" -- \
    $I taxonomy new company/cloned --taxonomy-path t --document "file://$dir/gitdocs" --non-interactive --dry-run
[ -e t/knowledge/company/cloned ] && { : >out; not_ok "new --dry-run writes nothing" "there is a folder"; } || echo "ok new --dry-run writes nothing"
printf '<html><head><title>Lamps of the north</title><meta name="author" content="Ada Berg"></head><body><h1>Lamps</h1><p>Torvik Lamps was founded in 1962 in Sandmar by Aksel Brandt, who was a glass-blower before. It makes lamps for ships.</p><h2>People</h2><p>The director is Marta Engelund. She leads 348 people in the hall at the harbour.</p></body></html>' >lamps.html
check "new: an HTML document" 0 'Title of work: Lamps of the north' 'Creator names: Ada Berg' 'Marta Engelund' '- "lamps.html"' -- $I taxonomy new company/html --taxonomy-path t --document lamps.html --non-interactive --dry-run
check "new: a freeform skill" 0 '' -- $I taxonomy new compositional_skills/writing/haiku --taxonomy-path t --non-interactive --outline 'Write a haiku' --created-by ada
cp t/compositional_skills/writing/haiku/qna.yaml out
if grep -q 'task_description: "Write a haiku"' out && ! grep -q context out; then echo "ok new: skeleton of a skill"; else not_ok "new: skeleton of a skill" "other"; fi
printf 'knowledge\ncompany/asked\n%s\nada\nlighting\n\n\n\n\n\n\nn\n' "$dir/docs/lamps.md" | $I taxonomy new --interactive --taxonomy-path t >out 2>&1
if [ $? = 0 ] && grep -q 'domain: "lighting"' t/knowledge/company/asked/qna.yaml; then echo "ok new: by questions"; else not_ok "new: by questions" "no leaf"; fi
printf 'x\nknowledge\ncompany/lamps\ncompany/again\nabsent.md\n%s\nada\n' "$dir/docs/lamps.md" >answers
check_input=answers
check "new: a wrong answer is asked again" 0 "'x' is none of knowledge" 'company/lamps/qna.yaml. exists already' "no file or folder 'absent.md'" '^t/knowledge/company/again/qna.yaml$' -- $I taxonomy new --interactive --taxonomy-path t
check_input=/dev/null
rm -r t/knowledge/company/again
for p in '../x' '/etc/x' 'a/../b' 'a/-x' '.hidden/x' "a/$(printf 'b\001')" 'knowledge' ''; do
    check "new: the path '$(printf %q "$p")'" 1 'Making the leaf failed: ' -- $I taxonomy new "$p" --taxonomy-path t --non-interactive
done
check "new: no such document" 1 "no file or folder 'absent.md'" -- $I taxonomy new a/b --taxonomy-path t --document absent.md --non-interactive
check "new: an option as address" 1 'not the address|cannot read' -- $I taxonomy new a/b --taxonomy-path t --document '--upload-pack=touch x://y' --non-interactive
if [ -e t/knowledge/a ]; then : >out; not_ok "new: nothing is left after a failure" "a folder"; else echo "ok new: nothing is left after a failure"; fi
if [ -e "$root/models/starter.gguf" ]; then
    check "new: a model proposes" 0 'pairs":[1-9]' -- $I taxonomy new company/proposed --taxonomy-path t --document docs/lamps.md --non-interactive --json --model "$root/models/starter.gguf" --accept
    $I taxonomy new company/unconfirmed --taxonomy-path t --document docs/lamps.md --non-interactive --model "$root/models/starter.gguf" >out 2>&1
    check "new: what nobody confirmed stays marked" 1 'not filled in yet: .<fill in or confirm' -- $I taxonomy diff --taxonomy-path t/knowledge/company/unconfirmed/qna.yaml --taxonomy-base main
fi

# ---- what stands where a leaf should ----
mkdir -p odd/knowledge/{pipe,zero,dir/qna.yaml,loop,deep} && cp -r plain/compositional_skills odd/
mkfifo odd/knowledge/pipe/qna.yaml
ln -s /dev/zero odd/knowledge/zero/qna.yaml
ln -s qna.yaml odd/knowledge/loop/qna.yaml
ln -s .. odd/knowledge/deep/up
mkdir -p "odd/knowledge/bell$(printf '\a')" && skill "odd/knowledge/bell$(printf '\a')/qna.yaml" ""
for base in empty main; do
    [ $base = main ] && git -C odd init -q -b main . && git -C odd commit -q --allow-empty -m x
    check "odd leaves ($base): one message each, no hang" 1 'zero/qna.yaml.* is a device, not a file' 'loop/qna.yaml.*Too many levels of symbolic links' \
        'bell\?/qna.yaml: error: the path holds a control character' '3 taxonomy files|4 taxonomy files|5 taxonomy files' -- $I taxonomy diff --taxonomy-path odd --taxonomy-base $base
done
check "a pipe and a folder (empty)" 1 'pipe/qna.yaml.* is a pipe, not a file' 'a folder is named qna.yaml' -- $I taxonomy diff --taxonomy-path odd --taxonomy-base empty
if become_somebody; then
    skill odd/knowledge/closed/qna.yaml ""
    chmod 0 odd/knowledge/closed
    check "a folder that cannot be read" 1 'closed: error: the folder cannot be read: check its permissions' -- "${somebody[@]}" "$their_ilab" --config DEFAULT taxonomy diff --taxonomy-path odd --taxonomy-base empty
    [ "$(id -u)" -eq 0 ] || check "a folder that cannot be read (git)" 1 'closed: error: the folder cannot be read: check its permissions' -- $I taxonomy diff --taxonomy-path odd --taxonomy-base main
    chmod 755 odd/knowledge/closed
else
    echo "skip a folder that cannot be read: root may read everything, and setpriv is missing"
fi
for n in $(seq 300); do skill many/knowledge/l$n/qna.yaml ""; done
( while [ -d many ]; do rm -rf many/knowledge/l$((RANDOM % 300 + 1)); done ) & eraser=$!
check "leaves that vanish while they are read" 1 '' -- $I taxonomy diff --taxonomy-path many --taxonomy-base empty
rm -rf many
wait $eraser 2>/dev/null

# ---- real leaves ----
if [ -d "$shared" ]; then
    mkdir real && cp -r "$shared/upstream-main/." real/
    for d in "$shared"/contributions/*; do
        n=$(basename "$d"); n=real/knowledge/${n%.v?}
        mkdir -p "${n//__/\/}" && cp "$d"/* "${n//__/\/}/"
    done
    timeout 60 $I taxonomy diff --taxonomy-path real --taxonomy-base empty >out 2>&1
    rc=$?
    if [ $rc -le 1 ] && [ "$(grep -c '^[a-z].*/qna.yaml$' out)" = 32 ]; then echo "ok diff: the public taxonomy and contributions"; else not_ok "diff: the public taxonomy and contributions" "exit code $rc"; fi
    n=0
    for f in "$shared"/contributions-invalid-yaml/*/qna.yaml; do
        timeout 60 $I taxonomy diff --taxonomy-path "$f" >out 2>&1
        rc=$?
        if [ $rc = 1 ] && grep -qE "qna.yaml:[0-9]+:[0-9]+: error" out && grep -qE '^    .{10}' out; then n=$((n + 1)); else not_ok "diff: $(basename "$(dirname "$f")")" "no place and remedy, or exit code $rc"; fi
    done
    echo "ok diff: place and remedy for each of $n contributions that do not parse"
else
    echo "skip real leaves: $shared is missing"
fi
exit $failed
