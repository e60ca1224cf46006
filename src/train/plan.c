/* plan.c — what a run will hold in memory, and which of its freedoms make it fit.
 *
 * None of the choices changes a bit of the result: tokens at a time, what is kept for the backward pass, logits at a time, weights
 * read from the disk layer by layer, where hidden states are kept. The buffers' sizes come from the code that allocates
 * (tape_plan_with on a counting arena); the mapped file counts as far as a step touches it, because the system counts it as this
 * process's memory, too. Among the choices that fit, the one with the least estimated work is taken; the weights of that
 * estimate are measured (docs/SPEED.md), and being wrong costs time, never memory.  SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"
#include "train/tape.h"

#include <string.h>

enum { MICRO_LEAST = 64, WINDOW = 1 << 16 /* bytes that the kernel maps around a touched page */, STATES_DISK_SHARE = 4, MAX_HOLDERS = 3 };
static const double LEAN_COST = 0.01, LOGITS_COST = 0.0005 /* per pass over the output matrix */, DISK_BYTES_A_SECOND = 1e9, FLOPS_A_THREAD = 6e10, AUTO_SHARE = 0.92;

/* ---- what is there anyway ---- */

/* Bytes of a matrix that looking up these tokens touches. */
static size_t lookup_bytes(const struct tensor *t, const struct dataset *const *d, int n_d) {
    const size_t n = t->n_bytes / WINDOW + 2;
    uint8_t *seen = mem_calloc(n, 1);
    size_t touched = 0;
    for (int i = 0; seen && i < n_d; i++)
        for (size_t k = 0; d[i] && k < d[i]->n; k++)
            for (int j = 0; j < d[i]->v[k].n; j++)
                seen[(size_t)d[i]->v[k].id[j] * t->row_bytes / WINDOW] = 1;
    for (size_t i = 0; seen && i < n; i++)
        touched += seen[i] ? WINDOW : 0;
    mem_free(seen);
    return !seen || touched > t->n_bytes ? t->n_bytes : touched;
}

/* Bytes of the model's file that steps keep in memory. */
static size_t file_bytes(const struct model *m, const struct dataset *d, const struct dataset *val) {
    size_t sum = 0;
    const struct dataset *const both[] = { d, val };
    if (!m->gguf)
        return 0;
    for (int i = 0; i < gguf_n_tensor(m->gguf); i++) {
        const struct tensor *t = gguf_tensor_at(m->gguf, i);
        sum += t->data == m->embedding.w.data && !m->hp.tied ? lookup_bytes(t, both, 2) : t->n_bytes;
    }
    return sum;
}

static int any_quantised(const struct model *m) {
    for (int i = 0; i < m->n_weight; i++)
        if (m->weight[i].t.n_dim > 1 && m->weight[i].t.type != QT_F32 && m->weight[i].t.type != QT_F16 && m->weight[i].t.type != QT_BF16)
            return 1;
    return 0;
}

static size_t plan_add(struct train_plan *p, const char *what, size_t bytes) {
    if (bytes && p->n_row < (int)ARRAY_LEN(p->row))
        p->row[p->n_row++] = (struct plan_row){ what, bytes };
    p->total += bytes;
    return bytes;
}

/* ---- one choice ---- */

struct choice { int micro; struct tape_opts o; size_t tape, file; double cost; };
struct search {
    const struct model *m; const struct adapter *ad;
    size_t n_rows, n_target, longest, budget, fixed /* beside tape and file */, file, file_least;
    int n_trained, threads, keep_states;
    const struct gemm_ctx *q8; int64_t widest; /* NULL: no product rounds its input */
    double token_flops, layer_again, output_flops, target_share;
};
/* Rows that have logits together, and whether of a part of the vocabulary. */
static const struct { int rows, parts; } LOGITS[] = { { 0, 0 }, { 64, 0 }, { 32, 0 }, { 0, 1 }, { 64, 1 } };

static int choice_rows(const struct search *s, int micro) { return (size_t)micro < s->n_rows ? micro : (int)s->n_rows; }
static int choice_targets(const struct search *s, int micro) { return s->n_target < (size_t)choice_rows(s, micro) ? (int)s->n_target : choice_rows(s, micro); }

/* Of products: rounded rows, or weights and activations that threads packed together. */
static size_t product_bytes(const struct search *s, int micro) {
    return s->q8 ? gemm_q8_bytes(s->q8, choice_rows(s, micro), s->widest) : s->threads > 1 ? gemm_exact_bytes(s->widest, choice_rows(s, micro)) : 0;
}

