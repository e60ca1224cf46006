/* tensors.c — the table of all tensors that any architecture has: name, shape, and which fields of the model see it.
 *
 * A fused tensor (q, k and v; gate and up) is seen as row views of the same data: rows of a matrix [out, in] are
 * contiguous in every element type. Nothing is copied, and nothing here reads weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <string.h>

const char *const LINEAR_NAME[ADAPT_COUNT] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "ffn_gate_inp",
    "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp" };

/* Letters for sizes; D_ANY: at least 1. */
enum size { D_END, D_C, D_V, D_Q, D_KV, D_QKV, D_HEAD, D_F, D_2F, D_FE, D_FS, D_E, D_CTX, D_ANY, D_PAIRS };
enum bind {
    BIND_VECTOR,  /* const float * at offset */
    BIND_TENSOR,  /* struct tensor at offset */
    BIND_LINEAR,  /* struct linear at offset */
    BIND_ROWS,    /* rows of layer.lin[lin …] */
    BIND_BIAS,    /* biases of layer.lin[lin …] */
    BIND_EXPERTS  /* layer.expert[lin] */
};
enum { KEEP_F32 = 1 /* matrices that are never quantised */, CONSTANT = 2 /* no parameter */ };
struct tensor_row {
    const char *name;
    uint8_t dim[4];    /* contiguous first */
    uint8_t bind;
    int8_t lin, n_lin; /* first of them, how many */
    size_t offset;
    uint8_t unless;    /* not wanted where this one is there */
    uint8_t flags;
};
#define M(field) offsetof(struct model, field)
#define L(field) offsetof(struct layer, field)
#define VECTOR(n, size, at) { .name = n, .dim = { size }, .bind = BIND_VECTOR, .offset = at }
#define ROWS(n, in, out, first, count, other) \
    { .name = n, .dim = { in, out }, .bind = BIND_ROWS, .lin = first, .n_lin = count, .unless = other }
#define BIAS(n, size, first, count, other) { .name = n, .dim = { size }, .bind = BIND_BIAS, .lin = first, .n_lin = count, .unless = other }
#define EXPERT(n, in, out, part) { .name = n, .dim = { in, out, D_E }, .bind = BIND_EXPERTS, .lin = part }
#define SHARED(n, in, out, part) \
    { .name = n, .dim = { in, out }, .bind = BIND_LINEAR, .offset = L(shared) + (part) * sizeof(struct linear) }

