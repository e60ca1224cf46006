#!/usr/bin/env python3
# torch_lora.py — LoRA beside PyTorch (float64) on a real model of Hugging Face's: 20 steps of training, and adapters as PEFT keeps them.
#
# usage: /usr/bin/python3 tests/check/torch_lora.py build/tools/lora_steps DIR [STEPS]     (needs python3-torch)
# DIR: tinystories-656k with config.json and model.safetensors. Prints ok/not ok lines: loss and every adapter gradient of every step
# within 1e-3; logits with the trained adapter, with one made here in BF16 with rsLoRA and alpha_pattern, NMSE within 1e-9.
# SPDX-License-Identifier: Apache-2.0
import json, math, os, re, struct, subprocess, sys, tempfile
import numpy as np
import torch
sys.path.insert(0, os.path.dirname(__file__))
import torch_llama

tool, model = sys.argv[1], sys.argv[2]
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 20
torch.set_default_dtype(torch.float64)
torch.set_num_threads(2)
C = json.load(open(os.path.join(model, "config.json")))
L, H, KV, W, EPS, V = C["num_hidden_layers"], C["num_attention_heads"], C["num_key_value_heads"], C["hidden_size"], C["rms_norm_eps"], C["vocab_size"]
D = W // H
SEGMENT, ROWS, SHARED = 48, 144, 16
failed = 0


def say(good, text):
    global failed
    failed |= not good
    print(("ok " if good else "not ok ") + "torch_lora " + text)


