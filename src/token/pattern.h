/* pattern.h — regular expressions of pre-tokenizers; private to `token`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_PATTERN_H
#define ILAB_TOKEN_PATTERN_H

#include "token/token.h"

enum { PATTERN_MAX_SETS = 64, PATTERN_MAX_RANGES = 256, PATTERN_MAX_NODES = 160, PATTERN_MAX_DEPTH = 16, PATTERN_MAX_BYTES = 4096,
       CATEGORY_TABLE = 0x10000 };

/* Unicode general category (0 … 29) of every code point below CATEGORY_TABLE. */
struct categories { uint8_t of[CATEGORY_TABLE]; };
struct categories *categories_new(void);                      /* NULL: no memory */

struct range { int32_t lo, hi; };
/* A set of code points. ASCII: has[byte] as it is; the others: (category in mask or cp in ranges) xor negated. */
struct set { uint8_t has[128]; uint32_t mask; int16_t first_range, n_range; int negated; };
enum node_kind { NODE_ACCEPT, NODE_SET, NODE_ALT, NODE_JOIN, NODE_NOT_AHEAD, NODE_END };
/* ALT: the sequence at `body`, else the ALT at `other` (0: none). first: bytes below 128 that may begin this ALT's body;
 * wide: others may, too; empty: it may match nothing. */
struct node { uint8_t kind, possessive, wide, empty; int16_t next, set, body, other; int32_t min, max; uint8_t first[128]; };
struct pattern {
    const struct categories *categories;
    int n_set, n_range, n_node, start;
    uint8_t begin[129];                                       /* by first byte (128: all others): where to begin; 0: nowhere */
    struct set set[PATTERN_MAX_SETS];
    struct range range[PATTERN_MAX_RANGES];
    struct node node[PATTERN_MAX_NODES];
};

/* Compiles `text`; *out is the caller's to mem_free. ILAB_E_INVALID names what is not supported, and where. */
int pattern_new(struct pattern **out, struct sv text, const struct categories *c, ilab_err *e);
/* End of the piece at s.p[i], i < s.n: a match that starts at i, else what lies before the next match. A match never looks beyond s.
 * *budget counts backtracking steps down; at 0 nothing matches any more, so the work is linear in what it starts from. */
size_t pattern_piece_end(const struct pattern *p, struct sv s, size_t i, size_t *budget, int *matched);

#endif
