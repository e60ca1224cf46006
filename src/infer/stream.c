/* stream.c — what of the decoded bytes may be shown already.
 *
 * Held back: a code point that is not complete, and an end that a stop string may begin with. Bytes that are
 * no UTF-8 become U+FFFD, so the text (the sum of the pieces) is always valid.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/stream.h"

#include <string.h>

enum { STREAM_MAX_BYTES = 1 << 26 };

void stream_init(struct stream *s, const struct request *rq) {
    memset(s, 0, sizeof *s);
    sb_init(&s->raw, STREAM_MAX_BYTES);
    sb_init(&s->text, STREAM_MAX_BYTES * 3u);
    s->stop = rq->stop;
    s->n_stop = rq->n_stop;
    s->on_text = rq->on_text;
    s->ud = rq->ud;
}

void stream_release(struct stream *s) {
    sb_release(&s->raw);
    sb_release(&s->text);
}

/* Length of the code point that begins at p, 0: stray byte, -1: valid so far but cut. */
static int code_point_length(const char *p, size_t n) {
    unsigned char b = (unsigned char)p[0];
    int len = b < 0x80 ? 1 : b >= 0xC2 && b < 0xE0 ? 2 : b >= 0xE0 && b < 0xF0 ? 3 : b >= 0xF0 && b < 0xF5 ? 4 : 0;
    static const char FILL[2][4] = { "\x80\x80\x80", "\xBF\xBF\xBF" }; /* E0 and F0 need a high second byte, ED and F4 a low one */
    char probe[4];
    if (!len || n >= (size_t)len) return len && utf8_valid((struct sv){ p, (size_t)len }, NULL) ? len : 0;
    for (int f = 0; f < 2; f++) {
        memcpy(probe, p, n);
        memcpy(probe + n, FILL[f], (size_t)len - n);
        if (utf8_valid((struct sv){ probe, (size_t)len }, NULL)) return -1;
    }
    return 0;
}

static void emit(struct stream *s, size_t to, int all) {
    size_t from = s->text.n;
    while (s->n_out < to) {
        int len = code_point_length(s->raw.p + s->n_out, to - s->n_out);
        if (len < 0 && !all) break;
        if (len > 0) sb_add(&s->text, (struct sv){ s->raw.p + s->n_out, (size_t)len });
        else sb_addc(&s->text, "\xEF\xBF\xBD");
        s->n_out += len > 0 ? (size_t)len : len < 0 ? to - s->n_out : 1;
    }
    if (s->on_text && s->text.n > from && !s->cancelled && s->on_text(s->ud, (struct sv){ s->text.p + from, s->text.n - from })) s->cancelled = 1;
}

/* First byte of raw from which a stop string may still grow. */
static size_t safe_end(const struct stream *s) {
    for (size_t at = s->n_searched; at < s->raw.n; at++)
        for (int i = 0; i < s->n_stop; i++) {
            size_t n = s->raw.n - at;
            if (strlen(s->stop[i]) > n && !memcmp(s->stop[i], s->raw.p + at, n)) return at;
        }
    return s->raw.n;
}

void stream_push(struct stream *s, struct sv bytes) {
    if (!bytes.n || s->stopped) return;
    sb_add(&s->raw, bytes);
    struct sv raw = { s->raw.p, s->raw.n };
    ptrdiff_t first = -1;
    for (int i = 0; i < s->n_stop; i++) {
        ptrdiff_t at = s->stop[i][0] ? sv_find(raw, sv_of(s->stop[i]), s->n_searched) : -1;
        if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
        s->stopped = 1;
        s->raw.n = (size_t)first;
        return;
    }
    s->n_searched = safe_end(s);
    emit(s, s->n_searched, 0);
}

void stream_finish(struct stream *s) { emit(s, s->raw.n, 1); }
