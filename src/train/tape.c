/* tape.c — memory of a training pass, checking of its input, and its order: embedding, layers, loss, back again.
 *
 * One function (carve) lays all buffers into an arena; run on a counting arena it is the plan that tape_plan reports,
 * so the figures cannot differ. A batch that is too large is cut between sequences (or trees of them) into parts that are worked on one
 * after the other: gradients are sums over tokens in ascending order, so the cuts do not change a bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

enum { SPAN_FLOATS = 1 << 21 };

/* ---- memory ---- */

static float *floats(struct arena *a, size_t rows, size_t cols) { return arena_alloc(a, rows * cols * sizeof(float), 64); }

/* At most: own pages, and those of the beginning for each of TREE_MOST that go on from it. */
static size_t tree_pages(const struct tape *t) { return (size_t)t->n_page + (size_t)TREE_MOST * (size_t)t->max_row / KERN_PANEL; }

static void carve_pages(struct tape *t, struct arena *a)
{
    const struct attn_shape shape = layer_attn_shape(t->m, 0, QT_F32);
    const size_t page = attn_page_bytes(&shape) / sizeof(float);
    t->page_mem = floats(a, (size_t)t->n_page, page);
    t->page = arena_alloc(a, (size_t)t->n_page * sizeof *t->page, 64);
    t->tree_page = arena_alloc(a, tree_pages(t) * sizeof *t->tree_page, 64);
    t->seg = arena_alloc(a, (size_t)t->max_row * sizeof *t->seg, 64);
    for (int i = 0; t->page && t->page_mem && i < t->n_page; i++) t->page[i] = t->page_mem + (size_t)i * page;
}

static void carve_gradients(struct tape *t, struct arena *a)
{
    const struct hparams *hp = &t->m->hp;
    const size_t n = (size_t)t->max_row, c = (size_t)hp->n_embd, q = (size_t)hp->n_head * (size_t)hp->head_dim,
                 kv = (size_t)hp->n_kv_head * (size_t)hp->head_dim;
    const size_t at_once = (size_t)experts_max_row(hp, t->max_row) * (size_t)hp->n_ff_expert, shared = n * (size_t)hp->n_ff_shared;
    const size_t f = !hp->n_expert ? n * (size_t)hp->n_ff : at_once > shared ? at_once : shared;
    float **ff[] = { &t->dact, &t->dgate, &t->dup };
    for (size_t i = 0; i < ARRAY_LEN(ff); i++) *ff[i] = floats(a, 1, f);
    const struct { float **p; size_t width; } row[] = {
        { &t->dx, c }, { &t->dnorm, c }, { &t->datt, q }, { &t->dq, q }, { &t->dk, kv }, { &t->dv, kv },
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) *row[i].p = floats(a, n, row[i].width);
    t->dq_raw = hp->qk_norm ? floats(a, n, q) : NULL;
    t->dk_raw = hp->qk_norm ? floats(a, n, kv) : NULL;
    const size_t sorted = (size_t)experts_max_row(hp, t->max_row);
    t->dh = t->rank ? floats(a, n > sorted ? n : sorted, (size_t)t->rank) : NULL;
}

static void carve_loss(struct tape *t, struct arena *a)
{
    const size_t n = (size_t)t->chunk, c = (size_t)t->m->hp.n_embd;
    t->row = arena_alloc(a, n * sizeof *t->row, 64);
    t->logits = floats(a, n, (size_t)t->held);
    t->capped = t->m->hp.final_softcap != 0 ? floats(a, n, (size_t)t->held) : NULL;
    t->part = arena_alloc(a, n * (size_t)t->n_part * sizeof *t->part, 64);
    t->known = arena_alloc(a, n * sizeof *t->known, 64);
    t->out_norm = floats(a, n, c);
    t->out_inv_rms = floats(a, n, 1);
    t->dout_norm = floats(a, n, c);
    t->row_loss = arena_alloc(a, n * sizeof *t->row_loss, 64);
}

