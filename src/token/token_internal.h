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
    TOKEN_MAX_PIECE_BYTES = 1024,     /* unigram, WordPiece: longer pieces are not looked for: bounds the work a byte */
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

/* ---- pre-tokenizers (pretok.c; pattern.c) ---- */
enum { PRETOK_STAGES = 8, PRETOK_IGNORE_MERGES = 1 /* a word that is a token stays whole */, PRETOK_ADD_BOS = 2, PRETOK_ADD_EOS = 4 };
struct pretok_row { const char *name, *const *pattern; int flags; }; /* patterns end with NULL */
struct pretok;
struct pretok_at { size_t end[PRETOK_STAGES], budget; int begun; };  /* where a walk through one text is; starts from zeros */
const struct pretok_row *pretok_row(int i);                   /* NULL: beyond the last */
const struct pretok_row *pretok_find(struct sv name);         /* NULL: none */
int pretok_new(struct pretok **out, const struct sv *pattern, int n, ilab_err *e);
int pretok_new_row(struct pretok **out, const struct pretok_row *row, ilab_err *e);
void pretok_free(struct pretok *p);
int pretok_same(const struct pretok *a, const struct pretok *b); /* cut a text of hard cases alike */
/* End of the word that starts at i < s.n; always > i, at most TOKEN_MAX_WORD_BYTES later. i is 0, then what it returned. */
size_t pretok_next(const struct pretok *p, struct pretok_at *at, struct sv s, size_t i);

#define SPACE "\xe2\x96\x81" /* ▁ U+2581: what SentencePiece writes for a space */
enum { SPACE_BYTES = 3 };

/* ---- the tokenizer ---- */
enum vocab_model { VOCAB_SPM /* SentencePiece BPE */, VOCAB_BPE /* byte-level BPE */, VOCAB_UNIGRAM, VOCAB_WORDPIECE };
struct merge_slot { uint64_t key; int32_t rank, id; };        /* key: left << 32 | right; rank -1: empty */
struct word_entry { uint8_t n_byte, n_id; char word[22]; int32_t id[10]; }; /* one cache line */
enum { WORD_CACHE_SLOTS = 1 << 15 };
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };

struct tokenizer {
    enum vocab_model model;
    int n;                            /* V */
    struct sv *text;                  /* V: as in the file (byte-level BPE: mapped characters; WordPiece: ▁ begins a word) */
    struct sv *piece;                 /* V: the bytes that a token stands for */
    int32_t *kind;                    /* V */
    float *score;                     /* V; SPM, unigram */
    uint8_t *strip;                   /* V or NULL: white space beside a special token that belongs to it */
    char *text_bytes, *piece_bytes;
    struct sv_map map;                /* text → id */
    size_t max_text;                  /* bytes of the longest token */

    struct pretok *pre;               /* BPE */
    char pre_name[64];                /* its row's name, or "" when no row cuts like it */
    int ignores_merges;
    struct sv *merge;                 /* BPE: "left right", as in the file */
    int n_merge;
    char *merge_bytes;
    struct merge_slot *merge_slot;
    size_t n_merge_slot;

    int32_t *sorted;                  /* unigram: ids that text may become, by their text */
    int n_sorted;
    double unknown_score;             /* unigram */
    uint8_t *charsmap; size_t charsmap_n; /* SentencePiece's precompiled normalisation, or NULL */
    int removes_spaces;               /* SentencePiece: runs of spaces become one, none stays at the ends */
    int lowercase, strips_accents;    /* WordPiece */

