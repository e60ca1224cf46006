/* token_table.h — the bytes of every id; private to `infer`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_TABLE_H
#define ILAB_TOKEN_TABLE_H

#include "infer/infer.h"

#include <stdatomic.h>

enum { TOKEN_TABLE_MAX_LEN = 128 }; /* longer pieces never occur in constrained text */
enum { TT_TEXT = 1 /* in `order` */, TT_PLAIN = 2 /* whole UTF-8, no control characters */, TT_END = 4 };

struct token_table {
    atomic_int n_ref;
    int n;                /* ids */
    uint32_t *off;        /* [n+1] */
    char *bytes;          /* bytes of id: bytes[off[id] .. off[id+1]) */
    uint8_t *flag;        /* [n] */
    int32_t *order;       /* [n_order] ids that spell text, by their bytes */
    uint8_t *lcp;         /* [n_order] bytes shared with the one before */
    int n_order, n_plain;
    uint8_t single[256];  /* 1: some id spells just this byte */
    int whole_only;       /* 1: continuation bytes are missing, so tokens must not end inside a code point */
    int space_prefix;     /* encoding puts a space in front of a text */
};

#endif
