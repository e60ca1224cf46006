/* attention.c — attention over pages of keys and values, fused over blocks of positions.
 *
 * A task takes one KV head, a block of consecutive rows (their query heads are its rows) and some blocks of ATTN_BLOCK
 * positions. A block of positions gives every row three things: the maximum of its scores, Σ exp(score - maximum) and the same
 * sum weighted with the values. Blocks begin at multiples of ATTN_BLOCK whatever the rows are, and are merged in ascending
 * order; so neither the rows that are computed together nor the threads change a bit, and nothing of the length of the
 * sequence is ever in memory (after Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018, and Dao et al.,
 * "FlashAttention", 2022, with a fixed order of merging).
 *
 * When there are few rows and long sequences (generation), the blocks of one row are spread over threads: each block's result
 * goes to memory, and a second pass merges them in the very order that one task alone would have taken.
 *
 * Sequences that begin with the same pages (a shared prompt) and have one row each: the rows' results of the whole blocks that
 * they share are computed together, so that these pages are read once, and merged first.
 *
 * Pages of a narrow type are expanded to F32 once a block when many rows use them, and read as they are by few rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

enum {
    TASK_ROWS = 96,               /* rows of one task, about */
    TASK_MAX_POS = 64,            /* positions whose rows make one task, at most */
    TASK_MAX_POS_F32 = 24,        /* the same where nothing has to be expanded: less is computed above the diagonal */
    SPLIT_TASKS = 8,              /* tasks a thread, about, that the blocks of long sequences are split into */
    SPLIT_MIN = 2,                /* blocks of a task, at least, when they are split */
    SPLIT_MAX_FLOATS = 1 << 24,   /* partial results, at most */
    NO_SPLIT = 1 << 28,           /* blocks of a task: more than there are */
    SHARE_MAX_ITEMS = 256,        /* items of one call that are looked at for common pages */
    SERIAL_WORK = 50000
};

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

/* Items [item0, item0 + n_item) of one row each whose first n_block blocks are the same pages. */
struct shared { int item0, n_item, n_block; size_t partial; };
struct sharing { struct shared group[SHARE_MAX_ITEMS / 2]; int n_group; int16_t of[SHARE_MAX_ITEMS]; /* group of an item, -1: none */ };

enum pass { PASS_SHARED, PASS_BLOCKS, PASS_MERGE };
struct forward_job {
    struct gemm_ctx *g;
    const struct attn_kern *k;
    const struct attn_shape *s;
    const struct attn_item *item;
    int n_item, task_pos, chunk;  /* positions, blocks of one task */
    enum pass pass;
    const struct sharing *sharing;
    size_t n_shared;              /* floats of partial results of shared blocks, in front of the others */
    const float *q; int64_t q_row;
    float *out; int64_t o_row;
};

/* What a task is about. */
struct place {
    const struct attn_item *it;
    int head, first, n_pos, n_row;/* KV head; first row of the item; their number; times the heads of the group */
    int block0, block1;           /* blocks of this task */
    int from_block, to_block;     /* all blocks that the rows see */
    int split;
    size_t partial;               /* floats into g->partial where the results of from_block stand */
    int full;                     /* all rows see the whole of these blocks */
    const struct shared *shared;  /* blocks that were computed with other items, or NULL */
};

/* Scratch of one thread. */
struct work { float *strip, *p, *part, *acc, *page; struct attn_sum *sum; };

static int group_of(const struct attn_shape *s) { return s->n_head / s->n_kv_head; }
static int task_positions(const struct attn_shape *s)
{
    return max_int(1, min_int(TASK_ROWS / group_of(s), s->kv_type == QT_F32 ? TASK_MAX_POS_F32 : TASK_MAX_POS));
}

