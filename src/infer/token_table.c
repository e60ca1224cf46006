/* token_table.c — the bytes of every id, sorted, so that a mask walks the vocabulary as the trie it is.
 *
 * Immutable after token_table_new and shared by reference.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/token_table.h"

#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 1 << 28 };

static struct sv bytes_of(const struct token_table *tt, int32_t id) {
    return (struct sv){ tt->bytes + tt->off[id], tt->off[id + 1] - tt->off[id] };
}

static int by_bytes(const void *a, const void *b, void *ud) {
    const struct token_table *tt = ud;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    struct sv s = bytes_of(tt, i), t = bytes_of(tt, j);
    int c = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);
    if (c) return c;
    return s.n != t.n ? (s.n < t.n ? -1 : 1) : (i > j) - (i < j);
}

static int is_plain(struct sv s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return 0;
    return utf8_valid(s, NULL);
}

static void classify(struct token_table *tt, const struct tokenizer *t) {
    for (int id = 0; id < tt->n; id++) {
        int kind = tokenizer_kind(t, id);
        struct sv s = bytes_of(tt, id);
        if (tokenizer_is_end(t, id)) {
            tt->flag[id] = TT_END;
        } else if ((kind == TOKEN_NORMAL || kind == TOKEN_BYTE) && s.n && s.n <= TOKEN_TABLE_MAX_LEN) {
            tt->flag[id] = TT_TEXT;
            tt->order[tt->n_order++] = id;
            if (s.n == 1) tt->single[(unsigned char)s.p[0]] = 1;
            if (is_plain(s)) {
                tt->flag[id] |= TT_PLAIN;
                tt->n_plain += s.p[0] != ' ';
            }
        }
    }
    for (int b = 0x80; b < 0xC0; b++) tt->whole_only |= !tt->single[b];
    qsort_r(tt->order, (size_t)tt->n_order, sizeof *tt->order, by_bytes, tt);
    for (int i = 1; i < tt->n_order; i++) {
        struct sv a = bytes_of(tt, tt->order[i - 1]), b = bytes_of(tt, tt->order[i]);
        uint8_t l = 0;
        while (l < a.n && l < b.n && a.p[l] == b.p[l]) l++;
        tt->lcp[i] = l;
    }
}

/* Does a text get a space in front? Looks at what encoding "a" decodes to, id by id. */
static int probe_space_prefix(const struct tokenizer *t) {
    struct ids ids = { 0 };
    struct sb text;
    sb_init(&text, 64);
    int yes = 0;
    if (!tokenizer_encode(t, SV("a"), 0, &ids, NULL) && ids.n) {
        tokenizer_piece(t, ids.v[0], 0, &text);
        yes = text.n && text.p[0] == ' ';
    }
    ids_release(&ids);
    sb_release(&text);
    return yes;
}

struct token_table *token_table_new(const struct tokenizer *t) {
    struct token_table *tt = mem_calloc(1, sizeof *tt);
    if (!tt) return NULL;
    struct sb all;
    sb_init(&all, PIECES_MAX);
    atomic_init(&tt->n_ref, 1);
    tt->n = tokenizer_size(t);
    size_t n = (size_t)tt->n;
    tt->off = mem_calloc(n + 1, sizeof *tt->off);
    tt->flag = mem_calloc(n + 1, 1);
    tt->order = mem_calloc(n + 1, sizeof *tt->order);
    tt->lcp = mem_calloc(n + 1, 1);
    int ok = tt->off && tt->flag && tt->order && tt->lcp;
    for (int id = 0; ok && id < tt->n; id++) {
        tokenizer_piece(t, id, 0, &all);
        tt->off[id + 1] = (uint32_t)all.n;
    }
    ok = ok && !all.failed;
    if (ok) {
        sb_addch(&all, 0); /* never NULL, even without any text */
        tt->bytes = sb_take(&all, NULL);
        ok = tt->bytes != NULL;
    }
    if (ok) {
        classify(tt, t);
        tt->space_prefix = probe_space_prefix(t);
        return tt;
    }
    sb_release(&all);
    token_table_free(tt);
    return NULL;
}

struct token_table *token_table_ref(struct token_table *tt) {
    atomic_fetch_add(&tt->n_ref, 1);
    return tt;
}

void token_table_free(struct token_table *tt) {
    if (!tt || atomic_fetch_sub(&tt->n_ref, 1) > 1) return;
    mem_free(tt->off);
    mem_free(tt->bytes);
    mem_free(tt->flag);
    mem_free(tt->order);
    mem_free(tt->lcp);
    mem_free(tt);
}

/* 1 when ids[from..] spell exactly text. */
static int spells(const struct tokenizer *t, const struct ids *ids, size_t from, struct sv text) {
    struct sb s;
    sb_init(&s, text.n + 4 * TOKEN_TABLE_MAX_LEN + 1);
    for (size_t i = from; i < ids->n; i++) tokenizer_piece(t, ids->v[i], 0, &s);
    int same = !s.failed && sv_eq((struct sv){ s.p, s.n }, text);
    sb_release(&s);
    return same;
}

/* Number of leading ids that spell a line feed (with white space in front), or -1. */
static ptrdiff_t skip_line_feed(const struct tokenizer *t, const struct ids *ids) {
    struct sb s;
    sb_init(&s, 1024);
    ptrdiff_t at = -1;
    for (size_t i = 0; i < ids->n && i < 4 && at < 0; i++) {
        tokenizer_piece(t, ids->v[i], 0, &s);
        if (s.n && s.p[s.n - 1] == '\n') at = (ptrdiff_t)i + 1;
    }
    sb_release(&s);
    return at;
}

int encode_continuation(const struct tokenizer *t, struct sv text, struct ids *out, ilab_err *e) {
    struct ids ids = { 0 };
    struct sb led;
    sb_init(&led, text.n + 2);
    size_t from = 0;
    int rc = tokenizer_encode(t, text, 0, &ids, e);
    if (!rc && !spells(t, &ids, 0, text)) { /* the same behind a line feed, and that cut off again */
        ids.n = 0;
        sb_addch(&led, '\n');
        sb_add(&led, text);
        rc = led.failed ? err_set(e, ILAB_E_NOMEM, "not enough memory to encode text") : tokenizer_encode(t, (struct sv){ led.p, led.n }, 0, &ids, e);
        ptrdiff_t skip = rc ? 0 : skip_line_feed(t, &ids);
        from = skip > 0 ? (size_t)skip : 0;
        if (!rc && (skip < 0 || !spells(t, &ids, from, text)))
            rc = err_set(e, ILAB_E_INVALID, "the tokenizer cannot spell '%.*s'", (int)(text.n < 200 ? text.n : 200), text.p);
    }
    for (size_t i = from; !rc && i < ids.n; i++)
        if (ids_push(out, ids.v[i])) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for %zu ids", ids.n);
    ids_release(&ids);
    sb_release(&led);
    return rc;
}
