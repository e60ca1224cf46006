#!/bin/sh
# What we write for transformers and peft, read by themselves, and the other way round (tests/check/peft_real.py).
# ILAB_PEFT: folders with the Python packages transformers, peft and what they need, with colons between (as PYTHONPATH).
# SPDX-License-Identifier: Apache-2.0
cd "$(dirname "$0")/../.." || exit 1
bin=${BUILD:-build}
[ -n "$ILAB_PEFT" ] || { echo "skip peft_real: ILAB_PEFT names no folders with transformers and peft"; exit 0; }
[ -x "$bin/ilab" ] && [ -x "$bin/tools/lora_steps" ] || { echo "skip peft_real: $bin/ilab or $bin/tools/lora_steps is not built"; exit 0; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
PYTHONPATH=$ILAB_PEFT${PYTHONPATH:+:$PYTHONPATH} /usr/bin/python3 tests/check/peft_real.py "$bin/ilab" "$bin/tools/lora_steps" "$dir" "$@"