/* Carves scratch for n_row rows out of p; NULL: only its size in floats is wanted. */
static size_t carve(struct work *w, float *p, const struct attn_shape *s, int tile, int n_row)
{
    const size_t d = (size_t)s->head_dim, dp = (size_t)attn_padded(s->head_dim), rows = (size_t)n_row;
    const size_t size[] = { (rows + (size_t)tile - 1) / (size_t)tile * d * ATTN_STRIP, rows * ATTN_P_ROW, rows * dp, rows * dp,
                            ATTN_BLOCK * dp, rows * 2 };
    float **to[] = { &w->strip, &w->p, &w->part, &w->acc, &w->page };
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(size); i++) {
        if (p && i < ARRAY_LEN(to))
            *to[i] = p + at;
        else if (p)
            w->sum = (struct attn_sum *)(void *)(p + at);
        at += (size[i] + 15) / 16 * 16;
    }
    return at;
}

/* ---- one block of positions ---- */

struct range { int from, to; };
/* Positions of [lo, hi) that row r of the task sees. */
static struct range seen(const struct forward_job *f, const struct place *p, int r, int lo, int hi)
{
    int pos = p->it->pos0 + p->first + r, end = p->it->pos0 + p->it->n_row;
    if (p->full)
        return (struct range){ lo, hi };
    return (struct range){ max_int(lo, attn_from(f->s, pos)), min_int(hi, attn_to(f->s, pos, end)) };
}

/* P·V of one block. The positions that all rows see are taken at once; the pages before and behind them row by row where a row
 * sees only a part, and together where rows see the same. So each row's chain runs over just its positions. */
static void block_values(const struct forward_job *f, const struct place *p, const struct work *w, const struct attn_view *v, int shift,
                         struct range all)
{
    const int base = all.from / ATTN_BLOCK * ATTN_BLOCK;
    struct range first = seen(f, p, 0, all.from, all.to), last = seen(f, p, p->n_pos - 1, all.from, all.to);
    int common0 = (last.from + KERN_PANEL - 1) / KERN_PANEL * KERN_PANEL, common1 = first.to / KERN_PANEL * KERN_PANEL;
    if (last.from == all.from)
        common0 = all.from;
    if (first.to == all.to)
        common1 = all.to;
    for (int at = all.from, to; at < all.to; at = to) {
        to = at == common0 && common0 < common1 ? common1 : min_int(all.to, (at / KERN_PANEL + 1) * KERN_PANEL);
        for (int r = 0, end; r < p->n_pos; r = end) {
            struct range x = seen(f, p, r, at, to);
            for (end = r + 1; end < p->n_pos; end++) {
                struct range y = seen(f, p, end, at, to);
                if (x.from != y.from || x.to != y.to)
                    break;
            }
            if (x.from < x.to) {
                const int g = group_of(f->s);
                f->k->values(w->part + (int64_t)r * g * attn_padded(f->s->head_dim), w->p + (int64_t)r * g * ATTN_P_ROW + x.from - base,
                             (end - r) * g, v, x.from - shift, x.to - shift);
            }
        }
    }
}

/* Scores, exponentials and values of block b; the rows' results in w->part and sum. */
static void block_run(const struct forward_job *f, const struct place *p, const struct work *w, int b, struct attn_sum *sum)
{
    const struct attn_shape *s = f->s;
    const int dp = attn_padded(s->head_dim), g = group_of(s), base = b * ATTN_BLOCK;
    struct attn_view v = attn_view_of(s, &p->it->seq, p->head);
    struct range all = { seen(f, p, 0, base, base + ATTN_BLOCK).from, seen(f, p, p->n_pos - 1, base, base + ATTN_BLOCK).to };
    const int page0 = all.from / KERN_PANEL, n_page = (all.to + KERN_PANEL - 1) / KERN_PANEL - page0;
    const int expand = v.type != ATTN_F32 && p->n_row > f->k->direct;
    void *page[ATTN_BLOCK / KERN_PANEL];
    struct attn_view e = { page, 0, 0, ATTN_F32, s->head_dim };
    for (int i = 0; expand && i < n_page; i++) {
        page[i] = w->page + (int64_t)i * KERN_PANEL * dp;
        f->k->expand_keys(page[i], &v, page0 + i);
    }
    f->k->scores(w->p + page0 * KERN_PANEL - base, w->strip, p->n_row, expand ? &e : &v, expand ? 0 : page0, n_page);
    for (int r = 0; r < p->n_row; r++) {
        struct range x = seen(f, p, r / g, all.from, all.to);
        sum[r] = x.from < x.to ? f->k->softmax(w->p + (int64_t)r * ATTN_P_ROW + x.from - base, x.to - x.from, s->softcap) : (struct attn_sum){ 0, 0 };
    }
    for (int i = 0; expand && i < n_page; i++)
        f->k->expand_values(page[i], &v, page0 + i);
    memset(w->part, 0, (size_t)p->n_row * (size_t)dp * sizeof *w->part);
    block_values(f, p, w, expand ? &e : &v, expand ? page0 * KERN_PANEL : 0, all);
}