static void carve_dropout(struct tape *t, struct arena *a)
{
    size_t widest = 0, rows = (size_t)experts_max_row(&t->m->hp, t->max_row);
    for (int i = 0; t->ad && t->ad->dropout > 0 && i < t->ad->n_layer * ADAPT_COUNT; i++)
        if (t->ad->lora[i].on && (size_t)t->ad->lora[i].n_in > widest) widest = (size_t)t->ad->lora[i].n_in;
    if (rows < (size_t)t->max_row) rows = (size_t)t->max_row;
    t->drop_x = widest ? floats(a, rows, widest) : NULL;
    t->drop_dx = widest ? floats(a, rows, widest) : NULL;
}

static void carve_params(struct tape *t, struct arena *a)
{
    t->grad = t->span_grad[0] = floats(a, 1, t->n_params);
    for (int i = 1; i < t->o.spans; i++) t->span_grad[i] = floats(a, 1, t->n_params);
    if (tape_full(t) && t->m->hp.tied) t->lookup_grad = floats(a, (size_t)t->m->hp.n_vocab, (size_t)t->m->hp.n_embd);
    t->param = arena_alloc(a, (size_t)t->n_param * sizeof *t->param, 64);
}

static const struct { const char *what; void (*carve)(struct tape *, struct arena *); } STAGES[] = {
    { "activations of all layers", carve_activations }, { "attention pages", carve_pages },
    { "gradients of activations", carve_gradients },    { "gradients inside experts", moe_carve },
    { "dropout", carve_dropout },
    { "logits and their gradients", carve_loss },       { "gradients of weights", carve_params },
};

static int carve(struct tape *t, struct arena *a, struct plan_row *row, int max)
{
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(STAGES); i++) {
        size_t before = a->used;
        STAGES[i].carve(t, a);
        if (a->used != before && n < max) row[n++] = (struct plan_row){ STAGES[i].what, a->used - before };
    }
    return n;
}

int adapter_lowest_layer(const struct adapter *ad)
{
    for (int i = 0; ad && i < ad->n_layer * ADAPT_COUNT; i++)
        if (ad->lora[i].on) return i / ADAPT_COUNT;
    return ad ? ad->n_layer - 1 : 0;
}

/* Sizes that the plan depends on. */
static struct tape tape_sized(const struct model *m, const struct adapter *ad, int max_row, int max_target, const struct tape_opts *o)
{
    const int all = m->hp.n_layer * ADAPT_COUNT, few = max_row / 8 + 64;
    struct tape t = { .m = (struct model *)m, .ad = (struct adapter *)ad, .max_row = max_row };
    if (o) t.o = *o;
    t.n_part = m->hp.n_vocab > 0 ? (m->hp.n_vocab + VOCAB_PART - 1) / VOCAB_PART : 1;
    t.held = t.o.logit_parts && t.n_part > 1 ? VOCAB_PART : m->hp.n_vocab;
    t.chunk = t.o.logit_rows > 0 ? t.o.logit_rows : LOSS_FLOATS / (t.held > 0 ? t.held : 1);
    if (t.chunk > LOSS_CHUNK) t.chunk = LOSS_CHUNK;
    if (t.chunk < LOSS_CHUNK_LEAST && !t.o.logit_rows) t.chunk = LOSS_CHUNK_LEAST;
    if (t.chunk > max_target) t.chunk = max_target > 0 ? max_target : 1;
    t.n_page = (max_row + KERN_PANEL - 1) / KERN_PANEL + (max_row < few ? max_row : few);
    if (ad) {
        t.rank = ad->rank;
        for (int i = 0; i < all; i++) t.n_param += !ad->lora[i].on ? 0 : ad->lora[i].a_of == i % ADAPT_COUNT ? 2 : 1;
        t.lowest = adapter_lowest_layer(ad);
        t.params = ad->params;
        t.n_params = ad->n_params;
    } else {
        t.n_param = 2 + !m->hp.tied + m->hp.n_layer * (LIN_COUNT + 2);
        t.params = m->params;
        t.n_params = m->n_params;
    }
    if (tape_full(&t)) t.o.spans = 1;
    t.n_span = 1;
    t.span_end[0] = INT64_MAX;
    t.n_slot = m->hp.n_layer - t.lowest;
    t.work_layer = t.redo_layer = -1;
    if (t.o.recompute > t.n_slot) t.o.recompute = t.n_slot;
    return t;
}

void tape_tell_losses(struct tape *t, float *loss) { t->tell = loss; }