static const struct tensor_row ROW[W_COUNT] = {
    [W_EMBEDDING] = { .name = "token_embd.weight", .dim = { D_C, D_V }, .bind = BIND_LINEAR, .offset = M(embedding) },
    [W_POSITIONS] = { .name = "position_embd.weight", .dim = { D_C, D_CTX }, .bind = BIND_TENSOR, .offset = M(positions), .flags = KEEP_F32 },
    [W_TOKEN_TYPES] = { .name = "token_types.weight", .dim = { D_C, D_ANY }, .bind = BIND_TENSOR, .offset = M(token_types), .flags = KEEP_F32 },
    [W_EMBEDDING_NORM] = VECTOR("token_embd_norm.weight", D_C, M(embedding_norm)),
    [W_EMBEDDING_NORM_BIAS] = VECTOR("token_embd_norm.bias", D_C, M(embedding_norm_bias)),
    [W_ROPE_FREQS] = { .name = "rope_freqs.weight", .dim = { D_PAIRS }, .bind = BIND_VECTOR, .offset = M(rope_factor), .flags = CONSTANT },
    [W_ROPE_LONG] = { .name = "rope_factors_long.weight", .dim = { D_PAIRS }, .bind = BIND_VECTOR, .offset = M(rope_long), .flags = CONSTANT },
    [W_ROPE_SHORT] = { .name = "rope_factors_short.weight", .dim = { D_PAIRS }, .bind = BIND_VECTOR, .offset = M(rope_short), .flags = CONSTANT },
    [W_ATTN_NORM] = VECTOR("attn_norm.weight", D_C, L(attn_norm)),
    [W_ATTN_NORM_BIAS] = VECTOR("attn_norm.bias", D_C, L(attn_norm_bias)),
    [W_QKV] = ROWS("attn_qkv.weight", D_C, D_QKV, LIN_Q, 3, 0),
    [W_QKV_BIAS] = BIAS("attn_qkv.bias", D_QKV, LIN_Q, 3, 0),
    [W_Q] = ROWS("attn_q.weight", D_C, D_Q, LIN_Q, 1, W_QKV),
    [W_Q_BIAS] = BIAS("attn_q.bias", D_Q, LIN_Q, 1, W_QKV_BIAS),
    [W_K] = ROWS("attn_k.weight", D_C, D_KV, LIN_K, 1, W_QKV),
    [W_K_BIAS] = BIAS("attn_k.bias", D_KV, LIN_K, 1, W_QKV_BIAS),
    [W_V] = ROWS("attn_v.weight", D_C, D_KV, LIN_V, 1, W_QKV),
    [W_V_BIAS] = BIAS("attn_v.bias", D_KV, LIN_V, 1, W_QKV_BIAS),
    [W_Q_NORM_HEAD] = VECTOR("attn_q_norm.weight", D_HEAD, L(q_norm)),
    [W_K_NORM_HEAD] = VECTOR("attn_k_norm.weight", D_HEAD, L(k_norm)),
    [W_Q_NORM_WIDE] = VECTOR("attn_q_norm.weight", D_Q, L(q_norm)),
    [W_K_NORM_WIDE] = VECTOR("attn_k_norm.weight", D_KV, L(k_norm)),
    [W_O] = ROWS("attn_output.weight", D_Q, D_C, LIN_O, 1, 0),
    [W_O_BIAS] = BIAS("attn_output.bias", D_C, LIN_O, 1, 0),
    [W_ATTN_POST_NORM] = VECTOR("post_attention_norm.weight", D_C, L(attn_post_norm)),
    [W_ATTN_OUT_NORM] = VECTOR("attn_output_norm.weight", D_C, L(attn_post_norm)),
    [W_ATTN_OUT_NORM_BIAS] = VECTOR("attn_output_norm.bias", D_C, L(attn_post_norm_bias)),
    [W_FFN_NORM] = VECTOR("ffn_norm.weight", D_C, L(ffn_norm)),
    [W_FFN_NORM_BIAS] = VECTOR("ffn_norm.bias", D_C, L(ffn_norm_bias)),
    [W_GATE_UP] = ROWS("ffn_up.weight", D_C, D_2F, LIN_GATE, 2, 0),
    [W_GATE] = ROWS("ffn_gate.weight", D_C, D_F, LIN_GATE, 1, 0),
    [W_GATE_BIAS] = BIAS("ffn_gate.bias", D_F, LIN_GATE, 1, 0),
    [W_UP] = ROWS("ffn_up.weight", D_C, D_F, LIN_UP, 1, 0),
    [W_UP_BIAS] = BIAS("ffn_up.bias", D_F, LIN_UP, 1, 0),
    [W_DOWN] = ROWS("ffn_down.weight", D_F, D_C, LIN_DOWN, 1, 0),
    [W_DOWN_BIAS] = BIAS("ffn_down.bias", D_C, LIN_DOWN, 1, 0),
    [W_ROUTER] = { .name = "ffn_gate_inp.weight", .dim = { D_C, D_E }, .bind = BIND_LINEAR, .offset = L(router), .flags = KEEP_F32 },
    [W_GATE_EXPERTS] = EXPERT("ffn_gate_exps.weight", D_C, D_FE, EXPERT_GATE),
    [W_UP_EXPERTS] = EXPERT("ffn_up_exps.weight", D_C, D_FE, EXPERT_UP),
    [W_DOWN_EXPERTS] = EXPERT("ffn_down_exps.weight", D_FE, D_C, EXPERT_DOWN),
    [W_SHARED_ROUTER] = VECTOR("ffn_gate_inp_shexp.weight", D_C, L(shared_gate)),
    [W_GATE_SHARED] = SHARED("ffn_gate_shexp.weight", D_C, D_FS, EXPERT_GATE),
    [W_UP_SHARED] = SHARED("ffn_up_shexp.weight", D_C, D_FS, EXPERT_UP),
    [W_DOWN_SHARED] = SHARED("ffn_down_shexp.weight", D_FS, D_C, EXPERT_DOWN),
    [W_FFN_POST_NORM] = VECTOR("post_ffw_norm.weight", D_C, L(ffn_post_norm)),
    [W_LAYER_OUT_NORM] = VECTOR("layer_output_norm.weight", D_C, L(ffn_post_norm)),
    [W_LAYER_OUT_NORM_BIAS] = VECTOR("layer_output_norm.bias", D_C, L(ffn_post_norm_bias)),
    [W_OUTPUT_NORM] = VECTOR("output_norm.weight", D_C, M(output_norm)),
    [W_OUTPUT_NORM_BIAS] = VECTOR("output_norm.bias", D_C, M(output_norm_bias)),
    [W_OUTPUT] = { .name = "output.weight", .dim = { D_C, D_V }, .bind = BIND_LINEAR, .offset = M(output) },
};

