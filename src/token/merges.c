/* merges.c — the merges of a byte-level BPE vocabulary as a hash table from pairs of ids.
 *
 * Linear probing, at most two thirds full. A merge whose parts or result are no tokens can never happen and is left out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

static size_t merge_home(const struct tokenizer *t, uint64_t key)
{
    key ^= key >> 29;
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (t->n_merge_slot - 1);
}

const struct merge_slot *merge_find(const struct tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    if ((left | right) < 0 || !t->n_merge_slot)
        return NULL;
    for (size_t k = merge_home(t, key); t->merge_slot[k].rank >= 0; k = (k + 1) & (t->n_merge_slot - 1))
        if (t->merge_slot[k].key == key)
            return &t->merge_slot[k];
    return NULL;
}

/* id[2] is that of the merge before. Splits "left right"; a left part may itself be a space only in vocabularies that do not map bytes. */
static int merge_ids(const struct tokenizer *t, struct sv m, char *joined, int32_t id[3])
{
    const char *gap = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 1) : NULL;

    if (!gap)
        return 0;
    struct sv left = { m.p, (size_t)(gap - m.p) }, right = { gap + 1, m.n - left.n - 1 };
    memcpy(joined, left.p, left.n);
    memcpy(joined + left.n, right.p, right.n);
    id[0] = vocab_find(t, left);
    id[1] = vocab_find(t, right);
    struct sv whole = { joined, m.n - 1 };
    id[2] = id[2] + 1 < t->n && sv_eq(t->text[id[2] + 1], whole) ? id[2] + 1 : vocab_find(t, whole); /* made in the order of merges */
    return id[0] >= 0 && id[1] >= 0 && id[2] >= 0;
}

int tokenizer_set_merges(struct tokenizer *t, const struct sv *merge, int n, ilab_err *e)
{
    size_t longest = 0, n_slot = 16;
    int32_t id[3] = { 0 };

    if (n < 0 || n > TOKEN_MAX_MERGES)
        return err_set(e, ILAB_E_LIMIT, "%d merges: at most %d", n, TOKEN_MAX_MERGES);
    while (n_slot < (size_t)n + (size_t)n / 2)
        n_slot *= 2;
    t->n_merge = n;
    t->merge_slot = mem_alloc(n_slot * sizeof *t->merge_slot);
    if (!t->merge_slot || copy_strings(merge, (size_t)n, &t->merge_bytes, &t->merge))
        return err_set(e, ILAB_E_NOMEM, "no memory for %d merges", n);
    t->n_merge_slot = n_slot;
    for (size_t k = 0; k < n_slot; k++)
        t->merge_slot[k].rank = -1;
    for (int i = 0; i < n; i++)
        if (merge[i].n > longest)
            longest = merge[i].n;
    char *joined = mem_alloc(longest + 1);
    if (!joined)
        return err_set(e, ILAB_E_NOMEM, "no memory for %d merges", n);
    for (int i = 0; i < n; i++) {
        if (!merge_ids(t, t->merge[i], joined, id) || merge_find(t, id[0], id[1]))
            continue; /* parts outside the vocabulary can never meet; of equal merges the first counts */
        uint64_t key = (uint64_t)(uint32_t)id[0] << 32 | (uint32_t)id[1];
        size_t k = merge_home(t, key);
        while (t->merge_slot[k].rank >= 0)
            k = (k + 1) & (n_slot - 1);
        t->merge_slot[k] = (struct merge_slot){ key, i, id[2] };
    }
    mem_free(joined);
    return 0;
}
