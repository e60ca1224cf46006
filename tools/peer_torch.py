#!/usr/bin/env python3
"""peer_torch.py: the peer of tools/bench_train.c, one llama trained by PyTorch in FP32 on the CPU.

Plain PyTorch as one writes it: F.linear, causal attention by matmul and softmax, cross-entropy on every token, AdamW,
gradient clipping. Weights are random; the batch is cut into sequences of equal length, so no padding and no mask per
sample. Prints one JSON object. SPDX-License-Identifier: Apache-2.0
"""
import argparse, json, math, os, resource, sys, time

ap = argparse.ArgumentParser()
for name, default in dict(n_embd=256, n_layer=4, n_head=4, n_kv_head=2, n_ff=768, n_vocab=4096, lora=0, sequence=256, micro=2048,
                          batch=8192, threads=2, steps=1, tied=1).items():
    ap.add_argument("--" + name.replace("_", "-"), type=int, default=default, dest=name)
ap.add_argument("--check", action="store_true", help="only say whether PyTorch is there")
o = ap.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(o.threads)
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(3)
if o.check:
    print(json.dumps({"torch": torch.__version__}))
    sys.exit(0)
torch.set_num_threads(o.threads)
torch.manual_seed(1)
C, D, FF, GROUP = o.n_embd, o.n_embd // o.n_head, o.n_ff, o.n_head // o.n_kv_head
SHAPES = dict(q=(C, C), k=(o.n_kv_head * D, C), v=(o.n_kv_head * D, C), o=(C, C), gate=(FF, C), up=(FF, C), down=(C, FF))


def parameter(*shape, std=0.02, train=True):
    return torch.nn.Parameter(torch.randn(*shape) * std, requires_grad=train)


full = not o.lora
output = None if o.tied else parameter(o.n_vocab, C, train=full)
embedding, last_norm = parameter(o.n_vocab, C, train=full), torch.nn.Parameter(torch.ones(C), requires_grad=full)
layers = []
for _ in range(o.n_layer):
    w = {name: parameter(*shape, train=full) for name, shape in SHAPES.items()}
    w["norm1"], w["norm2"] = (torch.nn.Parameter(torch.ones(C), requires_grad=full) for _ in range(2))
    if o.lora:
        for name, (n_out, n_in) in SHAPES.items():
            w[name + ".a"], w[name + ".b"] = parameter(o.lora, n_in, std=1 / math.sqrt(n_in)), parameter(n_out, o.lora, std=0.01)
    layers.append(w)
trained = [p for w in layers for p in w.values() if p.requires_grad] + ([embedding, last_norm] + ([] if o.tied else [output]) if full else [])
optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01)

T = o.sequence
angle = torch.outer(torch.arange(T).float(), 10000.0 ** (-torch.arange(0, D, 2).float() / D))
cos, sin = torch.cat([angle.cos()] * 2, 1), torch.cat([angle.sin()] * 2, 1)
mask = torch.full((T, T), -math.inf).triu(1)


def rope(x):  # [B, H, T, D]
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w


def linear(w, name, x):
    y = F.linear(x, w[name])
    return y + F.linear(F.linear(x, w[name + ".a"]) * 2.0, w[name + ".b"]) if o.lora else y


def forward(ids):  # [B, T]
    B = ids.shape[0]
    x = F.embedding(ids, embedding)
    for w in layers:
        h = norm(x, w["norm1"])
        q = rope(linear(w, "q", h).view(B, T, o.n_head, D).transpose(1, 2))
        k = rope(linear(w, "k", h).view(B, T, o.n_kv_head, D).transpose(1, 2))
        v = linear(w, "v", h).view(B, T, o.n_kv_head, D).transpose(1, 2)
        if GROUP > 1:
            k, v = k.repeat_interleave(GROUP, 1), v.repeat_interleave(GROUP, 1)
        p = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(D) + mask, -1)
        x = x + linear(w, "o", (p @ v).transpose(1, 2).reshape(B, T, C))
        h = norm(x, w["norm2"])
        x = x + linear(w, "down", F.silu(linear(w, "gate", h)) * linear(w, "up", h))
    return F.linear(norm(x, last_norm), embedding if o.tied else output)


def step(n_micro):
    optimizer.zero_grad(set_to_none=True)
    loss_sum = 0.0
    for _ in range(n_micro):
        ids = torch.randint(0, o.n_vocab, (o.micro // T, T + 1))
        loss = F.cross_entropy(forward(ids[:, :-1]).reshape(-1, o.n_vocab), ids[:, 1:].reshape(-1)) / n_micro
        loss.backward()
        loss_sum += loss.item()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    return loss_sum


n_micro = o.batch // o.micro
first = step(1)  # warm-up
begin = time.perf_counter()
for _ in range(o.steps):
    loss = step(n_micro)
seconds = time.perf_counter() - begin
print(json.dumps({"torch": torch.__version__, "tokens_per_s": n_micro * o.micro * o.steps / seconds, "seconds": seconds,
                  "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                  "first_loss": first, "loss": loss}))