void block_tensor_name(char out[128], int layer, const char *what)
{
    snprintf(out, 128, "blk.%d.%s.weight", layer, what);
}

static int in_block(int kind) { return kind >= W_BLOCK && kind < W_BLOCK_END; }

static void tensor_name(char out[128], int kind, int layer)
{
    if (in_block(kind)) snprintf(out, 128, "blk.%d.%s", layer, ROW[kind].name);
    else snprintf(out, 128, "%s", ROW[kind].name);
}

/* ---- shapes ---- */

static int64_t size_of(const struct hparams *hp, int size)
{
    const int64_t q = (int64_t)hp->n_head * hp->head_dim, kv = (int64_t)hp->n_kv_head * hp->head_dim;
    const int64_t n[] = {
        [D_END] = 1, [D_C] = hp->n_embd, [D_V] = hp->n_vocab, [D_Q] = q, [D_KV] = kv, [D_QKV] = q + 2 * kv, [D_HEAD] = hp->head_dim,
        [D_F] = hp->n_ff, [D_2F] = 2 * (int64_t)hp->n_ff, [D_FE] = hp->n_ff_expert, [D_FS] = hp->n_ff_shared, [D_E] = hp->n_expert,
        [D_CTX] = hp->n_ctx, [D_ANY] = 0, [D_PAIRS] = hp->rope_dim / 2,
    };
    return n[size];
}

void linear_dims(const struct hparams *hp, int kind, int64_t dim[2])
{
    static const uint8_t SIZE[LIN_COUNT][2] = {
        [LIN_Q] = { D_C, D_Q }, [LIN_K] = { D_C, D_KV }, [LIN_V] = { D_C, D_KV }, [LIN_O] = { D_Q, D_C },
        [LIN_GATE] = { D_C, D_F }, [LIN_UP] = { D_C, D_F }, [LIN_DOWN] = { D_F, D_C } };
    dim[0] = size_of(hp, SIZE[kind][0]);
    dim[1] = size_of(hp, SIZE[kind][1]);
}

static int row_dims(const struct hparams *hp, int kind, int64_t dim[4])
{
    int n = 0;
    for (int i = 0; i < 4; i++) dim[i] = size_of(hp, ROW[kind].dim[i]);
    while (n < 4 && ROW[kind].dim[n] != D_END) n++;
    return n;
}

static int check_shape(const struct tensor *t, const struct hparams *hp, int kind, ilab_err *e)
{
    int64_t dim[4];
    const int n = row_dims(hp, kind, dim);
    int ok = t->n_dim == n;
    for (int i = 0; i < n && ok; i++) ok = dim[i] ? t->dim[i] == dim[i] : t->dim[i] >= 1;
    if (!ok)
        return err_set(e, ILAB_E_FORMAT, "tensor '%s' has shape [%lld, %lld, %lld], expected [%lld, %lld, %lld]", t->name, (long long)t->dim[0],
                       (long long)(t->n_dim > 1 ? t->dim[1] : 1), (long long)(t->n_dim > 2 ? t->dim[2] : 1), (long long)dim[0],
                       (long long)dim[1], (long long)dim[2]);
    if (!qtype_info(t->type)) return err_set(e, ILAB_E_FORMAT, "tensor '%s' has the unsupported element type %d", t->name, t->type);
    if (n == 1 && t->type != QT_F32)
        return err_set(e, ILAB_E_FORMAT, "tensor '%s' is %s, only F32 is supported here", t->name, qtype_info(t->type)->name);
    return 0;
}