/* ---- tasks ---- */

static const struct shared *shared_of(const struct forward_job *f, const struct attn_item *it)
{
    int i = f->sharing ? f->sharing->of[it - f->item] : -1;
    return i < 0 ? NULL : &f->sharing->group[i];
}

static void locate_blocks(const struct forward_job *f, const struct attn_item *it, int first, int n_pos, int *from, int *to)
{
    int pos = it->pos0 + first;
    *from = attn_from(f->s, pos) / ATTN_BLOCK;
    *to = ceil_div(attn_to(f->s, pos + n_pos - 1, it->pos0 + it->n_row), ATTN_BLOCK);
    const struct shared *s = shared_of(f, it);
    if (s)
        *from = s->n_block; /* at least the row's own block is left */
}

static size_t partial_floats(const struct forward_job *f, int n_row) { return (size_t)n_row * (size_t)(attn_padded(f->s->head_dim) + 2); }

/* The i-th task of the pass; with i beyond them all: the floats of partial results. Items of few blocks are skipped as a whole. */
static size_t locate(const struct forward_job *f, int i, struct place *p)
{
    const int heads = f->s->n_kv_head, g = group_of(f->s);
    size_t partial = f->n_shared;
    for (const struct attn_item *it = f->item; it < f->item + f->n_item; it++) {
        int from, to, n = ceil_div(it->n_row, f->task_pos) * heads;
        locate_blocks(f, it, 0, it->n_row, &from, &to);
        if (to - from <= f->chunk) { /* one task takes all blocks */
            if (f->pass == PASS_MERGE)
                continue;
            if (i >= n) {
                i -= n;
                continue;
            }
            int first = i / heads * f->task_pos, n_pos = min_int(it->n_row - first, f->task_pos);
            locate_blocks(f, it, first, n_pos, &from, &to);
            *p = (struct place){ it, i % heads, first, n_pos, n_pos * g, from, to, from, to, 0, 0, 0, shared_of(f, it) };
            return 0;
        }
        for (int first = 0; first < it->n_row; first += f->task_pos) {
            int n_pos = min_int(it->n_row - first, f->task_pos), n_row = n_pos * g;
            locate_blocks(f, it, first, n_pos, &from, &to);
            int n_chunk = ceil_div(to - from, f->chunk), split = n_chunk > 1;
            n = f->pass == PASS_BLOCKS ? n_chunk * heads : split ? heads : 0;
            if (i < n) {
                int head = i % heads, merge = f->pass == PASS_MERGE, block0 = merge ? from : from + i / heads * f->chunk;
                *p = (struct place){ it, head, first, n_pos, n_row, block0, merge ? to : min_int(to, block0 + f->chunk), from, to, split,
                                     partial + (size_t)head * (size_t)(to - from) * partial_floats(f, n_row), 0, shared_of(f, it) };
                return 0;
            }
            i -= n;
            if (split)
                partial += (size_t)heads * (size_t)(to - from) * partial_floats(f, n_row);
        }
    }
    return partial;
}

