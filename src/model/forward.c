/* forward.c — embedding, layers, output (docs/MODEL.md has the maths with shapes).
 *
 * Every row's result depends on that row (and, in attention, on rows of its segment) alone, in one fixed order of
 * operations: batching, threads and cutting into calls do not change a bit. Where nothing stands between a block and the
 * residual sum, the sum is the starting value of the block's last product (load_c).
 * What an architecture does follows from hparams and from which pointers of a layer are set, never from its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <string.h>

/* ---- rows over the pool ---- */

enum { ROWS_BLOCK = 16 };
struct rows_job { rows_fn *fn; void *ud; int n_row; };
static void rows_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct rows_job *j = ud;
    int r0 = i_task * ROWS_BLOCK, r1 = r0 + ROWS_BLOCK;
    j->fn(j->ud, r0, r1 < j->n_row ? r1 : j->n_row);
}

void rows_run(struct pool *pool, rows_fn *fn, void *ud, int n_row)
{
    struct rows_job j = { fn, ud, n_row };
    if (n_row <= ROWS_BLOCK || !pool) {
        if (n_row > 0) fn(ud, 0, n_row);
        return;
    }
    pool_run(pool, rows_task, &j, (n_row + ROWS_BLOCK - 1) / ROWS_BLOCK);
}

/* ---- linear layers ---- */

struct tensor f32_matrix(const float *data, int64_t rows, int64_t cols)
{
    return (struct tensor){ .data = data, .type = QT_F32, .n_dim = 2, .dim = { cols, rows, 1, 1 },
                            .row_bytes = (size_t)cols * sizeof(float), .n_bytes = (size_t)(rows * cols) * sizeof(float) };
}

static struct gemm linear_gemm(const struct linear *l, const float *x, int n_row, float *y, int load, enum gemm_act act)
{
    const int64_t in = l->w.dim[0], out = l->w.dim[1];
    struct gemm p = { .n_row = n_row, .n_col = out, .n_k = in, .c = y, .c_row = out, .load_c = load, .a = x, .a_row = in, .a_col = 1, .act = act };
    const int panels = l->packed && !(act == GEMM_ACT_Q8 && gemm_q8_has(l->w.type));
    p.form = panels ? GEMM_B_PACKED : GEMM_B_TENSOR;
    p.b = l->packed;
    p.t = &l->w;
    return p;
}

void lora_inner(const struct layer_job *j, int kind, const float *x)
{
    const struct lora *lo = j->lo ? j->lo + kind : NULL;
    if (!lo || !lo->on || lo->a_of != kind) return;
    const int64_t in = lo->n_in, rank = lo->rank;
    float *h = j->a->lora_h[kind];
    struct tensor a = f32_matrix(lo->a, rank, in);
    const struct lora_drop *d = &j->ad->drop;
    if (d->x) {
        lora_drop(j->g, d, (struct lora_dropped){ j->layer, kind, 0, NULL }, x, NULL, d->x, j->b->n_row, in);
        x = d->x;
    }
    gemm_run(j->g, &(struct gemm){ .n_row = j->b->n_row, .n_col = rank, .n_k = in, .c = h, .c_row = rank, .a = x, .a_row = in, .a_col = 1,
                                   .form = GEMM_B_TENSOR, .t = &a });
    j->k->scale(h, lo->scale, j->b->n_row * rank);
}

void lora_add(const struct layer_job *j, int kind, const float *x, float *y)
{
    const struct lora *lo = j->lo ? j->lo + kind : NULL;
    if (!lo || !lo->on) return;
    const int64_t out = lo->n_out, rank = lo->rank;
    struct tensor b = f32_matrix(lo->b, out, rank);
    lora_inner(j, kind, x);
    gemm_run(j->g, &(struct gemm){ .n_row = j->b->n_row, .n_col = out, .n_k = rank, .c = y, .c_row = out, .load_c = 1, .a = j->a->lora_h[lo->a_of],
                                   .a_row = rank, .a_col = 1, .form = GEMM_B_TENSOR, .t = &b });
}

