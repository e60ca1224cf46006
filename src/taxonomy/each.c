/* each.c — reads and checks many leaves with several threads, and hands them on in order.
 *
 * Leaves are read in rounds of a few hundred: what is in memory stays small, and the order of the callbacks (one thread, ascending)
 * does not depend on the number of threads. A leaf that still holds marks of `ilab taxonomy new` is not ready: each mark is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <string.h>

enum { ROUND = 256, FEW = 32, ATTRIBUTION_MAX = 1 << 20 };

struct round {
    const char *taxonomy; int single;
    const struct leaf_list *list;
    size_t from;
    struct leaf_read_result *v;
};

int leaf_text_is_mark(const char *text)
{
    while (text && *text == ' ') text++;
    return text && !strncmp(text, LEAF_MARK, strlen(LEAF_MARK));
}

static void mark(struct leaf_read_result *r, const char *text, int line, const char *where)
{
    struct findings *f = &r->findings;
    if (!leaf_text_is_mark(text) || mem_grow((void **)&f->v, &f->cap, f->n + 1, sizeof *f->v)) return;
    char first[120];
    const size_t n = strcspn(text, "\n");
    snprintf(first, sizeof first, "not filled in yet: '%.*s'", (int)(n < 90 ? n : 90), text);
    f->v[f->n++] = (struct finding){ .line = line > 0 ? line : 1, .col = 1, .error = 1, .where = arena_strndup(&f->mem, where, strlen(where)),
                                     .text = arena_strndup(&f->mem, first, strlen(first)), .remedy = "write your own text in place of the mark" };
    f->n_errors++;
}

/* The marks that a new leaf was written with. */
static void find_marks(struct leaf_read_result *r)
{
    const struct leaf *l = r->leaf;
    char where[96];
    int example = -1, pair = 0;
    mark(r, l->created_by, 1, ".created_by");
    mark(r, l->domain, 1, ".domain");
    mark(r, l->task_description, 1, l->version > 2 && l->is_knowledge ? ".document_outline" : ".task_description");
    for (int i = 0; i < l->n_seed; i++) {
        const struct seed *s = &l->seed[i];
        const int nested = l->is_knowledge && l->version > 2, same = nested && i && s->context && l->seed[i - 1].context && !strcmp(s->context, l->seed[i - 1].context);
        pair = same ? pair + 1 : 0;
        example += !same;
        snprintf(where, sizeof where, ".seed_examples[%d]", example);
        if (!same) mark(r, s->context, s->line, where);
        if (nested) snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers[%d]", example, pair);
        mark(r, leaf_text_is_mark(s->question) ? s->question : s->answer, s->line, where); /* one of the two says it */
    }
    mark(r, l->repo, l->document_line, ".document.repo");
    mark(r, l->commit, l->document_line, ".document.commit");
}

/* attribution.txt beside the leaf: the lines that still hold a mark, as one warning. */
static void find_attribution_marks(struct leaf_read_result *r)
{
    struct findings *f = &r->findings;
    const char *slash = strrchr(r->file, '/');
    char *dir = slash ? mem_strndup(r->file, (size_t)(slash - r->file)) : NULL, *file = path_join(dir ? dir : ".", "attribution.txt"), *text = NULL;
    size_t n = 0;
    struct sb b;
    sb_init(&b, 500);
    if (file && file_exists(file) == 1 && !leaf_file_check(file, NULL) && !file_read(file, ATTRIBUTION_MAX, &text, &n, NULL) && strstr(text, LEAF_MARK)) {
        struct sv rest = { text, n }, line;
        while (sv_split(&rest, '\n', &line)) {
            const ptrdiff_t colon = sv_find(line, SV(": " LEAF_MARK), 0);
            if (colon > 0) sb_addf(&b, "%s%.*s", b.n ? ", " : "", (int)(colon < 60 ? colon : 60), line.p);
        }
        sb_addc(&b, " in attribution.txt");
        char whole[560];
        const int len = snprintf(whole, sizeof whole, "not filled in yet: %s", b.p ? b.p : "");
        if (!mem_grow((void **)&f->v, &f->cap, f->n + 1, sizeof *f->v))
            f->v[f->n++] = (struct finding){ .line = 1, .col = 1, .where = ".", .text = arena_strndup(&f->mem, whole, (size_t)len), .remedy = "say in attribution.txt whose work the document is" };
    }
    sb_release(&b);
    mem_free(text);
    mem_free(file);
    mem_free(dir);
}

static void read_one(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct round *w = ud;
    struct leaf_read_result *r = &w->v[i_task];
    const size_t i = w->from + (size_t)i_task;
    *r = (struct leaf_read_result){ .path = w->list->path[i], .change = (enum leaf_change)w->list->change[i] };
    r->file = w->single ? mem_strndup(r->path, strlen(r->path)) : path_join(w->taxonomy, r->path);
    if (!r->file) r->rc = err_set(&r->err, ILAB_E_NOMEM, "no memory for a path");
    else r->rc = leaf_read(r->file, w->single ? "" : w->taxonomy, &r->leaf, &r->findings, &r->err);
    if (!r->rc && r->leaf) find_marks(r), find_attribution_marks(r);
}

int leaves_each(const char *taxonomy, const struct leaf_list *l, leaf_each_fn *fn, void *ud, ilab_err *e)
{
    struct round w = { .taxonomy = taxonomy, .single = file_exists(taxonomy) == 1, .list = l };
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
