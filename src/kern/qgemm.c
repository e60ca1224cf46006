/* qgemm.c — groups of products that read weights from the file's layout, over the pool: rounding of A, cutting into units,
 * the walk.
 *
 * A unit is a few pairs of panels (32 rows of W each) times a block of rows of A. For every chunk of 256 columns a thread
 * unpacks a pair into two tiles that stay in its first-level cache and takes the rows of A past them. Units of all products
 * of a group form one list that is cut into one contiguous range a thread by cost; who is done with his range takes units
 * from the others'. With few rows of A the weights stream from memory once: the next pair is fetched while this one is
 * worked on. With many rows several pairs share a pass over a chunk of A, which stays in the second-level cache.
 * Weights that are floats (few rows of A only: gemm.c has the rest) are walked the same way, with the exact product.
 * No choice made here changes a bit of the result (qgemm_impl.h has the order).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "qgemm_impl.h"

#include <stdatomic.h>

enum {
    PAIR_COLS = QG_PAIR * KERN_PANEL,
    STREAM_ROWS = 16,             /* up to so many rows of A memory is the limit: pairs one by one, fetched far ahead */
    MOST_PAIRS = 4,               /* pairs of a unit otherwise */
    MOST_ROWS = 512, LEAST_ROWS = 96, /* rows of a unit: their chunk of A fits the second-level cache; unpacking is small beside them */
    UNITS_A_THREAD = 6,           /* a unit should not be more of a thread's work than this share */
    SERIAL_ROUND = 16384,         /* elements of A below which rounding them is no work for others */
    SERIAL_WORK = 100000,         /* multiply-adds below which a group is not */
    UNPACK_ROWS = 4,              /* unpacking costs as much as so many rows of A */
    EXACT_ROWS = 16,              /* up to so many rows of A products with floats run here */
    EXACT_K = 128,                /* … in blocks of k that stay in the first-level cache */
    BURST = 24,                   /* lines fetched at once, if possible */
    LARGE_PAIR = 280 << 10,       /* bytes: what is fetched ahead has to stay in the second-level cache */
    CHUNKS_AHEAD = 2,
    FEW_ROWS = 8,                 /* up to so many, tiles that are quick to unpack */
    NEARBY_ROWS = 9,              /* rows of A from which what was fetched a whole pair ago has left the first-level cache again */
    LINE = 64,
    N_FOLLOWER = 1024, FETCH_MEANWHILE = 128 << 10,
    FORM_32 = 0, FORM_256, FORM_WIDE, N_FORM /* how rows of A are rounded: to 8 bits per 32, per 256, to 14 bits per 32 */
};

