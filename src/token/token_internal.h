/* token_internal.h — what the files of this folder share; nobody outside includes it.
 *
 * A tokenizer is immutable after its construction, except for the word cache, which one encode at a time
 * borrows (trylock; the others work without it). Results never depend on the cache.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_INTERNAL_H
#define ILAB_TOKEN_INTERNAL_H

#include "token/token.h"

#include <pthread.h>

enum {
    TOKEN_MAX_VOCAB = 1 << 21,
    TOKEN_MAX_MERGES = 1 << 22,
    TOKEN_MAX_TEXT_BYTES = 1 << 30,   /* of one encode call */
    TOKEN_MAX_SPECIAL_BYTES = 255,    /* longer special tokens are not searched for in text */
    TOKEN_MAX_WORD_BYTES = 1 << 20,   /* longer pre-tokens are cut: bounds the merge queue */
    TOKEN_MAX_ENDS = 16,
    TOKEN_MAX_TEMPLATE_BYTES = 1 << 18
};

/* ---- string → index map (sv_map.c): open addressing over keys that the caller keeps in an array ---- */
struct sv_slot { uint32_t tag; int32_t id; };                 /* id -1: empty */
struct sv_map { struct sv_slot *slot; size_t n_slot, n; };
int sv_map_put(struct sv_map *m, const struct sv *key, int32_t id);   /* an equal key is replaced; 0 or ILAB_E_NOMEM */
int32_t sv_map_find(const struct sv_map *m, const struct sv *key, struct sv s); /* -1: absent */
void sv_map_release(struct sv_map *m);

/* ---- pre-tokenizers (pretok.c) ---- */
struct pretok;
const struct pretok *pretok_find(struct sv name);             /* NULL: none */
int pretok_ignores_merges(const struct pretok *p);            /* a word that is a token stays whole */
int pretok_adds_bos(const struct pretok *p);
/* End of the word that starts at i < s.n; always > i, at most TOKEN_MAX_WORD_BYTES later. */
size_t pretok_next(const struct pretok *p, struct sv s, size_t i);

/* ---- the tokenizer ---- */
enum vocab_model { VOCAB_SPM, VOCAB_BPE };
struct merge_slot { uint64_t key; int32_t rank, id; };        /* key: left << 32 | right; rank -1: empty */
struct word_entry { uint8_t n_byte, n_id; char word[22]; int32_t id[10]; }; /* one cache line */
enum { WORD_CACHE_SLOTS = 1 << 14 };

struct tokenizer {
    enum vocab_model model;
    int n;                            /* V */
    struct sv *text;                  /* V: as in the file (byte-level BPE: mapped characters) */
    struct sv *piece;                 /* V: the bytes that a token stands for */
    int32_t *kind;                    /* V */
    float *score;                     /* V; SPM */
    char *text_bytes, *piece_bytes;
    struct sv_map map;                /* text → id */
    size_t max_text;                  /* bytes of the longest token */

    const struct pretok *pre;         /* BPE */
    char pre_name[64];
    struct sv *merge;                 /* BPE: "left right", as in the file */
    int n_merge;
    char *merge_bytes;
    struct merge_slot *merge_slot;
    size_t n_merge_slot;

    int32_t byte_id[256];             /* -1: the vocabulary has no token for that byte */
    int bos, eos, unknown, padding, eot;
    int adds_bos, adds_eos, space_prefix;
    int splits_words;                 /* SPM: no token holds ▁ behind another character */
    int end_id[TOKEN_MAX_ENDS], n_end;
    uint8_t special_first[256];       /* 1: a user-defined token starts with this byte; 2: a control token */
    uint64_t special_len[256][4];     /* set of the lengths of those */
    char *chat_template;
    char name[128];                   /* general.name, lower case */

    struct word_entry *cache;
    pthread_mutex_t *cache_lock;
};

int32_t vocab_find(const struct tokenizer *t, struct sv text);                /* -1: none */
const struct merge_slot *merge_find(const struct tokenizer *t, int32_t left, int32_t right);
int is_special(const struct tokenizer *t, int id);                            /* control or user-defined */

/* tokenizer.c: construction, shared by the GGUF reader and tokenizer_new_bpe */
struct tokenizer *tokenizer_alloc(enum vocab_model model);
int tokenizer_set_vocab(struct tokenizer *t, const struct sv *token, const int32_t *kind, int n, ilab_err *e);
int tokenizer_set_merges(struct tokenizer *t, const struct sv *merge, int n, ilab_err *e);
int tokenizer_set_pre(struct tokenizer *t, struct sv pre, ilab_err *e);
void tokenizer_finish(struct tokenizer *t);                                   /* ends, special index */

/* byte_map.c: GPT-2's reversible byte ↔ printable character map */
uint32_t byte_map_char(uint8_t b);
int byte_map_byte(int32_t cp);                                                /* -1: none */

/* Working memory of one encode call. */
struct encode_work { struct word_entry *cache; void *node, *heap; size_t node_cap, heap_cap; };
/* bpe.c, spm.c: encode one stretch without special tokens; 0 or ILAB_E_NOMEM. */
int bpe_encode_text(const struct tokenizer *t, struct encode_work *w, struct sv text, struct ids *out);
int bpe_encode_long(const struct tokenizer *t, struct encode_work *w, struct sv word, struct ids *out); /* one word, by heap */
int spm_encode_text(const struct tokenizer *t, struct encode_work *w, struct sv text, int prefix, struct ids *out);
/* word_cache.c */
struct word_entry *word_cache_slot(struct word_entry *cache, struct sv word); /* NULL: not cacheable */
int word_cache_hit(const struct word_entry *w, struct sv word);
void word_cache_store(struct word_entry *w, struct sv word, const int32_t *id, size_t n);
int ids_append(struct ids *l, const int32_t *v, size_t n);

/* encode.c */
/* Start of the next special token at or behind `from` (text.n: none); its id in *id. */
size_t special_next(const struct tokenizer *t, struct sv text, size_t from, int control, int32_t *id);
/* Like tokenizer_encode without BOS. *after_special says whether the text follows a special token or nothing (SPM then
 * writes its space prefix) and is updated. */
int encode_part(const struct tokenizer *t, struct sv text, int flags, int *after_special, struct ids *out, ilab_err *e);

#endif
