/* scratch_data.c — large data for training from nothing: encoded once, in parallel, into one file that is mapped ever after.
 *
 * Layout of the file: ids (i32 each), masks (u8 each) padded to 8 bytes, one struct record a sample, struct footer. The footer's key
 * says which sources, vocabulary and limits made it; another key makes it anew. Threads encode parts of CHUNK bytes; the parts are
 * written in the order of the source, so the file does not depend on threads.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <string.h>

enum { CHUNK = 1 << 20, PARTS = 32 };
struct record { int32_t n; float weight; };
struct footer { char magic[8], key[72]; uint64_t n_sample, n_tokens, n_targets, n_too_long; };
static const char MAGIC[8] = "ILABDAT1";

struct part { struct sv text; struct dataset d; struct read_report report; int rc; ilab_err err; };
struct round { const char *path; const struct tokenizer *t; struct read_opts opts; struct part part[PARTS]; };
struct store { struct file_out o; uint8_t *mask; size_t cap_mask; struct record *record; size_t cap_record; struct footer f; };

static void encode_part(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct round *r = ud;
    struct part *p = &r->part[i];
    p->rc = dataset_read_lines(&p->d, r->path, p->text, 1, r->t, &r->opts, &p->report, &p->err);
}

/* Splits off about CHUNK bytes that end with a line. */
static struct sv next_part(struct sv *rest) {
    size_t n = rest->n;
    if (n > CHUNK) {
        const char *end = memchr(rest->p + CHUNK, '\n', n - CHUNK);
        n = end ? (size_t)(end - rest->p) + 1 : n;
    }
    struct sv part = { rest->p, n };
    rest->p += n;
    rest->n -= n;
    return part;
}

static int store_part(struct store *s, const struct dataset *d, ilab_err *e) {
    for (size_t i = 0; i < d->n; i++) {
        const struct sample *v = &d->v[i];
        size_t n = (size_t)v->n;
        if (v->soft)
            return err_set(e, ILAB_E_INVALID, "soft labels are not supported in data for training from nothing");
        if (mem_grow((void **)&s->mask, &s->cap_mask, s->f.n_tokens + n, 1) ||
            mem_grow((void **)&s->record, &s->cap_record, s->f.n_sample + 1, sizeof *s->record))
            return err_set(e, ILAB_E_NOMEM, "no memory for %llu tokens", (unsigned long long)s->f.n_tokens);
        file_put(&s->o, v->id, n * sizeof *v->id);
        memcpy(s->mask + s->f.n_tokens, v->mask, n);
        s->record[s->f.n_sample++] = (struct record){ .n = v->n, .weight = v->weight };
        s->f.n_tokens += n;
    }
    s->f.n_targets += d->n_targets;
    return 0;
}

/* The part's error with the line counted from the start of the file. */
static int part_error(const struct round *r, const struct file_map *map, struct part *p, ilab_err *e) {
    int64_t line = 1;
    for (const char *c = (const char *)map->p; (c = memchr(c, '\n', (size_t)(p->text.p - c))) != NULL; c++)
        line++;
    struct dataset again = { 0 };
    int rc = dataset_read_lines(&again, r->path, p->text, line, r->t, &r->opts, NULL, e);
    dataset_release(&again);
    if (rc)
        return rc;
    if (e)
        *e = p->err;
    return p->rc;
}

static int encode_file(struct store *s, const char *path, const struct tokenizer *t, int max_tokens, struct pool *pool,
                       struct progress *progress, int64_t *done, ilab_err *e) {
    struct file_map map;
    struct round *r = mem_calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", path);
    int rc = file_map_open(&map, path, e);
    if (rc) {
        mem_free(r);
        return rc;
    }
    struct sv rest = { (const char *)map.p, map.n };
    r->path = path;
    r->t = t;
    r->opts.max_tokens = max_tokens;
    while (!rc && rest.n) {
        int n = 0;
        for (; n < PARTS && rest.n; n++)
            r->part[n] = (struct part){ .text = next_part(&rest) };
        pool_run(pool, encode_part, r, n);
        for (int i = 0; i < n; i++) {
            struct part *p = &r->part[i];
            if (!rc)
                rc = p->rc ? part_error(r, &map, p, e) : store_part(s, &p->d, e);
            s->f.n_too_long += p->report.n_left_out;
            *done += (int64_t)p->text.n;
            dataset_release(&p->d);
        }
        progress_at(progress, *done >> 20, "%.1f million tokens", (double)s->f.n_tokens * 1e-6);
        if (!rc && signal_pending())
            rc = err_set(e, ILAB_E_CANCEL, "stopped while encoding '%s'; the same command starts the encoding again", path);
    }
    file_map_close(&map);
    mem_free(r);
    return rc;
}