struct work {                     /* one thread's */
    struct qtile tile[QG_PAIR];
    struct wtile wide[QG_PAIR];
    struct qrow rows[KERN_PANEL];
    uint8_t copy[KERN_PANEL * QG_CHUNK * 2]; /* a panel of fewer rows, filled up */
    float exact[QG_PAIR][EXACT_K * KERN_PANEL];
};
struct range { _Alignas(LINE) _Atomic int64_t next; int64_t end; };
struct part {                     /* a product of the group */
    const struct gemm *p;
    const struct qkind *kind;     /* NULL: weights are floats */
    int form;                     /* FORM_… */
    const uint8_t *act;           /* [chunk][n_a] rounded rows of act_bytes */
    int64_t act_bytes;
    int64_t n_pair, n_chunk, first_unit, n_unit;
    int64_t pairs, rows;          /* of a unit */
    int64_t n_row_block;
    int64_t pair_lines, chunk_lines; /* cache lines of a pair, and those that are fetched during a chunk */
    double cost;                  /* of a unit */
};
/* Which group followed upon which: the weights that a thread began with. Sure: so it was twice in a row. */
struct follower { const void *group; int sure; };
struct qgemm_scratch {
    struct follower *follower;    /* [N_FOLLOWER], and the threads' beginnings: */
    const uint8_t **begin;        /* [N_FOLLOWER][n_thread] */
    int64_t last;                 /* the group before this one, -1: none */
    struct work *work;            /* [n_thread] */
    struct range *range;          /* [n_thread] */
    void *act[N_FORM];            /* rounded rows of A in each form */
    size_t n_act[N_FORM];
    struct part *part;
    size_t n_part;
};
struct job {
    struct gemm_ctx *g;
    struct qgemm_scratch *s;
    int n_part;
    int64_t n_a;                  /* rows of A */
    const struct gemm *first;     /* for A's address */
    int form;                     /* while rounding */
    int64_t n_chunk, n_range, rows_a_task;
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

int gemm_q8_has(int type) { return type >= 0 && type < QT_COUNT && QKIND[type].decode; }

/* 16-bit floats as integers: blocks of 32, nothing to decode. */
static const struct qkind WIDE = { .family = QF_BLOCK, .chunk_bytes = QG_CHUNK * 2 };
static int is_wide(const struct gemm *p)
{
    return p->n_wide > 0 && p->act == GEMM_ACT_Q8 && p->form == GEMM_B_TENSOR && p->a_col == 1 && (p->t->type == QT_F16 || p->t->type == QT_BF16) &&
           p->n_k % QG_SUB == 0;
}
int64_t qgemm_exact_rows(const struct gemm *p) { return is_wide(p) ? max64(0, p->n_row - p->n_wide) : 0; }

static const struct qkind *kind_of(const struct gemm *p)
{
    if (is_wide(p))
        return &WIDE;
    return p->act == GEMM_ACT_Q8 && p->form == GEMM_B_TENSOR && gemm_q8_has(p->t->type) ? &QKIND[p->t->type] : NULL;
}
static int is_exact(const struct gemm *p)
{
    if (p->form != GEMM_B_TENSOR || p->n_row > EXACT_ROWS)
        return 0;
    return p->t->type == QT_F16 || p->t->type == QT_BF16 ||
           (p->t->type == QT_F32 && (uintptr_t)p->t->data % sizeof(float) == 0 && p->t->row_bytes % sizeof(float) == 0);
}

int qgemm_takes(const struct gemm *p)
{
    if (p->form != GEMM_B_TENSOR || p->a_col != 1 || p->n_k <= 0 || p->n_k % qtype_info(p->t->type)->elems)
        return 0;
    return !qgemm_exact_rows(p) && (kind_of(p) || is_exact(p));
}

/* ---- scratch ---- */
void qgemm_scratch_free(struct qgemm_scratch *s)
{
    if (!s)
        return;
    mem_free(s->work);
    mem_free(s->follower);
    mem_free(s->begin);
    mem_free(s->range);
    for (int i = 0; i < N_FORM; i++)
        mem_free(s->act[i]);
    mem_free(s->part);
    mem_free(s);
}

static struct qgemm_scratch *scratch_new(int n_thread)
{
    struct qgemm_scratch *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->work = mem_aligned((size_t)n_thread * sizeof *s->work);
    s->range = mem_aligned((size_t)n_thread * sizeof *s->range);
    s->follower = mem_calloc(N_FOLLOWER, sizeof *s->follower);
    s->begin = mem_calloc((size_t)N_FOLLOWER * (size_t)n_thread, sizeof *s->begin);
    s->last = -1;
    if (s->work && s->range && s->follower && s->begin)
        return s;
    qgemm_scratch_free(s);
    return NULL;
}

static const size_t FORM_BYTES[N_FORM] = { sizeof(struct qact), sizeof(struct qact), sizeof(struct wact) };
static void *act_reserve(struct qgemm_scratch *s, int form, int64_t n_chunk, int64_t n_a)
{
    size_t n, bytes;
    if (MUL_OVERFLOWS((size_t)n_chunk, (size_t)n_a, &n) || MUL_OVERFLOWS(n, FORM_BYTES[form], &bytes))
        return NULL;
    if (s->n_act[form] < n) {
        mem_free(s->act[form]);
        s->act[form] = mem_aligned(bytes);
        s->n_act[form] = s->act[form] ? n : 0;
    }
    return s->act[form];
}

struct qact *qgemm_act_reserve(struct gemm_ctx *g, int form, int64_t n_chunk, int64_t n_row)
{
    if (!g->q)
        g->q = scratch_new(g->n_thread);
    return g->q ? act_reserve(g->q, form, n_chunk, n_row) : NULL;
}

/* ---- rounding A ---- */
static void round_task(void *ud, int i_task, int i_thread)
{
    const struct job *j = ud;
    const struct gemm *p = j->first;
    int64_t r1 = min64((i_task + 1) * j->rows_a_task, j->n_a);
    (void)i_thread;
    for (int64_t r = i_task * j->rows_a_task; r < r1; r++)
        for (int64_t c = 0; c < j->n_chunk; c++) {
            const float *x = p->a + r * p->a_row + c * QG_CHUNK;
            const int n = (int)min64(QG_CHUNK, p->n_k - c * QG_CHUNK);
            const int64_t at = c * j->n_a + r;
            if (j->form == FORM_WIDE)
                j->g->k->q->round_wide((struct wact *)j->s->act[FORM_WIDE] + at, x, n);
            else
                j->g->k->q->quantize((struct qact *)j->s->act[j->form] + at, x, n, j->form == FORM_256);
        }
}

/* Rows of A that the products use. */
static int64_t rows_used(const struct gemm *p)
{
    int64_t n = p->row_index ? 0 : p->n_row;
    for (int64_t i = 0; p->row_index && i < p->n_row; i++)
        n = max64(n, (int64_t)p->row_index[i] + 1);
    return n;
}

static int round_rows(struct job *j)
{
    int wanted[N_FORM] = { 0 };
    for (int i = 0; i < j->n_part; i++)
        if (j->s->part[i].kind)
            wanted[j->s->part[i].form] = 1;
    for (int form = 0; form < N_FORM; form++) {
        if (!wanted[form])
            continue;
        if (!act_reserve(j->s, form, j->n_chunk, j->n_a))
            return ILAB_E_NOMEM;
        j->form = form;
        int here = j->n_a * j->first->n_k < SERIAL_ROUND || j->g->n_thread == 1;
        j->rows_a_task = here ? j->n_a : ceil_div(j->n_a, 4 * j->g->n_thread);
        gemm_tasks(j->g, round_task, j, (int)ceil_div(j->n_a, j->rows_a_task), here);
    }
    for (int i = 0; i < j->n_part; i++) {
        j->s->part[i].act = j->s->act[j->s->part[i].form];
        j->s->part[i].act_bytes = (int64_t)FORM_BYTES[j->s->part[i].form];
    }
    return ILAB_OK;
}

/* ---- one unit ---- */
static inline void fetch(const uint8_t *p, int64_t n)
{
    for (int64_t i = 0; i < n; i += LINE)
        __builtin_prefetch(p + i, 0, 3);
}
/* Memory that is fetched in a few bursts between the steps of the work: more misses at once than the core can keep would hold
 * up everything else (measured: one burst of 72 lines gives half the bandwidth of three of 24). n pieces, `step` bytes apart. */
struct ahead { const uint8_t *p; int64_t n, burst, step, bytes; int width; /* sub-blocks that are unpacked between bursts; 0: all */ };
static inline void fetch_burst(struct ahead *a)
{
    int64_t n = min64(a->n, a->burst);
    const uint8_t *p = a->p;
    a->n -= n;
    a->p += n * a->step;
    if (a->step == LINE) {
        for (; n >= 4; n -= 4, p += 4 * LINE) {
            __builtin_prefetch(p, 0, 3);
            __builtin_prefetch(p + LINE, 0, 3);
            __builtin_prefetch(p + 2 * LINE, 0, 3);
            __builtin_prefetch(p + 3 * LINE, 0, 3);
        }
        for (; n > 0; n--, p += LINE)
            __builtin_prefetch(p, 0, 3);
        return;
    }
    for (; n > 0; n--, p += a->step) { /* lines that begin inside: no line is in two pieces */
        uintptr_t line = ((uintptr_t)p + LINE - 1) / LINE * LINE;
        for (; line < (uintptr_t)p + (uintptr_t)a->bytes; line += LINE)
            __builtin_prefetch((const void *)line, 0, 3);
    }
}

static int few(const struct qgemm_ops *ops, const struct part *a) { return a->p->n_row <= FEW_ROWS && ops->unpack_few[a->p->t->type]; }

/* Rows col … col+n of W, one chunk, into tile i of the pair. */
static void unpack(const struct job *j, struct work *w, int i_tile, const struct part *a, int64_t col, int64_t chunk, int n_sub,
                   struct ahead *ahead)
{
    const struct tensor *b = a->p->t;
    const struct qgemm_ops *ops = j->g->k->q;
    int64_t row = (int64_t)b->row_bytes, n = min64(KERN_PANEL, a->p->n_col - col);
    const uint8_t *src = (const uint8_t *)b->data + col * row + chunk * a->kind->chunk_bytes;
    if (n < KERN_PANEL) {
        size_t bytes = (size_t)(qkind_super(a->kind) ? a->kind->chunk_bytes : a->kind->chunk_bytes / 8 * n_sub);
        memset(w->copy, 0, sizeof w->copy);
        for (int64_t i = 0; i < n; i++)
            memcpy(w->copy + i * a->kind->chunk_bytes, src + i * row, bytes);
        src = w->copy;
        row = a->kind->chunk_bytes;
    }
    fetch_burst(ahead);
    if (a->form == FORM_WIDE) {
        ops->unpack_wide(&w->wide[i_tile], src, row, n_sub, b->type == QT_BF16);
        return;
    }
    struct qtile *t = &w->tile[i_tile];
    void (*unpacker)(struct qtile *, const uint8_t *, int64_t, int, int) = few(ops, a) ? ops->unpack_few[b->type] : ops->unpack[b->type];
    if (unpacker) {
        int width = ahead->width ? ahead->width : n_sub;
        for (int s = 0; s < n_sub; s += width) {
            if (s > 0)
                fetch_burst(ahead);
            unpacker(t, src, row, s, s + width < n_sub ? s + width : n_sub);
        }
        return;
    }
    for (int i = 0; i < KERN_PANEL; i++)
        a->kind->decode(&w->rows[i], src + i * row, n_sub);
    ops->interleave(t, w->rows, a->kind);
}

/* A unit and the one that this thread will most likely take after it (NULL: none). */
struct step { const struct part *a, *next; int64_t unit, next_unit; };
static int streams(const struct part *a) { return a->p->n_row <= STREAM_ROWS; }

static int64_t chunk_bytes(const struct part *a) { return a->kind ? a->kind->chunk_bytes : EXACT_K * qtype_info(a->p->t->type)->bytes; }
static const uint8_t *pair_at(const struct part *a, int64_t pair) { return (const uint8_t *)a->p->t->data + pair * PAIR_COLS * (int64_t)a->p->t->row_bytes; }
static int64_t pair_rows(const struct part *a, int64_t pair) { return min64(PAIR_COLS, a->p->n_col - pair * PAIR_COLS); }

/* Lines of a pair of `next` for each whole chunk of `a`; a short last chunk gets what is left. */
static int64_t lines_a_chunk(const struct part *a, const struct part *next)
{
    int64_t unit = a->kind ? QG_CHUNK : EXACT_K;
    return a->p->n_k <= unit ? next->pair_lines : (next->pair_lines * unit + a->p->n_k - 1) / a->p->n_k;
}

/* What few rows of A fetch during a chunk: the same share of the next pair, as memory lies; pairs too large to stand in the
 * cache twice are fetched two chunks ahead, row by row. */
static struct ahead coming(const struct step *st, int64_t chunk)
{
    const struct part *a = st->a, *next = st->next;
    /* bursts: before unpacking each tile, or each half of it, or each of its blocks (types without super-blocks), and each product */
    static const int width[3] = { 0, 4, 1 };
    const int64_t n_tile = a->kind && a->p->n_row > QG_ROWS ? (a->p->n_row + QG_ROWS - 1) / QG_ROWS : 1;
    const int64_t n_point[3] = { n_tile + QG_PAIR, n_tile + QG_PAIR * 2, n_tile + QG_PAIR * 8 };
    const int finest = a->kind && !qkind_super(a->kind) ? 2 : 1;
    if (PAIR_COLS * (int64_t)a->p->t->row_bytes > LARGE_PAIR) {
        int64_t at = chunk + CHUNKS_AHEAD, unit = st->unit;
        if (at >= a->n_chunk) {
            at -= a->n_chunk;
            unit = st->next_unit;
            a = next;
        }
        if (!a || !streams(a) || at >= a->n_chunk)
            return (struct ahead){ 0 };
        int64_t row = (int64_t)a->p->t->row_bytes;
        return (struct ahead){ pair_at(a, unit) + at * chunk_bytes(a), pair_rows(a, unit), PAIR_COLS / n_point[1] + 1, row,
                               min64(chunk_bytes(a), row - at * chunk_bytes(a)), width[1] };
    }
    if (!next || !streams(next))
        return (struct ahead){ 0 };
    int64_t share = next == a ? a->chunk_lines : lines_a_chunk(a, next), left = next->pair_lines - chunk * share;
    if (left <= 0)
        return (struct ahead){ 0 };
    int fine = 0;
    while (fine < finest && share > BURST * n_point[fine])
        fine++;
    return (struct ahead){ pair_at(next, st->next_unit) + chunk * share * LINE, min64(share, left), share / n_point[fine] + 1, LINE, LINE,
                           width[fine] };
}

/* Nobody has fetched a thread's first pair. */
static void fetch_first(const struct step *st)
{
    const struct part *a = st->a;
    if (!streams(a))
        return;
    int64_t row = (int64_t)a->p->t->row_bytes;
    struct ahead all = { pair_at(a, st->unit), a->pair_lines, INT64_MAX, LINE, LINE, 0 };
    if (PAIR_COLS * row > LARGE_PAIR)
        all = (struct ahead){ pair_at(a, st->unit), pair_rows(a, st->unit), INT64_MAX, row, min64(CHUNKS_AHEAD * chunk_bytes(a), row), 0 };
    fetch_burst(&all);
}

/* With many (and once more with more than a few, from the second-level cache): the next pair's chunk, row by row, while the rows of A pass by. */
static struct ahead next_tile(const struct part *a, int64_t pair0, int64_t pair, int64_t pair1, int64_t chunk, int64_t n_rows)
{
    const int64_t row = (int64_t)a->p->t->row_bytes, n_burst = max64(1, n_rows / QG_ROWS);
    if (++pair == pair1) {
        pair = pair0;
        chunk++;
    }
    if (chunk >= a->n_chunk)
        return (struct ahead){ 0 };
    return (struct ahead){ pair_at(a, pair) + chunk * a->kind->chunk_bytes, pair_rows(a, pair), ceil_div(PAIR_COLS, n_burst), row,
                           min64(a->kind->chunk_bytes, row - chunk * a->kind->chunk_bytes), 0 };
}

static int by_row(const struct job *j, const struct step *st)
{
    const struct part *a = st->a;
    return a->kind && a->p->n_row == 1 && (st->unit + 1) * PAIR_COLS <= a->p->n_col && j->g->k->q->row[a->p->t->type];
}
/* One row of A, a pair of whole panels. */
static void run_row(const struct job *j, const struct step *st)
{
    const struct part *a = st->a;
    const struct gemm *p = a->p;
    const int64_t row = (int64_t)p->t->row_bytes, col = st->unit * PAIR_COLS;
    const uint8_t *src = pair_at(a, st->unit);
    const struct qact *act = (const struct qact *)(const void *)a->act + (p->row_index ? p->row_index[0] : 0);
    for (int i = 0; i < QG_PAIR; i++)
        j->g->k->q->row[p->t->type](p->c + col + i * KERN_PANEL, p->load_c, act, j->n_a, src + i * KERN_PANEL * row, row, p->n_k);
}

static int any_bad(const struct wtile *t, int n)
{
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad |= t[i / KERN_PANEL].bad[i % KERN_PANEL];
    return bad;
}
static void wide_tile(const struct qgemm_ops *ops, float *const *c, int load, const struct wact *const *rows, int n, const struct wtile *t, int n_sub,
                      int bad)
{
    ops->tile_wide(c, load, rows, n, t, n_sub);
    for (int i = 0; i < n; i++)
        bad |= rows[i]->bad;
    if (bad)
        qgemm_spread_bad(c, rows, n, t);
}

static void run_unit(const struct job *j, const struct step *st, struct work *w)
{
    const struct part *a = st->a;
    const struct gemm *p = a->p;
    const struct qgemm_ops *ops = j->g->k->q;
    int64_t r0 = st->unit % a->n_row_block * a->rows, r1 = min64(r0 + a->rows, p->n_row);
    int64_t pair0 = st->unit / a->n_row_block * a->pairs, pair1 = min64(pair0 + a->pairs, a->n_pair);
    for (int64_t chunk = 0; chunk < a->n_chunk; chunk++) {
        int n_sub = (int)(min64(QG_CHUNK, p->n_k - chunk * QG_CHUNK) / QG_SUB);
        const uint8_t *act = a->act + chunk * j->n_a * a->act_bytes;
        for (int64_t pair = pair0; pair < pair1; pair++) {
            int64_t col = pair * PAIR_COLS, n_col = min64(PAIR_COLS, p->n_col - col);
            struct ahead ahead = coming(st, chunk);
            for (int i = 0; i < QG_PAIR && i * KERN_PANEL < n_col; i++)
                unpack(j, w, i, a, col + i * KERN_PANEL, chunk, n_sub, &ahead);
            const int bad = a->form == FORM_WIDE && any_bad(w->wide, (int)n_col);
            if (!streams(a)) {
                ahead = next_tile(a, pair0, pair, pair1, chunk, r1 - r0);
            } else if (p->n_row >= NEARBY_ROWS) {
                const struct ahead nearby = next_tile(a, pair0, pair, pair1, chunk, 1);
                for (int64_t i = 0; i < nearby.n; i++)
                    fetch(nearby.p + i * nearby.step, nearby.bytes);
            }
            for (int64_t r = r0; r < r1; r += QG_ROWS) {
                float *c[QG_ROWS], edge[QG_ROWS][PAIR_COLS];
                const void *rows[QG_ROWS];
                int n = (int)min64(QG_ROWS, r1 - r);
                fetch_burst(&ahead);
                for (int i = 0; i < QG_ROWS && r + QG_ROWS + i < r1 && !p->row_index && a->form != FORM_WIDE; i++) /* of the wide ones the hardware keeps up */
                    fetch(act + (r + QG_ROWS + i) * (int64_t)sizeof(struct qact), sizeof(struct qact));
                for (int i = 0; i < n; i++) {
                    c[i] = n_col == PAIR_COLS ? p->c + (r + i) * p->c_row + col : edge[i];
                    rows[i] = act + (p->row_index ? p->row_index[r + i] : r + i) * a->act_bytes;
                }
                int load = p->load_c || chunk > 0;
                for (int i = 0; i < n && n_col < PAIR_COLS && load; i++)
                    memcpy(edge[i], p->c + (r + i) * p->c_row + col, (size_t)n_col * sizeof(float));
                if (a->form == FORM_WIDE)
                    wide_tile(ops, c, load, (const struct wact *const *)(const void *)rows, n, w->wide, n_sub, bad);
                else
                    (few(ops, a) ? ops->tile_few[p->t->type] : ops->tile)(c, load, (const struct qact *const *)(const void *)rows, n, w->tile, n_sub, a->kind);
                for (int i = 0; i < n && n_col < PAIR_COLS; i++)
                    memcpy(p->c + (r + i) * p->c_row + col, edge[i], (size_t)n_col * sizeof(float));
            }
        }
    }
}

/* The same with weights that are floats: the chain of fused multiply-adds of kern.h. */
static void run_exact_unit(const struct job *j, const struct step *st, struct work *w)
{
    const struct part *a = st->a;
    const struct gemm *p = a->p;
    const struct kern *k = j->g->k;
    int64_t row = (int64_t)p->t->row_bytes, elem = qtype_info(p->t->type)->bytes;
    int64_t col = st->unit * PAIR_COLS, n_col = min64(PAIR_COLS, p->n_col - col);
    if (k->gemv_tile && p->n_row == 1 && n_col == PAIR_COLS && p->n_k % 32 == 0) {
        const int ahead = st->next && streams(st->next) && PAIR_COLS * row <= LARGE_PAIR;
        k->gemv_tile(p->c + col, p->load_c, p->a + (p->row_index ? p->row_index[0] : 0) * p->a_row, pair_at(a, st->unit), row, p->n_k, p->t->type,
                     ahead ? pair_at(st->next, st->next_unit) : NULL, ahead ? st->next->pair_lines : 0);
        return;
    }
    for (int64_t chunk = 0; chunk < a->n_chunk; chunk++) {
        int64_t k0 = chunk * EXACT_K, kc = min64(EXACT_K, p->n_k - k0);
        struct ahead ahead = coming(st, chunk);
        for (int i = 0; i < QG_PAIR && i * KERN_PANEL < n_col; i++) {
            const uint8_t *src = (const uint8_t *)p->t->data + (col + i * KERN_PANEL) * row + k0 * elem;
            int n = (int)min64(KERN_PANEL, n_col - i * KERN_PANEL);
            fetch_burst(&ahead);
            if (elem == 4)
                k->pack_nt(w->exact[i], (const float *)(const void *)src, row / 4, n, kc);
            else
                k->pack_half(w->exact[i], src, row, n, kc, p->t->type == QT_BF16);
        }
        fetch_burst(&ahead);
        int64_t together = p->row_index ? 1 : p->n_row;
        for (int64_t r = 0; r < p->n_row; r += together)
            k->gemm_tile(p->c + r * p->c_row + col, p->c_row, p->load_c || chunk > 0, p->a + (p->row_index ? p->row_index[r] : r) * p->a_row + k0,
                         p->a_row, 1, w->exact[0], n_col > KERN_PANEL ? w->exact[1] : NULL, KERN_PANEL, (int)together, (int)n_col, kc);
    }
}

/* The part that has unit u, looked for from `a` on. */
static const struct part *part_of(const struct job *j, const struct part *a, int64_t u)
{
    if (u < a->first_unit)
        a = j->s->part;
    while (u >= a->first_unit + a->n_unit)
        a++;
    return a;
}

static void walk_task(void *ud, int i_task, int i_thread)
{
    const struct job *j = ud;
    (void)i_task; /* a thread's range is the same each time: what it fetched meanwhile is in its cache */
    struct work *w = &j->s->work[i_thread];
    const struct part *a = j->s->part;
    int first = 0;
    const uint8_t *fetched = NULL; /* where a product with one row of A has fetched already */
    for (int64_t k = 0; k < j->n_range; k++) { /* the own range, then the others' */
        struct range *r = &j->s->range[(i_thread + k) % j->n_range];
        while (atomic_load_explicit(&r->next, memory_order_relaxed) < r->end) {
            int64_t u = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
            if (u >= r->end)
                break;
            a = part_of(j, a, u);
            struct step st = { .a = a, .unit = u - a->first_unit };
            if (k == 0 && u + 1 < r->end) {
                st.next = part_of(j, a, u + 1);
                st.next_unit = u + 1 - st.next->first_unit;
            }
            const int row = by_row(j, &st);
            if (row && pair_at(a, st.unit) != fetched)
                fetch(pair_at(a, st.unit), QG_ROW_AHEAD);
            else if (!row && k == 0 && first == 0)
                fetch_first(&st);
            first = 1;
            fetched = pair_at(a, st.unit + 1);
            if (row)
                run_row(j, &st);
            else if (a->kind)
                run_unit(j, &st, w);
            else
                run_exact_unit(j, &st, w);
        }
    }
}

/* ---- the group ---- */
static void cut_units(struct job *j)
{
    int n_thread = j->g->n_thread;
    double total = 0;
    for (int i = 0; i < j->n_part; i++) {
        const struct gemm *p = j->s->part[i].p;
        total += (double)ceil_div(p->n_col, PAIR_COLS) * (double)p->n_row;
    }
    int64_t first = 0;
    for (int i = 0; i < j->n_part; i++) {
        struct part *a = &j->s->part[i];
        int64_t n_row = a->p->n_row;
        a->n_pair = ceil_div(a->p->n_col, PAIR_COLS);
        a->n_chunk = a->kind ? j->n_chunk : ceil_div(a->p->n_k, EXACT_K);
        a->pair_lines = ceil_div(PAIR_COLS * (int64_t)a->p->t->row_bytes, LINE);
        a->chunk_lines = lines_a_chunk(a, a);
        a->rows = n_row;
        a->pairs = 1;
        if (n_row > STREAM_ROWS && n_thread > 1) {
            double share = total / n_thread / UNITS_A_THREAD; /* pairs · rows of a unit at most */
            a->rows = min64(n_row, max64(LEAST_ROWS, min64(MOST_ROWS, (int64_t)share)));
            a->pairs = max64(1, min64(MOST_PAIRS, (int64_t)(share / (double)a->rows)));
        } else if (n_row > STREAM_ROWS) {
            a->rows = min64(n_row, MOST_ROWS);
            a->pairs = MOST_PAIRS;
        }
        a->n_row_block = ceil_div(n_row, a->rows);
        a->rows = ceil_div(ceil_div(n_row, a->n_row_block), QG_ROWS) * QG_ROWS;
        a->n_row_block = ceil_div(n_row, a->rows);
        a->n_unit = ceil_div(a->n_pair, a->pairs) * a->n_row_block;
        a->first_unit = first;
        a->cost = (double)a->pairs * ((double)min64(a->rows, n_row) + UNPACK_ROWS);
        if (!a->kind)
            a->cost = 8 + 4 * (double)n_row;
        first += a->n_unit;
    }
}

/* One contiguous range of units a thread, of about equal cost. */
static void cut_ranges(struct job *j)
{
    double total = 0, done = 0;
    for (int i = 0; i < j->n_part; i++)
        total += j->s->part[i].cost * (double)j->s->part[i].n_unit;
    int64_t at = 0;
    int i_part = 0;
    for (int64_t i = 0; i < j->n_range; i++) {
        double until = total * (double)(i + 1) / (double)j->n_range;
        atomic_store_explicit(&j->s->range[i].next, at, memory_order_relaxed);
        for (; i_part < j->n_part; i_part++) {
            const struct part *a = &j->s->part[i_part];
            int64_t left = a->first_unit + a->n_unit - at, fit = (int64_t)((until - done) / a->cost + 0.5);
            int64_t n = i + 1 == j->n_range ? left : min64(left, max64(fit, 0));
            at += n;
            done += (double)n * a->cost;
            if (n < left)
                break;
        }
        j->s->range[i].end = at;
    }
}

/* While the threads wait for the next group, they fetch the weights that it will begin with, when that can be known. */
static void fetch_next_group(struct job *j)
{
    struct qgemm_scratch *s = j->s;
    const void *group = s->part[0].p->t->data;
    const int n = j->g->n_thread;
    if (s->last >= 0) {
        const uint8_t **begin = s->begin + s->last * n;
        int same = 1;
        for (int i = 0; i < n; i++) {
            const int64_t u = atomic_load_explicit(&s->range[i].next, memory_order_relaxed);
            const struct part *a = u < s->range[i].end ? part_of(j, s->part, u) : NULL;
            const uint8_t *at = a ? pair_at(a, u - a->first_unit) : NULL;
            same &= begin[i] == at;
            begin[i] = at;
        }
        s->follower[s->last].sure = same;
    }
    s->last = (int64_t)(((uintptr_t)group >> 5) * 0x9e3779b97f4a7c15u >> 54);
    struct follower *f = &s->follower[s->last];
    if (f->group != group)
        *f = (struct follower){ .group = group };
    for (int i = 0; i < n; i++)
        pool_fetch_after(j->g->pool, i, f->sure ? s->begin[s->last * n + i] : NULL, FETCH_MEANWHILE);
}

static int prepare(struct job *j, const struct gemm *p, int n)
{
    struct gemm_ctx *g = j->g;
    if (!g->q)
        g->q = scratch_new(g->n_thread);
    j->s = g->q;
    if (!j->s || mem_grow((void **)&j->s->part, &j->s->n_part, (size_t)n, sizeof *j->s->part))
        return ILAB_E_NOMEM;
    for (int i = 0; i < n; i++) {
        if (!qgemm_takes(&p[i]) || p[i].n_row <= 0 || p[i].n_col <= 0)
            continue;
        const struct qkind *kind = kind_of(&p[i]);
        j->s->part[j->n_part++] = (struct part){ .p = &p[i], .kind = kind, .form = kind == &WIDE ? FORM_WIDE : kind && qkind_super(kind) ? FORM_256 : FORM_32 };
        j->n_a = max64(j->n_a, rows_used(&p[i]));
    }
    if (j->n_part == 0)
        return ILAB_OK;
    j->first = j->s->part[0].p;
    j->n_chunk = ceil_div(j->first->n_k, QG_CHUNK);
    return round_rows(j);
}

void qgemm_run(struct gemm_ctx *g, const struct gemm *p, int n)
{
    struct job j = { .g = g };
    if (prepare(&j, p, n)) {
        for (int i = 0; i < n; i++)
            if (qgemm_takes(&p[i]))
                gemm_zero(g, &p[i]);
        return;
    }
    if (j.n_part == 0)
        return;
    cut_units(&j);
    double work = 0;
    for (int i = 0; i < j.n_part; i++)
        work += (double)j.s->part[i].p->n_row * (double)j.s->part[i].p->n_col * (double)j.first->n_k;
    int here = work < SERIAL_WORK || g->n_thread == 1;
    j.n_range = here ? 1 : g->n_thread;
    cut_ranges(&j);
    if (j.n_range > 1 && streams(j.s->part))
        fetch_next_group(&j);
    gemm_tasks(g, walk_task, &j, (int)j.n_range, here);
}
