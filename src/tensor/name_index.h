/* name_index.h — hash table from names to positions in an array, for GGUF keys and tensors.
 *
 * Open addressing, at most half full; the names are borrowed. Private to this folder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_NAME_INDEX_H
#define ILAB_NAME_INDEX_H

#include "base/base.h"

struct name_slot { struct sv name; int32_t value; };                    /* name.p NULL: free */
struct name_index { struct name_slot *slot; size_t n_slot, n_used; };   /* all zero: empty */

/* 0, ILAB_E_NOMEM, or ILAB_E_INVALID when the name is there already. */
int name_index_add(struct name_index *ix, struct sv name, int32_t value);
int32_t name_index_find(const struct name_index *ix, struct sv name);   /* -1: absent */
void name_index_release(struct name_index *ix);

#endif
