/* bpe_train.c — learns a byte-level BPE vocabulary (Sennrich et al. 2016, algorithm 1, incremental).
 *
 * The text becomes a table of distinct words with their frequencies; merging touches only the words that hold
 * the merged pair. Invariants:
 *   – pair.count is exact: the sum over words of frequency × occurrences;
 *   – for every pair with count > 0 the heap holds an entry of at least that count (entries go stale when counts
 *     sink and are put back with the exact count), so the first exact entry popped is the maximum;
 *   – the word list of a pair names every word that holds it, and perhaps words that no longer do.
 * Equal counts: the lower pair of ids first, so the result depends on nothing but the input.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

enum { WORD_MAX_BYTES = 64, TRAIN_MAX_VOCAB = 1 << 18, TRAIN_MAX_SPECIAL = 4096 };

struct word { int64_t count; uint32_t at, n; };              /* its symbols in train.symbol */
struct pair { int64_t count; int32_t left, right; uint32_t words; int touched; }; /* words: first link, 0 none */
struct link { uint32_t word, next; };
struct ranked { int64_t count; uint32_t pair; };

struct train {
    struct sv_map word_map, token_map;
    struct sv *word_text; size_t word_text_cap, n_word;
    struct word *word; size_t word_cap;
    int32_t *symbol; size_t symbol_cap, n_symbol;
    struct pair *pair; size_t pair_cap, n_pair;
    uint32_t *pair_slot; size_t n_pair_slot;                  /* pair index + 1; 0: empty */
    struct link *link; size_t link_cap, n_link;
    struct ranked *heap; size_t heap_cap, n_heap;
    uint32_t *touched; size_t touched_cap, n_touched;
    struct sv *token; int32_t *kind; int n_token, n_special;  /* [n_vocab] */
    struct sv *merge; int n_merge;
    struct arena strings;
    int failed;                                               /* out of memory somewhere; sticky */
};

/* ---- words ---- */

static void count_word(struct train *t, struct sv s)
{
    int32_t i = sv_map_find(&t->word_map, t->word_text, s);

    if (i >= 0) {
        t->word[i].count++;
        return;
    }
    if (t->n_word >= INT32_MAX || mem_grow((void **)&t->word_text, &t->word_text_cap, t->n_word + 1, sizeof *t->word_text) ||
        mem_grow((void **)&t->word, &t->word_cap, t->n_word + 1, sizeof *t->word)) {
        t->failed = 1;
        return;
    }
    t->word_text[t->n_word] = s;
    t->word[t->n_word] = (struct word){ 1, 0, 0 };
    t->failed |= !!sv_map_put(&t->word_map, t->word_text, (int32_t)t->n_word++);
}

/* Special tokens are cut out; they and word boundaries are never merged across. */
static void count_words(struct train *t, const struct tokenizer *base, struct sv text)
{
    int32_t id = -1;

    for (size_t at = 0; at < text.n && !t->failed;) {
        size_t special = special_next(base, text, at, 1, &id);
        struct sv part = { text.p, special };
        struct pretok_at walk = { 0 };
        for (size_t i = at, end; i < special && !t->failed; i = end) {
            end = pretok_next(base->pre, &walk, part, i);
            for (size_t k = i; k < end; k += WORD_MAX_BYTES)
                count_word(t, (struct sv){ text.p + k, end - k < WORD_MAX_BYTES ? end - k : WORD_MAX_BYTES });
        }
        if (special == text.n)
            break;
        at = special + base->text[id].n;
    }
}

/* ---- pairs ---- */

static size_t pair_home(const struct train *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    key ^= key >> 29;
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (t->n_pair_slot - 1);
}

static int grow_pair_slots(struct train *t)
{
    size_t n = t->n_pair_slot ? t->n_pair_slot * 2 : 1 << 14;
    uint32_t *slot = mem_calloc(n, sizeof *slot);

    if (!slot)
        return ILAB_E_NOMEM;
    mem_free(t->pair_slot);
    t->pair_slot = slot;
    t->n_pair_slot = n;
    for (size_t i = 0; i < t->n_pair; i++) {
        size_t k = pair_home(t, t->pair[i].left, t->pair[i].right);
        while (slot[k])
            k = (k + 1) & (n - 1);
        slot[k] = (uint32_t)i + 1;
    }
    return 0;
}

