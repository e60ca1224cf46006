/* dataset.c — JSONL lines to samples: ids, loss mask, weight, a teacher's soft labels.
 *
 * The file is mapped and read line by line; only ids and masks stay. Every error carries file:line. A sample without anything to
 * learn is an error, because it is a mistake of whoever made the file; one that is too long is left out and counted.
 * Formats: InstructLab's train_*.jsonl (system, user, assistant) and *_msgs_*.jsonl (messages), and our {text}.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <math.h>
#include <string.h>

#define DATASET_MAX_BYTES ((size_t)64 << 30)
enum { LINE_MAX_BYTES = 64 << 20, MESSAGES_MAX = 1000, HEADER_MAX = 32 };

/* The assistant's header as the template writes it: an answer begins after it. */
struct header { int32_t id[HEADER_MAX]; int n, n_marker; };    /* n_marker: up to its last special token */
struct reader {
    struct dataset *d;
    const char *path;
    const struct tokenizer *t;
    const struct chat_template *chat;
    struct header header;
    struct read_opts opts;
    int64_t n_line;
    struct read_report *report;
};

static void *dataset_bytes(struct dataset *d, size_t n, size_t align) {
    if (!d->mem.max_bytes)
        arena_init(&d->mem, DATASET_MAX_BYTES);
    return arena_alloc(&d->mem, n, align);
}

int dataset_add_ids(struct dataset *d, const int32_t *id, const uint8_t *mask, int n, float weight, ilab_err *e) {
    struct sample s = { .id = NULL, .mask = NULL, .n = n, .weight = weight };
    int n_target = 0;
    for (int i = 1; i < n; i++)
        n_target += mask[i] != 0;
    if (!n_target)
        return err_set(e, ILAB_E_INVALID, "a sample without a token to learn");
    if (mem_grow((void **)&d->v, &d->cap, d->n + 1, sizeof *d->v) ||
        !(s.id = dataset_bytes(d, (size_t)n * sizeof *s.id, _Alignof(int32_t))) || !(s.mask = dataset_bytes(d, (size_t)n, 1)))
        return err_set(e, ILAB_E_NOMEM, "no memory for sample %zu", d->n + 1);
    memcpy(s.id, id, (size_t)n * sizeof *id);
    for (int i = 0; i < n; i++)
        s.mask[i] = i > 0 && mask[i] != 0;
    d->v[d->n++] = s;
    d->n_tokens += (size_t)n;
    d->n_targets += (size_t)n_target;
    return 0;
}

void dataset_release(struct dataset *d) {
    mem_free(d->v);
    arena_release(&d->mem);
    *d = (struct dataset){ 0 };
}

uint64_t dataset_hash(const struct dataset *d) {
    uint64_t h = 0;
    for (size_t i = 0; i < d->n; i++) {
        const struct sample *s = &d->v[i];
        h = hash64(s->id, (size_t)s->n * sizeof *s->id, h);
        h = hash64(s->mask, (size_t)s->n, h);
        h = hash64(&s->weight, sizeof s->weight, h);
        for (int k = 0; s->soft && k < s->n; k++) {
            const struct soft_label *l = &s->soft[k];
            h = hash64(&l->n, sizeof l->n, h);
            h = hash64(l->id, (size_t)l->n * sizeof *l->id, h);
            h = hash64(l->logp, (size_t)l->n * sizeof *l->logp, h);
        }
    }
    return h;
}

/* ---- one line ---- */

/* What add_prompt appends to a conversation is the header. */
static int find_header(struct reader *r, ilab_err *e) {
    struct chat_message m = { .role = "user", .content = SV("a") };
    struct chat_ids without = { 0 }, with = { 0 };
    int rc = chat_encode(r->t, r->chat, &m, 1, 0, &without, e);
    if (!rc)
        rc = chat_encode(r->t, r->chat, &m, 1, 1, &with, e);
    size_t at = 0;
    while (!rc && at < without.ids.n && at < with.ids.n && without.ids.v[at] == with.ids.v[at])
        at++;
    for (size_t i = at; !rc && i < with.ids.n && r->header.n < HEADER_MAX; i++) {
        int kind = tokenizer_kind(r->t, with.ids.v[i]);
        r->header.id[r->header.n++] = with.ids.v[i];
        if (kind == TOKEN_CONTROL || kind == TOKEN_USER)
            r->header.n_marker = r->header.n;
    }
    chat_ids_release(&without);
    chat_ids_release(&with);
    return rc;
}

