/* mix.c — mixes of element types: which type each tensor of a file gets.
 *
 * Some matrices suffer more from rounding than others: the output, attention's values, the way down from the feed-forward
 * width, and the first and last layers. They get more bits. The rules are those that llama.cpp publishes for its file types
 * (src/llama-quant.cpp), written as rows: the first row that fits decides, else the base type. Its rules for importance
 * matrices and for architectures that are not read here are left out.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <string.h>
#include <strings.h>

enum { NO = -1 };

/* file_type: enum llama_ftype of llama.h. output: of the output matrix, and of token_embd where that is both. */
static const struct mix { const char *name; uint32_t file_type; int base, output, embedding; const char *alias; } MIX[] = {
    { "F32", 0, QT_F32, NO, NO, NULL },
    { "F16", 1, QT_F16, NO, NO, NULL },
    { "BF16", 32, QT_BF16, NO, NO, NULL },
    { "Q8_0", 7, QT_Q8_0, QT_Q8_0, NO, NULL },
    { "Q6_K", 18, QT_Q6_K, QT_Q6_K, NO, NULL },
    { "Q5_K_M", 17, QT_Q5_K, QT_Q6_K, NO, "Q5_K" },
    { "Q5_K_S", 16, QT_Q5_K, QT_Q6_K, NO, NULL },
    { "Q4_K_M", 15, QT_Q4_K, QT_Q6_K, NO, "Q4_K" },
    { "Q4_K_S", 14, QT_Q4_K, QT_Q6_K, NO, NULL },
    { "Q3_K_L", 13, QT_Q3_K, QT_Q6_K, NO, NULL },
    { "Q3_K_M", 12, QT_Q3_K, QT_Q6_K, NO, "Q3_K" },
    { "Q3_K_S", 11, QT_Q3_K, QT_Q6_K, NO, NULL },
    { "Q2_K", 10, QT_Q2_K, QT_Q6_K, NO, NULL },
    { "Q5_1", 9, QT_Q5_1, QT_Q6_K, NO, NULL },
    { "Q5_0", 8, QT_Q5_0, QT_Q6_K, NO, NULL },
    { "Q4_1", 3, QT_Q4_1, QT_Q6_K, NO, NULL },
    { "Q4_0", 2, QT_Q4_0, QT_Q6_K, NO, NULL },
    { "IQ4_NL", 25, QT_IQ4_NL, QT_Q6_K, NO, NULL },
    { "IQ4_XS", 30, QT_IQ4_XS, QT_Q6_K, NO, NULL },
    { "MXFP4_MOE", 38, QT_MXFP4, QT_Q8_0, QT_Q8_0, "MXFP4" },
    { "TQ1_0", 36, QT_TQ1_0, QT_Q6_K, QT_Q4_K, NULL },
    { "TQ2_0", 37, QT_TQ2_0, QT_Q6_K, QT_Q4_K, NULL },
};

/* Roles by the name without "blk.N.". First fit; prefix: what follows does not matter (ffn_down_exps.weight). */
enum role { ROLE_OTHER, ROLE_KEEP, ROLE_OUTPUT, ROLE_EMBEDDING, ROLE_ATTN_V, ROLE_ATTN_K, ROLE_ATTN_OUTPUT, ROLE_FFN_DOWN, ROLE_EXPERTS };
enum place { WHOLE, PREFIX, SUFFIX };
static const struct { const char *text; enum place place; enum role role; } ROLE[] = {
    { "output.weight", WHOLE, ROLE_OUTPUT },
    { "token_embd.weight", WHOLE, ROLE_EMBEDDING },
    { "_norm.weight", SUFFIX, ROLE_KEEP },
    { "ffn_gate_inp", PREFIX, ROLE_KEEP },     /* routers: small, and a wrong expert costs much */
    { "position_embd", PREFIX, ROLE_KEEP },
    { "token_types", PREFIX, ROLE_KEEP },
    { "ssm_conv1d", PREFIX, ROLE_KEEP },
    { "attn_v.weight", WHOLE, ROLE_ATTN_V },
    { "attn_k.weight", WHOLE, ROLE_ATTN_K },
    { "attn_qkv.weight", WHOLE, ROLE_ATTN_V }, /* holds the values, too */
    { "attn_output.weight", WHOLE, ROLE_ATTN_OUTPUT },
    { "ffn_down", PREFIX, ROLE_FFN_DOWN },
    { "_exps.weight", SUFFIX, ROLE_EXPERTS },
    { ".weight", SUFFIX, ROLE_OTHER },
    { "", PREFIX, ROLE_KEEP },
};

enum when { ALWAYS, MORE_BITS, FIRST_EIGHTH, FIRST_SIXTEENTH, FIRST_2, FIRST_4, GROUPED, HUGE_GROUPED, EIGHT_EXPERTS, NO_EXPERTS, NOT_EXPERTS };