static struct pair *pair_at(struct train *t, int32_t left, int32_t right)
{
    size_t k;

    if (2 * (t->n_pair + 1) > t->n_pair_slot && grow_pair_slots(t))
        return NULL;
    for (k = pair_home(t, left, right); t->pair_slot[k]; k = (k + 1) & (t->n_pair_slot - 1)) {
        struct pair *p = &t->pair[t->pair_slot[k] - 1];
        if (p->left == left && p->right == right)
            return p;
    }
    if (t->n_pair >= UINT32_MAX - 1 || mem_grow((void **)&t->pair, &t->pair_cap, t->n_pair + 1, sizeof *t->pair))
        return NULL;
    t->pair_slot[k] = (uint32_t)t->n_pair + 1;
    t->pair[t->n_pair] = (struct pair){ 0, left, right, 0, 0 };
    return &t->pair[t->n_pair++];
}

static void link_word(struct train *t, struct pair *p, uint32_t word)
{
    if (p->words && t->link[p->words].word == word)
        return;
    if (t->n_link >= UINT32_MAX - 1 || mem_grow((void **)&t->link, &t->link_cap, t->n_link + 1, sizeof *t->link)) {
        t->failed = 1;
        return;
    }
    t->link[t->n_link] = (struct link){ word, p->words };
    p->words = (uint32_t)t->n_link++;
}

/* Adds the word's pairs to the counts. made: the new symbol, whose pairs may grow and get this word linked; -1: all do. */
static void count_pairs(struct train *t, uint32_t w, int32_t made)
{
    const struct word *word = &t->word[w];

    for (uint32_t k = 0; k + 1 < word->n && !t->failed; k++) {
        int32_t left = t->symbol[word->at + k], right = t->symbol[word->at + k + 1];
        struct pair *p = pair_at(t, left, right);
        if (!p) {
            t->failed = 1;
            return;
        }
        p->count += word->count;
        if (made >= 0 && left != made && right != made)
            continue;
        link_word(t, p, w);
        if (p->touched)
            continue;
        p->touched = 1;
        if (mem_grow((void **)&t->touched, &t->touched_cap, t->n_touched + 1, sizeof *t->touched))
            t->failed = 1;
        else
            t->touched[t->n_touched++] = (uint32_t)(p - t->pair);
    }
}

static void uncount_pairs(struct train *t, const struct word *word)
{
    for (uint32_t k = 0; k + 1 < word->n && !t->failed; k++) {
        struct pair *p = pair_at(t, t->symbol[word->at + k], t->symbol[word->at + k + 1]);
        if (p)
            p->count -= word->count;
        else
            t->failed = 1;
    }
}

/* ---- heap ---- */

