#!/usr/bin/env bash
# manual.sh — man pages and completions, as they are installed: formatters and shells take them without complaint, and
# samples complete.
#   ILAB=path/of/ilab or BUILD=build: the program. mandoc, groff, zsh, fish: what is missing is skipped.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip manual: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-manual-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failed=1; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2' is not '$3'"; fi; }

"$ILAB" manual "$dir/man" >/dev/null || not_ok "man pages are written" "exit code $?"
pages=$(ls "$dir"/man/*.1 | wc -l)
[ "$pages" -ge 20 ] && ok "$pages pages of section 1" || not_ok "pages" "$pages"
"$ILAB" --help | sed -nE 's/^  (config|taxonomy|data|model|process|system) ([a-z_-]+) .*/\1-\2/p' | while read -r c; do [ -s "$dir/man/ilab-$c.1" ] || echo "ilab-$c.1"; done >"$dir/missing"
[ -s "$dir/missing" ] && not_ok "each command has a page" "$(cat "$dir/missing")" || ok "each command has a page"
if command -v mandoc >/dev/null; then
    for p in "$dir"/man/*; do mandoc -Tlint -W warning "$p"; done >"$dir/lint" 2>&1
    [ -s "$dir/lint" ] && not_ok "mandoc -Tlint" "$(head -3 "$dir/lint")" || ok "mandoc -Tlint"
else echo "skip mandoc: not installed"; fi
if command -v groff >/dev/null; then
    for p in "$dir"/man/*; do groff -man -ww -z -Tutf8 "$p"; done >"$dir/lint" 2>&1
    [ -s "$dir/lint" ] && not_ok "groff -man -ww" "$(head -3 "$dir/lint")" || ok "groff -man -ww"
    groff -man -Tascii -P-cbou "$dir/man/ilab-model-train.1" | grep -q -- '--num-epochs N' && ok "an option is in its page" || not_ok "an option is in its page" "no"
    groff -man -Tutf8 -P-c "$dir/man/ilab-config.5" | grep -q 'ILAB_SERVE_MODEL_PATH' && ok "a key is in ilab-config(5)" || not_ok "a key is in ilab-config(5)" "no"
else echo "skip groff: not installed"; fi

bash_try() { # WORD…: what the last word becomes
    bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ilab 2>/dev/null; echo "${COMPREPLY[*]}"' "$dir/ilab.bash" "$@"
}
"$ILAB" completion bash >"$dir/ilab.bash" && bash -n "$dir/ilab.bash" && ok "bash: loads" || not_ok "bash: loads" "no"
same "bash: a group" "$(bash_try ilab mod)" "model"
same "bash: a command of a group" "$(bash_try ilab model tr)" "train"
same "bash: a flat command" "$(bash_try ilab gener)" "generate"
same "bash: an option" "$(bash_try ilab --config x.yaml model train --num-e)" "--num-epochs"
same "bash: values" "$(bash_try ilab config migrate --to 0.)" "0.14 0.26"
same "bash: values behind =" "$(bash_try ilab diff --format = li)" "line"
same "bash: keys of the configuration" "$(bash_try ilab config show -k chat.mo)" "chat.model"
same "bash: an old name" "$(bash_try ilab check --taxonomy-b)" "--taxonomy-base"
same "bash: a word" "$(bash_try ilab completion z)" "zsh"
same "bash: the reference's way to install it" "$(_ILAB_COMPLETE=bash_source "$ILAB" | cmp - "$dir/ilab.bash" && echo same)" "same"

if command -v fish >/dev/null; then
    "$ILAB" completion fish >"$dir/ilab.fish"
    fish_try() { HOME=$dir fish -N -c "source $dir/ilab.fish; complete -C '$1'" 2>&1 | cut -f1 | tr '\n' ' '; }
    same "fish: a group" "$(fish_try 'ilab mod')" "model "
    same "fish: a command of a group" "$(fish_try 'ilab model tr')" "train "
    same "fish: an option" "$(fish_try 'ilab --config x model train --num-e')" "--num-epochs "
    same "fish: values" "$(fish_try 'ilab config migrate --to 0.')" "0.14 0.26 "
    same "fish: a word" "$(fish_try 'ilab completion z')" "zsh "
else echo "skip fish: not installed"; fi

if command -v zsh >/dev/null; then
    "$ILAB" completion zsh >"$dir/_ilab"
    # a shell on a terminal of its own, in which somebody presses tab
    cat >"$dir/try.zsh" <<'END'
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1='> '; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; unsetopt beep; LISTMAX=1000"
zpty -w z "echo re''ady"
zpty -r -m z text '*ready*' || exit 1
zpty -n -w z "$2"$'\t'
all=
for i in {1..200}; do # until it stands there, 20 s at most
    zpty -r -t z part && all+=$part || sleep 0.1
    [[ ${all//[$'\r\a']/} = *"$3"* ]] && break
done
print -r -- "$all"
zpty -d z
END
    zsh_try() { HOME=$dir TERM=dumb timeout 60 zsh -f "$dir/try.zsh" "$dir" "$1" "$2" 2>&1 | tr -d '\r\a'; }
    zsh_has() { zsh_try "$2" "$3" >"$dir/seen"; if grep -qF -- "$3" "$dir/seen"; then ok "zsh: $1"; else not_ok "zsh: $1" "$(tail -3 "$dir/seen")"; fi; }
    if zsh -f -c "autoload -U compinit; compinit -u -D; source $dir/_ilab; whence -w _ilab" 2>&1 | grep -q '^_ilab: function$'; then ok "zsh: loads"; else not_ok "zsh: loads" "no"; fi
    zsh_has "a group" "ilab mod" "ilab model "
    zsh_has "a command of a group" "ilab model tr" "ilab model train "
    zsh_has "an option" "ilab model train --num-e" "--num-epochs"
    zsh_has "a word" "ilab completion z" "ilab completion zsh"
else echo "skip zsh: not installed"; fi

make -s install DESTDIR="$dir/root" PREFIX=/usr BUILD="${BUILD:-build}" CC="${CC:-gcc}" >"$dir/install.log" 2>&1 || not_ok "make install" "$(tail -3 "$dir/install.log")"
for f in bin/ilab share/man/man1/ilab.1 share/man/man5/ilab-config.5 share/bash-completion/completions/ilab share/zsh/site-functions/_ilab share/fish/vendor_completions.d/ilab.fish; do
    [ -s "$dir/root/usr/$f" ] || not_ok "make install" "$f is missing"
done
[ $failed -eq 0 ] && ok "make install puts everything in its place"
exit $failed