int tape_n_trained(const struct tape *t) { return t->n_slot; }

int tape_plan(const struct model *m, const struct adapter *ad, int max_row, int max_target, struct plan_row *row, int max_rows_out)
{
    return tape_plan_with(m, ad, max_row, max_target, NULL, row, max_rows_out);
}

int tape_plan_with(const struct model *m, const struct adapter *ad, int max_row, int max_target, const struct tape_opts *o,
                   struct plan_row *row, int max_rows_out)
{
    struct tape t = tape_sized(m, ad, max_row, max_target, o);
    struct arena a;
    arena_init_counting(&a);
    int n = carve(&t, &a, row, max_rows_out);
    arena_release(&a);
    return n;
}

/* ---- parameters ---- */

static int add_weight(void *ud, const char *name, struct tensor *w, int is_norm, ilab_err *e)
{
    (void)e;
    struct tape *t = ud;
    struct param *p = &t->param[t->n_param++];
    snprintf(p->name, sizeof p->name, "%.95s", name);
    p->w = t->m->params + ((const float *)w->data - t->m->params);
    p->g = tape_grad(t, p->w);
    p->n = (size_t)tensor_elems(w);
    p->decay = !is_norm;
    p->cols = w->n_dim > 1 ? (size_t)w->dim[0] : 0;
    return 0;
}

static void add_lora(struct tape *t, int i)
{
    const struct lora *l = &t->ad->lora[i];
    for (int half = l->a_of != i % ADAPT_COUNT; half < 2; half++) { /* a shared A stands with its first part */
        struct param *p = &t->param[t->n_param++];
        snprintf(p->name, sizeof p->name, "blk.%d.%s.weight.lora_%c", i / ADAPT_COUNT, LINEAR_NAME[i % ADAPT_COUNT], "ab"[half]);
        p->w = half ? l->b : l->a;
        p->g = tape_grad(t, p->w);
        p->n = (size_t)l->n_matrix * (size_t)l->rank * (size_t)(half ? l->n_out : l->n_in);
        p->decay = 1;
        p->cols = (size_t)(half ? l->rank : l->n_in);
    }
}

static void list_params(struct tape *t)
{
    t->n_param = 0;
    if (!t->ad) model_each_tensor(t->m, add_weight, t, NULL);
    for (int i = 0; t->ad && i < t->m->hp.n_layer * ADAPT_COUNT; i++)
        if (t->ad->lora[i].on) add_lora(t, i);
}

int tape_param_shapes(const struct model *m, const struct adapter *ad, struct param **out, int *n, ilab_err *e)
{
    struct tape t = tape_sized(m, ad, 1, 1, NULL);
    if (!(*out = t.param = mem_calloc((size_t)t.n_param + 1, sizeof *t.param))) return err_set(e, ILAB_E_NOMEM, "no memory for a list of weights");
    t.grad = (float *)t.params;
    list_params(&t);
    *n = t.n_param;
    return 0;
}

int tape_params(struct tape *t, struct param **out)
{
    *out = t->param;
    return t->n_param;
}

/* splitmix64's increment keeps seeds of neighbouring steps apart. */
void tape_dropout(struct tape *t, uint64_t seed, int64_t step)
{
    t->drop_on = t->drop_x != NULL;
    t->drop_seed = seed + (uint64_t)(step + 1) * 0x9E3779B97F4A7C15u;
}

/* Where the other spans' sums would be large, there is one. */
int tape_span_count(const struct adapter *ad) { return !ad ? 1 : ad->n_params > SPAN_FLOATS ? 2 : SPANS_MAX; }

void tape_spans(struct tape *t, int n, const int64_t *end, int64_t first_row)
{
    t->n_span = n < t->o.spans ? n : t->o.spans;
    if (t->n_span < 1) t->n_span = 1;
    for (int i = 0; i < t->n_span; i++) t->span_end[i] = end[i];
    t->span_end[t->n_span - 1] = INT64_MAX;
    t->first_row = first_row;
}

void tape_zero_grad(struct tape *t)
{
    t->rows_seen = 0;
    for (int i = 0; i < t->n_span; i++) memset(t->span_grad[i], 0, t->n_params * sizeof(float));
    if (t->lookup_grad) memset(t->lookup_grad, 0, (size_t)t->m->hp.n_vocab * (size_t)t->m->hp.n_embd * sizeof(float));
}