static int build(const char *const *file, int n_file, const char *bin, const char *key, const struct tokenizer *t, int max_tokens,
                 struct pool *pool, int quiet, ilab_err *e) {
    struct store s = { .cap_mask = 0 };
    struct progress progress = { .quiet = quiet, .plain_seconds = 30 };
    int64_t total = 0, done = 0;
    for (int i = 0; i < n_file; i++)
        total += file_size(file[i]) > 0 ? file_size(file[i]) : 0;
    int rc = file_create(&s.o, bin, e);
    if (rc)
        return rc;
    memcpy(s.f.magic, MAGIC, sizeof MAGIC);
    snprintf(s.f.key, sizeof s.f.key, "%s", key);
    progress_start(&progress, "encoding", (total >> 20) + 1, 0);
    progress.quiet = quiet;
    for (int i = 0; i < n_file && !rc; i++)
        rc = encode_file(&s, file[i], t, max_tokens, pool, &progress, &done, e);
    progress_end(&progress);
    if (!rc && !s.f.n_sample)
        rc = err_set(e, ILAB_E_INVALID, "the data has no sample of at most %d tokens", max_tokens);
    if (!rc) {
        static const uint8_t zero[8];
        size_t ids = s.f.n_tokens * sizeof(int32_t), pad = (8 - (ids + s.f.n_tokens) % 8) % 8;
        file_put(&s.o, s.mask, s.f.n_tokens);
        file_put(&s.o, zero, pad);
        file_put(&s.o, s.record, s.f.n_sample * sizeof *s.record);
        file_put(&s.o, &s.f, sizeof s.f);
        rc = file_commit(&s.o, e);
        log_info("encoded %llu samples, %llu tokens, %llu to learn; %llu samples were longer than %d tokens and left out",
                 (unsigned long long)s.f.n_sample, (unsigned long long)s.f.n_tokens, (unsigned long long)s.f.n_targets,
                 (unsigned long long)s.f.n_too_long, max_tokens);
    } else {
        file_abandon(&s.o);
    }
    mem_free(s.mask);
    mem_free(s.record);
    return rc;
}

/* ILAB_E_NOTFOUND: absent, of another key, or not whole. */
static int open_bin(struct scratch_data *s, const char *bin, const char *key, ilab_err *e) {
    struct footer f;
    if (file_exists(bin) != 1)
        return ILAB_E_NOTFOUND;
    int rc = file_map_open(&s->map, bin, e);
    if (rc)
        return rc;
    size_t n = s->map.n, limit = n / 5;
    if (n < sizeof f)
        return ILAB_E_NOTFOUND;
    memcpy(&f, s->map.p + n - sizeof f, sizeof f);
    f.key[sizeof f.key - 1] = 0;
    if (memcmp(f.magic, MAGIC, sizeof MAGIC) != 0 || strcmp(f.key, key) != 0 || f.n_tokens > limit || f.n_sample > limit)
        return ILAB_E_NOTFOUND;
    size_t ids = f.n_tokens * sizeof(int32_t), records = (ids + f.n_tokens + 7) / 8 * 8;
    if (records + f.n_sample * sizeof(struct record) + sizeof f != n)
        return ILAB_E_NOTFOUND;
    s->d.v = mem_alloc((f.n_sample + 1) * sizeof *s->d.v);
    if (!s->d.v)
        return err_set(e, ILAB_E_NOMEM, "no memory for %llu samples", (unsigned long long)f.n_sample);
    size_t at = 0;
    for (size_t i = 0; i < f.n_sample; i++) {
        struct record r;
        memcpy(&r, s->map.p + records + i * sizeof r, sizeof r);
        if (r.n < 1 || (size_t)r.n > f.n_tokens - at)
            return ILAB_E_NOTFOUND;
        /* The map is read-only; struct sample's pointers are for writers, and nobody writes here. */
        s->d.v[i] = (struct sample){ .id = (int32_t *)(uintptr_t)s->map.p + at, .mask = (uint8_t *)(uintptr_t)s->map.p + ids + at,
                                     .n = r.n, .weight = r.weight };
        at += (size_t)r.n;
    }
    s->d.n = s->d.cap = f.n_sample;
    s->d.n_tokens = f.n_tokens;
    s->d.n_targets = f.n_targets;
    return 0;
}

