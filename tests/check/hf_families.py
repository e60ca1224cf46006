"""hf_families — tiny random models of every family, as a Hugging Face directory would have them, through `ilab model convert`.

The names, shapes and reorderings below are written by hand from transformers' modelling files and llama.cpp's documented names, not
from the program's tables. For each family: every tensor and key of the GGUF file is compared with what is expected, byte for
byte; the way back gives the directory's bytes again; directory and file give the same answers; and, when
ILAB_LLAMA_CPP (or node_modules) has llama.cpp's shared libraries, the file loads there and gives the same probabilities.

    hf_families.py ILAB FOLDER [FAMILY…]        lines `ok …`, `not ok …`, `skip …`
    hf_families.py make FOLDER FAMILY…          only writes FOLDER/FAMILY
SPDX-License-Identifier: Apache-2.0"""
import ctypes, glob, json, math, os, random, struct, subprocess, sys

ILAB, WORK = sys.argv[1], sys.argv[2]
C, H, KV, D, F, V, E, CTX = 64, 4, 2, 16, 96, 320, 4, 128
SIZE = {'F32': 4, 'F16': 2, 'BF16': 2}
rng = random.Random(7)


def ok(name, good, why=''):
    print('%s %s%s' % ('ok' if good else 'not ok', name, '' if good else ': ' + why))
    return good


# ---- numbers ----
def to_bytes(values, dtype):
    if dtype == 'F32':
        return struct.pack('<%df' % len(values), *values)
    if dtype == 'F16':
        return struct.pack('<%de' % len(values), *values)
    raw = struct.pack('<%df' % len(values), *values)  # BF16: upper half
    return b''.join(raw[i + 2:i + 4] for i in range(0, len(raw), 4))


def to_f32(raw, dtype):
    if dtype == 'F32':
        return raw
    if dtype == 'F16':
        return struct.pack('<%df' % (len(raw) // 2), *struct.unpack('<%de' % (len(raw) // 2), raw))
    return b''.join(b'\0\0' + raw[i:i + 2] for i in range(0, len(raw), 2))


def plus_one(raw, dtype):
    v = struct.unpack('<%df' % (len(raw) // SIZE[dtype]), to_f32(raw, dtype))
    return struct.pack('<%df' % len(v), *[x + 1 for x in v])


class Tensor:
    def __init__(self, shape, dtype, raw):
        self.shape, self.dtype, self.raw = list(shape), dtype, raw

    def rows(self):
        n = self.shape[-1] * SIZE[self.dtype]
        return [self.raw[i:i + n] for i in range(0, len(self.raw), n)]


def weight(shape, dtype, scale=None, mean=0.0):
    n = math.prod(shape)
    s = scale if scale is not None else 1 / math.sqrt(shape[-1])
    return Tensor(shape, dtype, to_bytes([rng.gauss(mean, s) for _ in range(n)], dtype))


# ---- files ----
def write_safetensors(path, tensors):
    head, at = {'__metadata__': {'format': 'pt'}}, 0
    for name, t in tensors.items():
        head[name] = {'dtype': t.dtype, 'shape': t.shape, 'data_offsets': [at, at + len(t.raw)]}
        at += len(t.raw)
    text = json.dumps(head).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(t.raw for t in tensors.values()))


def read_safetensors(folder):
    out = {}
    for path in glob.glob(folder + '/*.safetensors'):
        data = open(path, 'rb').read()
        n = struct.unpack('<Q', data[:8])[0]
        for name, v in json.loads(data[8:8 + n]).items():
            if name != '__metadata__':
                a, b = v['data_offsets']
                out[name] = Tensor(v['shape'], v['dtype'], data[8 + n + a:8 + n + b])
    return out


def read_gguf(path):
    data, at = open(path, 'rb').read(), 24
    n_tensor, n_kv = struct.unpack('<QQ', data[8:24])
    kinds = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}

    def take(fmt):
        nonlocal at
        v = struct.unpack_from('<' + fmt, data, at)
        at += struct.calcsize('<' + fmt)
        return v[0]

    def text():
        nonlocal at
        n = take('Q')
        at += n
        return data[at - n:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            k = take('I')
            return [value(k) for _ in range(take('Q'))]
        return take(kinds[kind])
    keys = {}
    for _ in range(n_kv):
        k = text()
        keys[k] = value(take('I'))
    infos = [(text(), [take('Q') for _ in range(take('I'))], take('I'), take('Q')) for _ in range(n_tensor)]
    at += -at % keys.get('general.alignment', 32)
    names = {0: 'F32', 1: 'F16', 30: 'BF16'}
    tensors = {}
    for name, dim, kind, offset in infos:
        n = math.prod(dim) * SIZE[names[kind]]
        tensors[name] = Tensor(dim[::-1], names[kind], data[at + offset:at + offset + n])
    return keys, tensors


# ---- tokenizers ----
def bytes_to_unicode():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, n = {}, 0
    for b in range(256):
        out[b] = chr(b) if b in keep else chr(256 + n)
        n += b not in keep
    return out


def added(names, first=0):
    return [{'id': first + i, 'content': t, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True} for i, t in enumerate(names)]


def tokenizer_bpe():
    table = bytes_to_unicode()
    tokens = [table[b] for b in range(256)]
    merges = []
    for pair in ('t h', 'i n', 'e r', 'a n', 'Ġ t', 'Ġt h', 'Ġth e'.replace('Ġth e', 'th e')):
        a, b = pair.split(' ')
        if a in tokens and b in tokens and a + b not in tokens:
            merges.append(pair)
            tokens.append(a + b)
    special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
    first = len(tokens)
    vocab = {t: i for i, t in enumerate(tokens)}
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
    return ({'version': '1.0', 'added_tokens': added(special, first), 'normalizer': None, 'pre_tokenizer': byte_level, 'post_processor': None, 'decoder': byte_level,
             'model': {'type': 'BPE', 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None, 'fuse_unk': False, 'byte_fallback': False,
                       'vocab': vocab, 'merges': merges}},
            {'tokenizer_class': 'GPT2Tokenizer', 'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>'}, first)


def tokenizer_spm():
    special = ['<unk>', '<s>', '</s>', '<|endoftext|>']
    tokens = special + ['<0x%02X>' % b for b in range(256)] + ['▁'] + list('abcdefghijklmnopqrstuvwxyz.')
    merges = []
    for pair in ('t h', 'th e', '▁ the', 'i n', 'a n'):
        merges.append(pair)
        tokens.append(pair.replace(' ', ''))
    return ({'version': '1.0', 'added_tokens': added(special), 'pre_tokenizer': None,
             'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'Prepend', 'prepend': '▁'}, {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '▁'}]},
             'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '<s>', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}], 'pair': [],
                                'special_tokens': {'<s>': {'id': '<s>', 'ids': [1], 'tokens': ['<s>']}}},
             'decoder': {'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '}, {'type': 'ByteFallback'}, {'type': 'Fuse'}]},
             'model': {'type': 'BPE', 'unk_token': '<unk>', 'fuse_unk': True, 'byte_fallback': True, 'vocab': {t: i for i, t in enumerate(tokens)}, 'merges': merges}},
            {'tokenizer_class': 'LlamaTokenizer', 'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>', 'add_bos_token': True}, 2)


