/* yaml_scalar.c — which kind a plain scalar has, and its value.
 *
 * The patterns are those of YAML 1.1 (yaml.org/type) in PyYAML's reading: y and n are strings, a float
 * needs a point, an exponent needs a sign, 010 is eight, 1:30 is ninety.  First row that matches wins.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The scanners take a cursor; each returns whether it could eat what it names. */
struct cursor { const char *p, *end; };

static int one_of(struct cursor *c, const char *set) {
    if (c->p == c->end || !*c->p || !strchr(set, *c->p)) return 0;
    c->p++;
    return 1;
}
static int some_of(struct cursor *c, const char *set) {
    int n = 0;
    while (one_of(c, set)) n++;
    return n;
}
static int literal(struct cursor *c, const char *s) {
    size_t n = strlen(s);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, s, n) != 0) return 0;
    c->p += n;
    return 1;
}

#define DIGITS "0123456789"
#define DIGITS_ "0123456789_"

static int is_any(struct sv s, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (sv_eq_c(s, names[i])) return 1;
    return 0;
}

static int is_null(struct sv s) {
    static const char *const NAMES[] = { "", "~", "null", "Null", "NULL" };
    return is_any(s, NAMES, ARRAY_LEN(NAMES));
}

static const char *const TRUE_NAMES[] = { "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON" };
static const char *const FALSE_NAMES[] = { "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF" };

static int is_bool(struct sv s) {
    return is_any(s, TRUE_NAMES, ARRAY_LEN(TRUE_NAMES)) || is_any(s, FALSE_NAMES, ARRAY_LEN(FALSE_NAMES));
}

/* (:[0-5]?[0-9])+ ; greedy is right because a part never holds a colon. */
static int sexagesimal(struct cursor *c) {
    int parts = 0;
    while (c->p < c->end && *c->p == ':') {
        struct cursor d = { c->p + 1, c->end };
        const char *start = d.p;
        int n = some_of(&d, DIGITS);
        if (n < 1 || n > 2 || (n == 2 && *start > '5')) return 0;
        c->p = d.p;
        parts++;
    }
    return parts;
}

static int is_int(struct sv s) {
    struct cursor c = { s.p, s.p + s.n };
    one_of(&c, "-+");
    struct cursor d = c;
    if (literal(&d, "0b")) return some_of(&d, "01_") && d.p == d.end;
    if (literal(&d, "0x")) return some_of(&d, "0123456789abcdefABCDEF_") && d.p == d.end;
    if (literal(&d, "0")) {
        some_of(&d, "01234567_");
        return d.p == d.end;
    }
    if (!one_of(&d, "123456789")) return 0;
    some_of(&d, DIGITS_);
    return d.p == d.end || (sexagesimal(&d) && d.p == d.end);
}

static int exponent(struct cursor *c) { /* optional */
    if (!one_of(c, "eE")) return 1;
    return one_of(c, "-+") && some_of(c, DIGITS);
}

static int is_float(struct sv s) {
    static const char *const INF[] = { ".inf", ".Inf", ".INF" };
    static const char *const NAN_[] = { ".nan", ".NaN", ".NAN" };
    struct cursor c = { s.p, s.p + s.n };
    if (is_any(s, NAN_, ARRAY_LEN(NAN_))) return 1;
    int has_sign = one_of(&c, "-+");
    if (is_any((struct sv){ c.p, (size_t)(c.end - c.p) }, INF, ARRAY_LEN(INF))) return 1;
    if (!has_sign && literal(&c, ".")) return one_of(&c, DIGITS) && (some_of(&c, DIGITS_), exponent(&c)) && c.p == c.end;
    if (!one_of(&c, DIGITS)) return 0;
    some_of(&c, DIGITS_);
    int base60 = c.p < c.end && *c.p == ':';
    if (base60 && !sexagesimal(&c)) return 0;
    if (!literal(&c, ".")) return 0;
    some_of(&c, DIGITS_);
    return (base60 || exponent(&c)) && c.p == c.end;
}

static int digits(struct cursor *c, int lo, int hi) {
    int n = 0;
    while (n < hi && one_of(c, DIGITS)) n++;
    return n >= lo;
}

static int is_timestamp(struct sv s) {
    struct cursor c = { s.p, s.p + s.n }, d = c;
    if (digits(&d, 4, 4) && literal(&d, "-") && digits(&d, 2, 2) && literal(&d, "-") && digits(&d, 2, 2) && d.p == d.end) return 1;
    if (!(digits(&c, 4, 4) && literal(&c, "-") && digits(&c, 1, 2) && literal(&c, "-") && digits(&c, 1, 2))) return 0;
    if (!one_of(&c, "Tt") && !some_of(&c, " \t")) return 0;
    if (!(digits(&c, 1, 2) && literal(&c, ":") && digits(&c, 2, 2) && literal(&c, ":") && digits(&c, 2, 2))) return 0;
    if (literal(&c, ".")) some_of(&c, DIGITS);
    if (c.p == c.end) return 1;
    some_of(&c, " \t");
    if (literal(&c, "Z")) return c.p == c.end;
    if (!one_of(&c, "-+") || !digits(&c, 1, 2)) return 0;
    return c.p == c.end || (literal(&c, ":") && digits(&c, 2, 2) && c.p == c.end);
}

static const struct { enum yaml_kind kind; const char *name; int (*matches)(struct sv); } KINDS[] = {
    { YAML_BOOL, "boolean", is_bool },
    { YAML_FLOAT, "number", is_float },
    { YAML_INT, "integer", is_int },
    { YAML_NULL, "null", is_null },
    { YAML_TIMESTAMP, "timestamp", is_timestamp },
    { YAML_STR, "string", NULL },
    { YAML_SEQ, "array", NULL },
    { YAML_MAP, "object", NULL },
};

