/* journal.c — every answer of the model is written down, so that a stopped generation goes on where it was.
 *
 * The journal is an append-only JSONL file in the output folder, keyed by a hash of the model and of the request. A request
 * that was answered before is not computed again; the pipeline itself is deterministic, so a second run walks through the
 * journal and continues. It is removed when the run is complete.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOURNAL_MAX = 1 << 30 };

struct entry { uint64_t key; char *text; int finished; double logp; json_t *top; };
struct journal { struct entry *v; size_t n, cap; size_t *slot; size_t n_slot; FILE *f; char *path; };

static size_t *find(struct journal *j, uint64_t key)
{
    size_t i = (size_t)key & (j->n_slot - 1);
    while (j->slot[i] && j->v[j->slot[i] - 1].key != key) i = (i + 1) & (j->n_slot - 1);
    return &j->slot[i];
}

static int add(struct journal *j, struct entry en)
{
    if (2 * (j->n + 1) > j->n_slot) {
        const size_t n = j->n_slot ? j->n_slot * 2 : 1024;
        size_t *s = mem_calloc(n, sizeof *s);
        if (!s) return ILAB_E_NOMEM;
        mem_free(j->slot);
        j->slot = s;
        j->n_slot = n;
        for (size_t i = 0; i < j->n; i++) *find(j, j->v[i].key) = i + 1;
    }
    if (mem_grow((void **)&j->v, &j->cap, j->n + 1, sizeof *j->v)) return ILAB_E_NOMEM;
    size_t *s = find(j, en.key);
    if (!*s) {
        j->v[j->n++] = en;
        *s = j->n;
    } else {
        mem_free(en.text);
        json_decref(en.top);
    }
    return 0;
}

static double finite_logp(double x) { return isfinite(x) ? x : -1e4; }

static int read_line(void *ud, int line, const json_t *v, ilab_err *e)
{
    (void)line;
    const char *key = json_str(v, "k"), *text = json_str(v, "t");
    if (!key || !text) return 0; /* a line that was cut off: its request is simply made again */
    const struct entry en = { .key = strtoull(key, NULL, 16), .text = mem_strndup(text, strlen(text)), .finished = (int)json_int(v, "f", 1),
                              .logp = json_num(v, "l", 0), .top = json_incref(json_object_get(v, "top")) };
    if (en.text && !add(ud, en)) return 0;
    mem_free(en.text);
    json_decref(en.top);
    return err_set(e, ILAB_E_NOMEM, "no memory for the journal");
}

/* Cuts a last line without its newline (a kill in mid-write), so that the file parses. */
static void drop_torn_line(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    if (file_read(path, JOURNAL_MAX, &text, &n, NULL)) return;
    size_t keep = n;
    while (keep && text[keep - 1] != '\n') keep--;
    if (keep < n && truncate(path, (off_t)keep)) log_warn("cannot repair '%s'", path);
    mem_free(text);
}

int journal_open(struct journal **out, const char *dir, int resume, ilab_err *e)
{
    struct journal *j = mem_calloc(1, sizeof *j);
    if (!j) return err_set(e, ILAB_E_NOMEM, "no memory for the journal");
    j->path = path_join(dir, ".generate-journal.jsonl");
    int rc = j->path ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the journal");
    if (!rc && file_exists(j->path) == 1) {
        if (resume) {
            drop_torn_line(j->path);
            rc = json_read_lines(j->path, JOURNAL_MAX, read_line, j, e);
            if (rc) err_set(e, rc, "cannot go on with the unfinished generation: %s; `ilab generate --restart` begins anew", e ? e->msg : "");
            if (!rc && j->n) log_info("going on with an unfinished generation: %zu answers are there already", j->n);
        } else {
            unlink(j->path);
        }
    }
    if (!rc && !(j->f = fopen(j->path, "a"))) rc = err_set(e, ILAB_E_IO, "cannot write '%s': check the folder's permissions", j->path);
    if (rc) journal_close(j, 0);
    else *out = j;
    return rc;
}