/* Rows of one mix (its name), or of all that quantise ("*"), in the order in which they are asked. */
static const struct { const char *mix; enum role role; enum when when; int type; } RULE[] = {
    { "MXFP4_MOE", ROLE_FFN_DOWN, NOT_EXPERTS, QT_Q8_0 },
    { "MXFP4_MOE", ROLE_OTHER, ALWAYS, QT_Q8_0 },
    { "MXFP4_MOE", ROLE_ATTN_V, ALWAYS, QT_Q8_0 },
    { "MXFP4_MOE", ROLE_ATTN_K, ALWAYS, QT_Q8_0 },
    { "MXFP4_MOE", ROLE_ATTN_OUTPUT, ALWAYS, QT_Q8_0 },
    { "*", ROLE_ATTN_V, EIGHT_EXPERTS, QT_Q8_0 },     /* a hundredth of such a model */
    { "*", ROLE_ATTN_K, EIGHT_EXPERTS, QT_Q8_0 },
    { "Q4_K_M", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "Q4_K_S", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "Q3_K_M", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "Q3_K_S", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "Q2_K", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "IQ4_NL", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "IQ4_XS", ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QT_Q5_K },
    { "Q5_K_M", ROLE_ATTN_V, MORE_BITS, QT_Q6_K },
    { "Q5_K_M", ROLE_FFN_DOWN, MORE_BITS, QT_Q6_K },
    { "Q4_K_M", ROLE_ATTN_V, MORE_BITS, QT_Q6_K },
    { "Q4_K_M", ROLE_ATTN_V, HUGE_GROUPED, QT_Q5_K },
    { "Q4_K_M", ROLE_FFN_DOWN, MORE_BITS, QT_Q6_K },
    { "Q4_K_S", ROLE_ATTN_V, FIRST_4, QT_Q5_K },
    { "Q4_K_S", ROLE_ATTN_V, HUGE_GROUPED, QT_Q5_K },
    { "Q4_K_S", ROLE_FFN_DOWN, FIRST_EIGHTH, QT_Q5_K },
    { "Q3_K_L", ROLE_ATTN_V, ALWAYS, QT_Q5_K },
    { "Q3_K_L", ROLE_FFN_DOWN, ALWAYS, QT_Q5_K },
    { "Q3_K_L", ROLE_ATTN_OUTPUT, NO_EXPERTS, QT_Q5_K },
    { "Q3_K_M", ROLE_ATTN_V, FIRST_2, QT_Q5_K },
    { "Q3_K_M", ROLE_ATTN_V, HUGE_GROUPED, QT_Q5_K },
    { "Q3_K_M", ROLE_ATTN_V, ALWAYS, QT_Q4_K },
    { "Q3_K_M", ROLE_FFN_DOWN, FIRST_SIXTEENTH, QT_Q5_K },
    { "Q3_K_M", ROLE_FFN_DOWN, ALWAYS, QT_Q4_K },
    { "Q3_K_M", ROLE_ATTN_OUTPUT, NO_EXPERTS, QT_Q4_K },
    { "Q3_K_S", ROLE_ATTN_V, HUGE_GROUPED, QT_Q5_K },
    { "Q2_K", ROLE_ATTN_V, HUGE_GROUPED, QT_Q5_K },
    { "Q2_K", ROLE_ATTN_V, GROUPED, QT_Q4_K },
    { "Q2_K", ROLE_ATTN_V, ALWAYS, QT_Q3_K },
    { "Q2_K", ROLE_FFN_DOWN, ALWAYS, QT_Q3_K },
    { "Q2_K", ROLE_ATTN_OUTPUT, NO_EXPERTS, QT_Q3_K },
    { "IQ4_NL", ROLE_ATTN_V, GROUPED, QT_Q5_K },
    { "IQ4_NL", ROLE_FFN_DOWN, FIRST_EIGHTH, QT_Q5_K },
    { "IQ4_XS", ROLE_ATTN_V, GROUPED, QT_Q5_K },
    { "IQ4_XS", ROLE_FFN_DOWN, FIRST_EIGHTH, QT_Q5_K },
};

/* What takes the place of a type whose blocks do not divide the row. */
static const struct { int type, instead; } FALLBACK[] = {
    { QT_Q2_K, QT_Q4_0 }, { QT_Q3_K, QT_Q4_0 }, { QT_IQ4_XS, QT_IQ4_NL }, { QT_Q4_K, QT_Q5_0 }, { QT_Q5_K, QT_Q5_1 },
    { QT_Q6_K, QT_Q8_0 }, { QT_TQ1_0, QT_Q4_0 }, { QT_TQ2_0, QT_Q4_0 },
};

static const struct mix *mix_at(int mix) {
    return mix >= 0 && mix < (int)ARRAY_LEN(MIX) ? &MIX[mix] : NULL;
}

int mix_by_name(const char *name) {
    for (int i = 0; i < (int)ARRAY_LEN(MIX); i++)
        if (strcasecmp(MIX[i].name, name) == 0 || (MIX[i].alias && strcasecmp(MIX[i].alias, name) == 0))
            return i;
    return -1;
}