static int header_at(const struct header *h, int n_want, const struct ids *l, size_t i) {
    return n_want > 0 && i + (size_t)n_want <= l->n && memcmp(l->v + i, h->id, (size_t)n_want * sizeof *h->id) == 0;
}

/* Marks the assistant's turns of a plain text, each with its end token. Returns the number of turns; *n_silent of them hold nothing else. */
static int mark_answers(const struct reader *r, const struct ids *l, uint8_t *mask, int *n_silent) {
    int n_turn = 0;
    for (size_t i = 0; i < l->n;) {
        if (!header_at(&r->header, r->header.n_marker, l, i)) {
            i++;
            continue;
        }
        i += (size_t)(header_at(&r->header, r->header.n, l, i) ? r->header.n : r->header.n_marker);
        n_turn++;
        if (i == l->n || tokenizer_is_end(r->t, l->v[i]) || tokenizer_kind(r->t, l->v[i]) == TOKEN_CONTROL)
            *n_silent += 1;
        for (; i < l->n; i++) {
            int end = tokenizer_is_end(r->t, l->v[i]);
            if (!end && tokenizer_kind(r->t, l->v[i]) == TOKEN_CONTROL)
                break;
            mask[i] = 1;
            if (end) {
                i++;
                break;
            }
        }
    }
    return n_turn;
}

static int encode_text(const struct reader *r, const json_t *text, int all, struct chat_ids *out, int *n_silent, ilab_err *e) {
    struct sv s = { json_string_value(text), json_string_length(text) };
    int flags = TOKEN_PARSE_SPECIAL | (tokenizer_adds_bos(r->t) ? TOKEN_ADD_BOS : 0), rc = tokenizer_encode(r->t, s, flags, &out->ids, e);
    int eos = tokenizer_eos(r->t);
    if (!rc && eos >= 0 && (!out->ids.n || !tokenizer_is_end(r->t, out->ids.v[out->ids.n - 1])))
        rc = ids_push(&out->ids, eos);
    if (rc)
        return rc;
    mem_free(out->mask);
    out->mask = mem_calloc(out->ids.n ? out->ids.n : 1, 1);
    if (!out->mask)
        return err_set(e, ILAB_E_NOMEM, "no memory for a text of %zu tokens", out->ids.n);
    if (all || !mark_answers(r, &out->ids, out->mask, n_silent))
        memset(out->mask, 1, out->ids.n);
    return 0;
}

/* The messages of a line; *n stays 0 when it holds no conversation. */
static int line_messages(const json_t *v, struct chat_message *m, int *n, ilab_err *e) {
    static const char *const ROLE[] = { "system", "user", "assistant" };
    const json_t *list = json_object_get(v, "messages");
    *n = 0;
    if (list) {
        if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > MESSAGES_MAX)
            return err_set(e, ILAB_E_FORMAT, "'messages' must be a list of 1 to %d messages", MESSAGES_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *o = json_array_get(list, i), *c = json_object_get(o, "content");
            const char *role = json_str(o, "role");
            if (!role || !json_is_string(c))
                return err_set(e, ILAB_E_FORMAT, "message %zu needs 'role' and 'content', both strings", i + 1);
            m[(*n)++] = (struct chat_message){ .role = role, .content = { json_string_value(c), json_string_length(c) } };
        }
        return 0;
    }
    if (!json_object_get(v, "assistant"))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(ROLE); i++) {
        const json_t *c = json_object_get(v, ROLE[i]);
        if (i == 0 && (!c || json_is_null(c) || (json_is_string(c) && !json_string_length(c))))
            continue;
        if (!json_is_string(c))
            return err_set(e, ILAB_E_FORMAT, "'%s' must be a string", ROLE[i]);
        m[(*n)++] = (struct chat_message){ .role = ROLE[i], .content = { json_string_value(c), json_string_length(c) } };
    }
    return 0;
}