def safetensors(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        part = raw[8 + n + a:8 + n + b]
        if t["dtype"] == "BF16":
            x = (np.frombuffer(part, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            x = np.frombuffer(part, {"F32": np.float32, "F16": np.float16}[t["dtype"]])
        out[name] = torch.tensor(x.astype(np.float64).reshape(t["shape"]))
    return out


BASE = safetensors(os.path.join(model, "model.safetensors"))
BASE = {re.sub(r"^model\.", "", k): v for k, v in BASE.items()}
EMBED = BASE.get("embed_tokens.weight", BASE.get("lm_head.weight"))  # tied: either name
HF = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
      "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
      "ffn_norm": "post_attention_layernorm", "output_norm": "norm"}


def forward(ids, lora, scale):  # lora: module -> (A, B); scale: module -> number
    def weight(part, layer):
        if part in ("token_embd", "output"):
            return BASE.get("lm_head.weight", EMBED) if part == "output" else EMBED
        return BASE[(f"layers.{layer}." if layer is not None else "") + HF[part] + ".weight"]

    def linear(x, part, layer):
        name = f"layers.{layer}.{HF[part]}"
        y = x @ BASE[name + ".weight"].T
        return y + scale(name) * (x @ lora[name][0].T) @ lora[name][1].T if name in lora else y
    return torch_llama.forward(ids, weight, linear, layers=L, heads=H, kv_heads=KV, head_size=D, eps=EPS, base=C["rope_theta"], halves=True)


def peft(path):  # what PEFT makes of such a folder
    c, t, lora = json.load(open(os.path.join(path, "adapter_config.json"))), safetensors(os.path.join(path, "adapter_model.safetensors")), {}
    assert c["peft_type"] == "LORA" and not c.get("use_dora")
    for name in t:
        m = re.fullmatch(r"base_model\.model\.model\.(.*)\.lora_A\.weight", name)
        if m:
            assert any(m[1].endswith("." + x) for x in c["target_modules"]), name
            lora[m[1]] = (t[name], t[name.replace("lora_A", "lora_B")])

    def scale(module):
        alpha = next((v for k, v in c.get("alpha_pattern", {}).items() if re.match(r"(.*\.)?(%s)$" % k, module)), c["lora_alpha"])
        r = lora[module][0].shape[0]
        return alpha / (math.sqrt(r) if c.get("use_rslora") else r)
    return lora, scale


def ids_of(step):
    return [(7 * i * i + 13 * step * i + 3) % V for i in range(ROWS)]


PAIRS = np.arange(D).reshape(2, D // 2).T.flatten()  # row r of a head in GGUF is row PAIRS[r] there


def train(out):
    said = subprocess.run([tool, model, out, "-n", str(steps)], check=True, capture_output=True, text=True).stdout.split("\n")
    lora, scale = peft(os.path.join(out, "first"))
    lora = {k: tuple(x.clone().requires_grad_() for x in v) for k, v in lora.items()}
    opt = torch.optim.AdamW([x for v in lora.values() for x in v], lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    grads, at = np.fromfile(os.path.join(out, "grads.bin"), np.float32), 0
    params = [x.split() for x in open(os.path.join(out, "params.txt"))]
    worst_loss = worst_grad = 0.0
    where = ""
    for s in range(steps):
        ids = ids_of(s)
        opt.zero_grad()
        loss = 0.0
        for i in range(0, ROWS, SEGMENT):
            shared = SHARED if s % 2 else 0  # whole samples here, which begin alike; there, these tokens are computed once
            own = ids[:shared] + ids[i + shared:i + SEGMENT]
            logp = torch.log_softmax(forward(own, lora, scale), -1)
            loss = loss - logp[torch.arange(shared, SEGMENT - 1), own[shared + 1:]].sum()
        loss = loss / (ROWS // SEGMENT * (SEGMENT - 1 - shared))
        loss.backward()
        worst_loss = max(worst_loss, abs(float(said[s].split()[1]) / loss.item() - 1))
        for name, n in params:
            m = re.fullmatch(r"blk\.(\d+)\.(.*)\.weight\.lora_(.)", name)
            want = lora[f"layers.{m[1]}.{HF[m[2]]}"]["ab".index(m[3])].grad.numpy()
            got = grads[at:at + int(n)].reshape(want.shape).astype(np.float64)
            at += int(n)
            if m[3] == "b" and m[2] in ("attn_q", "attn_k"):
                want = want.reshape(-1, D, want.shape[1])[:, PAIRS].reshape(want.shape)
            size = np.linalg.norm(want)
            off = np.linalg.norm(got - want) / size if size else np.linalg.norm(got)
            if off > worst_grad:
                worst_grad, where = off, f"{name} in step {s}"
        opt.step()
    say(worst_loss <= 1e-3 and worst_grad <= 1e-3, f"{steps} steps, {len(params)} matrices: loss within {worst_loss:.1e}, gradients within {worst_grad:.1e} ({where})")


def same_logits(out, folder, what):
    subprocess.run([tool, model, out, "-a", folder], check=True)
    got = np.fromfile(os.path.join(out, "logits.bin"), np.float32).reshape(SEGMENT, V).astype(np.float64)
    lora, scale = peft(folder)
    want = forward(ids_of(0)[:SEGMENT], lora, scale).numpy()
    plain = forward(ids_of(0)[:SEGMENT], {}, scale).numpy()
    nmse, change = ((got - want) ** 2).sum() / (want ** 2).sum(), ((plain - want) ** 2).sum() / (want ** 2).sum()
    say(nmse <= 1e-9 and change >= 1e-4, f"{what}: NMSE {nmse:.1e}, the adapter changes {change:.1e}")


def make(folder):  # BF16, rsLoRA, one module with an alpha of its own
    rng = np.random.default_rng(7)
    head, body = {}, b""
    for l in range(L):
        for module in ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj"):
            n_out, n_in = BASE[f"layers.{l}.{module}.weight"].shape
            for half, shape in (("A", (6, n_in)), ("B", (n_out, 6))):
                x = (rng.standard_normal(shape) * 0.1).astype(np.float32)
                raw = (x.view(np.uint32) >> 16).astype(np.uint16).tobytes()
                head[f"base_model.model.model.layers.{l}.{module}.lora_{half}.weight"] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [len(body), len(body) + len(raw)]}
                body += raw
    head = json.dumps(head).encode()
    os.mkdir(folder)
    open(os.path.join(folder, "adapter_model.safetensors"), "wb").write(struct.pack("<Q", len(head)) + head + body)
    json.dump({"peft_type": "LORA", "r": 6, "lora_alpha": 12, "use_rslora": True, "target_modules": ["q_proj", "k_proj", "up_proj"],
               "alpha_pattern": {"layers.1.mlp.up_proj": 3}}, open(os.path.join(folder, "adapter_config.json"), "w"))


with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
    with torch.enable_grad():
        train(tmp)
    same_logits(tmp, os.path.join(tmp, "last"), "trained adapter as a PEFT folder")
    make(os.path.join(tmp, "theirs"))
    same_logits(tmp, os.path.join(tmp, "theirs"), "a PEFT folder in BF16 with rsLoRA and alpha_pattern")
sys.exit(failed)
