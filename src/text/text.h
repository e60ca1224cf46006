/* text.h — front header of layer 1 `text`: JSON, YAML with marks, UTF-8.
 *
 * JSON is jansson's json_t (jansson.h is included here and nowhere else outside this folder); the helpers
 * below add positions and capped reading.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TEXT_H
#define ILAB_TEXT_H

#include "base/base.h"
#include <jansson.h>

/* ---- JSON (json.c) ---- */
/* Parses text (any value, not only objects); errors read `name:line:col: message`. NULL on error. Of two equal
 * keys the last one counts; the two file readers below refuse them. A byte-order mark is skipped. */
json_t *json_parse(struct sv text, const char *name, ilab_err *e);
json_t *json_parse_unique(struct sv text, const char *name, ilab_err *e); /* the same, refusing two equal keys */
json_t *json_read_file(const char *path, size_t max, ilab_err *e);
/* One call a line of a JSONL file (empty lines skipped); the callback's nonzero return stops and is returned. */
typedef int json_line_fn(void *ud, int line, const json_t *value, ilab_err *e);
int json_read_lines(const char *path, size_t max, json_line_fn *fn, void *ud, ilab_err *e);
/* Member access: NULL / fallback when absent or of another type. */
const char *json_str(const json_t *o, const char *key);
double json_num(const json_t *o, const char *key, double fallback);
int64_t json_int(const json_t *o, const char *key, int64_t fallback);
/* Appends compact JSON of v (ensure_ascii off, keys in insertion order) — or a quoted JSON string of s, whose
 * malformed UTF-8 becomes U+FFFD. Numbers are the shortest text that reads back as the same number. */
void sb_add_json(struct sb *b, const json_t *v);
void sb_add_json_str(struct sb *b, struct sv s);
/* Python json.dump style (", " and ": ", ensure_ascii on; indent 0: one line): the layout that the reference's files have. */
void sb_add_json_py(struct sb *b, const json_t *v, int indent);

/* ---- YAML 1.1 node tree with marks (yaml.c) ---- */
enum yaml_kind { YAML_NULL, YAML_BOOL, YAML_INT, YAML_FLOAT, YAML_TIMESTAMP, YAML_STR, YAML_SEQ, YAML_MAP };
struct yaml_node {
    enum yaml_kind kind;      /* resolved as YAML 1.1 does: yes/no/on/off are YAML_BOOL when plain */
    int line, col;            /* 1-based, of its first character */
    struct sv text;           /* scalar: its content                 */
    int plain;                /* scalar: written without quotes      */
    int n;                    /* sequence: items; mapping: pairs     */
    struct yaml_node **item;  /* sequence items / mapping values     */
    struct yaml_node **key;   /* mapping keys                        */
};
/* Parses a file of one document into the arena. Errors (`name:line:col: …`): syntax, not UTF-8, duplicate keys,
 * anchor cycles, unknown tags, nesting over 64, more than 100,000 nodes (aliases count as what they stand for),
 * a second document. An empty file gives a YAML_NULL node. Merge keys (`<<`) are resolved. text.p ends with NUL. */
int yaml_parse(struct sv text, const char *name, struct arena *a, struct yaml_node **out, ilab_err *e);
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* NULL: absent or no map */
/* The value of a YAML_BOOL, YAML_INT (YAML_BOOL is none), YAML_FLOAT or YAML_INT scalar; 0, or ILAB_E_INVALID. */
int yaml_bool(const struct yaml_node *node, int *out);
int yaml_int(const struct yaml_node *node, int64_t *out);
int yaml_float(const struct yaml_node *node, double *out);
const char *yaml_kind_name(enum yaml_kind k);   /* as the reference names types: 'boolean', 'integer', … */

/* ---- UTF-8 (utf8.c) ---- */
int utf8_valid(struct sv s, size_t *bad_at);
/* Decodes one code point at s.p[*i], advances *i; -1 on a malformed byte (advances by one). */
int32_t utf8_next(struct sv s, size_t *i);
int utf8_put(char out[4], int32_t cp);           /* returns its length */
/* Case-folded, NFKC, punctuation stripped, white space folded: the form in which answers are compared. Thousands
 * separators vanish (24,255 → 24255); a decimal point and a minus sign stay. Into arena; p is NULL without memory. */
struct sv utf8_normalize_answer(struct arena *a, struct sv s);
struct sv utf8_lower(struct arena *a, struct sv s);
int utf8_width(struct sv s);                     /* terminal columns */
const char *utf8_category(int32_t cp);           /* Unicode general category: "Lu", "Nd", "Zs", … */
int32_t utf8_lower_one(int32_t cp);              /* simple lower-case mapping of one code point */
enum { UTF8_DECOMPOSED = 8 };
int utf8_decompose_one(int32_t cp, int32_t out[UTF8_DECOMPOSED]); /* canonical decomposition (NFD) of one; returns how many */

/* ---- phrases (refusal.c); both take text in the form of utf8_normalize_answer ---- */
int text_has_words(struct sv hay, struct sv needle);   /* on word borders */
int text_is_refusal(struct sv normalized);             /* a phrase of not knowing occurs */

#endif
