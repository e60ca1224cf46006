/* tokenizer.c — builds the tables of a vocabulary and answers questions about its ids.
 *
 * Every token has its text (as the file writes it) and its piece (the bytes it stands for): for byte-level
 * BPE the mapped characters turned back into bytes, for the others ▁ as a space and <0xXX> as one byte.
 * Does not read files (tokenizer_gguf.c, hf_*.c) and does not encode (encode.c and what it calls).
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

/* Names under which models end a text or a turn; they count when the vocabulary marks them as special. */
static const char *const end_names[] = { "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>",
                                         "<end_of_turn>", "</s>", "<EOT>", "_<EOT>", "<|eot|>", "<|endofturn|>", "<end_of_utterance>",
                                         "<|return|>", "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>" };

int32_t vocab_find(const struct tokenizer *t, struct sv text)
{
    return text.n > t->max_text ? -1 : sv_map_find(&t->map, t->text, text);
}

int is_special(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->n && (t->kind[id] == TOKEN_CONTROL || t->kind[id] == TOKEN_USER);
}

struct tokenizer *tokenizer_alloc(enum vocab_model model)
{
    struct tokenizer *t = mem_calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->model = model;
    t->bos = t->eos = t->unknown = t->padding = t->eot = t->mask = -1;
    t->adds_bos = model == VOCAB_SPM || model == VOCAB_WORDPIECE;
    t->adds_eos = model == VOCAB_UNIGRAM || model == VOCAB_WORDPIECE;
    t->space_prefix = model == VOCAB_SPM;
    t->lowercase = t->strips_accents = model == VOCAB_WORDPIECE;
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    t->cache = mem_aligned(WORD_CACHE_SLOTS * sizeof *t->cache);
    t->cache_lock = mem_alloc(sizeof *t->cache_lock);
    if (!t->cache || !t->cache_lock || pthread_mutex_init(t->cache_lock, NULL)) {
        mem_free(t->cache_lock);
        t->cache_lock = NULL;
        tokenizer_free(t);
        return NULL;
    }
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->cache_lock)
        pthread_mutex_destroy(t->cache_lock);
    mem_free(t->cache_lock);
    mem_free(t->cache);
    mem_free(t->text);
    mem_free(t->piece);
    mem_free(t->kind);
    mem_free(t->score);
    mem_free(t->strip);
    mem_free(t->sorted);
    cuts_free(t->cuts);
    mem_free(t->charsmap);
    pretok_free(t->pre);
    mem_free(t->text_bytes);
    mem_free(t->piece_bytes);
    mem_free(t->merge);
    mem_free(t->merge_bytes);
    mem_free(t->merge_slot);
    mem_free(t->chat_template);
    sv_map_release(&t->map);
    mem_free(t);
}