/* ---- the list ---- */

/* Header of a tensor that does not exist yet. */
static struct tensor made_tensor(const struct hparams *hp, int kind, int layer)
{
    struct tensor t = { .type = QT_F32 };
    t.n_dim = row_dims(hp, kind, t.dim);
    tensor_name(t.name, kind, layer);
    t.row_bytes = (size_t)t.dim[0] * sizeof(float);
    t.n_bytes = t.row_bytes * (size_t)tensor_rows(&t);
    return t;
}

static int is_needed(const struct hparams *hp, int use)
{
    switch (use) {
    case USE_ALWAYS: return 1;
    case USE_DENSE: return !hp->n_expert;
    case USE_EXPERTS: return hp->n_expert > 0;
    case USE_SHARED: return hp->n_ff_shared > 0;
    default: return 0;
    }
}

static int may_be_there(const struct hparams *hp, int use)
{
    return use == USE_MAYBE || (use == USE_DENSE_MAYBE && !hp->n_expert) || is_needed(hp, use);
}

struct listing { const struct gguf *g; const struct arch *a; const struct hparams *hp; struct weight *out; int n; };

static int list_one(struct listing *s, int kind, int layer, ilab_err *e)
{
    const int use = s->a->use[kind];
    char name[128];
    if (!may_be_there(s->hp, use)) return 0;
    struct weight w = { .kind = kind, .layer = layer };
    tensor_name(name, kind, layer);
    if (s->g) {
        const struct tensor *t = gguf_tensor(s->g, name);
        int rc, other = ROW[kind].unless;
        char instead[128];
        if (other) tensor_name(instead, other, layer);
        if (other && s->a->use[other] && gguf_tensor(s->g, instead)) return 0; /* if it is there too, the count tells */
        if (!t && !is_needed(s->hp, use)) return 0;
        if (!t) return err_set(e, ILAB_E_FORMAT, "model lacks the tensor '%s'", name);
        if ((rc = check_shape(t, s->hp, kind, e))) return rc;
        w.t = *t;
    } else {
        if (!is_needed(s->hp, use) && !(kind == W_OUTPUT && !s->hp->tied)) return 0;
        w.t = made_tensor(s->hp, kind, layer);
    }
    if (s->out) s->out[s->n] = w;
    s->n++;
    return 0;
}

/* The layer in "blk.<layer>.<what>", and <what>; -1: another name. */
static int layer_of(const char *name, int n_layer, const char **what)
{
    int l = 0, digits = 0;
    *what = name;
    if (strncmp(name, "blk.", 4)) return -1;
    for (name += 4; *name >= '0' && *name <= '9' && l < n_layer; name++, digits++) l = 10 * l + (*name - '0');
    if (!digits || *name != '.' || l >= n_layer) return -1;
    *what = name + 1;
    return l;
}

/* Some tensor of the file is beyond the table: find and name it. */
static int name_unknown(const struct listing *s, ilab_err *e)
{
    for (int i = 0; i < gguf_n_tensor(s->g); i++) {
        const char *tn = gguf_tensor_at(s->g, i)->name, *what;
        const int layer = layer_of(tn, s->hp->n_layer, &what);
        int known = 0;
        for (int kind = 0; kind < W_COUNT && !known; kind++) {
            char name[128];
            if (!may_be_there(s->hp, s->a->use[kind]) || in_block(kind) != (layer >= 0) || strcmp(ROW[kind].name, what)) continue;
            tensor_name(name, kind, layer); /* "blk.07." is none of ours */
            known = !strcmp(name, tn);
        }
        if (!known) return err_set(e, ILAB_E_FORMAT, "unsupported tensor '%s' for the architecture '%s'", tn, s->a->name);
    }
    return err_set(e, ILAB_E_FORMAT, "model has %d tensors, expected %d", gguf_n_tensor(s->g), s->n);
}