def tokenizer_wordpiece():
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    letters = list('abcdefghijklmnopqrstuvwxyz')
    tokens = special + letters + ['##' + x for x in letters] + ['the', 'and', 'of', '##ing', '.', ',']
    return ({'version': '1.0', 'added_tokens': added(special), 'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True, 'strip_accents': None, 'lowercase': True},
             'pre_tokenizer': {'type': 'BertPreTokenizer'},
             'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': '[SEP]', 'type_id': 0}}],
                                'pair': [], 'special_tokens': {'[CLS]': {'id': '[CLS]', 'ids': [2], 'tokens': ['[CLS]']}, '[SEP]': {'id': '[SEP]', 'ids': [3], 'tokens': ['[SEP]']}}},
             'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
             'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100, 'vocab': {t: i for i, t in enumerate(tokens)}}},
            {'tokenizer_class': 'BertTokenizer', 'cls_token': '[CLS]', 'sep_token': '[SEP]', 'pad_token': '[PAD]', 'unk_token': '[UNK]', 'mask_token': '[MASK]'}, 3)


TOKENIZERS = {'bpe': tokenizer_bpe, 'spm': tokenizer_spm, 'wordpiece': tokenizer_wordpiece}


# ---- families ----
class Model:
    """collects a directory's tensors and what each becomes"""

    def __init__(self, dtype):
        self.dtype, self.hf, self.want, self.no_back = dtype, {}, {}, set()

    def add(self, hf, shape, gguf, how='copy', mean=0.0, scale=None, f32=False):
        t = self.hf[hf] = weight(shape, self.dtype, scale, mean)
        self.put(gguf, t, how, f32)
        return t

    def put(self, gguf, t, how='copy', f32=False):
        shape, raw, dtype = [d for d in t.shape], t.raw, t.dtype
        if how == 'rotary':
            rows = t.rows() if len(shape) > 1 else [raw[i:i + SIZE[dtype]] for i in range(0, len(raw), SIZE[dtype])]
            out = []
            for h in range(len(rows) // D):
                for i in range(D // 2):
                    out += [rows[h * D + i], rows[h * D + D // 2 + i]]
            raw = b''.join(out)
        elif how == 'plus one':
            raw, dtype = plus_one(raw, dtype), 'F32'
        elif how == 'transpose' and len(shape) == 2:
            n, r = SIZE[dtype], t.rows()
            raw = b''.join(row[j * n:j * n + n] for j in range(shape[1]) for row in r)
            shape = shape[::-1]
        elif how == 'vector':
            shape = shape[-1:]
        if len(shape) == 1 or f32:
            raw, dtype = to_f32(raw, dtype), 'F32'
        self.want[gguf] = Tensor(shape, dtype, raw)

    def linear(self, hf, n_out, n_in, gguf, how='copy', bias=False, **kw):
        self.add(hf + '.weight', [n_out, n_in], gguf + '.weight', how, **kw)
        if bias:
            self.add(hf + '.bias', [n_out], gguf + '.bias', how, scale=0.1)

    def norm(self, hf, n, gguf, how='copy', bias=False):
        self.add(hf + '.weight', [n], gguf + '.weight', how, mean=0.0 if how == 'plus one' else 1.0, scale=0.1)
        if bias:
            self.add(hf + '.bias', [n], gguf + '.bias', how, scale=0.1)


def decoder(m, layers, rotary=False, bias=False, more_bias=False, norms='pre', qk=None, ffn='gated', fused=False, tied=True, shared=0, norm_how='copy'):
    m.linear('model.embed_tokens', V, C, 'token_embd', scale=0.5)
    m.norm('model.norm', C, 'output_norm', norm_how)
    if not tied:
        m.linear('lm_head', V, C, 'output')
    how = 'rotary' if rotary else 'copy'
    for i in range(layers):
        a, b = 'model.layers.%d.' % i, 'blk.%d.' % i
        if fused:
            m.linear(a + 'self_attn.qkv_proj', (H + 2 * KV) * D, C, b + 'attn_qkv')
        else:
            m.linear(a + 'self_attn.q_proj', H * D, C, b + 'attn_q', how, bias)
            m.linear(a + 'self_attn.k_proj', KV * D, C, b + 'attn_k', how, bias)
            m.linear(a + 'self_attn.v_proj', KV * D, C, b + 'attn_v', 'copy', bias)
        m.linear(a + 'self_attn.o_proj', C, H * D, b + 'attn_output', bias=more_bias)
        if qk:
            m.norm(a + 'self_attn.q_norm', D if qk == 'head' else H * D, b + 'attn_q_norm', norm_how)
            m.norm(a + 'self_attn.k_norm', D if qk == 'head' else KV * D, b + 'attn_k_norm', norm_how)
        for hf, gguf in {'pre': (('input_layernorm', 'attn_norm'), ('post_attention_layernorm', 'ffn_norm')),
                         'post': (('post_attention_layernorm', 'post_attention_norm'), ('post_feedforward_layernorm', 'post_ffw_norm')),
                         'four': (('input_layernorm', 'attn_norm'), ('post_attention_layernorm', 'post_attention_norm'),
                                  ('pre_feedforward_layernorm', 'ffn_norm'), ('post_feedforward_layernorm', 'post_ffw_norm'))}[norms]:
            m.norm(a + hf, C, b + gguf, norm_how)
        if ffn == 'gated':
            for n in ('gate', 'up'):
                m.linear(a + 'mlp.%s_proj' % n, F, C, b + 'ffn_' + n, bias=more_bias)
            m.linear(a + 'mlp.down_proj', C, F, b + 'ffn_down', bias=more_bias)
        elif ffn == 'fused':
            m.linear(a + 'mlp.gate_up_proj', 2 * F, C, b + 'ffn_up')
            m.linear(a + 'mlp.down_proj', C, F, b + 'ffn_down')
        elif ffn in ('mixtral', 'qwen'):
            x = a + ('block_sparse_moe.' if ffn == 'mixtral' else 'mlp.')
            m.linear(x + 'gate', E, C, b + 'ffn_gate_inp', f32=True)
            for (one, gguf, shape) in ((('w1', 'gate_proj'), 'ffn_gate_exps', [F, C]), (('w3', 'up_proj'), 'ffn_up_exps', [F, C]), (('w2', 'down_proj'), 'ffn_down_exps', [C, F])):
                parts = [weight(shape, m.dtype) for _ in range(E)]
                for k, t in enumerate(parts):
                    m.hf['%sexperts.%d.%s.weight' % (x, k, one[ffn == 'qwen'])] = t
                m.put(b + gguf + '.weight', Tensor([E] + shape, m.dtype, b''.join(t.raw for t in parts)))
            if shared:
                m.add(x + 'shared_expert_gate.weight', [1, C], b + 'ffn_gate_inp_shexp.weight', 'vector')
                for n in ('gate', 'up'):
                    m.linear(x + 'shared_expert.%s_proj' % n, shared, C, b + 'ffn_%s_shexp' % n)
                m.linear(x + 'shared_expert.down_proj', C, shared, b + 'ffn_down_shexp')
        elif ffn == 'granite':
            x = a + 'block_sparse_moe.'
            m.linear(x + 'router.layer', E, C, b + 'ffn_gate_inp', f32=True)
            for hf, experts, f, end in ((x, E, F, '_exps'), (a + 'shared_mlp.', 0, shared, '_shexp')):
                if not f:
                    continue
                parts = [(weight([f, C], m.dtype), weight([f, C], m.dtype)) for _ in range(experts or 1)]
                shape = [2 * f, C]
                m.hf[hf + 'input_linear.weight'] = Tensor(([E] if experts else []) + shape, m.dtype, b''.join(g.raw + u.raw for g, u in parts))
                for k, n in enumerate(('gate', 'up')):
                    m.put(b + 'ffn_%s%s.weight' % (n, end), Tensor(([E] if experts else []) + [f, C], m.dtype, b''.join(p[k].raw for p in parts)))
                m.add(hf + 'output_linear.weight', ([E] if experts else []) + [C, f], b + 'ffn_down%s.weight' % end)


def gpt2(m, layers):
    m.linear('transformer.wte', V, C, 'token_embd', scale=0.5)
    m.add('transformer.wpe.weight', [CTX, C], 'position_embd.weight', scale=0.1, f32=True)
    m.norm('transformer.ln_f', C, 'output_norm', bias=True)
    for i in range(layers):
        a, b = 'transformer.h.%d.' % i, 'blk.%d.' % i
        m.norm(a + 'ln_1', C, b + 'attn_norm', bias=True)
        m.norm(a + 'ln_2', C, b + 'ffn_norm', bias=True)
        for hf, n_in, n_out, gguf in (('attn.c_attn', C, 3 * C, 'attn_qkv'), ('attn.c_proj', C, C, 'attn_output'), ('mlp.c_fc', C, 4 * C, 'ffn_up'), ('mlp.c_proj', 4 * C, C, 'ffn_down')):
            m.add(a + hf + '.weight', [n_in, n_out], b + gguf + '.weight', 'transpose', scale=0.1)
            m.add(a + hf + '.bias', [n_out], b + gguf + '.bias', scale=0.1)
    mask = a + 'attn.bias'
    m.hf[mask] = weight([1, 1, CTX, CTX], m.dtype)
    m.no_back.add(mask)


def bert(m, layers):
    m.linear('embeddings.word_embeddings', V, C, 'token_embd', scale=0.5)
    m.add('embeddings.position_embeddings.weight', [CTX, C], 'position_embd.weight', scale=0.1, f32=True)
    m.add('embeddings.token_type_embeddings.weight', [2, C], 'token_types.weight', scale=0.1, f32=True)
    m.norm('embeddings.LayerNorm', C, 'token_embd_norm', bias=True)
    for i in range(layers):
        a, b = 'encoder.layer.%d.' % i, 'blk.%d.' % i
        for n in ('query', 'key', 'value'):
            m.linear(a + 'attention.self.' + n, C, C, b + 'attn_' + n[0], bias=True)
        m.linear(a + 'attention.output.dense', C, C, b + 'attn_output', bias=True)
        m.norm(a + 'attention.output.LayerNorm', C, b + 'attn_output_norm', bias=True)
        m.linear(a + 'intermediate.dense', F, C, b + 'ffn_up', bias=True)
        m.linear(a + 'output.dense', C, F, b + 'ffn_down', bias=True)
        m.norm(a + 'output.LayerNorm', C, b + 'layer_output_norm', bias=True)
    m.hf['pooler.dense.weight'] = weight([C, C], m.dtype)
    m.no_back.add('pooler.dense.weight')


def nomic(m, layers):
    m.linear('embeddings.word_embeddings', V, C, 'token_embd', scale=0.5)
    m.add('embeddings.token_type_embeddings.weight', [2, C], 'token_types.weight', scale=0.1, f32=True)
    m.norm('emb_ln', C, 'token_embd_norm', bias=True)
    for i in range(layers):
        a, b = 'encoder.layers.%d.' % i, 'blk.%d.' % i
        m.linear(a + 'attn.Wqkv', 3 * C, C, b + 'attn_qkv')
        m.linear(a + 'attn.out_proj', C, C, b + 'attn_output')
        m.norm(a + 'norm1', C, b + 'attn_output_norm', bias=True)
        m.linear(a + 'mlp.fc11', F, C, b + 'ffn_up')
        m.linear(a + 'mlp.fc12', F, C, b + 'ffn_gate')
        m.linear(a + 'mlp.fc2', C, F, b + 'ffn_down')
        m.norm(a + 'norm2', C, b + 'layer_output_norm', bias=True)


def base(cls, kind, **more):
    cfg = {'architectures': [cls], 'model_type': kind, 'hidden_size': C, 'num_attention_heads': H, 'num_key_value_heads': KV, 'intermediate_size': F, 'num_hidden_layers': 2,
           'vocab_size': V, 'max_position_embeddings': CTX, 'rms_norm_eps': 1e-5, 'rope_theta': 10000.0, 'hidden_act': 'silu', 'tie_word_embeddings': True, 'torch_dtype': 'bfloat16'}
    cfg.update(more)
    return {k: v for k, v in cfg.items() if v is not ...}


LLAMA3 = {'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192, 'rope_type': 'llama3'}
ODD_CTX = {'num_attention_heads': H, 'num_hidden_layers': 2}
# name: (builder, its arguments, config, GGUF architecture, tokenizer, dtype, some keys that must come out)
FAMILIES = {
    'llama': (decoder, dict(layers=2, rotary=True, tied=False), base('LlamaForCausalLM', 'llama', tie_word_embeddings=False), 'llama', 'spm', 'F32', {}),
    'llama3': (decoder, dict(layers=2, rotary=True), base('LlamaForCausalLM', 'llama', rope_theta=500000.0, rope_scaling=LLAMA3, head_dim=D), 'llama', 'bpe', 'BF16', {'rope.freq_base': 500000.0}),
    'llama-wide': (decoder, dict(layers=2, rotary=True, tied=False), base('LlamaForCausalLM', 'llama', tie_word_embeddings=False), 'llama', 'spm', 'F32', {}),
    'llama-bias': (decoder, dict(layers=2, rotary=True, bias=True, more_bias=True), base('LlamaForCausalLM', 'llama', attention_bias=True, mlp_bias=True), 'llama', 'spm', 'F16', {}),
    'llama-yarn': (decoder, dict(layers=2, rotary=True), base('LlamaForCausalLM', 'llama', rope_scaling={'type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 32}), 'llama', 'bpe', 'F32',
                   {'rope.scaling.type': 'yarn', 'rope.scaling.factor': 4.0, 'rope.scaling.original_context_length': 32}),
    'mistral': (decoder, dict(layers=2, rotary=True, tied=False), base('MistralForCausalLM', 'mistral', sliding_window=64, tie_word_embeddings=False), 'llama', 'spm', 'BF16', {'attention.sliding_window': 64}),
    'mixtral': (decoder, dict(layers=2, rotary=True, ffn='mixtral', tied=False),
                base('MixtralForCausalLM', 'mixtral', num_local_experts=E, num_experts_per_tok=2, sliding_window=None, tie_word_embeddings=False), 'llama', 'spm', 'BF16', {'expert_count': E, 'expert_used_count': 2}),
    'granite': (decoder, dict(layers=2, rotary=True), base('GraniteForCausalLM', 'granite', attention_multiplier=0.0625, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0),
                'granite', 'bpe', 'BF16', {'attention.scale': 0.0625, 'embedding_scale': 12.0, 'logit_scale': 8.0}),
    'granitemoe': (decoder, dict(layers=2, rotary=True, ffn='granite'),
                   base('GraniteMoeForCausalLM', 'granitemoe', num_local_experts=E, num_experts_per_tok=2, attention_multiplier=0.0625, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=6.0),
                   'granitemoe', 'bpe', 'BF16', {'expert_count': E}),
    'granitemoeshared': (decoder, dict(layers=2, rotary=True, ffn='granite', shared=64),
                         base('GraniteMoeSharedForCausalLM', 'granitemoeshared', num_local_experts=E, num_experts_per_tok=2, attention_multiplier=0.0625, embedding_multiplier=12.0,
                              residual_multiplier=0.22, logits_scaling=6.0, shared_intermediate_size=64), 'granitemoe', 'bpe', 'F32', {'expert_shared_feed_forward_length': 64}),
    'qwen2': (decoder, dict(layers=2, bias=True), base('Qwen2ForCausalLM', 'qwen2', rope_theta=1e6, use_sliding_window=False, sliding_window=32), 'qwen2', 'bpe', 'BF16', {}),
    'qwen2moe': (decoder, dict(layers=2, bias=True, ffn='qwen', shared=64, tied=False),
                 base('Qwen2MoeForCausalLM', 'qwen2_moe', num_experts=E, num_experts_per_tok=2, moe_intermediate_size=F, shared_expert_intermediate_size=64, decoder_sparse_step=1, mlp_only_layers=[],
                      norm_topk_prob=False, intermediate_size=192, tie_word_embeddings=False), 'qwen2moe', 'bpe', 'BF16', {'expert_feed_forward_length': F, 'expert_shared_feed_forward_length': 64}),
    'qwen3': (decoder, dict(layers=2, qk='head'), base('Qwen3ForCausalLM', 'qwen3', head_dim=D, rope_theta=1e6), 'qwen3', 'bpe', 'BF16', {'attention.key_length': D}),
    'qwen3moe': (decoder, dict(layers=2, qk='head', ffn='qwen', tied=False),
                 base('Qwen3MoeForCausalLM', 'qwen3_moe', head_dim=D, num_experts=E, num_experts_per_tok=2, moe_intermediate_size=F, norm_topk_prob=True, intermediate_size=192, tie_word_embeddings=False),
                 'qwen3moe', 'bpe', 'F16', {'expert_used_count': 2}),
    'phi3': (decoder, dict(layers=2, fused=True, ffn='fused', tied=False),
             base('Phi3ForCausalLM', 'phi3', sliding_window=None, original_max_position_embeddings=CTX, tie_word_embeddings=False), 'phi3', 'spm', 'BF16', {'rope.scaling.original_context_length': CTX}),
    'phi3-long': (decoder, dict(layers=2, fused=True, ffn='fused', tied=False),
                  base('Phi3ForCausalLM', 'phi3', original_max_position_embeddings=32, tie_word_embeddings=False,
                       rope_scaling={'type': 'longrope', 'long_factor': [1.5 + i for i in range(D // 2)], 'short_factor': [1.0 + i / 8 for i in range(D // 2)]}), 'phi3', 'spm', 'F32',
                  {'rope.scaling.attn_factor': math.sqrt(1 + math.log(4) / math.log(32))}),
    'gemma': (decoder, dict(layers=2, norms='pre', norm_how='plus one'),
              base('GemmaForCausalLM', 'gemma', head_dim=D, hidden_act='gelu', hidden_activation=None, tie_word_embeddings=...), 'gemma', 'spm', 'BF16', {'attention.key_length': D}),
    'gemma2': (decoder, dict(layers=2, norms='four', norm_how='plus one'),
               base('Gemma2ForCausalLM', 'gemma2', head_dim=D, query_pre_attn_scalar=D, sliding_window=64, attn_logit_softcapping=50.0, final_logit_softcapping=30.0, hidden_act='gelu_pytorch_tanh',
                    hidden_activation='gelu_pytorch_tanh', tie_word_embeddings=...), 'gemma2', 'spm', 'BF16', {'attn_logit_softcapping': 50.0, 'attention.sliding_window': 64}),
    'gemma3': (decoder, dict(layers=7, norms='four', qk='head', norm_how='plus one'),
               base('Gemma3ForCausalLM', 'gemma3_text', num_hidden_layers=7, head_dim=D, query_pre_attn_scalar=D, sliding_window=32, rope_theta=1e6, rope_local_base_freq=10000.0, hidden_act=...,
                    hidden_activation='gelu_pytorch_tanh', tie_word_embeddings=...), 'gemma3', 'spm', 'BF16', {'rope.freq_base': 1e6, 'rope.freq_base_swa': 10000.0}),
    'gemma3-vision': (decoder, dict(layers=6, norms='four', qk='head', norm_how='plus one'),
                      {'architectures': ['Gemma3ForConditionalGeneration'], 'model_type': 'gemma3', 'vision_config': {'hidden_size': 9},
                       'text_config': base('', 'gemma3_text', architectures=..., num_hidden_layers=6, head_dim=D, query_pre_attn_scalar=D, sliding_window=32, hidden_act=..., rope_theta=...,
                                           tie_word_embeddings=..., rope_scaling={'rope_type': 'linear', 'factor': 8.0})}, 'gemma3', 'spm', 'BF16', {'rope.freq_base': 1e6, 'rope.scaling.factor': 8.0}),
    'smollm3': (decoder, dict(layers=4, rotary=True), base('SmolLM3ForCausalLM', 'smollm3', num_hidden_layers=4, no_rope_layers=[1, 1, 1, 0], no_rope_layer_interval=4, use_sliding_window=False), 'smollm3', 'bpe', 'BF16', {}),
    'olmo2': (decoder, dict(layers=2, norms='post', qk='wide', tied=False), base('Olmo2ForCausalLM', 'olmo2', tie_word_embeddings=False), 'olmo2', 'bpe', 'F32', {}),
    'gpt2': (gpt2, dict(layers=2), {'architectures': ['GPT2LMHeadModel'], 'model_type': 'gpt2', 'n_embd': C, 'n_head': H, 'n_layer': 2, 'n_positions': CTX, 'n_ctx': CTX, 'n_inner': None,
                                    'vocab_size': V, 'layer_norm_epsilon': 1e-5, 'activation_function': 'gelu_new'}, 'gpt2', 'bpe', 'F32', {'feed_forward_length': 4 * C}),
    'bert': (bert, dict(layers=2), base('BertModel', 'bert', num_key_value_heads=..., rms_norm_eps=..., rope_theta=..., hidden_act='gelu', layer_norm_eps=1e-12, type_vocab_size=2, tie_word_embeddings=...),
             'bert', 'wordpiece', 'F32', {'attention.causal': False}),
    'nomic-bert': (nomic, dict(layers=2), {'architectures': ['NomicBertModel'], 'model_type': 'nomic_bert', 'n_embd': C, 'n_head': H, 'n_layer': 2, 'n_inner': F, 'n_positions': 4 * CTX,
                                           'max_trained_positions': CTX, 'vocab_size': V, 'layer_norm_epsilon': 1e-12, 'activation_function': 'swiglu', 'rotary_emb_base': 1000, 'type_vocab_size': 2,
                                           'causal': False, 'qkv_proj_bias': False, 'mlp_fc1_bias': False, 'mlp_fc2_bias': False, 'prenorm': False, 'rotary_emb_fraction': 1.0, 'rotary_emb_interleaved': False},
                   'nomic-bert', 'wordpiece', 'F32', {'rope.freq_base': 1000.0, 'context_length': CTX}),
}


def make(name):
    build, args, cfg, arch, tok, dtype, keys = FAMILIES[name]
    folder = os.path.join(WORK, name)
    os.makedirs(folder, exist_ok=True)
    m = Model(dtype)
    global C, D, F
    sizes = C, D, F
    if name == 'llama-wide':  # rows of whole super-blocks
        C, D, F = 256, 64, 512
        cfg = dict(cfg, hidden_size=C, intermediate_size=F)
    build(m, **args)
    C, D, F = sizes
    if name == 'llama3':
        m.want['rope_freqs.weight'] = Tensor([D // 2], 'F32', struct.pack('<%df' % (D // 2), *llama3_factors(500000.0)))
    if name == 'phi3-long':
        for k, which in (('long', 'long_factor'), ('short', 'short_factor')):
            m.want['rope_factors_%s.weight' % k] = Tensor([D // 2], 'F32', struct.pack('<%df' % (D // 2), *cfg['rope_scaling'][which]))
    if name == 'gemma3-vision':  # the text part of a larger model
        m.hf = {'language_model.' + n: t for n, t in m.hf.items()}
        m.hf['vision_tower.vision_model.embeddings.patch_embedding.weight'] = weight([9, 3, 2, 2], dtype)
        m.hf['multi_modal_projector.mm_soft_emb_norm.weight'] = weight([9], dtype)
    names = list(m.hf)
    if name in ('mixtral', 'qwen2'):  # in shards
        half, index = len(names) // 2, {}
        for i, part in enumerate((names[:half], names[half:])):
            file = 'model-%05d-of-00002.safetensors' % (i + 1)
            write_safetensors(os.path.join(folder, file), {n: m.hf[n] for n in part})
            index.update({n: file for n in part})
        json.dump({'metadata': {}, 'weight_map': index}, open(os.path.join(folder, 'model.safetensors.index.json'), 'w'))
    else:
        write_safetensors(os.path.join(folder, 'model.safetensors'), m.hf)
    tokenizer, tokenizer_config, eos = TOKENIZERS[tok]()
    cfg = dict(cfg, eos_token_id=eos)
    for file, v in (('config.json', cfg), ('tokenizer.json', tokenizer), ('tokenizer_config.json', tokenizer_config), ('generation_config.json', {'eos_token_id': [eos], 'temperature': 0.6, 'top_k': 20})):
        json.dump(v, open(os.path.join(folder, file), 'w'), ensure_ascii=False)
    return folder, m, arch, keys


def llama3_factors(theta):
    out = []
    for i in range(D // 2):
        wave = 2 * math.pi * theta ** (2 * i / D)
        if wave < 8192 / 4:
            out.append(1.0)
        elif wave > 8192:
            out.append(8.0)
        else:
            smooth = (8192 / wave - 1) / 3
            out.append(1 / ((1 - smooth) / 8 + smooth))
    return out


# ---- checks ----
def run(*argv):
    r = subprocess.run([ILAB] + list(argv), capture_output=True, text=True, timeout=120)
    return r.returncode, r.stdout, r.stderr


def same_tensors(got, want, loose=(), shifted=()):
    if set(got) != set(want):
        return 'missing %s, too many %s' % (sorted(set(want) - set(got))[:4], sorted(set(got) - set(want))[:4])
    for n, w in want.items():
        g = got[n]
        if g.shape != w.shape or g.dtype != w.dtype:
            return '%s is %s %s, expected %s %s' % (n, g.dtype, g.shape, w.dtype, w.shape)
        if n in loose:
            a, b = (struct.unpack('<%df' % (len(t.raw) // 4), t.raw) for t in (g, w))
            if max(abs(x / y - 1) for x, y in zip(a, b)) > 1e-6:
                return '%s differs' % n
        elif g.raw != w.raw and not (n in shifted and plus_one(g.raw, g.dtype) == plus_one(w.raw, w.dtype)):
            return '%s differs' % n
    return ''


def next_probabilities(model):
    code, out, err = run('model', 'complete', '-m', model, '-p', 'the cat and then the other in an inn', '-n', '6', '--logprobs', '20', '--json')
    return (json.loads(out), '') if code == 0 else (None, err.strip()[-300:])


class Oracle:
    """llama.cpp through its C interface; structures that go by value are opaque and larger than any version's"""

    class Params(ctypes.Structure):
        _fields_ = [('b', ctypes.c_uint8 * 512)]

    class Batch(ctypes.Structure):
        _fields_ = [('n', ctypes.c_int32), ('token', ctypes.POINTER(ctypes.c_int32)), ('embd', ctypes.c_void_p), ('pos', ctypes.c_void_p), ('n_seq', ctypes.c_void_p), ('seq', ctypes.c_void_p),
                    ('logits', ctypes.c_void_p)]

    def __init__(self, folder):
        pick = lambda pat: sorted(glob.glob(os.path.join(folder, pat)))
        for pat in ('libggml-base*.so*', 'libggml.*so*', 'libggml.so*'):
            for p in pick(pat):
                ctypes.CDLL(p, ctypes.RTLD_GLOBAL)
        self.ggml = ctypes.CDLL((pick('libggml.*so*') + pick('libggml.so*'))[0], ctypes.RTLD_GLOBAL)
        self.l = ctypes.CDLL(pick('libllama.*so*')[0], ctypes.RTLD_GLOBAL)
        self.log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(self.said)
        self.last = ''
        self.l.llama_log_set(self.log, None)
        self.ggml.ggml_backend_load_all_from_path(folder.encode())
        self.l.llama_backend_init()
        for f in ('llama_model_default_params', 'llama_context_default_params'):
            getattr(self.l, f).restype = self.Params
        for f in ('llama_model_load_from_file', 'llama_init_from_model', 'llama_model_get_vocab'):
            getattr(self.l, f).restype = ctypes.c_void_p
        self.l.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
        self.l.llama_batch_get_one.restype = self.Batch
        self.l.llama_decode.argtypes = [ctypes.c_void_p, self.Batch]

    def said(self, level, text, _):
        if level >= 3:
            self.last = (self.last + ' ' + text.decode(errors='replace').strip())[-600:]

    def logits(self, path, ids):
        self.last = ''
        model = self.l.llama_model_load_from_file(path.encode(), self.l.llama_model_default_params())
        if not model:
            return None, 'it does not load: ' + self.last
        ctx = self.l.llama_init_from_model(ctypes.c_void_p(model), self.l.llama_context_default_params())
        if not ctx:
            return None, 'no context: ' + self.last
        n = self.l.llama_vocab_n_tokens(ctypes.c_void_p(self.l.llama_model_get_vocab(ctypes.c_void_p(model))))
        if ids is None:
            return [], ''
        a = (ctypes.c_int32 * len(ids))(*ids)
        if self.l.llama_decode(ctypes.c_void_p(ctx), self.l.llama_batch_get_one(a, len(ids))):
            return None, 'it does not compute: ' + self.last
        p = self.l.llama_get_logits(ctypes.c_void_p(ctx))
        return [p[i] for i in range(n)], ''


def check(name, oracle):
    folder, m, arch, keys = make(name)
    file, back = folder + '.gguf', folder + '-back'
    code, out, err = run('model', 'convert', folder, '-o', file, '--force')
    if not ok(name + ': converts', code == 0, (err or out).strip()[-300:]):
        return
    got_keys, got = read_gguf(file)
    why = same_tensors(got, m.want, ('rope_freqs.weight',))
    ok(name + ': tensors', not why, why)
    keys = dict(keys, **{'block_count': sum(1 for n in m.want if n.endswith('.ffn_down.weight') or n.endswith('.ffn_down_exps.weight')), 'embedding_length': C})
    wrong = [k for k, v in keys.items() if abs(got_keys.get(arch + '.' + k, -1) - v) > 1e-6 * abs(v)] if all(not isinstance(v, str) for v in keys.values()) else \
            [k for k, v in keys.items() if got_keys.get(arch + '.' + k) != v]
    ok(name + ': keys', got_keys.get('general.architecture') == arch and not wrong and got_keys.get('general.sampling.top_k') == 20, str([(k, got_keys.get(arch + '.' + k)) for k in wrong]))

    code, out, err = run('model', 'convert', file, '--to', 'safetensors', '-o', back)
    if ok(name + ': back', code == 0, (err or out).strip()[-300:]):
        want = {n: t for n, t in m.hf.items() if n not in m.no_back}
        if name == 'gemma3-vision':
            want = {n[len('language_model.'):]: t for n, t in want.items() if n.startswith('language_model.')}
        why = same_tensors(read_safetensors(back), want, (), [n for n in want if 'gemma' in name and n.endswith('norm.weight')])
        ok(name + ': the same weights back', not why, why)
        if not os.path.exists(back + '/tokenizer.json') and not os.path.exists(back + '/tokenizer.model'):
            os.link(folder + '/tokenizer.json', back + '/tokenizer.json')
        code, out, err = run('model', 'convert', back, '-o', folder + '-2.gguf', '--force')
        if ok(name + ': and forth again', code == 0, (err or out).strip()[-300:]):
            why = same_tensors(read_gguf(folder + '-2.gguf')[1], m.want, ('rope_freqs.weight',))
            again = read_gguf(folder + '-2.gguf')[0]
            differ = [k for k, v in got_keys.items() if k.startswith(arch + '.') and again.get(k) != v and not (isinstance(v, float) and abs(again.get(k, 0) - v) <= 1e-6 * abs(v))]
            ok(name + ': with the same keys', not why and not differ, why or str([(k, got_keys[k], again.get(k)) for k in differ]))

    info = json.loads(run('model', 'info', folder, '--json')[1] or '{}')
    if not ok(name + ': runs', info.get('runs') is True, str(info.get('runs_why'))):
        return
    ours = None
    if arch not in ('bert', 'nomic-bert'):
        ours, why = next_probabilities(file)
        direct, why2 = next_probabilities(folder)
        ok(name + ': directory and file answer alike', ours is not None and direct is not None and all(ours[k] == direct[k] for k in ('ids', 'logprobs', 'top_logprobs', 'prompt_ids')), why or why2 or 'they differ')
    if oracle:
        wide = folder + '-f32.gguf'  # with 16-bit weights llama.cpp rounds activations, too
        code, out, err = run('model', 'convert', folder, '-o', wide, '--type', 'F32', '--force')
        if ours:
            ours = next_probabilities(wide)[0]
        logits, why = oracle.logits(wide, ours['prompt_ids'] if ours else None)
        if ours and logits:
            top = max(logits)
            total = top + math.log(sum(math.exp(x - top) for x in logits))
            worst = max(abs(logits[i] - total - p) for i, p in ours['top_logprobs'][0])
            print('# %s: log-probabilities differ by at most %.5f' % (name, worst))
            why = '' if worst < 0.02 else 'probabilities differ by %.4f' % worst
        ok(name + ': llama.cpp', logits is not None and not why, why)


def check_types(oracle):
    """the types that are written, read by llama.cpp: both round in their own way, so only roughly the same probabilities"""
    folder = make('llama-wide')[0]
    for kind in ('F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q4_0'):
        file = '%s-%s.gguf' % (folder, kind)
        code, out, err = run('model', 'convert', folder, '-o', file, '--type', kind)
        if not ok('type %s: converts' % kind, code == 0, (err or out).strip()[-300:]):
            continue
        ours, why = next_probabilities(file)
        ok('type %s: runs' % kind, ours is not None, why)
        if oracle and ours:
            logits, why = oracle.logits(file, ours['prompt_ids'])
            if logits:
                top = max(logits)
                total = top + math.log(sum(math.exp(x - top) for x in logits))
                worst = max(abs(logits[i] - total - p) for i, p in ours['top_logprobs'][0])
                print('# type %s: log-probabilities differ by at most %.5f' % (kind, worst))
                why = '' if worst < 0.3 else 'probabilities differ by %.4f' % worst
            ok('type %s: llama.cpp' % kind, logits is not None and not why, why)


def main():
    if ILAB == 'make':
        return [make(name) for name in sys.argv[3:]]
    libs = os.environ.get('ILAB_LLAMA_CPP', 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64')
    oracle = Oracle(libs) if libs and glob.glob(os.path.join(libs, 'libllama.*so*')) else None
    if not oracle:
        print('skip hf_families llama.cpp: ILAB_LLAMA_CPP names no folder with its libraries')
    for name in sys.argv[3:] or [n for n in FAMILIES if n != 'llama-wide']:
        check(name, oracle)
    if not sys.argv[3:]:
        check_types(oracle)


main()
