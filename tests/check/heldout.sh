#!/bin/sh
# The example's questions are held out: with names and numbers masked, no recall question occurs whole in the starter's text,
# and no name of the example or of its unknown-name questions does.  More texts (a generator's output) as arguments.
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/../.."
world=${WORLD:-build/tools/world}
questions=${QUESTIONS:-examples/university/questions.jsonl}
tokens=${TOKENS:-30000000}
[ -x "$world" ] || { echo "skip heldout: $world is not built (make $world)"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$world" corpus --seed 1 --tokens "$tokens" --out "$dir/corpus.jsonl" 2>/dev/null
if "$world" heldout "$questions" "$dir/corpus.jsonl" "$@"; then echo "ok heldout"; else echo "not ok heldout"; exit 1; fi
