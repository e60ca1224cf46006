#!/bin/sh
# LoRA beside PyTorch: 20 steps on a real model, adapters as PEFT keeps them.  SPDX-License-Identifier: Apache-2.0
cd "$(dirname "$0")/../.." || exit 1
model=../shared/data/weights/tinystories-656k
tool=${BUILD:-build}/tools/lora_steps
[ -f $model/config.json ] || { echo "skip torch_lora: $model is not there"; exit 0; }
[ -x "$tool" ] || { echo "skip torch_lora: $tool is not built"; exit 0; }
/usr/bin/python3 -c 'import torch, numpy' 2>/dev/null || { echo "skip torch_lora: python3-torch is not installed"; exit 0; }
exec /usr/bin/python3 tests/check/torch_lora.py "$tool" $model
