#!/usr/bin/env bash
# process.sh — runs in the background: they survive the terminal, are listed, followed, stopped, and their end is written down.
#   ILAB=path/of/ilab or BUILD=build: the program.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip process: ilab is not built"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-process-XXXXXX") || exit 1
trap '"$ILAB" process stop --latest --timeout 5 --kill >/dev/null 2>&1; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export XDG_CONFIG_HOME=$dir/user/config XDG_DATA_HOME=$dir/user/data XDG_CACHE_HOME=$dir/user/cache ILAB_LANG=en
unset ILAB_GLOBAL_CONFIG ILAB_COMPAT
registry=$XDG_DATA_HOME/instructlab/internal/process_registry.json
field() { "$ILAB" process list --json | tr ',{}' '\n\n\n' | sed -nE "s/^\"$1\":\"?([^\"]*)\"?$/\1/p" | tail -1; }

check "nothing runs" 0 "^No processes found in registry$" -- "$ILAB" process list
check "attach: nothing runs" 1 "^No processes found in registry$" -- "$ILAB" process attach --latest
check "attach: which one?" 2 "Missing argument 'ID'" -- "$ILAB" process attach
check "attach: unknown" 1 "Process not found: 'abc'" -- "$ILAB" process attach --uuid abc
check "state: unknown" 2 "is not one of: Running" -- "$ILAB" process list --state sleeping
"$ILAB" init --non-interactive >/dev/null || exit 1
check "only long jobs can be detached" 2 "No such option: -dt" -- "$ILAB" diff -dt

# a terminal of its own, which is gone when the command has ended
if command -v script >/dev/null; then script -qec "'$ILAB' generate -dt --quiet" /dev/null >out 2>&1 </dev/null; else setsid "$ILAB" generate -dt --quiet >out 2>&1; fi
grep -q "runs in the background as" out && ok "detached from a terminal" || not_ok "detached from a terminal" "no message"
pid=$(field pid)
if [ "$(field status)" = Running ] && kill -0 "$pid" 2>/dev/null; then ok "it runs on without the terminal"; else not_ok "it runs on without the terminal" "$(field status)"; fi
if [ "$(ps -o tty= -p "$pid" | tr -d ' ')" = '?' ] && [ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ]; then ok "a session of its own"; else not_ok "a session of its own" "$(ps -o tty,sid -p "$pid")"; fi
check "list" 0 "^\| Type +\| PID +\| UUID +\| Log File +\| Runtime +\| Status" "^\| Generation \| $pid +\|.*\| 00:00:.. \| Running" -- "$ILAB" process list
check "list by state, in any case" 0 "Generation" -- "$ILAB" process list --state RUNNING
check "list by another state" 0 "^No processes found" -- "$ILAB" process list --state done
stop_when INT . "$ILAB" process attach --latest
if grep -q "No longer following" out && kill -0 "$pid" 2>/dev/null; then ok "Ctrl-C only stops following"; else not_ok "Ctrl-C only stops following" "no"; fi
check "stop" 0 "Stopped, exit code 130" -- "$ILAB" process stop --latest
if kill -0 "$pid" 2>/dev/null; then not_ok "stop: it has ended" "it runs"; else ok "stop: it has ended"; fi
check "stop again" 0 "has ended already" -- "$ILAB" process stop --latest
check "attach after the end gives its exit code" 130 "Stopped. What was made is kept" "exit code 130" -- "$ILAB" process attach --latest

"$ILAB" data generate --detached --taxonomy-path nowhere >out 2>&1
check "attach until the end: a failure" 1 "does not exist" "Errored, exit code 1" -- "$ILAB" process attach --latest
check "list: Errored" 0 "Errored" -- "$ILAB" process list --state errored

# a PID that came back is no run of ours; a run that nobody looked after has ended
cat >"$registry" <<END
{"11111111-1111-4111-8111-111111111111": {"pid": $$, "start_ticks": 1, "type": "Training", "log_file": "$dir/none.log", "children_pids": [], "start_time": "2026-01-01T10:00:00", "status": "Running"},
 "22222222-2222-4222-8222-222222222222": {"pid": $$, "type": "Generation", "log_file": "$dir/none.log", "children_pids": [], "start_time": "2026-01-01T10:00:00"},
 "33333333-3333-4333-8333-333333333333": {"pid": 4194300, "type": "Generation", "log_file": "/x/generation.log", "children_pids": [1, 2], "start_time": "2026-01-01T10:00:00", "end_time": "2026-01-01T11:02:03", "status": "Done"}}
END
cp "$registry" hand.json
check "the reference's registry under --compat" 0 "Training.*Running" "33333333.*01:02:03 +\| Done" -- "$ILAB" --compat 0.26 process list
check "stale runs are found" 0 "Training.*11111111.*Errored" "22222222.*Running" -- "$ILAB" process list
check "ambiguous ID" 1 "Process not found" -- "$ILAB" process attach 4
check "a log that is gone" 1 "cannot read the log" -- "$ILAB" process attach 2222
check "prune" 0 "^2 runs" -- "$ILAB" process prune
check "prune leaves what runs" 0 "22222222" -- "$ILAB" process list
echo '[]' >"$registry"
check "a broken registry" 1 "is no list of runs" -- "$ILAB" process list
check "no place for logs" 1 "Cannot run detached: cannot make the folder" -- env XDG_DATA_HOME=/proc/none "$ILAB" generate -dt
echo '{}' >"$registry"
exec 8>>"$registry.lock"
flock 8
check "a locked registry" 1 "another program holds" -- "$ILAB" process list
exit $failed
