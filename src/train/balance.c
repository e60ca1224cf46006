/* balance.c — the samples (or trees of samples) of a batch in bins of about equal work.
 *
 * For an even number of bins the batch is halved, and each half again, so that two processes with two spans each are as even as four with one.
 * Into halves: the largest first to where there is less; then single samples move or change places while that helps (a knapsack's usual
 * start and its local search). Depends on the costs and their order alone.  SPDX-License-Identifier: Apache-2.0 */
#include "train/balance.h"

#include <stdlib.h>

enum { SEARCHED = 128 /* units or fewer: places are changed */, ROUNDS = 16 };

static int by_cost(const void *x, const void *y) {
    const struct unit *a = x, *b = y;
    if (a->cost != b->cost)
        return a->cost > b->cost ? -1 : 1;
    return a->from < b->from ? -1 : a->from > b->from;
}

static int by_bin(const void *x, const void *y) {
    const struct unit *a = x, *b = y;
    if (a->bin != b->bin)
        return a->bin < b->bin ? -1 : 1;
    return a->from < b->from ? -1 : a->from > b->from;
}

/* The largest first, each into the bin with the least. */
static void fill(struct unit *u, uint32_t n, int bin0, int n_bin, int64_t *load) {
    for (int i = 0; i < n_bin; i++)
        load[i] = 0;
    for (uint32_t i = 0; i < n; i++) {
        int least = 0;
        for (int k = 1; k < n_bin; k++)
            least = load[k] < load[least] ? k : least;
        u[i].bin = bin0 + least;
        load[least] += u[i].cost;
    }
}

/* One move or exchange that brings two halves nearer to each other; 0: there is none. more: the bin with `over` more than the other. */
static int nearer(struct unit *u, uint32_t n, int more, int less, int64_t *over) {
    int64_t best = *over;
    uint32_t give = 0, take = n;
    for (uint32_t i = 0; i < n; i++) {
        if (u[i].bin != more)
            continue;
        for (uint32_t k = 0; k <= n; k++) {
            if (k < n && u[k].bin != less)
                continue;
            const int64_t moved = u[i].cost - (k < n ? u[k].cost : 0), left = llabs(*over - 2 * moved);
            if (left < best)
                best = left, give = i, take = k;
        }
    }
    if (best == *over)
        return 0;
    const int64_t moved = u[give].cost - (take < n ? u[take].cost : 0);
    u[give].bin = less;
    if (take < n)
        u[take].bin = more;
    *over -= 2 * moved;
    return 1;
}

static void halves(struct unit *u, uint32_t n, int bin0, int n_bin, int64_t *load) {
    const int a = bin0, b = bin0 + n_bin / 2;
    fill(u, n, a, 2, load);
    for (uint32_t i = 0; i < n; i++)
        u[i].bin = u[i].bin == a ? a : b;
    int64_t over = load[0] - load[1];
    int more = a, less = b, again = n <= SEARCHED;
    for (int i = 0; i < ROUNDS && again; i++) {
        if (over < 0) {
            const int t = more;
            more = less;
            less = t;
            over = -over;
        }
        again = nearer(u, n, more, less, &over);
    }
}

static void divide(struct unit *u, uint32_t n, int bin0, int n_bin, int64_t *load) {
    if (n_bin % 2) {
        fill(u, n, bin0, n_bin, load);
        return;
    }
    uint32_t left = 0;
    halves(u, n, bin0, n_bin, load);
    qsort(u, n, sizeof *u, by_bin);
    while (left < n && u[left].bin == bin0)
        left++;
    qsort(u, left, sizeof *u, by_cost);
    qsort(u + left, n - left, sizeof *u, by_cost);
    divide(u, left, bin0, n_bin / 2, load);
    divide(u + left, n - left, bin0 + n_bin / 2, n_bin / 2, load);
}

void balance(struct unit *u, uint32_t n, int n_bin, int64_t *load) {
    qsort(u, n, sizeof *u, by_cost);
    divide(u, n, 0, n_bin, load);
    qsort(u, n, sizeof *u, by_bin);
}
