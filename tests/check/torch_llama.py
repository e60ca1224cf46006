# torch_llama.py — the forward pass of a llama in PyTorch, as a textbook writes it. Parts have their GGUF names (attn_q, ffn_up, …).
# SPDX-License-Identifier: Apache-2.0
import math
import torch


def rope(x, base, halves):
    """x [T, heads, D]; turns pairs (i, i + D/2) if halves, else (2i, 2i + 1)."""
    t, _, d = x.shape
    angle = torch.arange(t)[:, None] * base ** (-torch.arange(0, d, 2) / d)[None, :]
    c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    a, b = (x[..., :d // 2], x[..., d // 2:]) if halves else (x[..., 0::2], x[..., 1::2])
    turned = a * c - b * s, a * s + b * c
    return torch.cat(turned, -1) if halves else torch.stack(turned, -1).flatten(-2)


def forward(ids, weight, linear, *, layers, heads, kv_heads, head_size, eps, base, halves):
    """Logits [T, V]. weight(part, layer or None): a tensor; linear(x, part, layer): x times that matrix, with what an adapter adds."""
    def norm(x, w):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w
    x = weight("token_embd", None)[ids]
    n = len(ids)
    mask = torch.full((n, n), -math.inf).triu(1)
    for l in range(layers):
        h = norm(x, weight("attn_norm", l))
        q = rope(linear(h, "attn_q", l).view(n, heads, head_size), base, halves).transpose(0, 1)
        k = rope(linear(h, "attn_k", l).view(n, kv_heads, head_size), base, halves).repeat_interleave(heads // kv_heads, 1).transpose(0, 1)
        v = linear(h, "attn_v", l).view(n, kv_heads, head_size).repeat_interleave(heads // kv_heads, 1).transpose(0, 1)
        att = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(head_size) + mask, -1) @ v
        x = x + linear(att.transpose(0, 1).reshape(n, heads * head_size), "attn_output", l)
        h = norm(x, weight("ffn_norm", l))
        x = x + linear(torch.nn.functional.silu(linear(h, "ffn_gate", l)) * linear(h, "ffn_up", l), "ffn_down", l)
    return norm(x, weight("output_norm", None)) @ weight("output", None).T