/* ---- life ---- */

int tape_new(struct tape **out, struct gemm_ctx *g, struct model *m, struct adapter *ad, int max_row, int max_target, ilab_err *e)
{
    return tape_new_with(out, g, m, ad, max_row, max_target, NULL, e);
}

int tape_new_with(struct tape **out, struct gemm_ctx *g, struct model *m, struct adapter *ad, int max_row, int max_target,
                  const struct tape_opts *o, ilab_err *e)
{
    *out = NULL;
    if (max_row < 1 || max_target < 0) return err_set(e, ILAB_E_INVALID, "training pass of %d rows and %d targets", max_row, max_target);
    if (!ad && !m->params) return err_set(e, ILAB_E_INVALID, "full training needs a model that was opened as trainable");
    if (ad && ad->n_layer != m->hp.n_layer) return err_set(e, ILAB_E_INVALID, "adapter has %d layers, the model %d", ad->n_layer, m->hp.n_layer);
    int rc = model_trainable(m, !ad, e);
    if (rc || (rc = model_rope_reserve(m, max_row, e))) return rc;
    struct tape sized = tape_sized(m, ad, max_row, max_target, o), *t = mem_alloc(sizeof *t);
    if (!t) return err_set(e, ILAB_E_NOMEM, "no memory for a training pass");
    struct arena plan;
    arena_init_counting(&plan);
    *t = sized;
    carve(t, &plan, NULL, 0);
    *t = sized;
    t->g = g;
    t->path = &PATHS[0];
    arena_init(&t->mem, SIZE_MAX);
    carve(t, &t->mem, NULL, 0);
    if (t->mem.used != plan.used) { /* some buffer was refused */
        size_t need = plan.used;
        tape_free(t);
        char size[32];
        format_bytes(size, sizeof size, (double)need);
        return err_set(e, ILAB_E_NOMEM, "no memory for training: %s needed; fewer tokens at a time (--max-batch-len) or --memory need less", size);
    }
    list_params(t);
    *out = t;
    return 0;
}

void tape_set_path(struct tape *t, const struct path *p) { t->path = p; }

void tape_free(struct tape *t)
{
    if (!t) return;
    arena_release(&t->mem);
    mem_free(t);
}

/* ---- one pass ---- */

/* Segments of a sequence, or of a beginning and all that go on from it: they are worked on together. */
static int tree_segments(const struct batch *b, int s)
{
    int n = 1;
    while (s + n < b->n_seg && b->seg[s + n].pos0 > 0) n++;
    return n;
}

static int pages_of(const struct segment *s) { return (s->n_row + KERN_PANEL - 1) / KERN_PANEL; }

static int check_segments(const struct tape *t, const struct batch *b, ilab_err *e)
{
    int row = 0;
    for (int s = 0, end; s < b->n_seg; s = end) {
        const struct segment *root = &b->seg[s];
        int n_page = 0, n_row = 0;
        end = s + tree_segments(b, s);
        for (int i = s; i < end; i++) {
            const struct segment *g = &b->seg[i];
            if (g->row0 != row || g->n_row < 1 || (i == s ? g->pos0 != 0 : g->pos0 != root->n_row || g->pos0 % KERN_PANEL))
                return err_set(e, ILAB_E_INVALID, "training segment %d is not a whole sequence next to the one before", i);
            row += g->n_row;
            n_row += g->n_row;
            n_page += pages_of(g);
        }
        if (n_row > t->max_row) return err_set(e, ILAB_E_LIMIT, "training sample of %d tokens, at most %d fit a step", n_row, t->max_row);
        if (end - s > TREE_MOST + 1 || n_page > t->n_page)
            return err_set(e, ILAB_E_LIMIT, "%d samples share a beginning, at most %d may", end - s - 1, TREE_MOST);
    }
    return row == b->n_row ? 0 : err_set(e, ILAB_E_INVALID, "training segments have %d rows, the batch %d", row, b->n_row);
}