static size_t tape_bytes(const struct search *s, const struct choice *c) {
    struct plan_row row[16];
    size_t sum = product_bytes(s, c->micro);
    int n = tape_plan_with(s->m, s->ad, choice_rows(s, c->micro), choice_targets(s, c->micro), &c->o, row, ARRAY_LEN(row));
    for (int i = 0; i < n; i++)
        sum += row[i].bytes;
    return sum;
}

/* Work per token, 1: what has to be done anyway. */
static double choice_cost(const struct search *s, const struct choice *c) {
    const int rows = choice_rows(s, c->micro), again = c->o.recompute > 1 ? c->o.recompute - 1 : 0;
    double cost = 1 + UNPACK_ROWS / rows + again * s->layer_again / s->token_flops + (c->o.lean ? LEAN_COST : 0);
    const int logits = c->o.logit_rows ? c->o.logit_rows : 256;
    cost += LOGITS_COST * choice_targets(s, c->micro) / logits * s->output_flops / s->token_flops;
    if (c->o.logit_parts) cost += s->target_share * s->output_flops / s->token_flops;
    if (c->file < s->file) { /* up and down each step; reading hides behind computing */
        double reads = 2.0 * (double)(s->file - c->file) / DISK_BYTES_A_SECOND, computes = cost * rows * s->token_flops / (FLOPS_A_THREAD * s->threads);
        cost *= reads > computes ? reads / computes : 1.02;
    }
    return cost;
}

/* The least recomputation with which the choice fits; 0: none does. */
static int fit_recompute(const struct search *s, struct choice *c, size_t room) {
    int lo = 0, hi = s->n_trained;
    c->o.recompute = 0;
    if ((c->tape = tape_bytes(s, c)) <= room)
        return 1;
    c->o.recompute = hi;
    if ((c->tape = tape_bytes(s, c)) > room)
        return 0;
    while (hi - lo > 1) {
        c->o.recompute = (lo + hi) / 2;
        if (tape_bytes(s, c) <= room) hi = c->o.recompute;
        else lo = c->o.recompute;
    }
    c->o.recompute = hi;
    c->tape = tape_bytes(s, c);
    return 1;
}

/* stream: the weights may come from the disk in part. Returns whether something fits; *least: the smallest sum that was seen. */
static int search_best(const struct search *s, const struct train_opts *o, int micro0, int stream, struct choice *best, size_t *least) {
    const int can_lean = layer_can_redo(&s->m->hp);
    int found = 0;
    for (int micro = micro0;; micro = micro / 2 / 16 * 16) {
        if (micro < micro0 && (micro < MICRO_LEAST || micro < (int)s->longest))
            break;
        for (size_t l = 0; l < ARRAY_LEN(LOGITS); l++)
            for (int lean = 0; lean <= can_lean; lean++) {
                if (LOGITS[l].parts && s->m->hp.n_vocab <= VOCAB_PART) continue;
                struct choice c = { .micro = micro, .file = s->file,
                                    .o = { .lean = lean, .logit_rows = LOGITS[l].rows, .logit_parts = LOGITS[l].parts, .keep_states = s->keep_states,
                                           .spans = tape_span_count(s->ad) } };
                const size_t file = stream ? s->file_least : s->file, taken = s->fixed + file;
                int fits = 0;
                if (o->recompute == RECOMPUTE_ON || stream) {
                    c.o.recompute = o->recompute == RECOMPUTE_OFF ? 0 : s->n_trained;
                    c.tape = tape_bytes(s, &c);
                    fits = taken <= s->budget && c.tape <= s->budget - taken;
                } else if (o->recompute == RECOMPUTE_OFF) {
                    c.tape = tape_bytes(s, &c);
                    fits = taken <= s->budget && c.tape <= s->budget - taken;
                } else {
                    fits = taken <= s->budget && fit_recompute(s, &c, s->budget - taken);
                    if (!fits) c.o.recompute = s->n_trained, c.tape = tape_bytes(s, &c);
                }
                if (taken + c.tape < *least)
                    *least = taken + c.tape;
                if (!fits)
                    continue;
                if (stream && s->budget - s->fixed - c.tape < s->file) c.file = s->budget - s->fixed - c.tape;
                c.cost = choice_cost(s, &c);
                if (!found || c.cost < best->cost)
                    *best = c;
                found = 1;
            }
    }
    return found;
}

/* ---- the plan ---- */

