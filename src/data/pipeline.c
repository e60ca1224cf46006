/* pipeline.c — `generate`: changed leaves → facts → wordings → protection → files.
 *
 * Every answer of the model goes through the journal, so an interrupted run goes on. The order of all work is fixed by the
 * inputs and the seed: the same inputs give the same files.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { ARENA_MAX = 1 << 30, ASK_CHUNK = 128, CHUNK_MIN = 32, CHUNK_SECONDS = 15, DISK_MIN = 64 << 20 };
const char *const ITEM_NAME[ITEM_KIND_COUNT] = { "forward", "statement", "reverse", "check", "wrong_premise", "dialogue", "unknown_name",
                                                 "unknown_attribute", "known", "replay" };

struct sv prompt_fill(struct gen *g, const char *prompt, struct sv a1, struct sv a2)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 22);
    for (const char *p = prompt; *p; p++) {
        if (p[0] == '%' && (p[1] == '1' || p[1] == '2')) sb_add(&b, *++p == '1' ? a1 : a2);
        else sb_addch(&b, *p);
    }
    const char *p = b.failed ? NULL : arena_strndup(&g->mem, b.p, b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    g->no_memory |= !p;
    sb_release(&b);
    return out;
}

struct lm_request gen_request(struct gen *g, struct sv user, float temp, int max_tokens)
{
    struct lm_message *m = arena_alloc(&g->mem, 2 * sizeof *m, sizeof(void *));
    struct lm_request q = { .message = m, .max_tokens = max_tokens, .temp = temp, .top_p = 0.98f, .seed = rng_u64(&g->rng) };
    g->no_memory |= !m;
    if (m && g->o->system_prompt && *g->o->system_prompt) m[q.n_message++] = (struct lm_message){ "system", sv_of(g->o->system_prompt) };
    if (m) m[q.n_message++] = (struct lm_message){ "user", user };
    return q;
}

int request_add(struct request_list *l, struct lm_request q, int tag, ilab_err *e)
{
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v) || mem_grow((void **)&l->tag, &l->cap_tag, l->n + 1, sizeof *l->tag))
        return err_set(e, ILAB_E_NOMEM, "no memory for the requests");
    l->tag[l->n] = tag;
    l->v[l->n++] = q;
    return 0;
}

void request_list_release(struct request_list *l)
{
    mem_free(l->v);
    mem_free(l->tag);
    *l = (struct request_list){ 0 };
}

/* The requests of one chunk that the journal does not know are computed together. */
static int ask_chunk(struct gen *g, const struct lm_request *req, int n, struct answer *out, ilab_err *e)
{
    struct lm_request todo[ASK_CHUNK];
    struct lm_result res[ASK_CHUNK];
    uint64_t key[ASK_CHUNK];
    int of[ASK_CHUNK], n_todo = 0;
    const char *hash = lm_hash(g->lm);
    for (int i = 0; i < n; i++) {
        key[i] = request_key(hash, &req[i]);
        if (!journal_get(g->journal, key[i], &out[i], &g->mem)) of[n_todo] = i, todo[n_todo++] = req[i];
    }
    if (!n_todo) return 0;
    memset(res, 0, sizeof res);
    const double t0 = now_seconds();
    const int done = lm_complete(g->lm, todo, n_todo, res, e);
    int rc = done == ILAB_E_CANCEL ? 0 : done;
    for (int k = 0; k < n_todo; k++) {
        if (!rc && (!done || res[k].text)) { /* of an interrupted batch: the answers that were complete */
            rc = journal_put(g->journal, key[of[k]], &todo[k], &res[k], e);
            if (!rc && !journal_get(g->journal, key[of[k]], &out[of[k]], &g->mem)) rc = err_set(e, ILAB_E_NOMEM, "no memory for an answer");
            g->r->tokens += res[k].n_token;
        }
        lm_result_release(&res[k]);
    }
    if (!rc) rc = journal_flush(g->journal, e);
    if (now_seconds() - t0 > CHUNK_SECONDS && g->chunk > CHUNK_MIN) g->chunk /= 2; /* an interrupt must not cost much work */
    return rc ? rc : done;
}

int gen_ask(struct gen *g, const char *label, struct lm_request *req, size_t n, struct answer *out, ilab_err *e)
{
    struct progress p;
    int rc = g->no_memory ? err_set(e, ILAB_E_NOMEM, "no memory for the prompts") : 0;
    progress_start(&p, label, (int64_t)n, 0);
    p.quiet |= n == 0;
    for (size_t i = 0; !rc && i < n;) {
        const int m = (int)(n - i < (size_t)g->chunk ? n - i : (size_t)g->chunk);
        rc = ask_chunk(g, req + i, m, out + i, e);
        i += (size_t)m;
        if (!rc) progress_at(&p, (int64_t)i, "requests");
        if (!rc && signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted");
    }
    progress_end(&p);
    return rc;
}

/* Python's repr of a string, as the reference writes it into its log. */
static void add_repr(struct sb *b, struct sv s)
{
    const int has_single = memchr(s.p, '\'', s.n) != NULL, has_double = memchr(s.p, '"', s.n) != NULL;
    const char quote = has_single && !has_double ? '"' : '\'';
    sb_addch(b, quote);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == '\n') sb_addc(b, "\\n");
        else if (c == '\t') sb_addc(b, "\\t");
        else if (c == '\r') sb_addc(b, "\\r");
        else if (c < 0x20 || c == 0x7F) sb_addf(b, "\\x%02x", c);
        else if (c == '\\' || s.p[i] == quote) sb_addf(b, "\\%c", c);
        else sb_addch(b, s.p[i]);
    }
    sb_addch(b, quote);
}