static int line_soft(struct reader *r, const json_t *list, struct sample *s, int was_cut, ilab_err *e) {
    size_t n_list = json_array_size(list), k = 0;
    int n_vocab = tokenizer_size(r->t), n_target = 0;
    for (int i = 0; i < s->n; i++)
        n_target += s->mask[i];
    if (!json_is_array(list) || (n_list > (size_t)n_target && !was_cut))
        return err_set(e, ILAB_E_FORMAT, "'soft' must be a list with at most one entry for each of the %d target tokens", n_target);
    s->soft = dataset_bytes(r->d, (size_t)s->n * sizeof *s->soft, _Alignof(struct soft_label));
    if (!s->soft)
        return err_set(e, ILAB_E_NOMEM, "no memory for soft labels");
    for (int i = 0; i < s->n && k < n_list; i++) {
        if (!s->mask[i])
            continue;
        const json_t *top = json_array_get(list, k++);
        if (!json_is_array(top) && !json_is_null(top))
            return err_set(e, ILAB_E_FORMAT, "'soft' entry %zu must be a list of [id, log-probability] pairs", k);
        struct soft_label *l = &s->soft[i];
        for (size_t j = 0; j < json_array_size(top) && l->n < SOFT_TOP; j++) {
            const json_t *pair = json_array_get(top, j), *id = json_array_get(pair, 0), *lp = json_array_get(pair, 1);
            double logp = json_number_value(lp);
            if (json_array_size(pair) != 2 || !json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= n_vocab ||
                !json_is_number(lp) || !(logp <= 1e-3))
                return err_set(e, ILAB_E_FORMAT, "'soft' entry %zu: pair %zu is no [id below %d, log-probability at most 0]", k, j + 1, n_vocab);
            l->id[l->n] = (int32_t)json_integer_value(id);
            l->logp[l->n++] = (float)(logp < 0 ? logp : 0);
        }
    }
    return 0;
}

static int read_sample(struct reader *r, const json_t *v, struct chat_message *m, struct chat_ids *c, ilab_err *e) {
    const char *loss = json_str(v, "loss");
    const json_t *text = json_object_get(v, "text"), *soft = json_object_get(v, "soft");
    double weight = json_num(v, "weight", 1.0);
    int n_message = 0, n_silent = 0, all = loss && strcmp(loss, "all") == 0;
    if (!json_is_object(v))
        return err_set(e, ILAB_E_FORMAT, "a line must be a JSON object");
    if (loss && !all && strcmp(loss, "answers") != 0)
        return err_set(e, ILAB_E_FORMAT, "'loss' is \"%s\", not \"answers\" or \"all\"", loss);
    if (!(weight > 0 && weight <= 1000) || (json_object_get(v, "weight") && !json_is_number(json_object_get(v, "weight"))))
        return err_set(e, ILAB_E_FORMAT, "'weight' must be a number above 0 and at most 1000");
    int rc = line_messages(v, m, &n_message, e);
    if (rc)
        return rc;
    if (n_message)
        rc = chat_encode(r->t, r->chat, m, n_message, 0, c, e);
    else if (json_is_string(text))
        rc = encode_text(r, text, !loss || all, c, &n_silent, e);
    else
        return err_set(e, ILAB_E_FORMAT, "neither 'messages', nor 'user' and 'assistant', nor 'text'");
    if (rc)
        return rc;
    for (int i = 0; i < n_message; i++)
        n_silent += !strcmp(m[i].role, "assistant") && !sv_trim(m[i].content).n;
    if (all && n_message)
        memset(c->mask, 1, c->ids.n);
    size_t n = c->ids.n;
    if (n > INT32_MAX || (r->opts.max_tokens > 0 && n > (size_t)r->opts.max_tokens)) {
        struct read_report *rep = r->report;
        rep->first_line = rep->first_line ? rep->first_line : r->n_line;
        rep->longest = (int64_t)n > rep->longest ? (int64_t)n : rep->longest;
        size_t learnt = 0;
        for (size_t i = 1; i < (size_t)r->opts.max_tokens; i++)
            learnt += c->mask[i] != 0;
        if (!r->opts.cut_long || !learnt) {
            *(r->opts.cut_long ? &rep->n_cut_empty : &rep->n_left_out) += 1;
            return 0;
        }
        rep->n_cut++;
        n = (size_t)r->opts.max_tokens;
    }
    rc = dataset_add_ids(r->d, c->ids.v, c->mask, (int)n, (float)weight, e);
    if (!rc)
        r->d->v[r->d->n - 1].line = r->n_line;
    if (rc == ILAB_E_INVALID)
        return err_set(e, ILAB_E_FORMAT, n_message ? "no assistant's answer to learn from" : "no text to learn from");
    if (!rc && n_silent && !r->report->n_silent++)
        r->report->first_silent = r->n_line;
    return rc || !soft ? rc : line_soft(r, soft, &r->d->v[r->d->n - 1], n < c->ids.n, e);
}