/* "; 1234 (ilab serve …) holds 5.2 GB" for those that hold much. */
static void add_holders(struct sb *b, const struct model *m, size_t at_least) {
    struct mem_holder h[MAX_HOLDERS];
    char bytes[32];
    const int n = mem_holders(m->path, at_least, h, MAX_HOLDERS);
    for (int i = 0; i < n; i++) {
        format_bytes(bytes, sizeof bytes, (double)h[i].own_bytes);
        sb_addf(b, "%s '%s' (process %d) holds %s%s", i ? "," : ";", h[i].name, h[i].pid, bytes, h[i].maps_file ? " and uses the same model" : "");
    }
}

static int refuse(const struct search *s, size_t least, int by_user, ilab_err *e) {
    char need[32], have[32];
    struct sb b;
    sb_init(&b, 4096);
    format_bytes(need, sizeof need, (double)least);
    format_bytes(have, sizeof have, (double)s->budget);
    if (!by_user) add_holders(&b, s->m, least / 8);
    const int rc = err_set(e, ILAB_E_LIMIT, "training needs at least %s of memory, %s are %s%s; %s, take a smaller model, %s or shorter samples (--max-seq-len)",
                           need, have, by_user ? "allowed" : "free", b.n ? b.p : "", by_user ? "allow more (--memory)" : "end other programs",
                           s->ad ? "a lower rank" : "an adapter (--pipeline lora)");
    sb_release(&b);
    return rc;
}

static void choose_states(struct train_plan *p, const struct search *s, const struct train_opts *o, size_t bytes) {
    p->states_bytes = bytes;
    p->states = STATES_OFF;
    if (!s->keep_states)
        return;
    if ((o->states == STATES_AUTO || o->states == STATES_RAM) && (o->states == STATES_RAM || p->total + bytes <= s->budget))
        p->states = STATES_RAM;
    else if (o->states == STATES_DISK || (o->out_dir && bytes < disk_free(o->out_dir) / STATES_DISK_SHARE))
        p->states = STATES_DISK;
}

int plan_make(struct train_plan *p, struct gemm_ctx *g, const struct model *m, const struct adapter *ad, const struct dataset *d,
              const struct dataset *val, const struct train_opts *o, ilab_err *e) {
    struct data_shape shape, val_shape = { 0 };
    *p = (struct train_plan){ 0 };
    int rc = data_shape(d, m->hp.n_vocab, &shape, e);
    if (!rc && val && val->n)
        rc = data_shape(val, m->hp.n_vocab, &val_shape, e);
    struct param *param = NULL;
    int n_weight = 0;
    if (!rc)
        rc = tape_param_shapes(m, ad, &param, &n_weight, e);
    if (rc)
        return rc;
    const size_t moments = optim_bytes(param, n_weight, &o->optim);
    mem_free(param);
    const int longest = shape.max_row > val_shape.max_row ? shape.max_row : val_shape.max_row;
    rc = share_choose(&p->share, d, o, o->batch_tokens > longest ? o->batch_tokens : longest, longest, e);
    if (rc)
        return rc;
    const size_t own_rows = p->share.most ? (size_t)p->share.most : shape.n_rows; /* that can be together */
    const size_t n_param = ad ? ad->n_params : m->n_params, samples = d->mem.used + d->cap * sizeof *d->v;
    size_t of_file, rss = mem_rss(m->gguf ? m->path : NULL, &of_file), known, least = SIZE_MAX, limit = o->memory_bytes ? o->memory_bytes : mem_limit();
    const struct attn_shape attn = layer_attn_shape(m, 0, QT_F32);
    struct pool *pool = gemm_pool(g);
    struct search s = { .m = m, .ad = ad, .n_rows = own_rows > val_shape.n_rows ? own_rows : val_shape.n_rows,
                        .n_target = shape.n_target > val_shape.n_target ? shape.n_target : val_shape.n_target, .threads = pool ? pool_threads(pool) : 1 };
    p->longest = longest;
    s.longest = (size_t)p->share.unit;
    p->lowest = adapter_lowest_layer(ad);
    p->batch = o->batch_tokens > p->longest ? o->batch_tokens : p->longest;
    const int micro0 = o->micro_tokens > p->share.unit ? o->micro_tokens : p->share.unit;
    s.n_trained = m->hp.n_layer - p->lowest;
    s.keep_states = ad && p->lowest > 0 && o->epochs > 1 && o->states != STATES_OFF;
    s.q8 = ad && (!o->precision || strcmp(o->precision, "exact")) && any_quantised(m) ? g : NULL;
    s.widest = m->hp.n_ff > m->hp.n_embd ? m->hp.n_ff : m->hp.n_embd;
    s.file = m->params ? of_file : file_bytes(m, d, val);
    s.file_least = m->gguf && !m->params ? (size_t)pager_least(m->gguf, m->hp.n_layer) : s.file;
    s.token_flops = run_flops(m, ad, 1, p->longest / 2.0, 1);
    s.layer_again = work_layer_again(m);
    s.output_flops = 2.0 * m->hp.n_embd * m->hp.n_vocab;
    s.target_share = s.n_target < s.n_rows ? (double)s.n_target / (double)s.n_rows : 1;
    plan_add(p, ad ? "adapter" : "weights (F32)", n_param * sizeof(float));
    plan_add(p, "samples", samples);
    known = p->total;
    rss = rss > of_file ? rss - of_file : 0;
    plan_add(p, "program, vocabulary", rss > known ? rss - known : 0);
    plan_add(p, o->optim.storage == OPTIM_BF16 ? "optimiser (BF16)" : "optimiser", moments);
    plan_add(p, "products' and attention's scratch", (size_t)s.threads * attn_backward_floats(&attn, p->longest) * sizeof(float));
    plan_add(p, "buffer of a checkpoint", CHECKPOINT_BUFFER);
    s.fixed = p->total;
    const size_t free_now = (size_t)((double)mem_available() * AUTO_SHARE) + mem_rss(NULL, NULL);
    const int by_user = limit && limit < free_now;
    p->budget = s.budget = by_user ? limit : free_now;
    struct choice c;
    if (!search_best(&s, o, micro0, 0, &c, &least)) {
        if (s.file_least >= s.file || !search_best(&s, o, micro0, 1, &c, &least))
            return refuse(&s, least, by_user, e);
    }
    p->micro = c.micro;
    p->max_row = choice_rows(&s, c.micro);
    p->max_target = choice_targets(&s, c.micro);
    p->tape = c.o;
    p->file_bytes = s.file;
    p->file_budget = c.file < s.file ? c.file : 0;
    p->cost = c.cost;
    plan_add(p, p->file_budget ? "weights in memory; the others stream" : "weights, the mapped file", c.file);
    struct plan_row row[16];
    const int n = tape_plan_with(m, ad, p->max_row, p->max_target, &p->tape, row, ARRAY_LEN(row));
    for (int i = 0; i < n; i++)
        plan_add(p, row[i].what, row[i].bytes);
    p->pass_bytes = c.tape - product_bytes(&s, p->micro) + moments;
    plan_add(p, s.q8 ? "rows rounded to 8 bits" : "one side of a product, packed", product_bytes(&s, p->micro));
    choose_states(p, &s, o, (shape.n_rows + val_shape.n_rows) * (size_t)m->hp.n_embd * sizeof(float));
    if (p->states == STATES_RAM)
        plan_add(p, "hidden states below the adapter", p->states_bytes);
    return 0;
}