void products_run(const struct layer_job *j, const struct product *p, int n, const float *x)
{
    struct gemm group[3] = { 0 };
    for (int i = 0; i < n; i++) {
        group[i] = linear_gemm(p[i].w, x, j->b->n_row, p[i].y, p[i].load, j->m->act);
        group[i].n_wide = j->b->n_prompt;
    }
    if (n == 1) gemm_run(j->g, group);
    else gemm_run_group(j->g, group, n);
    for (int i = 0; i < n && j->lo; i++) lora_add(j, p[i].kind, x, p[i].y);
}

/* ---- pieces ---- */

void norm_row(const struct kern *k, const struct hparams *hp, float *y, float *inv_rms, const float *x, const float *w, const float *bias, int n)
{
    if (hp->norm == NORM_LAYER) k->layernorm(y, x, w, bias, n, hp->norm_eps);
    else k->rmsnorm(y, inv_rms, x, w, n, hp->norm_eps);
}

struct end_job { const struct layer_job *j; const struct block_end *s; };
static void end_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ((struct end_job *)ud)->j;
    const struct block_end *s = ((struct end_job *)ud)->s;
    const struct hparams *hp = &j->m->hp;
    const struct kern *k = j->k;
    const int c = hp->n_embd, keep = s->branch != j->a->branch; /* what the norm gets is needed later: its result goes to out at once */
    const float scale = hp->residual_scale == 0 ? 1.0f : hp->residual_scale;
    for (int r = r0; r < r1; r++) {
        const size_t at = (size_t)r * (size_t)c;
        float *out = s->out + at;
        if (hp->norm_place == NORM_SUM) {
            norm_row(k, hp, out, NULL, out, s->norm, s->norm_bias, c);
            continue;
        }
        float *branch = s->branch + at, *to = keep ? out : branch;
        if (s->bias) k->add(branch, s->bias, c);
        if (s->norm) norm_row(k, hp, to, s->inv_rms ? s->inv_rms + r : NULL, branch, s->norm, s->norm_bias, c);
        if (keep) {
            if (scale != 1) k->scale(out, scale, c);
            k->add(out, s->x + at, c);
            continue;
        }
        if (s->x != s->out) memcpy(out, s->x + at, (size_t)c * sizeof *out);
        k->axpy(out, scale, branch, c);
    }
}

void block_end(const struct layer_job *j, const struct block_end *s)
{
    if (adds_directly(&j->m->hp) && j->m->hp.norm_place != NORM_SUM) return;
    struct end_job e = { j, s };
    rows_run(gemm_pool(j->g), end_rows, &e, j->b->n_row);
}

/* ---- one layer ---- */

