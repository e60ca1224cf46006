#!/usr/bin/env bash
# config.sh — both command lines, both layouts of the configuration, precedence, profiles, editing, migration, bad files.
#   ILAB=path/of/ilab or BUILD=build: the program; ../shared/data: a file of InstructLab 0.26 (skipped without it).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
root=$PWD
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip config: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-config-XXXXXX") || exit 1
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export HOME=$dir/home XDG_CONFIG_HOME=$dir/user/config XDG_DATA_HOME=$dir/user/data XDG_CACHE_HOME=$dir/user/cache ILAB_LANG=en GIT_CONFIG_GLOBAL=/dev/null
unset ILAB_GLOBAL_CONFIG ILAB_COMPAT VISUAL EDITOR
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2' is not '$3'"; fi; }
: >in
check_input=in

# ---- both command lines ----
"$ILAB" >out 2>&1
sed -n '/^Aliases:/,$p' out >aliases
printf 'Aliases:\n  chat      model chat\n  generate  data generate\n  serve     model serve\n  train     model train\n' | cmp -s - aliases && ok "the alias block ends the help" || not_ok "the alias block ends the help" "$(cat aliases)"
for g in config data model process system taxonomy; do check "a group alone: ilab $g" 0 "^Usage: ilab $g COMMAND" "^Commands:" -- "$ILAB" $g; done
"$ILAB" --help | sed -nE 's/^  ((config|taxonomy|data|model|process|system) [a-z_-]+) .*/\1/p' >commands
while read -r c; do
    $ILAB $c --help >out 2>&1 && grep -q "^Usage: ilab" out && grep -qi example out || not_ok "help: $c" "no usage or example"
    if grep -oE -- ' --[A-Za-z0-9_-]+' out | grep -qvE -- '^ --([a-z0-9-]+|test_file)$'; then not_ok "hyphens: $c" "$(grep -oE -- ' --[A-Za-z0-9_-]+' out | grep -vE -- '^ --[a-z0-9-]+$')"; fi
done <commands
[ "$(wc -l <commands)" -ge 20 ] && ok "help of $(wc -l <commands) commands: usage, example, lower-case options" || not_ok "commands" "$(wc -l <commands)"
check "check is diff --quiet" 2 "DeprecationWarning: Use .ilab diff --quiet. instead" -- "$ILAB" check
check "options of InstructLab without effect are told" 2 "--sdg-scale-factor has no effect" "--pipeline has no effect" "No such option: --bad-option" -- "$ILAB" --config DEFAULT data generate --sdg-scale-factor 30 --pipeline=full --enable-serving-output --bad-option
check "options of InstructLab: with a value, and shown in the help" 0 "num-epochs: 2 .command line" "--gpus has no effect" "-sq has no effect" -- "$ILAB" --config DEFAULT model train --gpus 2 -sq --num-epochs 2 --debug-params
check "options of InstructLab that would change the result are errors" 2 "No such option: --4-bit-quant" -- "$ILAB" --config DEFAULT train --4-bit-quant
check "nearest command of another group" 2 "Did you mean 'model evaluate'" -- "$ILAB" evaluat
check "commands of InstructLab that are not here: rag" 2 "this program has no .ilab rag.: .*ilab data ingest" -- "$ILAB" rag convert --input-dir x
check "commands of InstructLab that are not here: upload" 2 "this program has no .ilab model upload.: .*ilab model convert" -- "$ILAB" model upload -m x -d y
check "sysinfo, the name of 0.16" 0 "^processor" "^memory" -- "$ILAB" sysinfo
check "0.26: system info in its blocks" 0 "^Platform:$" "^  platform.machine: " "^  memory.total: [0-9.]+ GB$" "^InstructLab:$" -- "$ILAB" --compat 0.26 system info
check "0.14: every command wants a configuration" 1 "does not exists, please run" -- "$ILAB" --compat 0.14 chat -qq hello
check "0.26: every command wants a configuration" 2 "does not exist or is not a readable file" "ilab config init" -- "$ILAB" --compat 0.26 model list
check "0.26: a failed download" 1 "^Downloading failed with the following exception: " -- env HF_ENDPOINT=http://127.0.0.1:9 "$ILAB" --compat 0.26 --config DEFAULT model download -rp instructlab/x --filename y.gguf
check "compat: unknown version" 2 "not one of '0.14', '0.26'" -- "$ILAB" --compat 0.20 diff