static int before(const struct train *t, struct ranked a, struct ranked b)
{
    const struct pair *p = &t->pair[a.pair], *q = &t->pair[b.pair];

    if (a.count != b.count)
        return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static void heap_push(struct train *t, uint32_t pair)
{
    struct ranked r = { t->pair[pair].count, pair };
    size_t i = t->n_heap;

    if (r.count <= 0)
        return;
    if (mem_grow((void **)&t->heap, &t->heap_cap, t->n_heap + 1, sizeof *t->heap)) {
        t->failed = 1;
        return;
    }
    t->n_heap++;
    for (; i && before(t, r, t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = r;
}

static struct ranked heap_pop(struct train *t)
{
    struct ranked top = t->heap[0], last = t->heap[--t->n_heap];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < t->n_heap) {
        child += child + 1 < t->n_heap && before(t, t->heap[child + 1], t->heap[child]);
        if (!before(t, t->heap[child], last))
            break;
        t->heap[i] = t->heap[child];
        i = child;
    }
    t->heap[i] = last;
    return top;
}

static void push_touched(struct train *t)
{
    for (size_t i = 0; i < t->n_touched; i++) {
        t->pair[t->touched[i]].touched = 0;
        heap_push(t, t->touched[i]);
    }
    t->n_touched = 0;
}

/* The pair that occurs most, or NULL. */
static const struct pair *best_pair(struct train *t)
{
    while (t->n_heap) {
        struct ranked r = heap_pop(t);
        if (r.count == t->pair[r.pair].count)
            return &t->pair[r.pair];
        if (r.count > t->pair[r.pair].count)
            heap_push(t, r.pair);
    }
    return NULL;
}

/* ---- merging ---- */

static void replace_pair(struct train *t, struct pair pair, int32_t made)
{
    for (uint32_t l = pair.words; l && !t->failed; l = t->link[l].next) {
        uint32_t w = t->link[l].word, n = 0;
        struct word *word = &t->word[w];
        int32_t *s = t->symbol + word->at;
        int found = 0;
        for (uint32_t k = 0; k + 1 < word->n && !found; k++)
            found = s[k] == pair.left && s[k + 1] == pair.right;
        if (!found)
            continue;
        uncount_pairs(t, word);
        for (uint32_t k = 0; k < word->n; k++)
            if (k + 1 < word->n && s[k] == pair.left && s[k + 1] == pair.right) {
                s[n++] = made;
                k++;
            } else
                s[n++] = s[k];
        word->n = n;
        count_pairs(t, w, made);
    }
    push_touched(t);
}

static struct sv join(struct train *t, struct sv a, const char *gap, struct sv b)
{
    size_t g = strlen(gap);
    char *p = arena_alloc(&t->strings, a.n + g + b.n + 1, 1);

    if (!p) {
        t->failed = 1;
        return (struct sv){ NULL, 0 };
    }
    memcpy(p, a.p, a.n);
    memcpy(p + a.n, gap, g);
    memcpy(p + a.n + g, b.p, b.n);
    return (struct sv){ p, a.n + g + b.n };
}

static void add_token(struct train *t, struct sv text, int32_t kind)
{
    t->token[t->n_token] = text;
    t->kind[t->n_token] = kind;
    t->failed |= !!sv_map_put(&t->token_map, t->token, t->n_token++);
}

/* Two pairs may spell the same text ("ab"+"c", "a"+"bc"): the second merge then makes the token that is there. */
static void learn(struct train *t, int n_vocab, int max_merge)
{
    const struct pair *best;

    for (uint32_t w = 0; w < t->n_word; w++)
        count_pairs(t, w, -1);
    push_touched(t);
    while (!t->failed && t->n_token < n_vocab && t->n_merge < max_merge && (best = best_pair(t))) {
        struct pair pair = *best;
        struct sv left = t->token[pair.left], right = t->token[pair.right], text = join(t, left, "", right);
        struct sv merge = join(t, left, " ", right);
        if (t->failed)
            return;
        int32_t made = sv_map_find(&t->token_map, t->token, text);
        if (made < 0) {
            made = t->n_token;
            add_token(t, text, TOKEN_NORMAL);
        }
        t->merge[t->n_merge++] = merge;
        replace_pair(t, pair, made);
    }
}

static void spell_words(struct train *t)
{
    for (size_t i = 0; i < t->n_word && !t->failed; i++) {
        struct sv s = t->word_text[i];
        if (t->n_symbol + s.n > UINT32_MAX || mem_grow((void **)&t->symbol, &t->symbol_cap, t->n_symbol + s.n, sizeof *t->symbol)) {
            t->failed = 1;
            return;
        }
        t->word[i].at = (uint32_t)t->n_symbol;
        t->word[i].n = (uint32_t)s.n;
        for (size_t k = 0; k < s.n; k++)
            t->symbol[t->n_symbol++] = t->n_special + (uint8_t)s.p[k];
    }
}

static void release(struct train *t)
{
    void *const owned[] = { t->word_text, t->word, t->symbol, t->pair, t->pair_slot, t->link,
                            t->heap, t->touched, t->token, t->kind, t->merge };

    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        mem_free(owned[i]);
    sv_map_release(&t->word_map);
    sv_map_release(&t->token_map);
    arena_release(&t->strings);
}

static int first_named(const char *const *name, size_t n, const struct sv *token, int n_special)
{
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < n_special; i++)
            if (sv_eq_c(token[i], name[k]))
                return i;
    return -1;
}

/* Special tokens and the 256 bytes; room for every merge that can follow. */
static int start(struct train *t, int n_vocab, const char *const *special, int n_special, ilab_err *e)
{
    size_t n = (size_t)n_vocab;

    if (n_special < 0 || n_special > TRAIN_MAX_SPECIAL)
        return err_set(e, ILAB_E_INVALID, "%d special tokens: at most %d", n_special, TRAIN_MAX_SPECIAL);
    if (n_vocab < n_special + 256 || n_vocab > TRAIN_MAX_VOCAB)
        return err_set(e, ILAB_E_INVALID, "vocabulary of %d tokens: must be %d to %d", n_vocab, n_special + 256, TRAIN_MAX_VOCAB);
    arena_init(&t->strings, (size_t)1 << 30);
    t->token = mem_calloc(n, sizeof *t->token);
    t->kind = mem_calloc(n, sizeof *t->kind);
    t->merge = mem_calloc(2 * n, sizeof *t->merge);
    t->n_link = 1; /* link 0 ends a list */
    if (!t->token || !t->kind || !t->merge || mem_grow((void **)&t->link, &t->link_cap, 1, sizeof *t->link))
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n_vocab);
    t->n_special = n_special;
    for (int i = 0; i < n_special; i++) {
        struct sv s = sv_of(special[i]);
        if (!s.n || sv_map_find(&t->token_map, t->token, s) >= 0)
            return err_set(e, ILAB_E_INVALID, "special token '%s' is empty or given twice", special[i]);
        add_token(t, s, TOKEN_CONTROL);
    }
    for (int b = 0; b < 256; b++) {
        char cp[4];
        size_t len = (size_t)utf8_put(cp, (int32_t)byte_map_char((uint8_t)b));
        char *p = arena_strndup(&t->strings, cp, len);
        if (!p)
            return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n_vocab);
        if (sv_map_find(&t->token_map, t->token, (struct sv){ p, len }) >= 0)
            return err_set(e, ILAB_E_INVALID, "special token '%.*s' is a single byte", (int)len, p);
        add_token(t, (struct sv){ p, len }, TOKEN_NORMAL);
    }
    return t->failed ? err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n_vocab) : 0;
}

