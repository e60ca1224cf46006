#!/usr/bin/env python3
"""peft_real.py — models and adapters that we write, read by transformers and peft themselves, and peft's adapters read by us.

usage: peft_real.py ILAB build/tools/lora_steps FOLDER [FAMILY…]     (needs PyTorch, transformers, peft on the path)
For each family (random weights, tests/check/hf_families.py; FAMILY may also be a folder as Hugging Face has it): the directory that
`ilab model convert --to safetensors` writes gives the same logits, no tensor is missing or left over; so do adapters of several kinds,
alone and merged; peft's own adapters give the same here. All NMSE ≤ 1e-6 (48 positions), each adapter changes the logits by 1e-5 or more.
SPDX-License-Identifier: Apache-2.0"""
import copy, json, os, shutil, subprocess, sys, warnings
warnings.filterwarnings("ignore")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
import numpy as np
import torch
import transformers
import peft
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

ILAB, TOOL, WORK = (os.path.abspath(p) for p in sys.argv[1:4])
MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hf_families.py")
LIMIT, SEGMENT = 1e-6, 48
SOME_KINDS = 0b0000101  # q, v
ATTENTION = 0b0001111
NO_EXPERTS = (1 << 14) - 1 - (0b1111 << 7)  # nor the router
FAMILIES = ("llama llama3 llama-bias mistral mixtral granite granitemoe granitemoeshared qwen2 qwen2moe qwen3 qwen3moe phi3 phi3-long gemma gemma2 gemma3 smollm3 olmo2 gpt2").split()
torch.manual_seed(3)
failed = 0


def say(good, text):
    global failed
    failed |= not good
    print(("ok " if good else "not ok ") + "peft_real " + text, flush=True)
    return good


def nmse(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(((a - b) ** 2).sum() / (b ** 2).sum())


def run(*argv):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(" ".join(map(str, argv)) + ": " + (r.stderr or r.stdout).strip()[-400:])
    return r.stdout


def theirs(model):
    v = model.config.vocab_size
    ids = torch.tensor([[(7 * i * i + 3) % v for i in range(SEGMENT)]])
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits[0].float().numpy()


def ours(file, out, adapter="none"):
    run(TOOL, file, out, "-a", adapter)
    return np.fromfile(os.path.join(out, "logits.bin"), np.float32).reshape(SEGMENT, -1)


def merged_there(merged):  # under the names of a saved model
    t = {k: v for k, v in merged.state_dict().items()}
    return {k: v for k, v in t.items() if not k.endswith(("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"))}


def adapters_of_ours(name, model, plain, file, out):
    kinds = {"rank 16, all linear layers": ("-w", 16), "rsLoRA": ("-w", 16, "-s", 1), "the last layer": ("-w", 3, "-f", model.config.num_hidden_layers - 1),
             "q and v only": ("-w", 5, "-k", SOME_KINDS)}
    for what, options in kinds.items():
        if name == "phi3-long" or name == "phi3" or name == "gpt2":
            if what == "q and v only":
                options = ("-w", 5, "-k", ATTENTION)
        if what == "rsLoRA" and "use_rslora" not in LoraConfig.__dataclass_fields__:
            print(f"skip peft_real {name}: peft {peft.__version__} has no rsLoRA")
            continue
        shutil.rmtree(out, True)
        try:
            run(TOOL, file, out, *options)
        except RuntimeError as e:
            if "PEFT has no module" not in str(e):
                raise
            options = options + ("-k", NO_EXPERTS)
            what += " (no experts)"
            run(TOOL, file, out, *options)
        folder = os.path.join(out, "adapter")
        p = PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()
        # nothing missing, nothing left over: what the model now holds is the file
        in_file, held = load_file(os.path.join(folder, "adapter_model.safetensors")), peft.get_peft_model_state_dict(p)
        same = set(in_file) == set(held) and all(torch.equal(in_file[k].float(), held[k].float()) for k in held)
        want, got = theirs(p), ours(file, out, folder)
        off, change = nmse(got, want), nmse(plain, want)
        say(same and off <= LIMIT and change >= 1e-5, f"{name}: our adapter, {what}: NMSE {off:.1e}, it changes {change:.1e}, {len(in_file)} tensors" + ("" if same else ", not the same tensors"))
        if what.startswith("rank 16"):
            m = p.merge_and_unload()
            back = os.path.join(out, "merged")
            run(ILAB, "model", "convert", os.path.join(out, "merged.gguf"), "--to", "safetensors", "-o", back)
            their, our = merged_there(m), load_file(os.path.join(back, "model.safetensors"))
            worst = max(nmse(our[k].numpy(), their[k].float().numpy()) for k in our)
            more = [k for k in set(their) - set(our) if k != "lm_head.weight"]
            say(not more and worst <= 1e-12, f"{name}: merged like merge_and_unload: {len(our)} tensors, worst NMSE {worst:.1e}" + (f", lacking {more[:3]}" if more else ""))


def adapters_of_theirs(name, model, plain, file, out):
    # linear layers by their last names, as people write target_modules
    linear = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    ends = sorted({n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, linear) and n != "lm_head" and m.weight.dim() == 2})
    # not adapted here: one row; names that also mean a module of peft's which is no linear layer
    ends = [e for e in ends if e not in ("shared_expert_gate", "input_linear", "output_linear")]
    one = next(n for n, m in model.named_modules() if isinstance(m, linear) and ".1." in n and n.endswith(("q_proj", "qkv_proj", "c_attn")))
    one = ".".join(one.split(".")[1:])
    kinds = {"all linear layers, patterns": dict(r=6, lora_alpha=9, target_modules=ends, rank_pattern={one: 3}, alpha_pattern={one: 5}),
             "rsLoRA, one layer": dict(r=8, lora_alpha=4, target_modules=ends, use_rslora=True, layers_to_transform=[1]),
             "a regular expression": dict(r=4, lora_alpha=16, target_modules=r".*\.(q_proj|qkv_proj|v_proj|c_attn|o_proj)")}
    for what, options in kinds.items():
        if "use_rslora" in options and "use_rslora" not in LoraConfig.__dataclass_fields__:
            continue
        c = LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=name == "gpt2", **options)
        p = get_peft_model(copy.deepcopy(model), c).eval()
        for k, v in p.named_parameters():
            if "lora_B" in k:
                torch.nn.init.normal_(v, std=0.1)
        shutil.rmtree(out, True)
        folder = os.path.join(out, "theirs")
        p.save_pretrained(folder, safe_serialization=True)
        want = theirs(p)
        try:
            got = ours(file, out, folder)
        except RuntimeError as e:
            say(False, f"{name}: peft's adapter, {what}: {e}")
            continue
        off, change = nmse(got, want), nmse(plain, want)
        say(off <= LIMIT and change >= 1e-5, f"{name}: peft's adapter, {what}: NMSE {off:.1e}, it changes {change:.1e}")


