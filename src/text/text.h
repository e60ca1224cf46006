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

/* ---- YAML 1.1 as PyYAML reads it: tokens (yaml_scan.c), node tree with marks (yaml.c) ---- */
struct yaml_mark { size_t at; /* byte */ int index /* character */, line, col; };  /* all from 0; col in characters */
enum yaml_token_kind { YAML_STREAM_START, YAML_STREAM_END, YAML_DIRECTIVE, YAML_DOCUMENT_START, YAML_DOCUMENT_END, YAML_BLOCK_SEQUENCE_START,
                       YAML_BLOCK_MAPPING_START, YAML_BLOCK_END, YAML_FLOW_SEQUENCE_START, YAML_FLOW_MAPPING_START, YAML_FLOW_SEQUENCE_END,
                       YAML_FLOW_MAPPING_END, YAML_KEY, YAML_VALUE, YAML_BLOCK_ENTRY, YAML_FLOW_ENTRY, YAML_ALIAS, YAML_ANCHOR, YAML_TAG, YAML_SCALAR };
struct yaml_token {
    enum yaml_token_kind kind;
    char style;               /* scalar: 0 plain, or one of ' " | > */
    struct yaml_mark start, end;
    struct sv value, handle;  /* scalar: its content; anchor, alias: name; tag: handle (or p NULL) and suffix; not NUL-ended */
};
/* What is wrong with a text: `text` and `context` as PyYAML words them. */
enum yaml_judge { YAML_BY_READER, YAML_BY_SCANNER, YAML_BY_PARSER, YAML_BY_COMPOSER, YAML_BY_CONSTRUCTOR };
struct yaml_problem { int code; /* 0: none */ enum yaml_judge by; int has_from; struct yaml_mark at, from /* where context begins */; const char *context; char text[200]; };
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
/* The same for a judge of files: valid UTF-8 (the caller's duty) becomes root, or root is NULL and problem says why.
 * Of two equal keys the last one counts, as in PyYAML, unless YAML_UNIQUE_KEYS. Tokens: as many as a reader with no
 * error handling gets before the scanner fails; all of them when it does not. yaml_doc_close frees the tokens. */
enum { YAML_UNIQUE_KEYS = 1, YAML_TOKENS = 2 };
struct yaml_scanner;
struct yaml_doc {
    struct sv text;           /* a NUL-ended copy in the arena; marks count in it */
    struct yaml_node *root;
    struct yaml_problem problem, scan /* of the scanner alone, perhaps a later one */;
    const struct yaml_token *token;
    size_t n_token;
    struct yaml_scanner *scanner;
};
int yaml_doc_open(struct yaml_doc *d, struct sv text, struct arena *a, unsigned flags); /* 0 or ILAB_E_NOMEM */
void yaml_doc_close(struct yaml_doc *d);
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* NULL: absent or no map */
/* The value of a YAML_BOOL, YAML_INT (YAML_BOOL is none), YAML_FLOAT or YAML_INT scalar; 0, or ILAB_E_INVALID. */
int yaml_bool(const struct yaml_node *node, int *out);
int yaml_int(const struct yaml_node *node, int64_t *out);
int yaml_float(const struct yaml_node *node, double *out);
enum yaml_kind yaml_resolve(struct sv s);        /* the kind of a plain scalar without a tag */
const char *yaml_kind_name(enum yaml_kind k);   /* as the reference names types: 'boolean', 'integer', … */

/* ---- UTF-8 (utf8.c) ---- */
int utf8_valid(struct sv s, size_t *bad_at);
/* Decodes one code point at s.p[*i], advances *i; -1 on a malformed byte (advances by one). */
int32_t utf8_next(struct sv s, size_t *i);
int utf8_put(char out[4], int32_t cp);           /* returns its length */
char *utf8_clean(struct sv s);                    /* a copy as JSON keeps it, U+FFFD for what is no UTF-8 and for NUL; NULL: no memory */
/* Case-folded, NFKC, punctuation stripped, white space folded: the form in which answers are compared. Thousands
 * separators vanish (24,255 → 24255); a decimal point and a minus sign stay. Into arena; p is NULL without memory. */
struct sv utf8_normalize_answer(struct arena *a, struct sv s);
/* NFC (an accent of its own joins its letter); malformed bytes vanish. Into the arena; p is NULL without memory. */
struct sv utf8_compose(struct arena *a, struct sv s);
struct sv utf8_lower(struct arena *a, struct sv s);
int utf8_width(struct sv s);                     /* terminal columns */
const char *utf8_category(int32_t cp);           /* Unicode general category: "Lu", "Nd", "Zs", … */
int32_t utf8_lower_one(int32_t cp);              /* simple lower-case mapping of one code point */
enum { UTF8_DECOMPOSED = 8 };
int utf8_decompose_one(int32_t cp, int32_t out[UTF8_DECOMPOSED]); /* canonical decomposition (NFD) of one; returns how many */

/* ---- sentences (sentence.c) ---- */
int word_is_function(struct sv w);               /* article, pronoun, preposition, question word … (English, German), in any case */
/* Does the sentence end at the mark s.p[i] (one of . ! ?)? Not behind an abbreviation, an initial, a date's day; words are set
 * apart by single spaces. */
int text_ends_sentence(struct sv s, size_t i);

/* ---- phrases (refusal.c); both take text in the form of utf8_normalize_answer ---- */
int text_has_words(struct sv hay, struct sv needle);   /* on word borders */
int text_is_refusal(struct sv normalized);             /* a phrase of not knowing occurs */

#endif
