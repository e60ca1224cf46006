/* json_write.c — one writer for the two layouts: compact UTF-8, and Python's json.dump.
 *
 * The layout is a struct of separators (json/encoder.py of CPython documents its own); numbers are
 * written as Python's repr does in both.  Nothing is limited here but the builder's own cap and the depth.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/internal.h"

#include <math.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 2048 /* what jansson's parser allows */

struct layout { const char *comma, *colon; int indent, ascii; };

/* Adds one unit of the last digit to the mantissa of "d.ddde±x"; 0 when it overflows. */
static int next_decimal(char *text) {
    for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
        if (*p < '0' || *p > '9') continue;
        if (*p != '9') return ++*p;
        *p = '0';
    }
    return 0;
}

int format_double(char out[32], double v) {
    char e[40];
    int precision = 0, unused;
    /* Below a power of two doubles lie twice as dense: there the nearest decimal may lie too low while the one
     * above still reads back as v. */
    int power_of_two = fabs(frexp(v, &unused)) == 0.5;
    for (; precision < 17; precision++) {
        snprintf(e, sizeof e, "%.*e", precision, v);
        if (strtod(e, NULL) == v || (power_of_two && next_decimal(e) && strtod(e, NULL) == v)) break;
    }
    const char *exponent_text = strchr(e, 'e');
    int exponent = (int)strtol(exponent_text + 1, NULL, 10);
    char digits[24], *p = out;
    int n = 0;
    for (const char *c = e; c < exponent_text; c++)
        if (*c >= '0' && *c <= '9') digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0') n--;
    if (e[0] == '-') *p++ = '-';
    if (exponent < -4 || exponent >= 16) { /* float_repr_style 'short' of CPython: the limits of repr() */
        *p++ = digits[0];
        if (n > 1) *p++ = '.';
        for (int i = 1; i < n; i++) *p++ = digits[i];
        p += snprintf(p, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return (int)(p - out);
    }
    if (exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > exponent; i--) *p++ = '0';
        for (int i = 0; i < n; i++) *p++ = digits[i];
    } else {
        for (int i = 0; i <= exponent; i++) *p++ = i < n ? digits[i] : '0';
        *p++ = '.';
        if (n <= exponent + 1) *p++ = '0';
        for (int i = exponent + 1; i < n; i++) *p++ = digits[i];
    }
    *p = 0;
    return (int)(p - out);
}

static void add_code_point(struct sb *b, int32_t cp, int ascii) {
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, its letter */
    char utf8[4];
    for (int i = 0; SHORT[i]; i += 2)
        if (cp == SHORT[i]) {
            sb_add(b, (struct sv){ (char[2]){ '\\', SHORT[i + 1] }, 2 });
            return;
        }
    if (cp >= 0x20 && (ascii ? cp < 0x7f : 1)) sb_add(b, (struct sv){ utf8, (size_t)utf8_put(utf8, cp) });
    else if (cp < 0x10000) sb_addf(b, "\\u%04x", (unsigned)cp);
    else sb_addf(b, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((cp - 0x10000) >> 10)), (unsigned)(0xDC00 + ((cp - 0x10000) & 0x3FF)));
}

static void add_string(struct sb *b, struct sv s, int ascii) {
    sb_addch(b, '"');
    for (size_t i = 0; i < s.n && !b->failed;) {
        size_t run = i; /* the common case in one piece */
        while (run < s.n && s.p[run] >= 0x20 && s.p[run] < 0x7f && s.p[run] != '"' && s.p[run] != '\\') run++;
        if (run > i) {
            sb_add(b, (struct sv){ s.p + i, run - i });
            i = run;
            continue;
        }
        int32_t cp = utf8_next(s, &i);
        add_code_point(b, cp < 0 ? 0xFFFD : cp, ascii);
    }
    sb_addch(b, '"');
}

static void new_line(struct sb *b, const struct layout *l, int depth) {
    if (l->indent > 0) sb_addf(b, "\n%*s", l->indent * depth, "");
}

static void add_value(struct sb *b, const json_t *v, const struct layout *l, int depth);

static void add_object(struct sb *b, json_t *o, const struct layout *l, int depth) {
    const char *key;
    json_t *v;
    int n = 0;
    sb_addch(b, '{');
    json_object_foreach(o, key, v) {
        if (n++) sb_addc(b, l->comma);
        new_line(b, l, depth + 1);
        add_string(b, sv_of(key), l->ascii);
        sb_addc(b, l->colon);
        add_value(b, v, l, depth + 1);
        if (b->failed) return;
    }
    if (n) new_line(b, l, depth);
    sb_addch(b, '}');
}

static void add_array(struct sb *b, const json_t *a, const struct layout *l, int depth) {
    size_t n = json_array_size(a);
    sb_addch(b, '[');
    for (size_t i = 0; i < n && !b->failed; i++) {
        if (i) sb_addc(b, l->comma);
        new_line(b, l, depth + 1);
        add_value(b, json_array_get(a, i), l, depth + 1);
    }
    if (n) new_line(b, l, depth);
    sb_addch(b, ']');
}

static void add_value(struct sb *b, const json_t *v, const struct layout *l, int depth) {
    char number[32];
    if (!v || depth > MAX_DEPTH) {
        b->failed = 1;
        return;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT: add_object(b, (json_t *)(uintptr_t)v, l, depth); break; /* jansson iterates over non-const */
    case JSON_ARRAY: add_array(b, v, l, depth); break;
    case JSON_STRING: add_string(b, (struct sv){ json_string_value(v), json_string_length(v) }, l->ascii); break;
    case JSON_INTEGER: sb_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: sb_add(b, (struct sv){ number, (size_t)format_double(number, json_real_value(v)) }); break;
    case JSON_TRUE: sb_addc(b, "true"); break;
    case JSON_FALSE: sb_addc(b, "false"); break;
    case JSON_NULL: sb_addc(b, "null"); break;
    }
}

void sb_add_json(struct sb *b, const json_t *v) { add_value(b, v, &(struct layout){ ",", ":", 0, 0 }, 0); }
void sb_add_json_str(struct sb *b, struct sv s) { add_string(b, s, 0); }

void sb_add_json_py(struct sb *b, const json_t *v, int indent) {
    add_value(b, v, &(struct layout){ indent > 0 ? "," : ", ", ": ", indent, 1 }, 0);
}
