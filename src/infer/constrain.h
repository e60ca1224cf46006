/* constrain.h — the compiled skeleton and its states; private to `infer`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CONSTRAIN_H
#define ILAB_CONSTRAIN_H

#include "infer/token_table.h"

enum part_kind { PART_LITERAL, PART_LINE, PART_SPAN, PART_NUMBER, PART_CHOICE, PART_TEXT, PART_END };
enum { CHOICE_MAX = 64 };
struct part {
    enum part_kind kind;
    struct sv text;                      /* literal                          */
    struct sv alt[CHOICE_MAX]; int n_alt;/* choice                           */
    uint32_t limit;                      /* text: bytes                      */
};
/* Immutable, shared by all copies of a constraint. */
struct program {
    atomic_int n_ref;
    struct part *part; int n_part;       /* part[n_part] is PART_END         */
    char *skeleton, *source;             /* unescaped text; folded source    */
    uint32_t n_source;
    uint8_t *edge;                       /* [n_source+1] EDGE_*              */
    struct token_table *table;
    const struct tokenizer *tokenizer;
};
enum { EDGE_START = 1, EDGE_END = 2 };   /* a span may start, end before this byte of the source */
/* Where the text may be. sub: UTF-8 state and flags, alternative, phase of a number; pos: offset or count. */
struct state { uint16_t part, sub; uint32_t pos; };

int program_new(struct program **out, const char *skeleton, struct sv source, const struct tokenizer *t,
                struct token_table *tt, ilab_err *e);
void program_free(struct program *g);    /* drops one reference */

#endif