enum { SHARE = 1 };
/* share: what only a backward pass needs shares memory. common: what layer_redo makes again is in there. */
static void acts_plan(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem, int share, struct layer_acts *common)
{
    const size_t t = (size_t)n_row, c = (size_t)hp->n_embd, q = (size_t)hp->n_head * (size_t)hp->head_dim,
                 kv = (size_t)hp->n_kv_head * (size_t)hp->head_dim, f = (size_t)(hp->n_expert ? hp->n_ff_shared : hp->n_ff);
    const int pre = normed_before(hp), gated = !hp->plain_ffn, keep = !share && hp->qk_norm != QK_NORM_NONE;
    const int post = !share && (hp->norm_place == NORM_PRE_POST || hp->norm_place == NORM_POST);
    const struct { float **p; size_t width; float **instead; } row[] = {
        { &a->x, c, NULL }, { &a->norm1, pre ? c : 0, common ? &common->norm1 : NULL }, { &a->inv_rms1, 1, NULL }, { &a->q, q, NULL }, { &a->k, kv, NULL }, { &a->v, kv, NULL },
        { &a->att, q, NULL }, { &a->x_mid, c, share && pre ? &a->x : NULL }, { &a->norm2, pre ? c : 0, share && pre ? &a->norm1 : common ? &common->norm2 : NULL },
        { &a->inv_rms2, 1, NULL }, { &a->gate, gated ? f : 0, NULL }, { &a->up, f, NULL }, { &a->act, f, share ? gated ? &a->gate : &a->up : common ? &common->act : NULL },
        { &a->q_raw, keep ? q : 0, NULL }, { &a->k_raw, keep ? kv : 0, NULL }, { &a->q_inv, keep ? (size_t)hp->n_head : 0, NULL },
        { &a->k_inv, keep ? (size_t)hp->n_kv_head : 0, NULL },
        { &a->inv_post1, (size_t)post, NULL }, { &a->inv_post2, (size_t)post, NULL }, { &a->ffn_branch, post ? c : 0, NULL },
        { &a->attn_branch, post ? c : 0, NULL },
        { &a->branch, adds_directly(hp) || post ? 0 : c, share && pre && !hp->n_ff_shared ? &a->norm1 : NULL }, /* two experts read norm2, one after the other */
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        *row[i].p = row[i].width == 0 ? NULL : row[i].instead ? *row[i].instead : arena_alloc(mem, t * row[i].width * sizeof(float), 64);
    if (!post) a->attn_branch = a->ffn_branch = a->branch;
    const int first_ffn = hp->plain_ffn ? LIN_UP : LIN_GATE;
    for (int k = 0; k < ADAPT_COUNT; k++) {
        const int here = k <= LIN_O || (k < LIN_COUNT ? !hp->n_expert && k >= first_ffn : hp->n_expert && (k < ADAPT_SHARED || hp->n_ff_shared));
        const size_t rows = k >= ADAPT_EXPERTS && k < ADAPT_SHARED ? t * (size_t)hp->n_expert_used : t;
        a->lora_h[k] = rank > 0 && here ? arena_alloc(mem, rows * (size_t)rank * sizeof(float), 64) : NULL;
    }
    a->item = arena_alloc(mem, t * sizeof *a->item, 64);
    experts_plan(&a->moe, hp, n_row, rank, !share, mem);
}

void layer_acts_plan(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem)
{
    acts_plan(a, hp, n_row, rank, mem, 0, NULL);
}

void layer_acts_plan_forward(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem)
{
    acts_plan(a, hp, n_row, rank, mem, SHARE, NULL);
}

void layer_acts_plan_lean(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem, const struct layer_acts *common)
{
    struct layer_acts shared = *common;
    acts_plan(a, hp, n_row, rank, mem, 0, &shared);
}

int layer_can_redo(const struct hparams *hp) { return hp->norm_place == NORM_PRE && !hp->n_expert; }

struct redo_job { const struct kern *k; const struct hparams *hp; const struct layer *w; struct layer_acts *a; };
static void redo_rows(void *ud, int r0, int r1)
{
    const struct redo_job *j = ud;
    const struct layer_acts *a = j->a;
    const size_t c = (size_t)j->hp->n_embd, f = (size_t)j->hp->n_ff, at = (size_t)r0 * f;
    for (int r = r0; r < r1; r++) {
        norm_row(j->k, j->hp, a->norm1 + (size_t)r * c, a->inv_rms1 + r, a->x + (size_t)r * c, j->w->attn_norm, j->w->attn_norm_bias, (int)c);
        norm_row(j->k, j->hp, a->norm2 + (size_t)r * c, a->inv_rms2 + r, a->x_mid + (size_t)r * c, j->w->ffn_norm, j->w->ffn_norm_bias, (int)c);
    }
    activate(j->k, j->hp, a->act + at, a->gate ? a->gate + at : NULL, a->up + at, NULL, NULL, r1 - r0, (int)f); /* biases are in already */
}

void layer_redo(struct gemm_ctx *g, const struct model *m, int layer, int n_row, struct layer_acts *a)
{
    struct redo_job j = { gemm_kern(g), &m->hp, &m->layer[layer], a };
    rows_run(gemm_pool(g), redo_rows, &j, n_row);
}

void layer_forward(struct gemm_ctx *g, const struct model *m, const struct adapter *ad, int layer, int kv_layer,
                   const struct batch *b, struct layer_acts *a, float *y)
{
    if (b->n_row <= 0) return;
    const struct layer_job j = { g, gemm_kern(g), m, &m->layer[layer], ad, ad ? ad->lora + (size_t)layer * ADAPT_COUNT : NULL, b, a, y, layer, kv_layer };
    attention_block(&j);
    feed_forward_block(&j);
}

/* ---- both ends ---- */

enum { ROW_PIECE = 256 }; /* whole blocks of every element type */

/* to += row r of t. */
static void add_tensor_row(const struct kern *k, const struct tensor *t, int64_t r, float *to)
{
    const struct qtype_info *q = qtype_info(t->type);
    const char *row = (const char *)t->data + (size_t)r * t->row_bytes;
    float piece[ROW_PIECE];
    for (int64_t i = 0; i < t->dim[0]; i += ROW_PIECE) {
        const int64_t n = t->dim[0] - i < ROW_PIECE ? t->dim[0] - i : ROW_PIECE;
        q->dequantize(piece, row + (size_t)(i / q->elems) * (size_t)q->bytes, n);
        k->add(to + i, piece, n);
    }
}

void embed_rows(const struct kern *k, const struct model *m, const struct batch *b, int row0, int row1, float *x)
{
    const struct hparams *hp = &m->hp;
    const int c = hp->n_embd;
    int s = 0;
    for (int r = row0; r < row1; r++) {
        float *to = x + (size_t)r * (size_t)c;
        tensor_row_f32(&m->embedding.w, b->id[r], to);
        while (s < b->n_seg - 1 && r >= b->seg[s].row0 + b->seg[s].n_row) s++;
        if (m->token_types.data) add_tensor_row(k, &m->token_types, 0, to); /* every token is of the first type */
        if (m->positions.data) add_tensor_row(k, &m->positions, b->seg[s].pos0 + r - b->seg[s].row0, to);
        if (hp->embedding_scale != 0 && hp->embedding_scale != 1) k->scale(to, hp->embedding_scale, c);
        if (m->embedding_norm) norm_row(k, hp, to, NULL, to, m->embedding_norm, m->embedding_norm_bias, c);
    }
}

struct output_job { const struct kern *k; const struct model *m; const float *x; const int32_t *row; float *norm, *inv_rms, *logits; int64_t n_col; };
static void output_norm_rows(void *ud, int i0, int i1)
{
    const struct output_job *j = ud;
    const size_t c = (size_t)j->m->hp.n_embd;
    for (int i = i0; i < i1; i++)
        norm_row(j->k, &j->m->hp, j->norm + (size_t)i * c, j->inv_rms + i, j->x + (size_t)j->row[i] * c, j->m->output_norm,
                 j->m->output_norm_bias, (int)c);
}

static void output_cap_rows(void *ud, int i0, int i1)
{
    const struct output_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const int64_t at = i0 * j->n_col, n = (i1 - i0) * j->n_col;
    if (hp->logit_scale != 0 && hp->logit_scale != 1) j->k->scale(j->logits + at, 1.0f / hp->logit_scale, n);
    if (hp->final_softcap != 0) j->k->softcap(j->logits + at, hp->final_softcap, n);
}

void output_norms(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n, float *norm, float *inv_rms)
{
    struct output_job j = { .k = gemm_kern(g), .m = m, .x = x, .row = row, .norm = norm, .inv_rms = inv_rms };
    if (n > 0) rows_run(gemm_pool(g), output_norm_rows, &j, n);
}

struct linear output_part(const struct model *m, int first, int n_token)
{
    struct linear part = m->output;
    if (n_token == m->hp.n_vocab) return part;
    part.w = row_view(&m->output.w, first, n_token);
    if (part.packed) part.packed += (int64_t)first * part.w.dim[0];
    return part;
}

void output_part_logits(struct gemm_ctx *g, const struct model *m, const float *norm, int n, int first, int n_token, float *logits)
{
    const struct linear part = output_part(m, first, n_token);
    struct output_job j = { .k = gemm_kern(g), .m = m, .logits = logits, .n_col = n_token };
    if (n <= 0) return;
    const struct gemm p = linear_gemm(&part, norm, n, logits, 0, m->act);
    gemm_run(g, &p);
    if (m->hp.logit_scale != 0 || m->hp.final_softcap != 0) rows_run(gemm_pool(g), output_cap_rows, &j, n);
}

void output_logits(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n,
                   float *norm, float *inv_rms, float *logits)
{
    output_norms(g, m, x, row, n, norm, inv_rms);
    output_part_logits(g, m, norm, n, 0, m->hp.n_vocab, logits);
}