# ---- languages ----
check "German" 2 "^Fehler: Den Befehl 'trian' gibt es nicht. Meinten Sie 'train'\?$" -- env ILAB_LANG=de "$ILAB" trian
check "German by LANG" 0 "^Modelle holen" "^  model train +Dem Modell" -- env -u ILAB_LANG -u LC_ALL -u LC_MESSAGES LANG=de_DE.UTF-8 "$ILAB" --help
check "English where scripts read" 2 "^Error: No such command 'trian'" -- env ILAB_LANG=de "$ILAB" --compat 0.26 trian
check "English for other languages" 2 "^Error: No such command 'trian'" -- env ILAB_LANG=fr LANG=de_DE "$ILAB" trian
if command -v python3 >/dev/null; then
    (cd "$root" && python3 - >"$dir/out" 2>&1 <<'END') && ok "messages: each is in the table, once" || not_ok "messages: the table" "differs"
import glob, re, sys
text = r'"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*'
join = lambda s: re.sub(r'"\s*"', '', s)
table = open('src/cli/messages.c').read()
rows = [join(m) for m in re.findall(r'\{ (' + text + r'),\s*' + text + r' \}', table)]
source = ''.join(open(f).read() for f in glob.glob('src/cli/*.c') if 'messages' not in f)
used = {join(m) for m in re.findall(r'\btr\((' + text + ')', source)}
summaries = {join(m) for m in re.findall(r'\.summary = (' + text + ')', source)}
groups = {join(m) for m in re.findall(r'\{ "[a-z]+", (' + text + r') \},', open('src/cli/commands.c').read())}
bad = [('not in the table', s) for s in sorted(used - set(rows))] + [('twice', r) for r in set(rows) if rows.count(r) > 1]
for w, s in bad + [('note: unused', s) for s in sorted(set(rows) - used - summaries - groups)]: print(f'{w}: {s}')
sys.exit(bool(bad) or len(rows) < 50)
END
fi

# ---- no configuration ----
check "missing: the flat command line" 2 "^.config.yaml. does not exists, please run .ilab init. or point to a valid" -- "$ILAB" diff
check "missing: 0.14" 1 "does not exists" -- "$ILAB" --compat 0.14 diff
check "missing: the groups" 2 "config/instructlab/config.yaml. does not exist or is not a readable file" "Please run .ilab config init." -- "$ILAB" taxonomy diff
check "DEFAULT needs no file" 0 '"taxonomy-base":"origin/main"' -- "$ILAB" --config DEFAULT taxonomy diff --debug-params-json

# ---- init: the early layout ----
printf '\n\n\n' >in
check "init: three newlines are enough" 0 "Path to taxonomy repo \[taxonomy\]:" "Should I clone .* for you\? \[y/N\]" "Path to your model \[models/starter.gguf\]" "Generating .config.yaml. in the current directory" "Initialization completed successfully, you're ready" -- "$ILAB" init
printf 'n\n' >in
cp config.yaml before.yaml
check "init: no, I do not want to continue" 0 "Found config.yaml in the current directory, do you still want to continue\?" -- "$ILAB" init
cmp -s config.yaml before.yaml && ok "init: nothing was changed" || not_ok "init: nothing was changed" "changed"
printf 'y\n\n\n\n' >in
check "init: yes" 0 "completed successfully" -- "$ILAB" init
: >in
[ -e config.yaml.bak ] && not_ok "init: an unchanged file needs no copy" "config.yaml.bak" || ok "init: an unchanged file needs no copy"

mkdir -p fresh/user/instructlab && echo 'version: 1.0.0' >fresh/user/instructlab/config.yaml
if (cd fresh && XDG_CONFIG_HOME=$PWD/user "$ILAB" init --non-interactive) >out 2>&1 && [ -e fresh/config.yaml ] && [ "$(cat fresh/user/instructlab/config.yaml)" = 'version: 1.0.0' ]; then ok "init: leaves the user's configuration alone"
else not_ok "init: leaves the user's configuration alone" "it was written, or config.yaml was not"; fi