int bpe_train(struct tokenizer **out, struct sv text, int n_vocab, const char *const *special, int n_special, const char *pre,
              ilab_err *e)
{
    static const char *const bos_names[] = { "<|begin_of_text|>", "<s>", "<|bos|>", "<|startoftext|>", "<|begginingoftext|>" };
    static const char *const eos_names[] = { "<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>" };
    struct train t = { 0 };
    struct tokenizer *base = NULL;
    int rc = start(&t, n_vocab, special, n_special, e);

    *out = NULL;
    if (!rc) {
        int eos = first_named(eos_names, ARRAY_LEN(eos_names), t.token, n_special);
        int bos = first_named(bos_names, ARRAY_LEN(bos_names), t.token, n_special);
        if (bos < 0)
            bos = eos;
        rc = tokenizer_new_bpe(&base, t.token, t.kind, t.n_token, NULL, 0, pre, bos, eos, e);
        if (!rc) {
            count_words(&t, base, text);
            spell_words(&t);
            learn(&t, n_vocab, 2 * n_vocab);
            rc = t.failed ? err_set(e, ILAB_E_NOMEM, "no memory to train a vocabulary on %zu bytes", text.n)
                          : tokenizer_new_bpe(out, t.token, t.kind, t.n_token, t.merge, t.n_merge, pre, bos, eos, e);
        }
    }
    tokenizer_free(base);
    release(&t);
    return rc;
}