    int32_t byte_id[256];             /* -1: the vocabulary has no token for that byte */
    int bos, eos, unknown, padding, eot, mask; /* WordPiece: bos is [CLS], eos is [SEP] */
    int adds_bos, adds_eos, space_prefix;
    int splits_words;                 /* SPM, unigram: no token holds ▁ behind another character */
    struct cuts *cuts;                /* SPM that does not: where text without ▁ can be cut; NULL: around `alone` only */
    uint8_t alone[256];               /* SPM, unigram: no token of several bytes holds this ASCII byte: text can be cut around it */
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

/* tokenizer.c: construction, shared by the readers and tokenizer_new_bpe */
struct tokenizer *tokenizer_alloc(enum vocab_model model);
int tokenizer_set_vocab(struct tokenizer *t, const struct sv *token, const int32_t *kind, int n, ilab_err *e);
int tokenizer_set_pre(struct tokenizer *t, struct sv pre, ilab_err *e);       /* with what its row says about BOS, EOS, merges */
void tokenizer_add_end(struct tokenizer *t, int id);
void tokenizer_set_name(struct tokenizer *t, struct sv name);
int tokenizer_finish(struct tokenizer *t, ilab_err *e);                       /* ends, special index, unigram index */
int copy_strings(const struct sv *from, size_t n, char **bytes, struct sv **views);
/* merges.c */
int tokenizer_set_merges(struct tokenizer *t, const struct sv *merge, int n, ilab_err *e);

/* byte_map.c: GPT-2's reversible byte ↔ printable character map */
uint32_t byte_map_char(uint8_t b);
int byte_map_byte(int32_t cp);                                                /* -1: none */

/* Working memory of one encode call. */
struct encode_work { struct word_entry *cache; void *node, *heap; size_t node_cap, heap_cap; struct sb normal, escaped; };
void encode_work_release(struct encode_work *w);
/* One stretch of text without special tokens to ids; 0 or ILAB_E_NOMEM. prefix: a space goes in front. */
typedef int encode_text_fn(const struct tokenizer *t, struct encode_work *w, struct sv text, int prefix, struct ids *out);
encode_text_fn bpe_encode_text, sentence_encode_text, wordpiece_encode_text;
int bpe_encode_long(const struct tokenizer *t, struct encode_work *w, struct sv word, struct ids *out); /* one word, by heap */
/* spm.c, unigram.c: text in which ▁ stands for spaces; *was_unknown: the last character of what went before was unknown. */
int spm_encode_escaped(const struct tokenizer *t, struct encode_work *w, struct sv text, int *was_unknown, struct ids *out);
int unigram_encode_escaped(const struct tokenizer *t, struct encode_work *w, struct sv text, int *was_unknown, struct ids *out);
int unigram_index(struct tokenizer *t, ilab_err *e);
/* charsmap.c: SentencePiece's normalisation; appends to out. */
int charsmap_check(const uint8_t *p, size_t n, ilab_err *e);
void charsmap_apply(const struct tokenizer *t, struct sv text, struct sb *out);
/* cuts.c: for SentencePiece BPE with spaces inside of pieces */
int cuts_new(struct cuts **out, const struct tokenizer *t);                   /* 0 (*out may be NULL: too large) or ILAB_E_NOMEM */
void cuts_free(struct cuts *c);
size_t cuts_next(const struct cuts *c, struct sv s, size_t i);                /* end of the stretch at i < s.n, > i; s has no ▁ */
/* word_cache.c */
struct word_entry *word_cache_slot(struct word_entry *cache, struct sv word); /* NULL: not cacheable */
int word_cache_hit(const struct word_entry *w, struct sv word);
void word_cache_store(struct word_entry *w, struct sv word, const struct ids *l, size_t from); /* the ids from `from` on */
int ids_append(struct ids *l, const int32_t *v, size_t n);

/* encode.c */
/* Start of the next special token at or behind `from` (text.n: none); its id in *id. */
size_t special_next(const struct tokenizer *t, struct sv text, size_t from, int control, int32_t *id);
/* Like tokenizer_encode without BOS and EOS. *after_special says whether the text follows a special token or nothing
 * (SentencePiece then writes its space prefix) and is updated. */
int encode_part(const struct tokenizer *t, struct sv text, int flags, int *after_special, struct ids *out, ilab_err *e);

#endif