check "list names the leaves alone" 0 "DeprecationWarning: Use .ilab diff. instead" "^knowledge/university/germany/bielefeld_university/qna.yaml$" -- "$ILAB" list
grep -q 'is valid' out && not_ok "list does not validate" "it does" || ok "list does not validate"

# ---- precedence ----
value() { "$ILAB" "${@:2}" --debug-params | sed -n "s/^$1: //p"; }
same "default" "$(value num-epochs --config DEFAULT train)" "4 [default]"
printf 'train:\n  num_epochs: 7\n' >>config.yaml
same "file over default" "$(value num-epochs train)" "7 [config]"
same "environment over file" "$(ILAB_TRAIN_NUM_EPOCHS=9 value num-epochs train)" "9 [environment]"
same "command line over environment" "$(ILAB_TRAIN_NUM_EPOCHS=9 value num-epochs train --num-epochs 2)" "2 [command line]"
{ cat config.yaml; printf '  memory: 3G\n  use_rslora: true\n  save_type: Q8_0\n'; } >memory.yaml # its last section is train
same "a key of training that only this program has" "$(value memory --config memory.yaml train) $(value use-rslora --config memory.yaml train) $(value save-type --config memory.yaml train --save-type F16)" "3G [config] true [config] F16 [command line]"
same "its two variables" "$(ILAB_TRAIN_MEMORY=2G value memory --config memory.yaml train) $(ILAB_MEMORY=1G ILAB_TRAIN_MEMORY=2G value memory --config memory.yaml train)" "2G [environment] 1G [environment]"
same "an option's own variable" "$(HF_TOKEN=abc value hf-token download)" "abc [environment]"
check "environment: a bad value" 2 "ILAB_TRAIN_NUM_EPOCHS: 'many' is not a valid integer" -- env ILAB_TRAIN_NUM_EPOCHS=many "$ILAB" train --dry-run
same "ILAB_GLOBAL_CONFIG" "$(sed 's/num_epochs: 7/num_epochs: 8/' config.yaml >global.yaml; ILAB_GLOBAL_CONFIG=global.yaml value num-epochs train)" "8 [config]"
same "--config over ILAB_GLOBAL_CONFIG" "$(ILAB_GLOBAL_CONFIG=global.yaml value num-epochs --config config.yaml train)" "7 [config]"

# ---- show ----
check "show" 0 "^chat:$" "^  # Model that writes the training data" "^  # Default: 4; 1 to 10000$" "^  num_epochs: 7$" -- "$ILAB" config show
check "show: one key" 0 "^starter$" -- "$ILAB" config show -k generate.model
check "show: a section without comments" 0 "^host_port: 127.0.0.1:8000$" -- "$ILAB" config show -k serve -wc
check "show: no such key" 2 "Key not found: 'serve.modl'" -- "$ILAB" config show -k serve.modl
check "show: JSON with origins" 0 '"train.num_epochs":\{"value":7,"from":"file"\}' '"chat.max_tokens":\{"value":null,"from":"default"\}' -- "$ILAB" config show --json
"$ILAB" config show >shown.yaml 2>/dev/null
"$ILAB" --config shown.yaml config show >again.yaml 2>/dev/null
cmp -s shown.yaml again.yaml && ok "what show prints can be read" || not_ok "what show prints can be read" "$(diff shown.yaml again.yaml | head -5)"