static int check_input(const struct tape *t, const struct batch *b, const struct targets *y, ilab_err *e)
{
    const int n_vocab = t->m->hp.n_vocab;
    int rc = check_segments(t, b, e);
    if (rc) return rc;
    for (int r = 0; r < b->n_row; r++)
        if (b->id[r] < 0 || b->id[r] >= n_vocab)
            return err_set(e, ILAB_E_INVALID, "token id %d in a training sample, the vocabulary has %d", b->id[r], n_vocab);
    for (int i = 0; i < y->n; i++) {
        if (y->row[i] < 0 || y->row[i] >= b->n_row || (i && y->row[i] <= y->row[i - 1]))
            return err_set(e, ILAB_E_INVALID, "training target %d points at row %d out of order", i, y->row[i]);
        if (y->label[i] < 0 || y->label[i] >= n_vocab)
            return err_set(e, ILAB_E_INVALID, "training label %d, the vocabulary has %d", y->label[i], n_vocab);
        const struct soft_label *s = y->soft ? y->soft[i] : NULL;
        if (s && (s->n < 0 || s->n > SOFT_TOP)) return err_set(e, ILAB_E_INVALID, "soft label with %d entries, at most %d", s->n, SOFT_TOP);
        for (int k = 0; s && k < s->n; k++)
            if (s->id[k] < 0 || s->id[k] >= n_vocab)
                return err_set(e, ILAB_E_INVALID, "soft label for token id %d, the vocabulary has %d", s->id[k], n_vocab);
    }
    return 0;
}

/* Takes whole sequences and trees from *next on until rows or pages are used up. */
static struct batch next_part(struct tape *t, const struct batch *b, int *next)
{
    struct batch part = { .id = b->id + b->seg[*next].row0, .seg = t->seg };
    int n_page = 0;
    size_t n_tree_page = 0;
    for (int end; *next < b->n_seg; *next = end) {
        int rows = 0, pages = 0;
        void **root = t->page + n_page;
        end = *next + tree_segments(b, *next);
        for (int i = *next; i < end; i++) rows += b->seg[i].n_row, pages += pages_of(&b->seg[i]);
        if (part.n_row + rows > t->max_row || n_page + pages > t->n_page) break;
        for (int i = *next; i < end; i++) {
            const struct segment *s = &b->seg[i];
            void **list = t->page + n_page;
            if (s->pos0 > 0) {
                const size_t shared = (size_t)(s->pos0 / KERN_PANEL), own = (size_t)pages_of(s);
                list = t->tree_page + n_tree_page;
                memcpy(list, root, shared * sizeof *list);
                memcpy(list + shared, t->page + n_page, own * sizeof *list);
                n_tree_page += shared + own;
            }
            t->seg[part.n_seg++] = (struct segment){ part.n_row, s->n_row, s->pos0, list };
            part.n_row += s->n_row;
            n_page += pages_of(s);
        }
    }
    return part;
}

int tape_step(struct tape *t, const struct batch *b, const struct targets *y, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum, ilab_err *e)
{
    int rc = check_input(t, b, y, e), next = 0, target = 0;
    const enum gemm_act act = t->m->act; /* the model's owner sets it for inference */
    if (rc) return rc;
    t->m->act = t->path->forward;
    while (next < b->n_seg) {
        t->part_sample = t->sample ? t->sample + next : NULL;
        const int row0 = b->seg[next].row0, first = target;
        struct batch part = next_part(t, b, &next);
        while (target < y->n && y->row[target] < row0 + part.n_row) target++;
        if (target == first) continue; /* nothing to learn here */
        t->row0 = t->rows_seen + row0;
        if (t->ad) t->ad->drop = (struct lora_drop){ t->ad->dropout, t->drop_seed, t->first_row + t->row0, backward && t->drop_on ? t->drop_x : NULL };
        layers_forward(t, &part, backward);
        if (backward) memset(t->dx, 0, (size_t)part.n_row * (size_t)t->m->hp.n_embd * sizeof(float));
        loss_run(t, y, first, target - first, row0, o, scale, backward, loss_sum, weight_sum);
        if (backward) layers_backward(t, &part);
    }
    if (t->ad) t->ad->drop = (struct lora_drop){ 0 };
    if (backward) t->rows_seen += b->n_row;
    t->m->act = act;
    t->sample = t->part_sample = NULL;
    t->tell = NULL;
    return t->m->gguf ? gguf_check(t->m->gguf, e) : 0;
}