/* The same for the blocks that items share; all groups of a call have tasks of chunk blocks. */
static void locate_shared(const struct forward_job *f, int i, struct place *p)
{
    const int heads = f->s->n_kv_head, g = group_of(f->s);
    for (const struct shared *s = f->sharing->group;; s++) {
        int n = ceil_div(s->n_block, f->chunk) * heads, head = i % heads, block0 = i / heads * f->chunk, n_row = s->n_item * g;
        if (i < n) {
            *p = (struct place){ &f->item[s->item0], head, 0, s->n_item, n_row, block0, min_int(s->n_block, block0 + f->chunk), 0, s->n_block, 1,
                                 s->partial + (size_t)head * (size_t)s->n_block * partial_floats(f, n_row), 1, NULL };
            return;
        }
        i -= n;
    }
}

static int count_tasks(const struct forward_job *f)
{
    const int heads = f->s->n_kv_head;
    int n_task = 0;
    for (int i = 0; f->pass == PASS_SHARED && i < f->sharing->n_group; i++)
        n_task += ceil_div(f->sharing->group[i].n_block, f->chunk) * heads;
    if (f->pass == PASS_SHARED)
        return n_task;
    for (const struct attn_item *it = f->item; it < f->item + f->n_item; it++)
        for (int first = 0, from, to; first < it->n_row; first += f->task_pos) {
            locate_blocks(f, it, first, min_int(it->n_row - first, f->task_pos), &from, &to);
            int n_chunk = ceil_div(to - from, f->chunk);
            n_task += f->pass == PASS_MERGE ? (n_chunk > 1 ? heads : 0) : n_chunk * heads;
        }
    return n_task;
}

/* Rows of q, scaled, as strips. */
static void load_rows(const struct forward_job *f, const struct place *p, const struct work *w)
{
    const struct kern *k = f->g->k;
    const int d = f->s->head_dim, width = group_of(f->s) * d, tile = f->k->tile;
    float *rows = w->part;
    for (int r = 0; r < p->n_pos; r++)
        memcpy(rows + r * width, f->q + (p->it->row0 + p->first + r) * f->q_row + p->head * width, (size_t)width * sizeof *rows);
    k->scale(rows, attn_scale(f->s), (int64_t)p->n_row * d);
    for (int m = 0; m < p->n_row; m += tile)
        k->pack_nt(w->strip + (int64_t)(m / tile) * d * ATTN_STRIP, rows + (int64_t)m * d, d, min_int(tile, p->n_row - m), d);
}

static void store_rows(const struct forward_job *f, const struct place *p, const struct work *w)
{
    const int d = f->s->head_dim, g = group_of(f->s), dp = attn_padded(d);
    for (int r = 0; r < p->n_row; r++) {
        float *to = f->out + (p->it->row0 + p->first + r / g) * f->o_row + (p->head * g + r % g) * d, sum = w->sum[r].sum;
        memcpy(to, w->acc + (int64_t)r * dp, (size_t)d * sizeof *to);
        f->g->k->scale(to, sum == 0 ? 0.0f : 1.0f / sum, d);
    }
}

static void merge_rows(const struct forward_job *f, const struct place *p, const struct work *w, const float *part, const struct attn_sum *sum)
{
    const int dp = attn_padded(f->s->head_dim);
    for (int r = 0; r < p->n_row; r++)
        f->k->merge(w->acc + (int64_t)r * dp, &w->sum[r], part + (int64_t)r * dp, sum[r], dp);
}

static void clear_rows(const struct forward_job *f, const struct place *p, const struct work *w)
{
    memset(w->acc, 0, (size_t)p->n_row * (size_t)attn_padded(f->s->head_dim) * sizeof *w->acc);
    memset(w->sum, 0, (size_t)p->n_row * sizeof *w->sum);
}

/* Results of the blocks that the item shares with others. */
static void merge_shared(const struct forward_job *f, const struct place *p, const struct work *w)
{
    const int g = group_of(f->s), dp = attn_padded(f->s->head_dim), n_row = p->shared->n_item * g;
    const int row = (int)(p->it - f->item - p->shared->item0) * g;
    const float *at = f->g->partial + p->shared->partial + (size_t)p->head * (size_t)p->shared->n_block * partial_floats(f, n_row);
    for (int b = 0; b < p->shared->n_block; b++, at += partial_floats(f, n_row))
        merge_rows(f, p, w, at + 2 * n_row + row * dp, (const struct attn_sum *)(const void *)at + row);
}