/* Copies n strings into one block; *bytes and *views are the caller's to free. */
int copy_strings(const struct sv *from, size_t n, char **bytes, struct sv **views)
{
    size_t total = 1, sum;

    for (size_t i = 0; i < n; i++, total = sum)
        if (ADD_OVERFLOWS(total, from[i].n, &sum))
            return ILAB_E_NOMEM;
    *bytes = mem_alloc(total);
    *views = mem_calloc(n ? n : 1, sizeof **views);
    if (!*bytes || !*views)
        return ILAB_E_NOMEM;
    char *p = *bytes;
    for (size_t i = 0; i < n; i++) {
        if (from[i].n)
            memcpy(p, from[i].p, from[i].n);
        (*views)[i] = (struct sv){ p, from[i].n };
        p += from[i].n;
    }
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0x0A>" → 10, else -1. */
static int byte_token_value(struct sv s)
{
    if (s.n != 6 || !sv_starts(s, "<0x") || s.p[5] != '>' || hex_digit(s.p[3]) < 0 || hex_digit(s.p[4]) < 0)
        return -1;
    return hex_digit(s.p[3]) * 16 + hex_digit(s.p[4]);
}

enum { MAPPED = 0x144 }; /* characters below this may stand for bytes */

/* A piece is never longer than its text, so both fit blocks of one size. Returns the piece's length. */
static size_t put_piece(const struct tokenizer *t, int id, const int16_t *byte_of, char *out)
{
    struct sv s = t->text[id];
    size_t n = 0;

    if (is_special(t, id) || t->kind[id] == TOKEN_UNKNOWN) {
        memcpy(out, s.p, s.n);
        return s.n;
    }
    if (t->model != VOCAB_BPE) {
        int value = t->kind[id] == TOKEN_BYTE ? byte_token_value(s) : -1;
        if (value >= 0) {
            out[0] = (char)value;
            return 1;
        }
        for (size_t i = 0; i < s.n;)
            if (s.n - i >= 3 && !memcmp(s.p + i, "\xe2\x96\x81", 3)) {
                out[n++] = ' ';
                i += 3;
            } else
                out[n++] = s.p[i++];
        return n;
    }
    for (size_t i = 0; i < s.n;) {
        size_t start = i;
        int32_t cp = utf8_next(s, &i);
        if (cp >= 0 && cp < MAPPED && byte_of[cp] >= 0)
            out[n++] = (char)byte_of[cp];
        else
            for (; start < i; start++)
                out[n++] = s.p[start];
    }
    return n;
}

static void find_byte_ids(struct tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        char name[8], cp[4], raw = (char)b;
        if (t->model == VOCAB_WORDPIECE)
            continue;
        if (t->model != VOCAB_BPE) {
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
            t->byte_id[b] = vocab_find(t, sv_of(name));
            if (t->byte_id[b] < 0)
                t->byte_id[b] = vocab_find(t, (struct sv){ &raw, 1 });
        } else
            t->byte_id[b] = vocab_find(t, (struct sv){ cp, (size_t)utf8_put(cp, (int32_t)byte_map_char((uint8_t)b)) });
    }
}

/* True when some token holds ▁ behind another character: then text must not be cut in front of ▁. */
static int has_inner_space(const struct tokenizer *t)
{
    for (int i = 0; i < t->n; i++) {
        struct sv s = t->text[i];
        int other = 0;
        if (t->kind[i] != TOKEN_NORMAL && t->kind[i] != TOKEN_USER)
            continue;
        for (size_t k = 0; k < s.n;)
            if (s.n - k >= 3 && !memcmp(s.p + k, "\xe2\x96\x81", 3)) {
                if (other)
                    return 1;
                k += 3;
            } else {
                other = 1;
                k++;
            }
    }
    return 0;
}

/* Bytes that only stand alone as pieces: line feeds, often. */
static void find_alone(struct tokenizer *t)
{
    memset(t->alone, 1, 128);
    for (int i = 0; i < t->n; i++)
        for (size_t k = 0; t->text[i].n > 1 && (t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_USER) && k < t->text[i].n; k++)
            t->alone[(uint8_t)t->text[i].p[k]] = 0;
    t->alone[' '] = 0; /* is written as ▁ */
}