int weights_list(const struct gguf *g, const struct arch *a, const struct hparams *hp, struct weight *out, int *n, ilab_err *e)
{
    struct listing s = { g, a, hp, out, 0 };
    int rc;
    for (int kind = 0; kind < W_BLOCK; kind++)
        if ((rc = list_one(&s, kind, 0, e))) return rc;
    for (int l = 0; l < hp->n_layer; l++)
        for (int kind = W_BLOCK; kind < W_BLOCK_END; kind++)
            if ((rc = list_one(&s, kind, l, e))) return rc;
    for (int kind = W_BLOCK_END; kind < W_COUNT; kind++)
        if ((rc = list_one(&s, kind, 0, e))) return rc;
    *n = s.n;
    return g && gguf_n_tensor(g) != s.n ? name_unknown(&s, e) : 0;
}

/* ---- views ---- */

struct tensor row_view(const struct tensor *t, int64_t row0, int64_t rows)
{
    struct tensor v = *t;
    if (t->data) v.data = (const char *)t->data + (size_t)row0 * t->row_bytes;
    v.n_dim = 2;
    v.dim[1] = rows;
    v.dim[2] = v.dim[3] = 1;
    v.n_bytes = t->row_bytes * (size_t)rows;
    return v;
}

int weight_adapted(const struct hparams *hp, const struct weight *w, int kind[3], int64_t row0[3])
{
    const struct tensor_row *r = &ROW[w->kind];
    int64_t at = 0, dim[2];
    row0[0] = 0;
    if (r->bind == BIND_EXPERTS) return kind[0] = ADAPT_EXPERTS + r->lin, 1;
    if (w->kind == W_ROUTER) return kind[0] = ADAPT_ROUTER, 1;
    if (w->kind >= W_GATE_SHARED && w->kind <= W_DOWN_SHARED) return kind[0] = ADAPT_SHARED + w->kind - W_GATE_SHARED, 1;
    if (r->bind != BIND_ROWS) return 0;
    for (int i = 0; i < r->n_lin; i++) {
        kind[i] = r->lin + i;
        row0[i] = at;
        linear_dims(hp, kind[i], dim);
        at += dim[1];
    }
    return r->n_lin;
}

const struct tensor *adapted_tensor(const struct model *m, int layer, int kind)
{
    const struct layer *w = &m->layer[layer];
    const struct tensor *t = kind < LIN_COUNT ? &w->lin[kind].w : kind == ADAPT_ROUTER ? &w->router.w
                             : kind < ADAPT_SHARED ? &w->expert_all[kind - ADAPT_EXPERTS] : &w->shared[kind - ADAPT_SHARED].w;
    return t->dim[0] ? t : NULL;
}

void weight_bind(struct model *m, int i)
{
    struct weight *w = &m->weight[i];
    const struct tensor_row *r = &ROW[w->kind];
    struct layer *y = in_block(w->kind) ? &m->layer[w->layer] : NULL;
    char *at = (y ? (char *)y : (char *)m) + r->offset;
    int64_t row = 0, dim[2];
    switch (r->bind) {
    case BIND_VECTOR: memcpy(at, &w->t.data, sizeof w->t.data); break;
    case BIND_TENSOR: memcpy(at, &w->t, sizeof w->t); break;
    case BIND_LINEAR: ((struct linear *)(void *)at)->w = w->t; break;
    case BIND_ROWS:
        for (int k = r->lin; k < r->lin + r->n_lin; k++, row += dim[1]) {
            linear_dims(&m->hp, k, dim);
            y->lin[k].w = row_view(&w->t, row, dim[1]);
            block_tensor_name(y->lin[k].w.name, w->layer, LINEAR_NAME[k]);
        }
        break;
    case BIND_BIAS:
        for (int k = r->lin; k < r->lin + r->n_lin; k++, row += dim[1]) {
            linear_dims(&m->hp, k, dim);
            y->lin[k].bias = (const float *)w->t.data + row;
        }
        break;
    case BIND_EXPERTS:
        y->expert_all[r->lin] = w->t;
        for (int x = 0; y->expert[r->lin] && x < m->hp.n_expert; x++)
            y->expert[r->lin][x] = row_view(&w->t, x * w->t.dim[1], w->t.dim[1]);
        break;
    }
    if (w->kind == W_EMBEDDING && m->hp.tied) m->output.w = m->embedding.w;
}

int weight_keeps_f32(const struct weight *w) { return w->t.n_dim == 1 || (ROW[w->kind].flags & KEEP_F32); }
int weight_is_parameter(const struct weight *w) { return !(ROW[w->kind].flags & CONSTANT); }
