/* hf.h — inside of layer 3 `model`: Hugging Face directories ↔ GGUF, as tables.
 *
 * A family is a row of HF_ARCHS[] (hf_arch.c): which names its config.json has, which tensors, and how a tensor becomes one of
 * GGUF's. Both directions read the same rows. What a row does not mention is refused by name.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_HF_H
#define ILAB_MODEL_HF_H

#include "model/model.h"

/* ---- names of tensors ---- */
enum hf_op {
    HF_COPY,
    HF_ROW,                   /* a matrix of one row there, a vector here */
    HF_ROTARY_Q, HF_ROTARY_K, /* rows reordered: Hugging Face rotates halves of a head, GGUF's llama neighbours */
    HF_EXPERTS,               /* one matrix an expert ('@' in the name) → one tensor [E, out, in] */
    HF_GATE, HF_UP,           /* first and second half of the rows of a fused matrix (of each expert) */
    HF_TRANSPOSE,             /* GPT-2's Conv1D keeps [in, out] */
    HF_PLUS_ONE,              /* Gemma's norms are stored as weight - 1 */
    HF_DROP                   /* not needed */
};
/* Stems without ".weight" and ".bias"; '#' stands for the layer, '@' for the expert. Prefixes ("model.", "transformer.", …) are off. */
struct hf_name { const char *hf, *gguf; enum hf_op op; };

/* ---- keys of config.json ---- */
/* suffix: the GGUF key behind "<architecture>."; kind: 'u' u32, 'f' f32, 'w' u32 that is left out when it is no less than the context,
 * 'z' u32 that is 0 when absent; name: tried in turn, the first that fits the family is the one written back. */
struct hf_key { const char *suffix; char kind; const char *name[4]; };
/* A value that must be absent, null, or one of `allowed` (JSON texts, '|' between them), since another one would change the maths. */
struct hf_demand { const char *name, *allowed; };
struct hf_default { const char *name; double v; };

enum { HF_ROPE = 1, HF_TIED = 2 /* tied unless the config says no */, HF_ENCODER = 4 /* sees both directions; pooled */, HF_N_NAMES = 8 /* n_embd, n_layer … */ };
struct hf_arch {
    const char *class_name, *model_type, *gguf;
    const struct hf_name *const *names;   /* groups, NULL at the end */
    const struct hf_key *keys;            /* besides HF_COMMON_KEYS; end: suffix NULL */
    const struct hf_demand *demands;      /* end: name NULL */
    const struct hf_default *defaults;    /* what the family's configuration class fills in; end: name NULL */
    unsigned flags;
    const char *prefix;                   /* of the tensors' names when written back; lm_head has none */
    int full_every;                       /* sliding windows in all layers but each full_every-th; 0: all layers alike */
    int wide_scale_layers;                /* Gemma: with so many layers attention is scaled by 1/sqrt(C/H); 0: not of that family */
    const char *back_when;                /* writing back: this key must be in the GGUF file (rows of one `gguf` name) */
};
extern const struct hf_arch HF_ARCHS[];
extern const int N_HF_ARCHS;
extern const struct hf_key HF_COMMON_KEYS[];
const struct hf_arch *hf_arch_of(const char *class_name, const char *model_type);       /* NULL: none */
const struct hf_arch *hf_arch_of_gguf(const struct gguf *g, struct sv architecture);    /* NULL: none */
/* 1 when name is pattern with numbers for '#' and '@' (-1 when it has none). */
int hf_match(const char *pattern, struct sv name, int *layer, int *expert);
void hf_fill_name(char *out, size_t cap, const char *pattern, int layer, int expert);

/* ---- one tensor made of others (weight_map.c) ---- */
enum map_op { MAP_COPY, MAP_ROTARY, MAP_UNROTARY, MAP_STACK, MAP_UNSTACK, MAP_HALF, MAP_CONCAT, MAP_TRANSPOSE };
struct weight_map {
    enum map_op op;
    const struct tensor **src; int n_src, cap_src; /* cap_src: room for experts, NULL where one is missing yet */
    int64_t head_dim;                     /* MAP_ROTARY, MAP_UNROTARY */
    int part;                             /* MAP_HALF: 0, 1; MAP_UNSTACK: the expert */
    int64_t block;                        /* MAP_HALF, MAP_CONCAT: rows of one part; MAP_STACK, MAP_UNSTACK: rows of one expert */
    float add;
    int type, n_dim;
    int64_t dim[4];                       /* of the result, dim[0] contiguous */
};
int weight_map_is_view(const struct weight_map *m);                        /* the source's bytes are the result's */
/* Rows row … row + n - 1 of the result, in its type. The result does not depend on the pool (NULL: this thread alone). */
int weight_map_rows(const struct weight_map *m, void *buf, int64_t row, int64_t n, struct pool *pool, ilab_err *e);
size_t weight_map_bytes(const struct weight_map *m);

/* ---- config.json (hf_config.c) ---- */
struct hf_sizes { int n_layer, n_embd, n_head, n_kv_head, head_dim, rope_dim, n_ff, n_expert, n_vocab; };
enum { HF_MAX_CONFIG = 8 << 20, HF_MAX_LAYER = 1024, HF_MAX_HEAD = 1024, HF_MAX_WIDTH = 1 << 17, HF_MAX_FF = 1 << 20, HF_MAX_VOCAB = 1 << 21,
       HF_MAX_EXPERT = 1024, HF_MAX_CONTEXT = 1 << 24 };
struct hf_config { json_t *json; const json_t *text; /* its text_config, or json */ const struct hf_arch *arch; struct hf_sizes size; const char *name; };
/* Finds the row, checks demands and sizes. Takes over json in any case. `name` (for messages) is borrowed. */
int hf_config_read(struct hf_config *c, json_t *json, const char *name, ilab_err *e);
void hf_config_release(struct hf_config *c);
const json_t *hf_config_get(const struct hf_config *c, const char *name);  /* NULL: absent or null */
/* The number of the first name that is there, else the family's default: 1; 0: none. */
int hf_config_num(const struct hf_config *c, const char *const name[4], double *v);
int hf_config_tied(const struct hf_config *c);
/* Metadata keys but general.* and tokenizer.*; rotary factors come as tensors: `factors` gets up to two rows of rope_dim/2
 * (llama3: one, "rope_freqs"; longrope: long and short), owned by the caller (mem_free). */
struct hf_factors { float *v; int n_row; };
int hf_config_put(const struct hf_config *c, struct gguf_writer *w, struct hf_factors *factors, ilab_err *e);
/* Factors of Llama 3.1's stretched frequencies into f[rope_dim/2]. */
void hf_llama3_factors(float *f, int rope_dim, double base, double factor, double low, double high, double original_context);
double hf_longrope_attention(double scale, double original_context); /* the factor on the attention that belongs to it */

/* ---- writing back ---- */
/* config.json and generation_config.json for the keys of g; dtype: "float32" … (hf_export_config.c). */
int hf_export_config(const struct gguf *g, const struct hf_arch *a, const char *dtype, const char *dir, ilab_err *e);
/* tokenizer.model or tokenizer.json, and tokenizer_config.json, from the tokenizer.* keys; a vocabulary that has no such form here is
 * told in the log and left out (hf_export_tokenizer.c). */
int hf_export_tokenizer(const struct gguf *g, const char *dir, ilab_err *e);
int hf_write_json(const char *dir, const char *file, json_t *v, ilab_err *e);   /* releases v */

#endif