const char *mix_name(int mix) {
    return mix_at(mix) ? MIX[mix].name : NULL;
}

int mix_base_type(int mix) {
    return mix_at(mix) ? MIX[mix].base : -1;
}

uint32_t mix_file_type(int mix) {
    return mix_at(mix) ? MIX[mix].file_type : 0;
}

int mix_of_file_type(uint32_t file_type) {
    for (int i = 0; i < (int)ARRAY_LEN(MIX); i++)
        if (MIX[i].file_type == file_type)
            return i;
    return -1;
}

static int64_t int_key(const struct gguf *g, struct sv architecture, const char *what, int64_t otherwise) {
    char key[128];
    int64_t v = otherwise;
    snprintf(key, sizeof key, "%.*s.%s", (int)(architecture.n < 64 ? architecture.n : 64), architecture.p, what);
    return gguf_get_int(g, key, 0, 1 << 20, &v, NULL) ? otherwise : v;
}

void mix_model_of(struct mix_model *m, const struct gguf *g) {
    struct sv architecture = SV("");
    gguf_get_str(g, "general.architecture", &architecture, NULL);
    int64_t head = int_key(g, architecture, "attention.head_count", 1), head_kv = int_key(g, architecture, "attention.head_count_kv", head);
    *m = (struct mix_model){
        .n_layer = (int)int_key(g, architecture, "block_count", 0),
        .n_expert = (int)int_key(g, architecture, "expert_count", 0),
        .n_gqa = head_kv > 0 ? (int)(head / head_kv) : 1,
        .has_output = gguf_tensor(g, "output.weight") != NULL,
    };
}

/* Role of a tensor, and its layer (0 when it has none). */
static enum role role_of(const char *name, int *layer) {
    struct sv s = sv_of(name);
    *layer = 0;
    if (sv_starts(s, "blk.")) {
        size_t at = 4;
        while (at < s.n && at < 10 && s.p[at] >= '0' && s.p[at] <= '9')
            *layer = *layer * 10 + (s.p[at++] - '0');
        at += at < s.n && s.p[at] == '.';
        s = (struct sv){ s.p + at, s.n - at };
    }
    for (size_t i = 0; i < ARRAY_LEN(ROLE); i++)
        if (ROLE[i].place == WHOLE ? sv_eq_c(s, ROLE[i].text)
            : ROLE[i].place == PREFIX ? sv_starts(s, ROLE[i].text) : sv_ends(s, ROLE[i].text))
            return ROLE[i].role;
    return ROLE_KEEP;
}

static int holds(enum when when, const struct mix_model *m, int layer, const int64_t *dim, int n_dim) {
    int n = m->n_layer;
    switch (when) {
    case ALWAYS: return 1;
    case MORE_BITS: return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case FIRST_EIGHTH: return layer < n / 8;
    case FIRST_SIXTEENTH: return layer < n / 16;
    case FIRST_2: return layer < 2;
    case FIRST_4: return layer < 4;
    case GROUPED: return m->n_gqa >= 4;
    case HUGE_GROUPED: return n == 80 && m->n_gqa == 8; /* 70B: values are an eighth of the queries, so bits there are cheap */
    case EIGHT_EXPERTS: return m->n_expert == 8;
    case NO_EXPERTS: return m->n_expert != 8;
    case NOT_EXPERTS: return n_dim < 3 || dim[2] == 1;
    }
    return 0;
}

static int wanted(const struct mix *x, const struct mix_model *m, enum role role, int layer, int n_dim, const int64_t *dim) {
    if (x->output == NO) /* plain numbers: no mixing */
        return x->base;
    if (role == ROLE_OUTPUT || (role == ROLE_EMBEDDING && !m->has_output))
        return x->output;
    if (role == ROLE_EMBEDDING)
        return x->embedding == NO ? x->base : x->embedding;
    for (size_t i = 0; i < ARRAY_LEN(RULE); i++)
        if (RULE[i].role == role && (RULE[i].mix[0] == '*' || strcmp(RULE[i].mix, x->name) == 0) &&
            holds(RULE[i].when, m, layer, dim, n_dim))
            return RULE[i].type;
    return x->base;
}

int mix_type(int mix, int pure, const struct mix_model *m, const char *name, int type, int n_dim, const int64_t *dim) {
    const struct mix *x = mix_at(mix);
    int layer, vector = 1;
    enum role role = role_of(name, &layer);
    for (int i = 1; i < n_dim; i++)
        vector &= dim[i] == 1;
    if (!x || !qtype_info(type))
        return type;
    if (vector)
        return type == QT_F16 || type == QT_BF16 ? QT_F32 : type;
    if (role == ROLE_KEEP)
        return type;
    int t = pure ? x->base : wanted(x, m, role, layer, n_dim, dim);
    for (size_t i = 0; i < ARRAY_LEN(FALLBACK) && dim[0] % qtype_info(t)->elems; i++)
        if (FALLBACK[i].type == t)
            t = FALLBACK[i].instead;
    return dim[0] % qtype_info(t)->elems ? QT_F16 : t;
}
