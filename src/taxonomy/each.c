/* each.c — reads and checks many leaves with several threads, and hands them on in order.
 *
 * Leaves are read in rounds of a few hundred: what is in memory stays small, and the order of the callbacks (one thread, ascending)
 * does not depend on the number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <string.h>

enum { ROUND = 256, FEW = 32 };

struct round {
    const char *taxonomy; int single;
    const struct leaf_list *list;
    const struct check_opts *o;
    size_t from;
    struct leaf_read_result *v;
};

static void read_one(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct round *w = ud;
    struct leaf_read_result *r = &w->v[i_task];
    const size_t i = w->from + (size_t)i_task;
    *r = (struct leaf_read_result){ .path = w->list->path[i], .change = (enum leaf_change)w->list->change[i] };
    r->file = w->single ? mem_strndup(r->path, strlen(r->path)) : path_join(w->taxonomy, r->path);
    if (!r->file) r->rc = err_set(&r->err, ILAB_E_NOMEM, "no memory for a path");
    else r->rc = leaf_check(r->file, w->single ? "" : w->taxonomy, w->o, &r->leaf, &r->findings, &r->err);
}

int leaves_each(const char *taxonomy, const struct leaf_list *l, const struct check_opts *o, leaf_each_fn *fn, void *ud, ilab_err *e)
{
    struct round w = { .taxonomy = taxonomy, .single = file_exists(taxonomy) == 1, .list = l, .o = o };
    const size_t room = l->n < ROUND ? l->n + 1 : ROUND;
    struct pool *pool = l->n > FEW ? pool_new(0) : NULL; /* starting threads costs more than reading a few files */
    int rc = 0;
    w.v = mem_calloc(room, sizeof *w.v);
    if (!w.v) rc = err_set(e, ILAB_E_NOMEM, "no memory to read the leaves");
    for (; !rc && w.from < l->n; w.from += ROUND) {
        const size_t n = l->n - w.from < ROUND ? l->n - w.from : ROUND;
        if (pool) pool_run(pool, read_one, &w, (int)n);
        else
            for (size_t i = 0; i < n; i++) read_one(&w, (int)i, 0);
        for (size_t i = 0; i < n; i++) {
            struct leaf_read_result *r = &w.v[i];
            if (!rc && signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted");
            if (!rc && r->rc == ILAB_E_NOMEM) rc = err_set(e, r->rc, "%s", r->err.msg);
            if (!rc) rc = fn(ud, r, e);
            findings_release(&r->findings);
            leaf_free(r->leaf);
            mem_free(r->file);
        }
    }
    pool_free(pool);
    mem_free(w.v);
    return rc;
}