void gen_discard(struct gen *g, enum discard why, struct sv text)
{
    char now[32];
    g->r->discarded[why]++;
    time_local(now, sizeof now, "%Y-%m-%dT%H:%M:%S");
    sb_addf(&g->discard_log, "%s - Discarded instruction(%s): ", now, DISCARD_REASON[why]);
    add_repr(&g->discard_log, text);
    sb_addch(&g->discard_log, '\n');
}

int gen_keep(struct gen *g, struct item it, ilab_err *e)
{
    if (mem_grow((void **)&g->item, &g->cap_item, g->n_item + 1, sizeof *g->item)) return err_set(e, ILAB_E_NOMEM, "no memory for the samples");
    g->item[g->n_item++] = it;
    g->r->kept++;
    g->r->by_kind[it.kind]++;
    return 0;
}

int answer_has(struct gen *g, struct sv answer, struct sv value)
{
    struct sv v = utf8_normalize_answer(&g->mem, value);
    if (sv_starts(v, "the ")) v = (struct sv){ v.p + 4, v.n - 4 }; /* an article is no part of an answer */
    return text_has_words(utf8_normalize_answer(&g->mem, answer), v);
}

int answer_refuses(struct gen *g, struct sv answer)
{
    return text_is_refusal(utf8_normalize_answer(&g->mem, answer));
}

/* `num_instructions` > 0 caps the facts' items: the same number for each fact. */
static void cap_items(struct gen *g)
{
    if (g->o->num_instructions <= 0 || !g->n_work) return;
    const int each = (g->o->num_instructions + (int)g->n_work - 1) / (int)g->n_work;
    int *count = mem_calloc(g->n_work, sizeof *count);
    size_t n = 0;
    for (size_t i = 0; count && i < g->n_item; i++)
        if (count[g->item[i].fact]++ < each) g->item[n++] = g->item[i];
        else g->r->kept--, g->r->by_kind[g->item[i].kind]--;
    if (count) g->n_item = n;
    mem_free(count);
}

/* Room and permission before any work; the journal is opened, too. */
static int prepare_folder(struct gen *g, int *lock, ilab_err *e)
{
    const char *dir = g->o->out_dir;
    int rc = dir_make(dir, e);
    if (!rc) rc = dir_lock(dir, lock, e);
    if (rc && rc != ILAB_E_LIMIT) return err_set(e, rc, "%s: choose a folder that can be written with --output-dir", e ? e->msg : "");
    if (!rc && disk_free(dir) < DISK_MIN)
        rc = err_set(e, ILAB_E_IO, "less than %d MB are free at '%s': free some space or choose another folder with --output-dir", (int)(DISK_MIN >> 20), dir);
    if (!rc) rc = journal_open(&g->journal, dir, g->o->resume, e);
    return rc;
}

struct leaf_reading { const struct generate_opts *o; struct leaf **v; size_t n; int n_errors, n_files; };

static void tell(struct leaf_reading *r, const char *file, struct findings *f, const char *problem)
{
    const int n = problem ? 1 : f->n_errors;
    r->n_errors += n;
    r->n_files += n > 0;
    if (r->o->found) r->o->found(r->o->found_ud, file, f, problem);
}

static int take_leaf(void *ud, struct leaf_read_result *l, ilab_err *e)
{
    (void)e;
    struct leaf_reading *r = ud;
    tell(r, l->file, &l->findings, l->rc ? l->err.msg : NULL);
    if (!l->rc && l->leaf && !l->findings.n_errors) r->v[r->n++] = l->leaf, l->leaf = NULL;
    return 0;
}

/* 0.14: a text that does not parse ends everything with the parser's own words. */
static int find_exception(void *ud, struct leaf_read_result *l, ilab_err *e)
{
    (void)ud;
    const char *text = l->rc ? NULL : compat_failure(&l->findings);
    return text ? err_set(e, ILAB_E_FORMAT, "%s", text) : 0;
}