int tokenizer_set_vocab(struct tokenizer *t, const struct sv *token, const int32_t *kind, int n, ilab_err *e)
{
    int16_t byte_of[MAPPED];
    size_t total = 1;

    if (n < 1 || n > TOKEN_MAX_VOCAB)
        return err_set(e, ILAB_E_LIMIT, "vocabulary of %d tokens: must be 1 to %d", n, TOKEN_MAX_VOCAB);
    t->n = n;
    t->kind = mem_calloc((size_t)n, sizeof *t->kind);
    t->piece = mem_calloc((size_t)n, sizeof *t->piece);
    if (!t->kind || !t->piece || copy_strings(token, (size_t)n, &t->text_bytes, &t->text))
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n);
    for (int i = 0; i < n; i++) {
        total += t->text[i].n;
        if (t->text[i].n > t->max_text)
            t->max_text = t->text[i].n;
        t->kind[i] = kind && kind[i] >= TOKEN_NORMAL && kind[i] <= TOKEN_BYTE ? kind[i] : TOKEN_NORMAL;
        if (!kind && (t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM) && byte_token_value(t->text[i]) >= 0)
            t->kind[i] = TOKEN_BYTE;
        if (sv_map_put(&t->map, t->text, i))
            return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n);
    }
    t->piece_bytes = mem_alloc(total);
    if (!t->piece_bytes)
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", n);
    for (int cp = 0; cp < (int)ARRAY_LEN(byte_of); cp++)
        byte_of[cp] = (int16_t)byte_map_byte(cp);
    char *p = t->piece_bytes;
    for (int i = 0; i < n; i++) {
        t->piece[i] = (struct sv){ p, put_piece(t, i, byte_of, p) };
        p += t->piece[i].n;
    }
    find_byte_ids(t);
    find_alone(t);
    t->splits_words = (t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM) && !has_inner_space(t);
    return 0;
}

int tokenizer_set_pre(struct tokenizer *t, struct sv pre, ilab_err *e)
{
    const struct pretok_row *row = pretok_find(pre);

    if (!row)
        return err_set(e, ILAB_E_INVALID, "pre-tokenizer '%.*s' is not supported", (int)(pre.n < 60 ? pre.n : 60), pre.p);
    snprintf(t->pre_name, sizeof t->pre_name, "%s", row->name);
    t->ignores_merges = !!(row->flags & PRETOK_IGNORE_MERGES);
    t->adds_bos = !!(row->flags & PRETOK_ADD_BOS);
    t->adds_eos = !!(row->flags & PRETOK_ADD_EOS);
    return pretok_new_row(&t->pre, row, e);
}

void tokenizer_set_name(struct tokenizer *t, struct sv name)
{
    size_t n = 0;

    for (; n < name.n && n + 1 < sizeof t->name; n++)
        t->name[n] = name.p[n] >= 'A' && name.p[n] <= 'Z' ? (char)(name.p[n] + 32) : name.p[n];
    t->name[n] = 0;
}

void tokenizer_add_end(struct tokenizer *t, int id)
{
    if (id < 0 || id >= t->n || t->n_end == TOKEN_MAX_ENDS || tokenizer_is_end(t, id))
        return;
    t->end_id[t->n_end++] = id;
}

/* Special tokens by their first byte. A longer one than TOKEN_MAX_SPECIAL_BYTES is not looked for. */
static void index_special(struct tokenizer *t)
{
    for (int i = 0; i < t->n; i++) {
        struct sv s = t->text[i];
        if ((!is_special(t, i) && t->kind[i] != TOKEN_UNKNOWN) || !s.n || s.n > TOKEN_MAX_SPECIAL_BYTES)
            continue;
        uint8_t b = (uint8_t)s.p[0];
        t->special_first[b] |= t->kind[i] == TOKEN_USER ? 1 : 2;
        t->special_len[b][s.n / 64] |= (uint64_t)1 << (s.n % 64);
    }
}

int tokenizer_finish(struct tokenizer *t, ilab_err *e)
{
    int *const named[] = { &t->bos, &t->eos, &t->unknown, &t->padding, &t->eot, &t->mask };

    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if (*named[i] < 0 || *named[i] >= t->n)
            *named[i] = -1;
    t->adds_bos = t->adds_bos && t->bos >= 0;
    t->adds_eos = t->adds_eos && t->eos >= 0;
    if (t->model != VOCAB_WORDPIECE)
        tokenizer_add_end(t, t->eos);
    tokenizer_add_end(t, t->eot);
    for (size_t i = 0; i < ARRAY_LEN(end_names); i++) {
        int id = vocab_find(t, sv_of(end_names[i]));
        if (!is_special(t, id))
            continue;
        t->kind[id] = TOKEN_CONTROL; /* where a file says user-defined: the text of a message must not end it */
        tokenizer_add_end(t, id);
    }
    index_special(t);
    if (t->model == VOCAB_SPM && !t->splits_words && cuts_new(&t->cuts, t))
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", t->n);
    return t->model == VOCAB_UNIGRAM ? unigram_index(t, e) : 0;
}

