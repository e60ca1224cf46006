/* attention_body.h — the attention slots for vector registers, written once over `vec` (one register of VEC floats) and v16.
 *
 * A level's .c file defines: vec, VEC; vec_zero, vec_load, vec_store, vec_set1, vec_fma, vec_mul; vec_from_f16 (VEC halves),
 * vec_from_nibbles (VEC bytes; the low or the high halves, minus 8), vec_set1_f16; bits, a byte a lane, with bits_load and bits_down (a
 * shift of all bytes), vec_from_9 (VEC bytes and bit 0 of each lane), vec_from_9_row (VEC bytes and VEC bits); TILE (rows of a strip), DIRECT
 * and vecs_for(rows), how many registers wide a tile of so many rows is.  Tiles are instantiated for the row counts of ROWS and
 * every type of page, so that pages of few rows are read as they are: each element is converted once and used for all rows.
 * Every function follows its twin in attention_ref.c operation by operation.
 * SPDX-License-Identifier: Apache-2.0 */
#define INLINE static inline __attribute__((always_inline))

/* ---- elements of a page ---- */
/* Dimension k of the keys from position `at` on; odd: k & 1, known where it matters. */
INLINE vec load_key(const char *q, int k, int at, vec scale, bits low, int odd, const int type)
{
    switch (type) {
    case ATTN_F32: return vec_load((const float *)(const void *)q + k * KERN_PANEL + at);
    case ATTN_F16: return vec_from_f16((const uint16_t *)(const void *)q + k * KERN_PANEL + at);
    case ATTN_Q8_0: return vec_mul(scale, vec_from_9(q + k * KERN_PANEL + at, low));
    default: return vec_mul(scale, vec_from_nibbles(q + k / 2 * KERN_PANEL + at, odd));
    }
}

/* Values of one position from dimension `at` (a multiple of VEC) on; scale: those of the position. */
INLINE vec load_value(const char *q, const uint16_t *scale, int slot, int at, int dp, int nb, const int type)
{
    switch (type) {
    case ATTN_F32: return vec_load((const float *)(const void *)q + slot * dp + at);
    case ATTN_F16: return vec_from_f16((const uint16_t *)(const void *)q + slot * dp + at);
    case ATTN_Q8_0: return vec_mul(vec_set1_f16(scale[slot * nb + at / QK]),
                                   vec_from_9_row(q + slot * dp + at, (const uint8_t *)q + dp * KERN_PANEL + (slot * dp + at) / 8));
    default: return vec_mul(vec_set1_f16(scale[slot * nb + at / QK]), vec_from_nibbles(q + (slot * nb + at / QK) * 16 + at % 16, at % QK >= 16));
    }
}