int scratch_data_open(struct scratch_data *s, const char *const *file, int n_file, const char *bin, const char *key,
                      const struct tokenizer *t, int max_tokens, struct pool *pool, int quiet, ilab_err *e) {
    *s = (struct scratch_data){ 0 };
    int rc = open_bin(s, bin, key, e);
    if (rc != ILAB_E_NOTFOUND)
        return rc;
    scratch_data_close(s);
    rc = build(file, n_file, bin, key, t, max_tokens, pool, quiet, e);
    if (!rc)
        rc = open_bin(s, bin, key, e);
    return rc == ILAB_E_NOTFOUND ? err_set(e, ILAB_E_IO, "'%s' cannot be read back", bin) : rc;
}

void scratch_data_close(struct scratch_data *s) {
    dataset_release(&s->d);
    if (s->map.base)
        file_map_close(&s->map);
    *s = (struct scratch_data){ 0 };
}

/* ---- text for the vocabulary ---- */

static void add_plain(struct sb *b, struct sv s, const char *const *special, int n_special) {
    while (s.n) {
        ptrdiff_t first = -1;
        size_t len = 0;
        for (int i = 0; i < n_special; i++) {
            ptrdiff_t at = sv_find(s, sv_of(special[i]), 0);
            if (at >= 0 && (first < 0 || at < first)) {
                first = at;
                len = strlen(special[i]);
            }
        }
        if (first < 0 || !len) {
            sb_add(b, s);
            break;
        }
        sb_add(b, (struct sv){ s.p, (size_t)first });
        sb_addch(b, '\n');
        s.p += (size_t)first + len;
        s.n -= (size_t)first + len;
    }
    sb_addch(b, '\n');
}

static void add_line_text(struct sb *b, const json_t *v, const char *const *special, int n_special) {
    static const char *const KEY[] = { "system", "user", "assistant", "text" };
    const json_t *list = json_object_get(v, "messages");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_object_get(json_array_get(list, i), "content");
        if (json_is_string(c))
            add_plain(b, (struct sv){ json_string_value(c), json_string_length(c) }, special, n_special);
    }
    int chat = json_object_get(v, "assistant") != NULL;
    for (size_t i = 0; !list && i < ARRAY_LEN(KEY); i++) {
        const json_t *c = json_object_get(v, KEY[i]);
        if (json_is_string(c) && (i < 3 ? chat : !chat))
            add_plain(b, (struct sv){ json_string_value(c), json_string_length(c) }, special, n_special);
    }
}

int scratch_sample_text(const char *const *file, int n_file, size_t max_bytes, const char *const *special, int n_special,
                        char **out, size_t *n_out, ilab_err *e) {
    int64_t total = 0;
    for (int i = 0; i < n_file; i++)
        total += file_size(file[i]) > 0 ? file_size(file[i]) : 0;
    int64_t stride = total / (int64_t)max_bytes + 1, count = 0;  /* every stride-th line of all files */
    struct sb b;
    int rc = 0;
    *out = NULL;
    sb_init(&b, 2 * max_bytes + (1 << 20));
    for (int i = 0; i < n_file && !rc; i++) {
        struct file_map map;
        struct sv line;
        rc = file_map_open(&map, file[i], e);
        if (rc)
            break;
        struct sv rest = { (const char *)map.p, map.n };
        for (int64_t n_line = 1; !rc && b.n < max_bytes && sv_split(&rest, '\n', &line); n_line++) {
            if (!sv_trim(line).n || count++ % stride)
                continue;
            json_t *v = dataset_parse_line(line, file[i], n_line, e);
            if (!v)
                rc = ILAB_E_FORMAT;
            else
                add_line_text(&b, v, special, n_special);
            json_decref(v);
        }
        file_map_close(&map);
    }
    if (!rc && (b.failed || !b.n))
        rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory for a sample of the text") : err_set(e, ILAB_E_INVALID, "the data holds no text");
    if (!rc)
        *out = sb_take(&b, n_out);
    sb_release(&b);
    return rc;
}