int tokenizer_new_bpe(struct tokenizer **out, const struct sv *token, const int32_t *kind, int n_token, const struct sv *merge,
                      int n_merge, const char *pre, int bos, int eos, ilab_err *e)
{
    struct tokenizer *t = tokenizer_alloc(VOCAB_BPE);
    int rc;

    *out = NULL;
    if (!t)
        return err_set(e, ILAB_E_NOMEM, "no memory for a tokenizer");
    if ((rc = tokenizer_set_pre(t, sv_of(pre), e)) || (rc = tokenizer_set_vocab(t, token, kind, n_token, e)) ||
        (rc = tokenizer_set_merges(t, merge, n_merge, e))) {
        tokenizer_free(t);
        return rc;
    }
    t->bos = bos;
    t->eos = eos;
    t->adds_bos = t->adds_bos || bos != eos; /* one token for both only separates texts */
    if ((rc = tokenizer_finish(t, e)))
        tokenizer_free(t);
    else
        *out = t;
    return rc;
}

/* ---- questions ---- */

int tokenizer_size(const struct tokenizer *t) { return t->n; }
int tokenizer_bos(const struct tokenizer *t) { return t->bos; }
int tokenizer_eos(const struct tokenizer *t) { return t->eos; }
int tokenizer_adds_bos(const struct tokenizer *t) { return t->adds_bos; }
int tokenizer_adds_eos(const struct tokenizer *t) { return t->adds_eos; }
int tokenizer_kind(const struct tokenizer *t, int id) { return id >= 0 && id < t->n ? t->kind[id] : TOKEN_UNUSED; }
int tokenizer_find(const struct tokenizer *t, const char *token) { return vocab_find(t, sv_of(token)); }

int tokenizer_is_end(const struct tokenizer *t, int id)
{
    for (int i = 0; i < t->n_end; i++)
        if (t->end_id[i] == id)
            return 1;
    return 0;
}

void tokenizer_piece(const struct tokenizer *t, int id, int special, struct sb *out)
{
    if (id < 0 || id >= t->n || t->kind[id] == TOKEN_UNUSED)
        return;
    if (special || (t->kind[id] != TOKEN_CONTROL && t->kind[id] != TOKEN_UNKNOWN))
        sb_add(out, t->piece[id]);
}

/* SentencePiece: the space that encode puts in front of a text, and behind a special token, is taken away again.
 * WordPiece: words begin with a space, the first one does not. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, int special, struct sb *out)
{
    int prefixed = t->space_prefix || t->model == VOCAB_WORDPIECE;

    for (size_t i = 0; i < n; i++) {
        if (id[i] < 0 || id[i] >= t->n)
            continue;
        struct sv piece = t->piece[id[i]];
        if (is_special(t, id[i])) {
            tokenizer_piece(t, id[i], special, out);
            prefixed = prefixed || (t->space_prefix && (special || t->kind[id[i]] == TOKEN_USER));
            continue;
        }
        if (prefixed && piece.n && piece.p[0] == ' ' && t->kind[id[i]] == TOKEN_NORMAL)
            sb_add(out, (struct sv){ piece.p + 1, piece.n - 1 });
        else
            tokenizer_piece(t, id[i], special, out);
        prefixed = 0;
    }
}

void tokenizer_set_chat_template(struct tokenizer *t, const char *jinja)
{
    mem_free(t->chat_template);
    t->chat_template = jinja ? mem_strndup(jinja, strlen(jinja)) : NULL;
}