/* ---- scores ---- */
INLINE void score_step(vec acc[12][4], const float *a, const char *const *q, const vec *scale, bits *low, int k, int odd, const int rows, const int vecs,
                       const int type)
{
    vec b[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        b[v] = load_key(q[v * VEC / KERN_PANEL], k, v * VEC % KERN_PANEL, scale[v], low[v], odd, type);
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        if (type == ATTN_Q8_0)
            low[v] = bits_down(low[v], 1);
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++) {
        vec am = vec_set1(a[k * ATTN_STRIP + m]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            acc[m][v] = vec_fma(am, b[v], acc[m][v]);
    }
}

/* Few rows wait for memory: while keys are used, the values of the same pages and the keys `ahead` pages further on are fetched. */
INLINE void fetch(const char *q, ptrdiff_t values, ptrdiff_t next, int k, const int type)
{
    if (type >= ATTN_Q8_0 && (k & 2))
        return;
    q += (size_t)k * KERN_PANEL * (type == ATTN_F32 ? 4 : type == ATTN_F16 ? 2 : type == ATTN_Q8_0 ? 1 : 0) +
         (type == ATTN_Q4_0 ? (size_t)k / 2 * KERN_PANEL : 0);
    __builtin_prefetch(q + values, 0, 2);
    __builtin_prefetch(q + next, 0, 3);
    if (type == ATTN_F32) {
        __builtin_prefetch(q + values + 64, 0, 2);
        __builtin_prefetch(q + next + 64, 0, 3);
    }
}

/* The same for what stands before and behind the elements: scales and ninth bits. */
INLINE void fetch_rest(const char *q, ptrdiff_t values, ptrdiff_t next, int d, const int type)
{
    const int n_scale = (int)attn_scale_bytes(type, d), n_low = (int)attn_low_bytes(type, d), dp = attn_padded(d);
    for (int i = -n_scale; i < 0; i += 64) {
        __builtin_prefetch(q + values + i, 0, 2);
        __builtin_prefetch(q + next + i, 0, 3);
    }
    for (int i = 0; i < n_low; i += 64) {
        __builtin_prefetch(q + values + dp * KERN_PANEL + i, 0, 2);
        __builtin_prefetch(q + next + d * KERN_PANEL + i, 0, 3);
    }
}

INLINE void score_tile(float *c, const float *a, const struct attn_view *w, int page, int ahead, int at, const int rows, const int vecs,
                       const int type)
{
    vec acc[12][4], scale[4];
    bits low[4];
    const char *q[4];
    ptrdiff_t values = (ptrdiff_t)(w->value_at - w->key_at), next[4] = { 0 };
    const uint16_t *s[4];
    int d = w->d;
#pragma GCC unroll 4
    for (int i = 0; i < (vecs * VEC + KERN_PANEL - 1) / KERN_PANEL; i++) {
        const char *keys = (const char *)w->page[page + i] + w->key_at;
        s[i] = (const uint16_t *)(const void *)keys + at;
        q[i] = keys + attn_scale_bytes(type, d) + (size_t)at * (type == ATTN_F32 ? 4 : type == ATTN_F16 ? 2 : 1);
        if (rows < TILE) {
            next[i] = (const char *)w->page[page + i + ahead] - (const char *)w->page[page + i];
            if (type >= ATTN_Q8_0)
                fetch_rest(q[i], values, next[i], d, type);
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            acc[m][v] = vec_zero();
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        scale[v] = vec_zero();
        low[v] = bits_zero();
    }
    for (int b = 0; b < d; b += QK) {
        int k = b, end = d - b < QK ? d : b + QK;
#pragma GCC unroll 4
        for (int v = 0; type >= ATTN_Q8_0 && v < vecs; v++)
            scale[v] = vec_from_f16(s[v * VEC / KERN_PANEL] + b / QK * KERN_PANEL + v * VEC % KERN_PANEL);
        for (; k + 2 <= end; k += 2) {
            if (type == ATTN_Q8_0 && k % 8 == 0)
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    low[v] = bits_load(q[v * VEC / KERN_PANEL] + (d + k / 8) * KERN_PANEL + v * VEC % KERN_PANEL);
            if (rows < TILE)
#pragma GCC unroll 4
                for (int i = 0; i < (vecs * VEC + KERN_PANEL - 1) / KERN_PANEL; i++)
                    fetch(q[i], values, next[i], k, type);
            score_step(acc, a, q, scale, low, k, 0, rows, vecs, type);
            score_step(acc, a, q, scale, low, k + 1, 1, rows, vecs, type);
        }
        if (k < end) {
            for (int v = 0; type == ATTN_Q8_0 && k % 8 == 0 && v < vecs; v++)
                low[v] = bits_load(q[v * VEC / KERN_PANEL] + (d + k / 8) * KERN_PANEL + v * VEC % KERN_PANEL);
            score_step(acc, a, q, scale, low, k, 0, rows, vecs, type);
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            vec_store(c + m * ATTN_P_ROW + v * VEC, acc[m][v]);
}

/* ---- values ---- */
INLINE void value_tile(float *c, const float *p, const struct attn_view *w, int pos0, int pos1, int at, const int rows, const int vecs,
                       const int type)
{
    vec acc[12][4], b[4];
    const int dp = attn_padded(w->d), nb = attn_blocks(w->d);
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            acc[m][v] = vec_load(c + m * dp + at + v * VEC);
    for (int pos = pos0; pos < pos1;) {
        const char *values = (const char *)w->page[pos / KERN_PANEL] + w->value_at, *q = values + attn_scale_bytes(type, w->d);
        const uint16_t *scale = (const uint16_t *)(const void *)values;
        int slot = pos % KERN_PANEL, n = pos1 - pos < KERN_PANEL - slot ? pos1 - pos : KERN_PANEL - slot;
        pos += n;
        for (; n > 0; n--, slot++, p++) {
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                b[v] = load_value(q, scale, slot, at + v * VEC, dp, nb, type);
#pragma GCC unroll 12
            for (int m = 0; m < rows; m++) {
                vec pm = vec_set1(p[m * ATTN_P_ROW]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    acc[m][v] = vec_fma(pm, b[v], acc[m][v]);
            }
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            vec_store(c + m * dp + at + v * VEC, acc[m][v]);
}

/* ---- instances ---- */
typedef void score_fn(float *c, const float *a, const struct attn_view *w, int page, int ahead, int at);
typedef void value_fn(float *c, const float *p, const struct attn_view *w, int pos0, int pos1, int at);
#define TILE_FN(rows, vecs, wide, type) \
    static void score_##rows##_##wide##_##type(float *c, const float *a, const struct attn_view *w, int page, int ahead, int at) \
    { score_tile(c, a, w, page, ahead, at, rows, vecs, type); } \
    static void value_##rows##_##wide##_##type(float *c, const float *p, const struct attn_view *w, int pos0, int pos1, int at) \
    { value_tile(c, p, w, pos0, pos1, at, rows, vecs, type); }
#define TILE_FNS(rows, type) TILE_FN(rows, 1, 0, type) TILE_FN(rows, VECS_FOR(rows), 1, type)
#if TILE == 12
#define EACH_ROWS(X, type) X(1, type) X(2, type) X(3, type) X(4, type) X(6, type) X(8, type) X(12, type)
static const int ROWS[] = { 1, 2, 3, 4, 6, 8, 12 };
#else
#define EACH_ROWS(X, type) X(1, type) X(2, type) X(3, type) X(4, type) X(6, type)
static const int ROWS[] = { 1, 2, 3, 4, 6 };
#endif
enum { N_ROWS = sizeof ROWS / sizeof ROWS[0] };
EACH_ROWS(TILE_FNS, ATTN_F32)
EACH_ROWS(TILE_FNS, ATTN_F16)
EACH_ROWS(TILE_FNS, ATTN_Q8_0)
EACH_ROWS(TILE_FNS, ATTN_Q4_0)
#define SCORE_ENTRY(rows, type) { score_##rows##_0_##type, score_##rows##_1_##type },
#define VALUE_ENTRY(rows, type) { value_##rows##_0_##type, value_##rows##_1_##type },
#define TYPE_ENTRIES(entry) { EACH_ROWS(entry, ATTN_F32) }, { EACH_ROWS(entry, ATTN_F16) }, { EACH_ROWS(entry, ATTN_Q8_0) }, { EACH_ROWS(entry, ATTN_Q4_0) }
static score_fn *const SCORE[ATTN_N_TYPE][N_ROWS][2] = { TYPE_ENTRIES(SCORE_ENTRY) };
static value_fn *const VALUE[ATTN_N_TYPE][N_ROWS][2] = { TYPE_ENTRIES(VALUE_ENTRY) };

/* Index of the tile for the next rows of n. */
static inline int rows_index(int n)
{
    int i = N_ROWS - 1;
    while (ROWS[i] > n)
        i--;
    return i;
}

static inline int min_of(int a, int b) { return a < b ? a : b; }

static void a_scores(float *c, const float *strip, int n_row, const struct attn_view *w, int page0, int n_page)
{
    const int n_vec = n_page * KERN_PANEL / VEC, widest = 4;
    for (int g = 0; g < n_vec; g += widest) /* pages that stay in the first-level cache while all rows pass by */
        for (int m = 0; m < n_row;) {
            int left = n_row - m, in_strip = TILE - m % TILE, i = rows_index(left < in_strip ? left : in_strip), vecs = vecs_for(ROWS[i]);
            const float *a = strip + (int64_t)(m / TILE) * w->d * ATTN_STRIP + m % TILE;
            int end = n_vec < g + widest ? n_vec : g + widest;
            for (int v = g; v < end;) {
                int wide = end - v >= vecs, n = wide ? vecs : 1, page = v * VEC / KERN_PANEL, last = (v + n - 1) * VEC / KERN_PANEL;
                int ahead = min_of(last - page + 1, n_page - 1 - last);
                SCORE[w->type][i][wide](c + m * ATTN_P_ROW + v * VEC, a, w, page0 + page, ahead, v * VEC % KERN_PANEL);
                v += n;
            }
            m += ROWS[i];
        }
}

static void a_values(float *c, const float *p, int n_row, const struct attn_view *w, int pos0, int pos1)
{
    const int dp = attn_padded(w->d), n_vec = dp / VEC, widest = 4;
    for (int g = 0; g < n_vec; g += widest)
        for (int m = 0; m < n_row;) {
            int i = rows_index(n_row - m), vecs = vecs_for(ROWS[i]), end = n_vec < g + widest ? n_vec : g + widest;
            for (int v = g; v < end;) {
                int wide = end - v >= vecs;
                VALUE[w->type][i][wide](c + m * dp, p + m * ATTN_P_ROW, w, pos0, pos1, v * VEC);
                v += wide ? vecs : 1;
            }
            m += ROWS[i];
        }
}

/* ---- pages as F32 ---- */
#define EXPAND(type) \
    case type: \
        for (int b = 0; b < w->d; b += QK) \
            for (int v = 0; v < KERN_PANEL; v += VEC) { \
                vec s = type < ATTN_Q8_0 ? vec_zero() : vec_from_f16(scale + b / QK * KERN_PANEL + v); \
                for (int k = b, end = w->d - b < QK ? w->d : b + QK; k < end; k++) { \
                    bits low = type == ATTN_Q8_0 ? bits_down(bits_load(q + (w->d + k / 8) * KERN_PANEL + v), k % 8) : bits_zero(); \
                    vec_store(dst + k * KERN_PANEL + v, load_key(q, k, v, s, low, k & 1, type)); \
                } \
            } \
        break;
static void a_expand_keys(float *dst, const struct attn_view *w, int page)
{
    const char *keys = (const char *)w->page[page] + w->key_at, *q = keys + attn_scale_bytes(w->type, w->d);
    const uint16_t *scale = (const uint16_t *)(const void *)keys;
    switch (w->type) {
    EXPAND(ATTN_F32)
    EXPAND(ATTN_F16)
    EXPAND(ATTN_Q8_0)
    EXPAND(ATTN_Q4_0)
    default: break;
    }
}
#undef EXPAND
#define EXPAND(type) \
    case type: \
        for (int j = 0; j < KERN_PANEL; j++) \
            for (int i = 0; i < dp; i += VEC) \
                vec_store(dst + j * dp + i, load_value(q, scale, j, i, dp, nb, type)); \
        break;
static void a_expand_values(float *dst, const struct attn_view *w, int page)
{
    const char *values = (const char *)w->page[page] + w->value_at, *q = values + attn_scale_bytes(w->type, w->d);
    const uint16_t *scale = (const uint16_t *)(const void *)values;
    const int dp = attn_padded(w->d), nb = attn_blocks(w->d);
    switch (w->type) {
    EXPAND(ATTN_F32)
    EXPAND(ATTN_F16)
    EXPAND(ATTN_Q8_0)
    EXPAND(ATTN_Q4_0)
    default: break;
    }
}

/* ---- softmax of a block, merging of blocks ---- */
INLINE float max_of_lanes(v16 m)
{
    float lane[16], best = -INFINITY;
    v16_store(lane, m);
    for (int j = 0; j < 16; j++)
        best = lane[j] > best ? lane[j] : best;
    return best;
}

INLINE v16 v16_softcap(v16 x, float softcap)
{
    v16 one = v16_set1(1.0f), two = v16_set1(2.0f);
    v16 t = v16_add(v16_exp(v16_mul(x, v16_set1(2.0f / softcap))), one);
    return v16_mul(v16_set1(softcap), v16_sub(one, v16_div(two, t)));
}

static struct attn_sum a_softmax(float *x, int n, float softcap)
{
    v16 low = v16_set1(-INFINITY), vm = low, s = v16_set1(0.0f);
    int whole = n / 16 * 16, tail = n - whole;
    if (softcap > 0) {
        for (int i = 0; i < whole; i += 16)
            v16_store(x + i, v16_softcap(v16_load(x + i), softcap));
        if (tail)
            v16_store_n(x + whole, v16_softcap(v16_load_n(x + whole, tail), softcap), tail);
    }
    for (int i = 0; i < whole; i += 16)
        vm = v16_max(v16_load(x + i), vm); /* the second operand wins when one is NaN */
    float max = max_of_lanes(vm);
    for (int i = whole; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (max == -INFINITY)
        max = 0;
    vm = v16_set1(max);
    for (int i = 0; i < whole; i += 16) {
        v16 e = v16_exp(v16_sub(v16_load(x + i), vm));
        v16_store(x + i, e);
        s = v16_add(s, e);
    }
    if (tail) {
        v16 e = v16_first(v16_exp(v16_sub(v16_load_n(x + whole, tail), vm)), tail);
        v16_store_n(x + whole, e, tail);
        s = v16_add(s, e);
    }
    return (struct attn_sum){ max, v16_sum(s) };
}

static void a_merge(float *acc, struct attn_sum *s, const float *part, struct attn_sum p, int n)
{
    if (p.sum == 0)
        return;
    if (s->sum == 0) {
        memcpy(acc, part, (size_t)n * sizeof *acc);
        *s = p;
        return;
    }
    float lane[16];
    v16_store(lane, v16_exp(v16_set1(-fabsf(s->max - p.max))));
    float es = p.max > s->max ? lane[0] : 1.0f, ep = p.max > s->max ? 1.0f : lane[0];
    v16 vs = v16_set1(es), vp = v16_set1(ep);
    int whole = n / 16 * 16, tail = n - whole;
    for (int i = 0; i < whole; i += 16)
        v16_store(acc + i, v16_fma(v16_load(part + i), vp, v16_mul(v16_load(acc + i), vs)));
    if (tail)
        v16_store_n(acc + whole, v16_fma(v16_load_n(part + whole, tail), vp, v16_mul(v16_load_n(acc + whole, tail), vs)), tail);
    s->sum = fmaf(p.sum, ep, s->sum * es);
    s->max = p.max > s->max ? p.max : s->max;
}

#define ATTN_BODY_SLOTS \
    .tile = TILE, .direct = DIRECT, .scores = a_scores, .values = a_values, .expand_keys = a_expand_keys, .expand_values = a_expand_values, \
    .softmax = a_softmax, .merge = a_merge
