/* share.h — samples that begin alike: share.c. Private to `train`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_SHARE_H
#define ILAB_TRAIN_SHARE_H

#include "train/run.h"

enum { SHARE_ROWS = 256, SHARE_PREFIXES = 4 /* a tree's rows: so many, or so many prefixes */ };

/* Scratch for finding trees among up to `cap` samples. */
struct share_entry { const int32_t *id; int n_page, n_row, common /* pages, with the one before */; uint32_t at, sample; };
struct share { struct share_entry *entry; int64_t *saved; uint32_t *from, *place; size_t cap; };
int share_reserve(struct share *s, size_t cap);                /* 0 or ILAB_E_NOMEM */
void share_release(struct share *s);

/* The samples order[0 … n) of d so that those of a tree are neighbours, in their old order; other samples keep theirs, a tree stands
 * where its sample of the lowest number stood. prefix[i]: rows that the sample now at i shares with its tree (0: no tree); a tree
 * begins where first[i] = i. A tree has at most max_row rows and its samples together at most max_tokens. */
void share_arrange(struct share *s, const struct dataset *d, uint32_t *order, uint32_t n, int max_row, int max_tokens, int32_t *prefix, uint32_t *first);
/* Rows of the longest beginning that two samples share. */
int share_longest(struct share *s, const struct dataset *d, const uint32_t *sample, uint32_t n);

/* What a run shares. */
struct share_choice {
    int mode;                          /* enum share_mode of packing_share */
    int unit;                          /* most rows of a sample or tree: no micro-batch is smaller */
    int most;                          /* most rows of a global batch, in any epoch; 0: not known */
    int asked, common;                 /* --share-prefix on; two samples begin alike */
    double tokens, computed, grouped;  /* of the first epoch: all, with shared ones once, the same if samples were grouped */
};
/* As o->share says; off where it saves less than a thirtieth, or, unless asked for, where an adapter's input falls out (dropout).
 * batch: tokens of a step; longest: rows of a sample. */
int share_choose(struct share_choice *c, const struct dataset *d, const struct train_opts *o, int batch, int longest, ilab_err *e);
void share_describe(const struct share_choice *c, struct sb *b);       /* "prefix sharing: 41,200 tokens computed as 17,300" */

#endif