/* The valid leaves; an error when one is not, by the judge of `diff`. */
static int read_leaves(const struct generate_opts *o, struct leaf ***out, size_t *n, ilab_err *e)
{
    static const struct check_opts PLAIN = { .folder = FOLDER_ALL };
    const struct check_opts *check = o->check ? o->check : &PLAIN;
    const int single = file_exists(o->taxonomy) == 1;
    struct leaf_reading r = { .o = o };
    struct leaf_list list = { 0 };
    struct sb b;
    int rc = taxonomy_leaves(o->taxonomy, o->base, compat_leaf_flags(check->compat), &list, e);
    r.v = rc ? NULL : mem_calloc(list.n + 1, sizeof *r.v);
    if (!rc && !r.v) rc = err_set(e, ILAB_E_NOMEM, "no memory for the leaves");
    if (!rc && !list.n && !list.n_problem) rc = err_set(e, ILAB_E_NOTFOUND, "Nothing to generate. Exiting.");
    if (!rc && check->compat == COMPAT_0_14) rc = leaves_each(o->taxonomy, &list, check, find_exception, &r, e);
    if (!rc) rc = leaves_each(o->taxonomy, &list, check, take_leaf, &r, e);
    for (size_t i = 0; !rc && i < list.n_problem; i++) tell(&r, list.problem[i].path, NULL, list.problem[i].text);
    if (!rc && r.n_errors) {
        sb_init(&b, 1 << 12);
        compat_verdict(&b, check->compat, single, r.n_errors, r.n_files);
        rc = err_set(e, ILAB_E_FORMAT, "%s", b.p ? b.p : "");
        sb_release(&b);
    } else if (!rc && !r.n) {
        rc = err_set(e, ILAB_E_NOTFOUND, "Nothing to generate: the changed files are empty. Exiting.");
    }
    leaf_list_release(&list);
    *out = r.v;
    *n = r.n;
    return rc;
}

int pipeline_check(const struct generate_opts *o, int *n_knowledge, ilab_err *e)
{
    struct leaf **leaf = NULL;
    size_t n = 0;
    const int rc = read_leaves(o, &leaf, &n, e);
    *n_knowledge = 0;
    for (size_t i = 0; leaf && i < n; i++) {
        *n_knowledge += leaf[i]->is_knowledge;
        leaf_free(leaf[i]);
    }
    mem_free(leaf);
    return rc;
}

/* Seeds in the form that passages have (NFC): they are compared byte by byte. */
static int compose_seeds(struct leaf *l, ilab_err *e)
{
    for (int i = 0; i < l->n_seed; i++) {
        const char **text[] = { &l->seed[i].question, &l->seed[i].answer, &l->seed[i].context };
        for (size_t k = 0; k < ARRAY_LEN(text); k++) {
            const struct sv s = *text[k] ? utf8_compose(&l->mem, sv_of(*text[k])) : (struct sv){ "", 0 };
            const char *p = *text[k] && s.p ? arena_strndup(&l->mem, s.p, s.n) : NULL;
            if (*text[k] && !p) return err_set(e, ILAB_E_NOMEM, "no memory for the examples of '%s'", l->file);
            if (p) *text[k] = p;
        }
    }
    return 0;
}

int pipeline_run(struct lm *lm, const struct generate_opts *o, struct generate_report *r, ilab_err *e)
{
    *r = (struct generate_report){ 0 };
    struct gen g = { .lm = lm, .o = o, .r = r, .chunk = ASK_CHUNK };
    struct leaf **leaf = NULL;
    size_t n_leaf = 0;
    int lock = -1;
    const double t0 = now_seconds();
    arena_init(&g.mem, ARENA_MAX);
    sb_init(&g.discard_log, (size_t)256 << 20);
    rng_seed(&g.rng, o->seed);
    int rc = read_leaves(o, &leaf, &n_leaf, e);
    if (!rc) rc = prepare_folder(&g, &lock, e);
    struct documents *d = rc ? NULL : mem_calloc(n_leaf, sizeof *d); /* all before any work: the last may be missing */
    if (!rc && !d) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents");
    for (size_t i = 0; !rc && i < n_leaf; i++) {
        log_info("Selected taxonomy path %s", leaf[i]->path);
        if (leaf[i]->is_knowledge) rc = documents_load(leaf[i], file_exists(o->taxonomy) == 1 ? "." : o->taxonomy, &d[i], e);
        if (!rc) rc = compose_seeds(leaf[i], e);
    }
    for (size_t i = 0; d && i < n_leaf; i++) {
        if (!rc) rc = stage_facts(&g, leaf[i], &d[i], e);
        documents_release(&d[i]);
    }
    mem_free(d);
    if (!rc && !g.n_work) rc = err_set(e, ILAB_E_NOTFOUND, "no fact was found: does the document contain the answers of the seed examples?");
    r->facts = (int)g.n_work;
    if (!rc) rc = stage_wordings(&g, e);
    if (!rc) cap_items(&g);
    if (!rc) rc = stage_protect(&g, e);
    r->seconds = now_seconds() - t0;
    if (!rc) rc = mix_write(&g, leaf, n_leaf, e);
    journal_close(g.journal, !rc);
    if (lock >= 0) dir_unlock(lock);
    for (size_t i = 0; leaf && i < n_leaf; i++) leaf_free(leaf[i]);
    mem_free(leaf);
    mem_free(g.work);
    mem_free(g.item);
    sb_release(&g.discard_log);
    arena_release(&g.mem);
    return rc;
}