# ---- bad files ----
bad() { local name=$1 text=$2; shift 2; printf "$text" >bad.yaml; check "bad file: $name" 2 "$@" -- "$ILAB" --config bad.yaml chat --debug-params; }
base='chat: {model: x}\ngenerate: {model: x, taxonomy_path: t, taxonomy_base: empty}\nserve: {model_path: x}\n'
bad "unknown key" "$base"'train:\n  num_epoch: 3\n' "^1 errors in bad.yaml:$" "^- bad.yaml:5:3: unknown key 'train.num_epoch': did you mean 'train.num_epochs'\?$"
bad "unknown section" "$base"'trian:\n  num_epochs: 3\n' "bad.yaml:4:1: unknown key 'trian': did you mean 'train'\?"
bad "the right key in the wrong section" "$base"'general:\n  num_epochs: 3\n' "unknown key 'general.num_epochs': did you mean 'train.num_epochs'\?"
bad "no such choice" "$base"'train: {optimizer: sgd}\n' "bad.yaml:4:20: train.optimizer: 'sgd' is not one of: adamw adafactor"
bad "out of range" "$base"'train: {num_epochs: 0}\n' "bad.yaml:4:21: train.num_epochs: 0 is not in the range 1 to 10000"
bad "no boolean" 'chat: {model: x, vi_mode: perhaps}\n' "chat.vi_mode: 'perhaps' is neither true nor false"
bad "a list for a value" 'chat: {model: [x]}\n' "chat.model: one value is expected, not a list"
bad "a value for a section" 'chat: x\n' "bad.yaml:1:7: chat: a section with keys below it is expected"
bad "all findings at once" 'general: {log_level: LOUD, foo: 1}\nchat: {vi_mode: 3}\n' "^[67] errors in bad.yaml" "LOUD" "general.foo" "missing chat->model" "missing generate: field required"
bad "a later version" "$base"'version: 2.0.0\n' "version: '2.0.0' is not known"
printf "$base"'future: {a: 1}\ntrain: {num_epoch: 3}\n' >later.yaml
check "compat: unknown keys are ignored" 0 "model: x" -- "$ILAB" --compat 0.14 --config later.yaml chat --debug-params
head -c 2000000 /dev/zero | tr '\0' '#' >big.yaml
check "bad file: too large" 2 "big.yaml" -- "$ILAB" --config big.yaml chat --debug-params
printf 'a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n' >laughs.yaml
check "bad file: billion laughs" 2 "laughs.yaml" -- "$ILAB" --config laughs.yaml chat --debug-params

# ---- edit ----
check "edit: a bad value does not replace the file" 1 "unknown key 'chat.vi_mod': did you mean 'chat.vi_mode'" "as it was" "config.yaml.draft.yaml" -- env EDITOR="sed -i s/vi_mode/vi_mod/" "$ILAB" config edit
check "edit: a good one does" 0 "is valid and was changed" "kept as .config.yaml.bak" -- env EDITOR="sed -i s/127.0.0.1:8000/127.0.0.1:8001/" "$ILAB" config edit
grep -q "127.0.0.1:8001" config.yaml && grep -q "127.0.0.1:8000" config.yaml.bak && ok "edit: new and old file" || not_ok "edit: new and old file" "no"
check "edit: nothing changed" 0 "Nothing was changed" -- env EDITOR=true "$ILAB" config edit
check "edit: no such editor" 1 "cannot run the editor 'none-such'" "EDITOR" -- env EDITOR=none-such "$ILAB" config edit
check "edit: the editor fails" 1 "nothing was changed" -- env EDITOR=false "$ILAB" config edit

# ---- init: the late layout ----
check "config init" 0 "^Generating config file:$" "user/config/instructlab/config.yaml$" "Initialization completed successfully! You're ready" -- "$ILAB" config init --non-interactive
mkdir -p empty && cd empty && ln -s ../in in
check "the user's configuration is found" 0 "^Taxonomy in $dir/user/data/instructlab/taxonomy/ is valid" -- "$ILAB" taxonomy diff
same "paths of the late layout" "$(value ckpt-output-dir model train)" "$dir/user/data/instructlab/checkpoints [config]"
check "the model is found" 0 "starter" -- "$ILAB" model info starter
printf '\n' >in
check "config init: an existing file" 0 "Existing config file was found in:" "Do you still want to continue\?" -- "$ILAB" config init
printf 'y\n\n\n' >in
check "config init: the profile" 0 "We have detected the .*CPU profile as an exact match for your system" -- "$ILAB" config init
: >in
mkdir -p prof && printf 'train:\n  num_epochs: 3\nserve:\n  server: {port: 9100}\nversion: 1.0.0\n' >prof/box.yaml
check "config init: a profile" 0 "completed" -- env ILAB_SYSTEM_PROFILE_DIR=prof "$ILAB" config init --non-interactive --profile box
same "profile: an option" "$(value num-epochs model train)" "3 [config]"
same "profile: the address" "$(value host-port model serve)" "127.0.0.1:9100 [config]"
check "no such profile" 1 "there is no profile 'nix'" -- "$ILAB" config init --non-interactive --profile nix
cd .. || exit 1