static void forward_task(void *ud, int i_task, int i_thread)
{
    const struct forward_job *f = ud;
    struct place p;
    struct work w;
    struct attn_sum *sum;
    if (f->pass == PASS_SHARED)
        locate_shared(f, i_task, &p);
    else
        locate(f, i_task, &p);
    const int final = f->pass == PASS_MERGE || !p.split; /* the rows' results are complete after this task */
    size_t used = carve(&w, f->g->thread[i_thread].attn, f->s, f->k->tile, p.n_row), each = partial_floats(f, p.n_row);
    sum = (struct attn_sum *)(void *)(f->g->thread[i_thread].attn + used);
    if (f->pass != PASS_MERGE)
        load_rows(f, &p, &w);
    clear_rows(f, &p, &w);
    if (final && p.shared)
        merge_shared(f, &p, &w);
    for (int b = p.block0; b < p.block1; b++) {
        float *at = p.split ? f->g->partial + p.partial + (size_t)(b - p.from_block) * each : NULL;
        if (f->pass == PASS_MERGE) {
            merge_rows(f, &p, &w, at + 2 * p.n_row, (const struct attn_sum *)(const void *)at);
            continue;
        }
        if (p.split) {
            sum = (struct attn_sum *)(void *)at;
            w.part = at + 2 * p.n_row;
        }
        block_run(f, &p, &w, b, sum);
        if (!p.split)
            merge_rows(f, &p, &w, w.part, sum);
    }
    if (final)
        store_rows(f, &p, &w);
}

/* ---- driver ---- */

static size_t thread_floats(const struct gemm_ctx *g, const struct attn_shape *s)
{
    struct work w;
    size_t rows = (size_t)(task_positions(s) * group_of(s));
    return carve(&w, NULL, s, attn_kern_of(g->k)->tile, (int)rows) + 2 * rows + 16;
}

int attn_reserve(struct gemm_ctx *g, const struct attn_shape *s, int max_pos, int backward)
{
    int rc = gemm_scratch_grow(g, thread_floats(g, s));
    return rc || !backward ? rc : gemm_scratch_grow(g, attn_backward_floats(s, max_pos));
}

int gemm_failed(struct gemm_ctx *g)
{
    int failed = g->failed;
    g->failed = 0;
    return failed;
}

/* Blocks of a task: all, unless threads would wait for long sequences. */
static int chunk_blocks(const struct forward_job *f)
{
    double work = 0;
    if (f->g->n_thread == 1)
        return NO_SPLIT;
    for (int i = 0; f->pass == PASS_SHARED && i < f->sharing->n_group; i++)
        work += f->sharing->group[i].n_block;
    for (const struct attn_item *it = f->item; f->pass == PASS_BLOCKS && it < f->item + f->n_item; it++) {
        int from, to;
        locate_blocks(f, it, 0, it->n_row, &from, &to);
        work += (double)ceil_div(it->n_row, f->task_pos) * (to - from);
    }
    work = work * f->s->n_kv_head / (SPLIT_TASKS * f->g->n_thread);
    return work < SPLIT_MIN ? SPLIT_MIN : work > NO_SPLIT ? NO_SPLIT : (int)work;
}

/* 1: there is room for n floats of partial results. */
static int partial_reserve(struct gemm_ctx *g, size_t n)
{
    if (n > g->n_partial && n <= SPLIT_MAX_FLOATS) {
        mem_free(g->partial);
        g->partial = mem_aligned(n * sizeof(float));
        g->n_partial = g->partial ? n : 0;
    }
    return n <= g->n_partial;
}

/* Whole blocks at the beginning of two items that are the same pages and that both rows see. */
static int common_blocks(const struct attn_item *a, const struct attn_item *b)
{
    int n = min_int(a->pos0, b->pos0) / ATTN_BLOCK, i = 0;
    while (i < n * (ATTN_BLOCK / KERN_PANEL) && a->seq.page[i] == b->seq.page[i])
        i++;
    return i / (ATTN_BLOCK / KERN_PANEL);
}

