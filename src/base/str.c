/* str.c — borrowed views (sv), capped builders (sb), strict numbers, nearest name.
 *
 * Invariant of sb: p is never NULL after sb_init and p[n] is 0; a piece that does not fit leaves the
 * contents as they were and sets `failed`, which stays set until sb_reset.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sv sv_of(const char *cstr) { return (struct sv){ cstr, cstr ? strlen(cstr) : 0 }; }
int sv_eq(struct sv a, struct sv b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
int sv_eq_c(struct sv a, const char *b) { return sv_eq(a, sv_of(b)); }

int sv_starts(struct sv s, const char *prefix) {
    size_t n = strlen(prefix);
    return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

int sv_ends(struct sv s, const char *suffix) {
    size_t n = strlen(suffix);
    return s.n >= n && (n == 0 || memcmp(s.p + s.n - n, suffix, n) == 0);
}

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct sv sv_trim(struct sv s) {
    while (s.n && is_space(s.p[0])) s.p++, s.n--;
    while (s.n && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

ptrdiff_t sv_find(struct sv hay, struct sv needle, size_t from) {
    if (from > hay.n || needle.n > hay.n - from) return -1;
    if (needle.n == 0) return (ptrdiff_t)from;
    const char *p = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
    return p ? p - hay.p : -1;
}

int sv_split(struct sv *rest, char sep, struct sv *part) {
    if (rest->n == 0) return 0;
    const char *at = memchr(rest->p, sep, rest->n);
    part->p = rest->p;
    part->n = at ? (size_t)(at - rest->p) : rest->n;
    size_t eaten = part->n + (at != NULL);
    rest->p += eaten;
    rest->n -= eaten;
    return 1;
}

static char no_text[1]; /* what an empty builder points at; never written, never freed (cap is 0) */

void sb_init(struct sb *b, size_t max) { *b = (struct sb){ .p = no_text, .max = max }; }

/* Room for n more bytes and the terminator; 0, or failed is set. */
static int sb_room(struct sb *b, size_t n) {
    size_t need;
    if (b->failed) return ILAB_E_LIMIT;
    if (ADD_OVERFLOWS(b->n, n, &need) || need > b->max || need == SIZE_MAX) return b->failed = 1;
    if (need < b->cap) return 0;
    char *p = b->cap ? b->p : NULL;
    if (mem_grow((void **)&p, &b->cap, need + 1, 1)) return b->failed = 1;
    b->p = p;
    b->p[b->n] = 0;
    return 0;
}

void sb_add(struct sb *b, struct sv s) {
    if (sb_room(b, s.n)) return;
    if (s.n) memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = 0;
}

void sb_addc(struct sb *b, const char *cstr) { sb_add(b, sv_of(cstr)); }
void sb_addch(struct sb *b, char c) { sb_add(b, (struct sv){ &c, 1 }); }

void sb_addf(struct sb *b, const char *fmt, ...) {
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n < 0) b->failed = 1;
    else if ((size_t)n < sizeof small) sb_add(b, (struct sv){ small, (size_t)n });
    else if (!sb_room(b, (size_t)n)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void sb_reset(struct sb *b) {
    b->n = 0;
    b->failed = 0;
    if (b->cap) b->p[0] = 0;
}

char *sb_take(struct sb *b, size_t *n) {
    if (n) *n = 0;
    if (sb_room(b, 0)) { /* failed before, or no memory for the terminator of an empty one */
        sb_release(b);
        return NULL;
    }
    char *p = b->p;
    if (n) *n = b->n;
    sb_init(b, b->max);
    return p;
}

void sb_release(struct sb *b) {
    if (b->cap) mem_free(b->p);
    sb_init(b, b->max);
}

int parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out) {
    const char *digits = s && (*s == '-' || *s == '+') ? s + 1 : s;
    if (!digits || !isdigit((unsigned char)*digits)) return ILAB_E_INVALID;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (*end || errno || v < lo || v > hi) return ILAB_E_INVALID;
    *out = v;
    return 0;
}

int parse_f64(const char *s, double lo, double hi, double *out) {
    /* strtod also takes white space, hex floats, "inf" and "nan": only decimal digits here. */
    if (!s || !*s || s[strspn(s, "0123456789+-.eE")]) return ILAB_E_INVALID;
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end || !isfinite(v) || v < lo || v > hi) return ILAB_E_INVALID;
    *out = v;
    return 0;
}

int parse_bytes(const char *s, size_t *out) {
    static const char UNITS[] = "KMGT";
    char number[32];
    const size_t n = s ? strspn(s, "0123456789.") : 0;
    double v;
    if (!n || n >= sizeof number) return ILAB_E_INVALID;
    memcpy(number, s, n);
    number[n] = 0;
    if (parse_f64(number, 0, 1e18, &v)) return ILAB_E_INVALID;
    const char *rest = s + n + (s[n] == ' '), *unit = *rest ? strchr(UNITS, *rest & ~0x20) : NULL;
    const int binary = unit && rest[1] == 'i';
    for (int i = 0; unit && i <= unit - UNITS; i++) v *= binary ? 1024 : 1000;
    rest += unit ? 1 + binary : 0;
    if (*rest == 'B' || *rest == 'b') rest++;
    if (*rest || v < 1 || v > 1e18) return ILAB_E_INVALID;
    *out = (size_t)v;
    return 0;
}

#define NAME_MAX_LEN 63

/* Optimal string alignment distance (insert, delete, replace, swap of neighbours), ASCII case ignored. */
static int edit_distance(const char *a, const char *b) {
    int d[3][NAME_MAX_LEN + 1];
    int n = (int)strlen(a), m = (int)strlen(b);
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = d[i % 3], *prev = d[(i + 2) % 3], *prev2 = d[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int best = prev[j - 1] + (ca != cb);
            if (prev[j] + 1 < best) best = prev[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && cb == tolower((unsigned char)a[i - 2]) &&
                prev2[j - 2] + 1 < best)
                best = prev2[j - 2] + 1;
            now[j] = best;
        }
    }
    return d[n % 3][m];
}

int nearest_name(const char *word, const char *const *names, int n) {
    size_t len = strlen(word);
    if (len == 0 || len > NAME_MAX_LEN) return -1;
    int best = -1, best_d = (int)(len + 2) / 3 + 1; /* a third of the letters may be wrong */
    for (int i = 0; i < n; i++) {
        if (!names[i] || strlen(names[i]) > NAME_MAX_LEN) continue;
        int d = edit_distance(word, names[i]);
        if (d < best_d) best_d = d, best = i;
    }
    return best;
}
