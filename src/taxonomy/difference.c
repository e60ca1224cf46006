/* difference.c — what changed between two texts, as a unified diff.
 *
 * Longest common subsequence of lines by dynamic programming over what lies between the common head and tail; where that is
 * too large, the middle is shown as replaced.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <string.h>

enum { MAX_CELLS = 16 << 20, CONTEXT = 3 };

struct text_lines { struct sv *v; int n; };

static int split(struct sv s, struct text_lines *l)
{
    size_t cap = 0;
    while (s.n) {
        const char *nl = memchr(s.p, '\n', s.n);
        const size_t n = nl ? (size_t)(nl - s.p) + 1 : s.n;
        if (l->n >= 10000000 || mem_grow((void **)&l->v, &cap, (size_t)l->n + 1, sizeof *l->v)) return ILAB_E_NOMEM;
        l->v[l->n++] = (struct sv){ s.p, n };
        s.p += n, s.n -= n;
    }
    return 0;
}

static void put_line(struct sb *b, char sign, struct sv line)
{
    sb_addch(b, sign);
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '\r') sb_addc(b, "\\r");
        else sb_addch(b, line.p[i]);
    }
    if (!line.n || line.p[line.n - 1] != '\n') sb_addc(b, "\n\\ No newline at end of file\n");
}

/* ops[k]: ' ' keep, '-' remove, '+' add, in the order of the output. */
static char *plan(const struct text_lines *a, const struct text_lines *b, size_t *n_ops)
{
    int head = 0, ta = a->n, tb = b->n;
    while (head < ta && head < tb && sv_eq(a->v[head], b->v[head])) head++;
    while (ta > head && tb > head && sv_eq(a->v[ta - 1], b->v[tb - 1])) ta--, tb--;
    const size_t n = (size_t)(ta - head), m = (size_t)(tb - head);
    char *ops = mem_alloc((size_t)a->n + (size_t)b->n + 1);
    const int small = (n + 1) * (m + 1) <= MAX_CELLS;
    int32_t *t = small ? mem_calloc((n + 1) * (m + 1), sizeof *t) : NULL;
    size_t k = 0, i = 0, j = 0;
    if (!ops || (small && !t)) {
        mem_free(ops);
        mem_free(t);
        return NULL;
    }
    memset(ops, ' ', (size_t)head);
    k = (size_t)head;
    for (size_t x = n; t && x-- > 0;)
        for (size_t y = m; y-- > 0;) {
            const int32_t down = t[(x + 1) * (m + 1) + y], right = t[x * (m + 1) + y + 1];
            t[x * (m + 1) + y] = sv_eq(a->v[(size_t)head + x], b->v[(size_t)head + y]) ? t[(x + 1) * (m + 1) + y + 1] + 1 : down > right ? down : right;
        }
    while (t && i < n && j < m) {
        if (sv_eq(a->v[(size_t)head + i], b->v[(size_t)head + j])) ops[k++] = ' ', i++, j++;
        else if (t[(i + 1) * (m + 1) + j] >= t[i * (m + 1) + j + 1]) ops[k++] = '-', i++;
        else ops[k++] = '+', j++;
    }
    for (; i < n; i++) ops[k++] = '-';
    for (; j < m; j++) ops[k++] = '+';
    memset(ops + k, ' ', (size_t)(a->n - ta));
    *n_ops = k + (size_t)(a->n - ta);
    mem_free(t);
    return ops;
}

int text_difference(struct sb *out, const char *name_a, struct sv a, const char *name_b, struct sv b)
{
    struct text_lines la = { 0 }, lb = { 0 };
    size_t n = 0;
    char *ops = split(a, &la) || split(b, &lb) ? NULL : plan(&la, &lb, &n);
    int ia = 0, ib = 0;
    if (ops) sb_addf(out, "--- %s\n+++ %s\n", name_a, name_b);
    for (size_t k = 0; ops && k < n;) {
        if (ops[k] == ' ') {
            ia++, ib++, k++;
            continue;
        }
        const size_t before = k < CONTEXT ? k : CONTEXT;
        size_t from = k - before, to = k, quiet = 0;
        for (; to < n && quiet <= 2 * CONTEXT; to++) quiet = ops[to] == ' ' ? quiet + 1 : 0;
        to -= quiet > CONTEXT ? quiet - CONTEXT : 0;
        int na = 0, nb = 0;
        for (size_t i = from; i < to; i++) na += ops[i] != '+', nb += ops[i] != '-';
        ia -= (int)before, ib -= (int)before;
        sb_addf(out, "@@ -%d,%d +%d,%d @@\n", ia + (na > 0), na, ib + (nb > 0), nb);
        for (size_t i = from; i < to; i++) {
            put_line(out, ops[i], ops[i] == '+' ? lb.v[ib] : la.v[ia]);
            ia += ops[i] != '+';
            ib += ops[i] != '-';
        }
        k = to;
    }
    const int rc = ops && !out->failed ? 0 : ILAB_E_NOMEM;
    mem_free(ops);
    mem_free(la.v);
    mem_free(lb.v);
    return rc;
}