enum yaml_kind yaml_resolve(struct sv s) {
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if (KINDS[i].matches && KINDS[i].matches(s)) return KINDS[i].kind;
    return YAML_STR;
}

const char *yaml_kind_name(enum yaml_kind k) {
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if (KINDS[i].kind == k) return KINDS[i].name;
    return "?";
}

int yaml_bool(const struct yaml_node *node, int *out) {
    if (!node || node->kind != YAML_BOOL) return ILAB_E_INVALID;
    *out = is_any(node->text, TRUE_NAMES, ARRAY_LEN(TRUE_NAMES));
    return 0;
}

#define NUMBER_CAP 400 /* characters: more than any double needs */

/* Copies the scalar without underscores; *negative tells the sign, which is left out. */
static int number_text(const struct yaml_node *node, char out[NUMBER_CAP], int *negative) {
    size_t n = 0;
    if (node->text.n >= NUMBER_CAP) return ILAB_E_INVALID;
    for (size_t i = 0; i < node->text.n; i++)
        if (node->text.p[i] != '_') out[n++] = node->text.p[i];
    out[n] = 0;
    *negative = out[0] == '-';
    if (out[0] == '-' || out[0] == '+') memmove(out, out + 1, n);
    return 0;
}

/* Digits of one base, up to the end or a colon; advances *p. */
static int digits_in_base(const char **p, int base, uint64_t *out) {
    uint64_t v = 0;
    const char *start = *p;
    for (; **p && **p != ':'; ++*p) {
        int c = **p, d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
        if (d >= base || MUL_OVERFLOWS(v, (uint64_t)base, &v) || ADD_OVERFLOWS(v, (uint64_t)d, &v)) return ILAB_E_INVALID;
    }
    *out = v;
    return *p == start ? ILAB_E_INVALID : 0;
}

int yaml_int(const struct yaml_node *node, int64_t *out) {
    char text[NUMBER_CAP];
    const char *p = text;
    int negative, base = 10;
    uint64_t v = 0, part;
    if (!node || node->kind != YAML_INT || number_text(node, text, &negative)) return ILAB_E_INVALID;
    if (p[0] == '0' && p[1] == 'b') base = 2, p += 2;
    else if (p[0] == '0' && p[1] == 'x') base = 16, p += 2;
    else if (p[0] == '0' && p[1]) base = 8;
    if (digits_in_base(&p, base, &v)) return ILAB_E_INVALID;
    while (*p == ':') {
        p++;
        if (digits_in_base(&p, 10, &part) || MUL_OVERFLOWS(v, (uint64_t)60, &v) || ADD_OVERFLOWS(v, part, &v)) return ILAB_E_INVALID;
    }
    if (v > (uint64_t)INT64_MAX + (negative != 0)) return ILAB_E_INVALID;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

int yaml_float(const struct yaml_node *node, double *out) {
    char text[NUMBER_CAP];
    int64_t i;
    int negative;
    if (!node) return ILAB_E_INVALID;
    if (node->kind == YAML_INT) {
        if (yaml_int(node, &i)) return ILAB_E_INVALID;
        *out = (double)i;
        return 0;
    }
    if (node->kind != YAML_FLOAT || number_text(node, text, &negative)) return ILAB_E_INVALID;
    double v = 0;
    if (strcmp(text, ".inf") == 0 || strcmp(text, ".Inf") == 0 || strcmp(text, ".INF") == 0) v = INFINITY;
    else if (text[0] == '.' && (text[1] | 32) == 'n') v = NAN;
    else
        for (char *p = text;; p++) { /* base 60: each part multiplies what was before */
            v = v * 60 + strtod(p, &p);
            if (*p != ':') break;
        }
    *out = negative ? -v : v;
    return 0;
}

/* ---- values that their form promises but that do not exist ---- */

static int number_at(const char **p)
{
    int n = 0;
    while (**p >= '0' && **p <= '9' && n < 100000) n = n * 10 + *(*p)++ - '0';
    return n;
}

static int date_exists(const char *p) {
    static const int DAYS[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const int year = number_at(&p), month = (p++, number_at(&p)), day = (p++, number_at(&p));
    const int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > DAYS[month - 1] + (month == 2 && leap)) return 0;
    if (!*p) return 1;
    while (*p == ' ' || *p == '\t' || *p == 'T' || *p == 't') p++;
    const int hour = number_at(&p), minute = (p++, number_at(&p)), second = (p++, number_at(&p));
    if (hour > 23 || minute > 59 || second > 59) return 0;
    if (*p == '.') p++, number_at(&p);
    while ((*p >= '0' && *p <= '9') || *p == ' ' || *p == '\t') p++;
    if (*p != '+' && *p != '-') return 1;
    p++;
    const int zone_hour = number_at(&p), zone_minute = *p == ':' ? (p++, number_at(&p)) : 0;
    return zone_hour * 60 + zone_minute < 24 * 60;
}

int yaml_value_exists(const struct yaml_node *node) {
    enum { MAX_DECIMAL_DIGITS = 4300 }; /* of Python's int() */
    if (node->kind == YAML_TIMESTAMP) return date_exists(node->text.p);
    if (node->kind != YAML_INT) return 1;
    const char *p = node->text.p + (node->text.p[0] == '-' || node->text.p[0] == '+');
    const int based = p[0] == '0' && (p[1] == 'b' || p[1] == 'x');
    size_t n = 0;
    for (const char *q = p + 2 * based; *q; q++) n += *q != '_';
    return n > 0 && (p[0] == '0' || n <= MAX_DECIMAL_DIGITS);
}
