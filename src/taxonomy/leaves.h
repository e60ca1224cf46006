/* leaves.h — internal to src/taxonomy: how a list of leaves is filled.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TAXONOMY_LEAVES_H
#define ILAB_TAXONOMY_LEAVES_H

#include "taxonomy/taxonomy.h"

enum { TAXONOMY_MAX_DEPTH = 32 };
/* Adds a path below the taxonomy when it is named as leaves are; what only looks like one is warned about or becomes a problem. */
int leaves_offer(struct leaf_list *l, const char *path, enum leaf_change change, ilab_err *e);
int leaves_problem(struct leaf_list *l, ilab_err *e, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Every leaf in the folder `below` of the taxonomy ("": all of it), however git sees it. */
int leaves_walk(struct leaf_list *l, const char *root, const char *below, int depth, enum leaf_change change, ilab_err *e);
/* git_changes.c: new and changed leaves against `base`. */
int leaves_from_git(struct leaf_list *l, const char *taxonomy, const char *base, ilab_err *e);

#endif
