/* internal.h — what the files of taxonomy share.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TAXONOMY_INTERNAL_H
#define ILAB_TAXONOMY_INTERNAL_H

#include "taxonomy/taxonomy.h"

enum { QNA_MAX_FILE = 8 << 20, QNA_MAX_SEEDS = 10000 };

/* finding.c */
int findings_add(struct findings *f, struct finding x); /* copies where, text and remedy; rule must outlive f */
void findings_finish(struct findings *f, struct sv text);

/* schema.c: one file against the schema of its kind and version */
struct schema_check { struct findings *f; enum compat compat; };
void schema_report(struct schema_check *c, const struct yaml_node *at, const char *rule, const char *where, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
int schema_check(struct schema_check *c, const struct yaml_node *root, int knowledge, int version); /* 0: there is no such schema */
void text_printable(struct sv s, char *out, size_t cap); /* cut, whole characters, no control characters */

/* hint.c: what to do about a text that is no YAML; into the arena */
const char *syntax_remedy(struct arena *a, struct sv text, const struct yaml_problem *p);

/* marks.c: what is not filled in yet */
void marks_check(const struct yaml_node *root, struct findings *f);
void marks_check_attribution(const char *qna, struct findings *f); /* attribution.txt beside the file */

/* folder.c: names on the way to a leaf, and its attribution.txt */
void folder_check(struct findings *f, const char *file, const char *taxonomy, int version, unsigned what /* FOLDER_ bits */);
const char *root_of(const char *file, int *knowledge); /* where the part of a path begins that names its root folder, the last one; NULL: none */
int is_knowledge(const char *file, const struct yaml_node *root); /* by its root folder; outside of both by the keys only knowledge has */

#endif