def family(name):
    given = os.path.isdir(name)
    folder = os.path.abspath(name) if given else os.path.join(WORK, name)
    name = os.path.basename(folder)
    if not given:
        run(sys.executable, MAKE, "make", WORK, name)
    c = json.load(open(os.path.join(folder, "config.json")))
    if not hasattr(transformers, c["architectures"][0]):
        print(f"skip peft_real {name}: transformers {transformers.__version__} has no {c['architectures'][0]}")
        return
    work = os.path.join(WORK, name + "-work")
    os.makedirs(work, exist_ok=True)
    file, back, out = (os.path.join(work, n) for n in ("model.gguf", "back", "out"))
    run(ILAB, "model", "convert", folder, "-o", file, "--type", "F32", "--force")
    shutil.rmtree(back, True)
    run(ILAB, "model", "convert", file, "--to", "safetensors", "-o", back)
    plain = ours(file, out)
    for where, what in ((folder, "the given directory"), (back, "the directory that we wrote")):
        model, info = getattr(transformers, c["architectures"][0]).from_pretrained(where, torch_dtype=torch.float32, attn_implementation="eager", output_loading_info=True, pad_token_id=None)
        model.eval()
        off = nmse(plain, theirs(model))
        lost = {k: v for k, v in info.items() if v and not (where == folder and k == "unexpected_keys")}
        say(off <= LIMIT and not lost, f"{name}: {what}: NMSE {off:.1e}" + (f", {lost}" if lost else ""))
    adapters_of_ours(name, model, plain, file, out)
    adapters_of_theirs(name, model, plain, file, out)
    shutil.rmtree(work)


print(f"# transformers {transformers.__version__}, peft {peft.__version__}, PyTorch {torch.__version__}")
for n in sys.argv[4:] or FAMILIES:
    try:
        family(n)
    except Exception as e:
        say(False, f"{n}: {type(e).__name__}: {str(e)[-500:]}")
        if os.environ.get("PEFT_REAL_TRACE"):
            raise
sys.exit(failed)