# ---- migration ----
cp config.yaml early.yaml
check "migrate to the late layout" 0 "kept as .early.yaml.bak" "migrate --undo" -- "$ILAB" --config early.yaml config migrate --to 0.26
grep -q "^version: 1.0.0" early.yaml && grep -q "^    port: 8001" early.yaml && ok "migrate: keys of the late layout" || not_ok "migrate: keys of the late layout" "$(cat early.yaml)"
same "migrate: values keep their meaning" "$("$ILAB" --config early.yaml train --debug-params | sed "s/ .[a-z]*.$//" | md5sum)" "$("$ILAB" --config config.yaml train --debug-params | sed "s/ .[a-z]*.$//" | md5sum)"
same "migrate: the address" "$(value host-port --config early.yaml serve)" "127.0.0.1:8001 [config]"
check "migrate back to the early layout" 0 "is written" -- "$ILAB" --config early.yaml config migrate --to 0.14 -o round.yaml
same "migrate: there and back" "$(value host-port --config round.yaml serve)" "127.0.0.1:8001 [config]"
check "migrate: undo" 0 "as it was before" -- "$ILAB" --config early.yaml config migrate --undo
cmp -s early.yaml config.yaml && ok "migrate: undone to the byte" || not_ok "migrate: undone to the byte" "$(diff early.yaml config.yaml | head -3)"

# ---- files of InstructLab ----
printf 'chat:\n  model: m\n  vi_mode: false\ngeneral:\n  log_level: INFO\ngenerate:\n  model: m\n  num_instructions: 100\n  taxonomy_base: origin/main\n  taxonomy_path: taxonomy\nserve:\n  gpu_layers: -1\n  host_port: 127.0.0.1:8000\n  max_ctx_size: 2048\n  model_path: models/m.gguf\n' >e.yaml
same "0.14: a value that was chosen" "$(value max-ctx-size --config e.yaml serve)" "2048 [config]"
same "0.14: a default with which training fails is not taken" "$(value num-instructions --config e.yaml generate)" "0 [default]"
theirs=$root/../shared/data/taxonomy/upstream-fixtures/default_config.yaml
if [ -r "$theirs" ] && python3 -c 'import yaml' 2>/dev/null; then
    cp "$theirs" late.yaml
    same "0.26: epochs" "$(value num-epochs --config late.yaml train)" "4 [default]"
    same "0.26: chosen epochs" "$(sed -E 's/^(  num_epochs:) 10/\1 12/' late.yaml >late2.yaml; value num-epochs --config late2.yaml train)" "12 [config]"
    same "0.26: the address" "$(value host-port --config late.yaml serve)" "127.0.0.1:8000 [config]"
    XDG_DATA_HOME=/data XDG_CACHE_HOME=/cache "$ILAB" --compat 0.26 --config DEFAULT config show >ours.yaml
    python3 - "$theirs" ours.yaml >out 2>&1 <<'END' && ok "0.26: config show has every key and default of the reference's file" || not_ok "0.26: config show has every key and default" "differs"
import sys, yaml
a, b = (yaml.safe_load(open(f)) for f in sys.argv[1:])
if a != b:
    def walk(x, y, at=''):
        for k in sorted(set(x) | set(y)):
            p, q = x.get(k, 'MISSING'), y.get(k, 'MISSING')
            if isinstance(p, dict) and isinstance(q, dict): walk(p, q, at + k + '.')
            elif p != q: print(at + k, repr(p), repr(q))
    walk(a, b)
    sys.exit(1)
END
    "$ILAB" --config late.yaml config migrate -o mine.yaml >/dev/null 2>out && python3 -c 'import sys, yaml; c = yaml.safe_load(open("mine.yaml")); sys.exit(c["version"] != "1.0.0" or c["chat"]["model"] != "/cache/instructlab/models/granite-7b-lab-Q4_K_M.gguf")' && grep -q "InstructLab's default 10 is replaced" out && ok "0.26: migrate" || not_ok "0.26: migrate" "no"
