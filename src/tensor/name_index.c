/* name_index.c — see name_index.h.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/name_index.h"

static struct name_slot *probe(const struct name_index *ix, struct sv name) {
    size_t mask = ix->n_slot - 1, i = (size_t)hash64(name.p, name.n, 0) & mask;
    while (ix->slot[i].name.p && !sv_eq(ix->slot[i].name, name))
        i = (i + 1) & mask;
    return &ix->slot[i];
}

static int grow(struct name_index *ix) {
    struct name_index bigger = { .n_slot = ix->n_slot ? ix->n_slot * 2 : 16, .n_used = ix->n_used };
    bigger.slot = mem_calloc(bigger.n_slot, sizeof *bigger.slot);
    if (!bigger.slot)
        return ILAB_E_NOMEM;
    for (size_t i = 0; i < ix->n_slot; i++)
        if (ix->slot[i].name.p)
            *probe(&bigger, ix->slot[i].name) = ix->slot[i];
    mem_free(ix->slot);
    *ix = bigger;
    return 0;
}

int name_index_add(struct name_index *ix, struct sv name, int32_t value) {
    if (ix->n_used * 2 >= ix->n_slot && grow(ix))
        return ILAB_E_NOMEM;
    struct name_slot *s = probe(ix, name);
    if (s->name.p)
        return ILAB_E_INVALID;
    *s = (struct name_slot){ name, value };
    ix->n_used++;
    return 0;
}

int32_t name_index_find(const struct name_index *ix, struct sv name) {
    if (!ix->n_slot)
        return -1;
    const struct name_slot *s = probe(ix, name);
    return s->name.p ? s->value : -1;
}

void name_index_release(struct name_index *ix) {
    mem_free(ix->slot);
    *ix = (struct name_index){ 0 };
}