void journal_close(struct journal *j, int complete)
{
    if (!j) return;
    if (j->f) fclose(j->f);
    if (complete) unlink(j->path);
    for (size_t i = 0; i < j->n; i++) {
        mem_free(j->v[i].text);
        json_decref(j->v[i].top);
    }
    mem_free(j->v);
    mem_free(j->slot);
    mem_free(j->path);
    mem_free(j);
}

uint64_t request_key(const char *model_hash, const struct lm_request *r)
{
    uint64_t h = hash64(model_hash, strlen(model_hash), 0);
    for (int i = 0; i < r->n_message; i++) {
        h = hash64(r->message[i].role, strlen(r->message[i].role), h);
        h = hash64(r->message[i].content.p, r->message[i].content.n, h);
    }
    h = hash64(r->raw.p ? r->raw.p : "", r->raw.n, h);
    h = hash64(r->prefix.p ? r->prefix.p : "", r->prefix.n, h);
    h = hash64(r->source.p ? r->source.p : "", r->source.n, h);
    for (size_t i = 0; i < ARRAY_LEN(r->stop) && r->stop[i]; i++) h = hash64(r->stop[i], strlen(r->stop[i]), h);
    h = hash64(r->skeleton ? r->skeleton : "", r->skeleton ? strlen(r->skeleton) : 0, h);
    const double number[] = { r->max_tokens, r->temp, r->top_p, r->top_k, r->n_top, r->write_user };
    h = hash64(number, sizeof number, h);
    return hash64(&r->seed, sizeof r->seed, h);
}

static json_t *top_json(const struct lm_request *q, const struct lm_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_token; i++) {
        json_t *row = json_array();
        for (int k = 0; k < q->n_top; k++) {
            const struct lm_token *t = &r->top[i * q->n_top + k];
            json_array_append_new(row, json_pack("[i,f]", (int)t->id, finite_logp((double)t->logp)));
        }
        json_array_append_new(list, row);
    }
    return list;
}

int journal_get(struct journal *j, uint64_t key, struct answer *out, struct arena *a)
{
    if (!j->n_slot) return 0;
    const size_t *s = find(j, key);
    if (!*s) return 0;
    const struct entry *en = &j->v[*s - 1];
    const size_t n = strlen(en->text);
    const char *p = arena_strndup(a, en->text, n);
    *out = (struct answer){ .text = { p ? p : "", p ? n : 0 }, .finished = en->finished, .logp = en->logp, .top = en->top };
    return 1;
}

int journal_put(struct journal *j, uint64_t key, const struct lm_request *q, const struct lm_result *r, ilab_err *e)
{
    json_t *top = q->n_top && r->top ? top_json(q, r) : NULL;
    struct entry en = { .key = key, .text = utf8_clean((struct sv){ r->text ? r->text : "", r->text ? r->n : 0 }), .finished = r->finished,
                        .logp = finite_logp(r->logp_mean), .top = top };
    struct sb b;
    sb_init(&b, (size_t)1 << 22);
    sb_addf(&b, "{\"k\":\"%016" PRIx64 "\",\"f\":%d,\"l\":%.17g,\"t\":", key, r->finished, en.logp);
    sb_add_json_str(&b, sv_of(en.text ? en.text : ""));
    if (top) {
        sb_addc(&b, ",\"top\":");
        sb_add_json(&b, top);
    }
    sb_addc(&b, "}\n");
    const int failed = b.failed || !en.text;
    int rc = failed ? err_set(e, ILAB_E_NOMEM, "no memory for the journal") : 0;
    if (!rc && fwrite(b.p, 1, b.n, j->f) != b.n) rc = err_set(e, ILAB_E_IO, "cannot write '%s': is the disk full?", j->path);
    sb_release(&b);
    if (!rc && add(j, en)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the journal");
    if (rc) {
        mem_free(en.text);
        json_decref(en.top);
    }
    return rc;
}

int journal_flush(struct journal *j, ilab_err *e)
{
    return fflush(j->f) ? err_set(e, ILAB_E_IO, "cannot write '%s': is the disk full?", j->path) : 0;
}