/* Groups of neighbouring items that begin alike; 0: there are none. */
static int find_shared(struct forward_job *f, struct sharing *sh)
{
    const struct attn_item *it = f->item;
    sh->n_group = 0;
    f->n_shared = 0;
    if (f->n_item < 2 || f->n_item > SHARE_MAX_ITEMS || f->s->window > 0 || f->s->bidirectional)
        return 0;
    for (int i = 0, end; i < f->n_item; i = end) {
        int n_block = 0;
        sh->of[i] = -1;
        for (end = i + 1; it[i].n_row == 1 && end < f->n_item && end - i < f->task_pos; end++) {
            if (it[end].n_row != 1 || it[end].row0 != it[end - 1].row0 + 1)
                break;
            int n = common_blocks(&it[i], &it[end]);
            if (n == 0 || (n_block > 0 && n < n_block / 2)) /* a short common beginning is not worth giving up a long one */
                break;
            n_block = n_block == 0 ? n : min_int(n, n_block);
        }
        if (n_block == 0)
            continue;
        for (int j = i; j < end; j++)
            sh->of[j] = (int16_t)sh->n_group;
        sh->group[sh->n_group++] = (struct shared){ i, end - i, n_block, f->n_shared };
        f->n_shared += (size_t)n_block * (size_t)f->s->n_kv_head * partial_floats(f, (end - i) * group_of(f->s));
    }
    return sh->n_group > 0;
}

/* Decides what is computed in parts, and makes room for it; where there is none, nothing is, which changes no bit. Returns the chunk
 * of PASS_BLOCKS. */
static int plan_parts(struct forward_job *f, struct sharing *sh)
{
    struct place unused;
    f->pass = PASS_BLOCKS;
    f->sharing = find_shared(f, sh) ? sh : NULL;
    f->chunk = chunk_blocks(f);
    if (partial_reserve(f->g, locate(f, INT32_MAX, &unused)))
        return f->chunk;
    if (!partial_reserve(f->g, f->n_shared)) {
        f->sharing = NULL;
        f->n_shared = 0;
    }
    return NO_SPLIT;
}

void attn_forward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                        const float *q, int64_t q_row, float *out, int64_t o_row)
{
    struct forward_job f = { .g = g, .k = attn_kern_of(g->k), .s = s, .item = it, .n_item = n_item, .task_pos = task_positions(s),
                             .chunk = NO_SPLIT, .q = q, .q_row = q_row, .out = out, .o_row = o_row };
    struct sharing sharing;
    double work = 0;
    for (int i = 0; i < n_item; i++)
        work += (double)it[i].n_row * (it[i].pos0 + it[i].n_row) * s->n_head * s->head_dim;
    if (gemm_scratch_grow(g, thread_floats(g, s))) {
        g->failed = 1;
        for (int i = 0; i < n_item; i++)
            for (int r = it[i].row0; r < it[i].row0 + it[i].n_row; r++)
                memset(out + r * o_row, 0, (size_t)(s->n_head * s->head_dim) * sizeof *out);
        return;
    }
    const int small = work < SERIAL_WORK, chunk = small ? NO_SPLIT : plan_parts(&f, &sharing);
    if (f.sharing) {
        f.pass = PASS_SHARED;
        f.chunk = chunk_blocks(&f);
        gemm_tasks(g, forward_task, &f, count_tasks(&f), 0);
    }
    f.pass = PASS_BLOCKS;
    f.chunk = chunk;
    gemm_tasks(g, forward_task, &f, count_tasks(&f), small);
    f.pass = PASS_MERGE;
    int n_merge = f.chunk < NO_SPLIT ? count_tasks(&f) : 0;
    if (n_merge)
        gemm_tasks(g, forward_task, &f, n_merge, 0);
}

void attn_forward(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_seq *seq, int n_row, int pos0,
                  const float *q, int64_t q_row, float *out, int64_t o_row)
{
    struct attn_item it = { *seq, 0, n_row, pos0 };
    attn_forward_batch(g, s, &it, 1, q, q_row, out, o_row);
}