else
    echo "skip 0.26: ../shared/data or python3-yaml is missing"
fi

# ---- lists ----
for r in 2025-01-01_120000 2025-01-02_120000; do
    mkdir -p sets/$r/node_datasets_2024-10-27T08_34_48
    for f in test_modelA_2024-10-27T08_34_48 train_modelA_2024-10-27T08_34_48 messages_modelB_2024-10-26T21_32_32 skills_train_msgs_2024-10-27T08_34_48 node_datasets_2024-10-27T08_34_48/compositional_skills_valid; do
        printf 'test content' >sets/$r/$f.jsonl
    done
done
"$ILAB" --config DEFAULT data list --dataset-dirs sets >out
same "data list: newest run first, rows by name, models, sizes" "$(sed -nE 's/^\| ([^ ]+) +\| ([A-Za-z]+) +\| 2[0-9-]{9} [0-9:]{8} \| 12.00 B +\|$/\1 \2/p; s/^(Run from .*)/\1/p' out)" "$(for r in 2025-01-02_120000 2025-01-01_120000; do printf 'Run from %s\n%s/messages_modelB_2024-10-26T21_32_32.jsonl modelB\n%s/node_datasets_2024-10-27T08_34_48/compositional_skills_valid.jsonl General\n%s/skills_train_msgs_2024-10-27T08_34_48.jsonl General\n%s/test_modelA_2024-10-27T08_34_48.jsonl modelA\n%s/train_modelA_2024-10-27T08_34_48.jsonl modelA\n' $r $r $r $r $r $r; done)"
check "data list: nothing" 0 "No datasets found" -- "$ILAB" --config DEFAULT data list --dataset-dirs none
check "model list" 0 "^\| Model Name +\| Last Modified +\| Size +\| Absolute path" "^\| starter.gguf +\| .* MB +\| $dir/models/starter.gguf" -- "$ILAB" model list
mkdir -p m/owner/name && echo '{}' >m/owner/name/config.json && echo x >m/owner/name/model.safetensors && cp models/starter.gguf m/a.gguf && echo "no model" >m/b.gguf && ln -s "$dir/models" m/owner/name/link
check "model list: folders, and only what is a model" 0 '"name":"a.gguf"' '"name":"owner/name"' -- "$ILAB" model list --model-dirs m --json
grep -q 'b.gguf' out && not_ok "model list: no GGUF" "listed" || ok "model list: no GGUF"
: >in
check "model remove: no answer is no" 0 "Are you sure you want to remove the model" "Aborted deletion" -- "$ILAB" model remove -m a -md m
check "model remove" 0 "Model owner/name has been removed" -- "$ILAB" model remove -m owner/name --model-dir m -f
[ -e m/owner/name ] || [ ! -e models/starter.gguf ] && not_ok "model remove: the folder, and nothing behind its links" "no" || ok "model remove: the folder, and nothing behind its links"
check "model remove: unknown" 1 "Model test-not-exist does not exist" -- "$ILAB" model remove -m test-not-exist
check "model remove: nothing outside" 1 "does not exist" -- "$ILAB" model remove -m ../models/starter.gguf -md m -f
check "model remove: which?" 2 "Missing option '--model'" -- "$ILAB" model remove

# ---- places that cannot be written ----
exec 8>>config.yaml.lock
flock 8
check "a locked configuration" 1 "another program is changing the configuration" -- env EDITOR="sed -i s/8001/8002/" "$ILAB" config edit
exec 8>&-
check "a home that cannot be written" 1 "init failed: cannot make the folder" -- env XDG_DATA_HOME=/proc/x XDG_CACHE_HOME=/proc/x "$ILAB" config init --non-interactive
check "no home at all" 1 "neither HOME nor XDG_DATA_HOME is set" -- env -u HOME -u XDG_DATA_HOME -u XDG_CACHE_HOME -u XDG_CONFIG_HOME "$ILAB" --config x.yaml config init --non-interactive
if become_somebody; then
    chmod 000 config.yaml
    check "a configuration that may not be read" 2 "ermission denied" -- "${somebody[@]}" "$their_ilab" diff
    chmod 644 config.yaml
else
    echo "skip unreadable configuration: root may read everything, and setpriv is missing"
fi
exit $failed
