/* internal.h — what the files of text share and nobody else sees (the unit tests do).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TEXT_INTERNAL_H
#define ILAB_TEXT_INTERNAL_H

#include "text/text.h"

/* yaml_scan.c: tokens of a text that is valid UTF-8. NULL (and *p set) without memory; a text with characters that YAML does
 * not know gives a scanner whose problem is set already. */
struct yaml_scanner *yaml_scanner_open(struct sv text, struct arena *a, struct yaml_problem *p);
const struct yaml_token *yaml_scanner_peek(struct yaml_scanner *s);  /* valid until the next peek; NULL: at the end, or a problem */
void yaml_scanner_next(struct yaml_scanner *s);                      /* takes the token that peek showed */
size_t yaml_scanner_tokens(struct yaml_scanner *s, struct yaml_token **v); /* those that were taken */
struct sv yaml_scanner_text(const struct yaml_scanner *s, struct sv text); /* the scanner's NUL-ended copy of `text` */
void yaml_scanner_close(struct yaml_scanner *s);
/* Has the value that its kind promises? 2024-13-45 is no date, 0b_ no number. */
int yaml_value_exists(const struct yaml_node *n);
/* Shortest text that strtod reads back as v, laid out as Python's repr does (1.0, 1e-05, 1e+16). v is finite. */
int format_double(char out[32], double v);

#endif