int plan_open(struct train_plan *p, const struct model *m, ilab_err *e) {
    return p->file_budget ? pager_new(&p->tape.pager, m->gguf, m->hp.n_layer, (double)p->file_budget, e) : 0;
}

void plan_close(struct train_plan *p) {
    pager_free(p->tape.pager);
    p->tape.pager = NULL;
}

size_t plan_pass_bytes(const struct train_plan *p) { return p->pass_bytes; }

void plan_describe(const struct train_plan *p, struct sb *b) {
    sb_addf(b, "%d tokens at a time", p->micro);
    if (p->tape.recompute > 1) sb_addf(b, ", %d layers are computed twice", p->tape.recompute - 1);
    if (p->tape.lean) sb_addc(b, ", norms and activations are made again");
    if (p->tape.logit_rows) sb_addf(b, ", logits of %d tokens at a time", p->tape.logit_rows);
    if (p->tape.logit_parts) sb_addf(b, ", the vocabulary in parts of %d", VOCAB_PART);
    if (p->share.mode || p->share.asked) {
        sb_addc(b, ", ");
        share_describe(&p->share, b);
    }
    if (p->states != STATES_OFF) sb_addf(b, ", hidden states below layer %d are kept %s", p->lowest, p->states == STATES_RAM ? "in memory" : "on the disk");
    if (p->file_budget) sb_addc(b, ", weights are read from the disk layer by layer");
}

void plan_warn(const struct train_plan *p, const struct model *m) {
    char need[32], have[32];
    const size_t free_bytes = mem_available() + mem_rss(NULL, NULL);
    if (p->total <= free_bytes) return;
    struct sb b;
    sb_init(&b, 4096);
    add_holders(&b, m, p->total / 8);
    format_bytes(need, sizeof need, (double)p->total);
    format_bytes(have, sizeof have, (double)free_bytes);
    log_warn("training will hold %s, only %s are free%s: the system may become slow or end a program", need, have, b.n ? b.p : "");
    sb_release(&b);
}
