/* sv_map.c — a hash map from strings to indices, for vocabularies and word counts.
 *
 * Linear probing, at most half full; a slot keeps 32 bits of the hash so that most misses end without
 * touching the key. Keys live in the caller's array. No removal.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

static uint64_t hash_key(struct sv s) { return hash64(s.p, s.n, 0x5bd1e995); }

static int grow(struct sv_map *m)
{
    size_t n_slot = m->n_slot ? m->n_slot * 2 : 1024;
    struct sv_slot *slot = mem_alloc(n_slot * sizeof *slot);

    if (!slot)
        return ILAB_E_NOMEM;
    memset(slot, 0xff, n_slot * sizeof *slot);
    /* The upper half of the hash is the tag and the slot's home, so that growing needs no key. */
    for (size_t i = 0; i < m->n_slot; i++)
        if (m->slot[i].id >= 0) {
            size_t k = m->slot[i].tag & (n_slot - 1);
            while (slot[k].id >= 0)
                k = (k + 1) & (n_slot - 1);
            slot[k] = m->slot[i];
        }
    mem_free(m->slot);
    m->slot = slot;
    m->n_slot = n_slot;
    return 0;
}

int sv_map_put(struct sv_map *m, const struct sv *key, int32_t id)
{
    uint32_t tag = (uint32_t)(hash_key(key[id]) >> 32);

    if (2 * (m->n + 1) > m->n_slot && grow(m))
        return ILAB_E_NOMEM;
    size_t k = tag & (m->n_slot - 1);
    for (; m->slot[k].id >= 0; k = (k + 1) & (m->n_slot - 1))
        if (m->slot[k].tag == tag && sv_eq(key[m->slot[k].id], key[id])) {
            m->slot[k].id = id;
            return 0;
        }
    m->slot[k] = (struct sv_slot){ tag, id };
    m->n++;
    return 0;
}

int32_t sv_map_find(const struct sv_map *m, const struct sv *key, struct sv s)
{
    uint32_t tag = (uint32_t)(hash_key(s) >> 32);

    if (!m->n_slot)
        return -1;
    for (size_t k = tag & (m->n_slot - 1); m->slot[k].id >= 0; k = (k + 1) & (m->n_slot - 1)) {
        const struct sv *c = &key[m->slot[k].id];
        if (m->slot[k].tag == tag && c->n == s.n && !memcmp(c->p, s.p, s.n))
            return m->slot[k].id;
    }
    return -1;
}

void sv_map_release(struct sv_map *m)
{
    mem_free(m->slot);
    *m = (struct sv_map){ 0 };
}
