# lib.sh — what the command-line tests share. Sourced in the repository's folder, before the test goes to its own:
#     . tests/cli/lib.sh
# Output of the last command is in the file `out`; $failed is the exit code of the test.  SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
failed=0
ok() { echo "ok $1"; }
not_ok() {
    echo "not ok $1: ${2:-}"
    sed 's/^/#   /' out | head -12
    failed=1
}
# check NAME EXIT-CODE PATTERN… -- COMMAND…: the exit code, that the output has every pattern (those that begin with ! must be
# absent) and no sign of a crash. Standard input: the file $check_input.
check_input=/dev/null
check() {
    local name=$1 want=$2 p rc patterns=()
    shift 2
    while [ "$1" != -- ]; do patterns+=("$1"); shift; done
    shift
    timeout "${CHECK_SECONDS:-120}" "$@" >out 2>&1 <"$check_input"
    rc=$?
    [ $rc -eq "$want" ] || { not_ok "$name" "exit code $rc instead of $want"; return; }
    for p in "${patterns[@]}"; do
        if [ "${p#!}" != "$p" ]; then
            grep -qE -- "${p#!}" out && { not_ok "$name" "'${p#!}' in the output"; return; }
        else
            grep -qE -- "$p" out || { not_ok "$name" "no '$p' in the output"; return; }
        fi
    done
    if grep -qE 'AddressSanitizer|runtime error|(Segmentation|Bus) fault' out; then not_ok "$name" "crashed"; else ok "$name"; fi
}
# become_somebody: "${somebody[@]}" "$their_ilab" runs the program as one who may not read and write everything: the tester, or nobody when the
# tester is root (a copy in $dir, because nobody may not reach the other). Fails when that cannot be had.
become_somebody() {
    somebody=() their_ilab=$ILAB
    [ "$(id -u)" -ne 0 ] && return
    command -v setpriv >/dev/null || return 1
    somebody=(setpriv --reuid 65534 --regid 65534 --clear-groups) their_ilab=$dir/ilab-of-nobody
    chmod 755 "$dir" && cp "$ILAB" "$their_ilab" && chmod 755 "$their_ilab" && "${somebody[@]}" "$their_ilab" --version >/dev/null 2>&1
}
# wait_for COMMAND…: until it succeeds; fails after a minute. A test waits for what it needs, never for a time.
wait_for() {
    for _ in $(seq 1200); do "$@" && return; sleep 0.05; done
    return 1
}
has_lines() { [ "$(wc -l 2>/dev/null <"$1" || echo 0)" -ge "$2" ]; }
# stop_when SIGNAL PATTERN COMMAND…: runs it, output to `out`, and sends the signal when the pattern is there; its exit code
stop_when() {
    local signal=$1 pattern=$2 pid
    shift 2
    "$@" >out 2>&1 </dev/null &
    pid=$!
    wait_for grep -qE -- "$pattern" out
    kill -"$signal" $pid
    wait $pid
}
