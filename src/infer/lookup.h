/* lookup.h — prompt lookup: ids proposed from the sequence's own history; private to `infer`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_LOOKUP_H
#define ILAB_LOOKUP_H

#include "infer/infer.h"

/* All zeros is the start. */
struct lookup {
    int length;    /* ids to propose next; 0: the first time */
    int pause;     /* steps without a proposal that are left */
    int failures;  /* proposals in a row of which nothing was right */
};
/* Ids that followed the longest, latest earlier occurrence of the end of id[0..n); 0 … most of them. */
int lookup_propose(struct lookup *l, const int32_t *id, int n, int most, int32_t *out);
/* How many of the proposed ids were right: decides how many are proposed next, and whether it pauses. */
void lookup_result(struct lookup *l, int proposed, int accepted);

#endif
