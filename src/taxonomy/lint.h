/* lint.h — internal to src/taxonomy: the style rules of yamllint as a table, their settings, and what a rule sees.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TAXONOMY_LINT_H
#define ILAB_TAXONOMY_LINT_H

#include "taxonomy/internal.h"

enum { LINT_MAX_OPTIONS = 6, LINT_MAX_TEXTS = 64, LINT_RULES = 23 };
enum lint_kind { LINT_TOKEN, LINT_COMMENT, LINT_LINE };
/* What an option may be: a number; true or false; one of `words`; a word or a number or a truth; a list of texts. */
enum lint_takes { TAKES_INT = 1, TAKES_BOOL = 2, TAKES_WORD = 4, TAKES_TEXTS = 8 };
/* A word's value is WORD_BASE + its place in `words`, so that it is no number that anybody writes; false 0, true 1. */
enum { WORD_BASE = -1000000000 };
struct lint_option { const char *name; int takes, standard; const char *const *words; };

struct lint_texts { const char *v[LINT_MAX_TEXTS]; int n; };
struct lint_conf {
    int on, level;                          /* 2 error, 1 warning */
    int opt[LINT_MAX_OPTIONS];
    struct lint_texts texts[2];             /* of the options that take texts, in their order */
    struct lint_texts ignore;               /* patterns as in .gitignore */
};
struct lint_config {
    struct arena mem;
    struct lint_conf rule[LINT_RULES];      /* in the order of LINT_RULE */
    struct lint_texts ignore;
};

struct comment { int line, col /* from 1 */, has_before, before_inline, before_col; size_t at; const struct yaml_token *before, *after; };
struct line { int number; size_t start, end; /* bytes */ };
struct lint;
struct lint_view { const struct yaml_token *prev, *token, *next, *next2; const struct comment *comment; const struct line *line; };
typedef void lint_check_fn(struct lint *l, const struct lint_conf *c, const struct lint_view *v);
struct lint_rule {
    const char *id;
    enum lint_kind kind;
    lint_check_fn *check;
    struct lint_option option[LINT_MAX_OPTIONS];
    const char *remedy;
};
extern const struct lint_rule LINT_RULE[LINT_RULES];

/* State of one file's check. */
enum parent_kind { P_ROOT, P_BLOCK_MAP, P_FLOW_MAP, P_BLOCK_SEQ, P_FLOW_SEQ, P_ENTRY, P_KEY, P_VALUE };
struct parent { enum parent_kind kind; int indent, line_indent, explicit_key, implicit; };
struct collection { int is_map, id; struct sv last; };
struct key_slot { uint64_t hash; int id; struct sv text; };
struct lint {
    struct sv text;
    int rule;                                                               /* whose check runs */
    struct arena mem;
    struct problem { int line, col, rule; const char *text; } *cache;      /* of the line that is being read */
    size_t n_cache, cap_cache;
    struct parent *stack; size_t n_stack, cap_stack;                        /* indentation */
    int cur_line, cur_line_indent, spaces, sequences;
    struct collection *open[2]; size_t n_open[2], cap_open[2]; int next_id; /* 0 key-duplicates, 1 key-ordering */
    struct key_slot *slot; size_t n_slot, cap_slot;
    int failed;                                                             /* out of memory */
};
void lint_report(struct lint *l, int line, int col, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int lint_is_word(const struct lint_option *o, int value, const char *word);

/* lint_token.c, lint_line.c, lint_indent.c: the checks that LINT_RULE names. */
lint_check_fn lint_braces, lint_brackets, lint_colons, lint_commas, lint_comments, lint_comments_indentation, lint_document_end, lint_document_start,
    lint_empty_lines, lint_empty_values, lint_float_values, lint_hyphens, lint_indentation, lint_key_duplicates, lint_key_ordering, lint_line_length,
    lint_new_line_at_end_of_file, lint_new_lines, lint_octal_values, lint_quoted_strings, lint_trailing_spaces, lint_truthy, lint_anchors;

/* lint.c: checks a text; findings get the rule's level. rel: the path that `ignore` patterns are held against. */
int lint_run(const struct yaml_doc *d, const struct lint_config *c, const char *rel, struct findings *f);
int lint_ignored(const struct lint_texts *patterns, const char *path);

#endif
