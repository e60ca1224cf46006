#!/usr/bin/env python3
# torch_step.py — one full step and one LoRA step of a tiny llama in PyTorch (float64): loss and all gradients.
#
# usage: /usr/bin/python3 tests/check/torch_step.py > tests/golden/tiny_step.txt     (needs python3-torch)
# The weights come from a small integer hash that tests/unit/test_backward.c has, too; so only results are stored.
# SPDX-License-Identifier: Apache-2.0
import os, sys
import numpy as np
import torch
sys.path.insert(0, os.path.dirname(__file__))
import torch_llama

L, C, H, KV, D, F, V, R, ALPHA = 2, 32, 4, 2, 8, 48, 40, 2, 4.0
EPS, BASE = 1e-5, 10000.0
SEGMENTS = (20, 7)
SOFT_MIX = 0.4
torch.set_default_dtype(torch.float64)


def noise(salt, n):  # uniform in [-1, 1), the same bits as noise() of the C test
    i = np.arange(n, dtype=np.uint64)
    h = (i * np.uint64(2654435761) + np.uint64(salt) * np.uint64(40503) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    for shift, mul in ((16, 0x45D9F3B), (15, 0x2C1B3C6D), (16, 1)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(mul)) & np.uint64(0xFFFFFFFF)
    return (h >> np.uint64(8)).astype(np.float64) / 2.0**23 - 1.0


def weights(salt, shape, amp, offset=0.0):
    x = (offset + amp * noise(salt, int(np.prod(shape)))).astype(np.float32).astype(np.float64)
    return torch.tensor(x.reshape(shape), requires_grad=True)


LINEAR = (("attn_q", H * D, C), ("attn_k", KV * D, C), ("attn_v", KV * D, C), ("attn_output", C, H * D),
          ("ffn_gate", F, C), ("ffn_up", F, C), ("ffn_down", C, F))
W, LORA = {}, {}
W["token_embd.weight"] = weights(0, (V, C), 0.5)
salt = 1
for l in range(L):
    for name, out, inp in LINEAR:
        if name in ("attn_q", "ffn_gate"):
            W[f"blk.{l}.{'attn' if name == 'attn_q' else 'ffn'}_norm.weight"] = weights(salt, (C,), 0.2, 1.0)
            salt += 1
        W[f"blk.{l}.{name}.weight"] = weights(salt, (out, inp), 0.3)
        salt += 1
W["output_norm.weight"] = weights(salt, (C,), 0.2, 1.0)
salt = 100
for l in range(L):
    for name, out, inp in LINEAR:
        LORA[f"blk.{l}.{name}.weight.lora_a"] = weights(salt, (R, inp), 0.2)
        LORA[f"blk.{l}.{name}.weight.lora_b"] = weights(salt + 1, (out, R), 0.2)
        salt += 2


def forward(ids, lora):
    def weight(part, layer):
        return W["token_embd.weight" if part == "output" else f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"]  # tied

    def linear(x, part, layer):
        name = f"blk.{layer}.{part}.weight"
        y = x @ W[name].T
        return y + ALPHA / R * (x @ LORA[name + ".lora_a"].T) @ LORA[name + ".lora_b"].T if lora else y
    return torch_llama.forward(ids, weight, linear, layers=L, heads=H, kv_heads=KV, head_size=D, eps=EPS, base=BASE, halves=False)


def loss(lora):
    total, row0 = 0.0, 0
    for n in SEGMENTS:
        ids = [(7 * (row0 + i) * (row0 + i) + 3) % V for i in range(n)]
        logp = torch.log_softmax(forward(ids, lora), -1)
        for i in range(n):
            row = row0 + i
            if row % 3 == 1:  # no target
                continue
            label, weight = (5 * row + 1) % V, 0.5 + (row % 4) * 0.25
            one = -logp[i, label]
            if lora and row % 2 == 0:  # soft label: three ids with 0.5, 0.2, 0.1 and 0.2 on the rest
                top = [(11 * row + 2 + k) % V for k in range(3)]
                q = torch.tensor(np.log(np.array([0.5, 0.2, 0.1])).astype(np.float32).astype(np.float64))
                p = logp[i, top]
                rest_q = 1 - q.exp().sum()
                rest_p = torch.log(1 - p.exp().sum())
                kl = (q.exp() * (q - p)).sum() + rest_q * (rest_q.log() - rest_p)
                one = (1 - SOFT_MIX) * one + SOFT_MIX * kl
            total = total + weight * one
        row0 += n
    return total


print("# made by: /usr/bin/python3 tests/check/torch_step.py > tests/golden/tiny_step.txt")
for kind, params in (("full", W), ("lora", LORA)):
    for p in (*W.values(), *LORA.values()):
        p.grad = None
    value = loss(kind == "lora")
    value.backward()
    print(f"loss {kind} {value.item():.9g}")
    for name, p in params.items():
        print(f"grad {kind} {name} {p.numel()}")
        flat = p.grad.flatten().tolist()
        for i in range(0, len(flat), 16):
            print(" ".join(f"{v:.6g}" for v in flat[i:i + 16]))