json_t *dataset_parse_line(struct sv line, const char *path, int64_t n_line, ilab_err *e) {
    ilab_err own = { 0 };
    json_t *v = json_parse(line, path, &own);
    if (v)
        return v;
    /* The parser counts lines from 1 within what it was given: "path:1:col: what". */
    size_t n = strlen(path);
    const char *msg = own.msg;
    if (strncmp(msg, path, n) == 0 && strncmp(msg + n, ":1:", 3) == 0)
        err_set(e, own.code ? own.code : ILAB_E_FORMAT, "%s:%lld:%s", path, (long long)n_line, msg + n + 3);
    else
        err_set(e, own.code ? own.code : ILAB_E_FORMAT, "%s:%lld: %s", path, (long long)n_line, msg);
    return NULL;
}

int dataset_read_lines(struct dataset *d, const char *path, struct sv text, int64_t first_line, const struct tokenizer *t,
                       const struct read_opts *o, struct read_report *report, ilab_err *e) {
    struct read_report own = { 0 };
    struct reader r = { .d = d, .path = path, .t = t, .chat = chat_template_of(t), .opts = *o, .report = report ? report : &own };
    struct chat_message *m = mem_alloc(MESSAGES_MAX * sizeof *m);
    if (!m)
        return err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", path);
    int rc = find_header(&r, e);
    struct sv line;
    for (int64_t n_line = first_line; !rc && sv_split(&text, '\n', &line); n_line++) {
        if (!sv_trim(line).n)
            continue;
        if (line.n > LINE_MAX_BYTES) {
            rc = err_set(e, ILAB_E_LIMIT, "%s:%lld: a line of more than %d bytes", path, (long long)n_line, LINE_MAX_BYTES);
            break;
        }
        json_t *v = dataset_parse_line(line, path, n_line, e);
        if (!v) {
            rc = ILAB_E_FORMAT;
            break;
        }
        struct chat_ids c = { 0 };
        r.n_line = n_line;
        rc = read_sample(&r, v, m, &c, e);
        if (rc)
            err_prefix(e, "%s:%lld: ", path, (long long)n_line);
        chat_ids_release(&c);
        json_decref(v);
    }
    mem_free(m);
    return rc;
}

int dataset_read(struct dataset *d, const char *path, const struct tokenizer *t, const struct read_opts *o, struct read_report *r, ilab_err *e) {
    struct file_map map;
    if (r)
        *r = (struct read_report){ 0 };
    int rc = file_map_open(&map, path, e);
    if (rc)
        return rc;
    rc = dataset_read_lines(d, path, (struct sv){ (const char *)map.p, map.n }, 1, t, o, r, e);
    file_map_close(&map);
    return rc;
}

int dataset_read_jsonl(struct dataset *d, const char *path, const struct tokenizer *t, int max_tokens, size_t *n_too_long, ilab_err *e) {
    struct read_report r = { 0 };
    int rc = dataset_read(d, path, t, &(struct read_opts){ .max_tokens = max_tokens }, &r, e);
    if (n_too_long)
        *n_too_long = r.n_left_out;
    return rc;
}
