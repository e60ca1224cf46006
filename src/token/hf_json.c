/* hf_json.c — tokenizer.json of Hugging Face's `tokenizers`: a pipeline of named parts around a vocabulary.
 *
 * Format: github.com/huggingface/tokenizers (serialised by the types that "type" names). The pipelines that model families use
 * are mapped onto the four algorithms of this folder; a part that would change the result and is not known is an error that
 * names it. Unicode normal forms (NFC …) are left out, as GGUF files leave them out.
 * A BPE vocabulary over ▁ becomes SentencePiece BPE: its merges are ordered like the scores of the model they came from, so
 * the score of a piece is minus the rank of the first merge that makes it.  SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"

#include <string.h>

enum { MAX_PARTS = 32, MAX_NESTING = 8 };
static const float NEVER_MADE = -1e9f;                        /* below every rank: no merge makes this piece */

/* A pipeline laid flat: Sequence parts are replaced by what they hold. */
struct parts { const json_t *v[MAX_PARTS]; int n; };

struct pipeline {
    const json_t *model;
    struct parts normalizer, pre, post, decoder;
    struct sv pattern[PRETOK_STAGES];
    int n_pattern, prefix, removes_spaces, byte_level;
    const char *charsmap;                                     /* base64 */
};

static int flatten(struct parts *p, const json_t *v, const char *list, int depth, ilab_err *e)
{
    const char *type = json_str(v, "type");
    int rc = 0;

    if (!v || json_is_null(v))
        return 0;
    if (!type || depth > MAX_NESTING || p->n == MAX_PARTS)
        return err_set(e, ILAB_E_FORMAT, "a part without type, or too many of them (%d)", p->n);
    if (strcmp(type, "Sequence")) {
        p->v[p->n++] = v;
        return 0;
    }
    const json_t *items = json_object_get(v, list);
    for (size_t k = 0; k < json_array_size(items) && !rc; k++)
        rc = flatten(p, json_array_get(items, k), list, depth + 1, e);
    return rc;
}

static const json_t *part_find(const struct parts *p, const char *type)
{
    for (int k = 0; k < p->n; k++)
        if (!strcmp(json_str(p->v[k], "type"), type))
            return p->v[k];
    return NULL;
}

static int truth(const json_t *o, const char *key, int fallback)
{
    const json_t *v = json_object_get(o, key);

    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

/* ---- the pipeline ---- */

static int read_normalizer(struct pipeline *p, ilab_err *e)
{
    static const char *const plain[] = { "NFC", "NFD", "NFKC", "NFKD", "BertNormalizer" };

    for (int k = 0; k < p->normalizer.n; k++) {
        const json_t *v = p->normalizer.v[k], *pattern = json_object_get(v, "pattern");
        const char *type = json_str(v, "type"), *from = json_str(pattern, "String"), *to = json_str(v, "content"), *regex = json_str(pattern, "Regex");
        int known = 0;
        for (size_t j = 0; j < ARRAY_LEN(plain); j++)
            known |= !strcmp(type, plain[j]);
        if (known && strcmp(type, "NFC") && strcmp(type, "BertNormalizer"))
            log_warn("the tokenizer's normalizer '%s' is left out: texts in unusual forms become other tokens", type);
        if (!strcmp(type, "Prepend") && json_str(v, "prepend") && !strcmp(json_str(v, "prepend"), "\xe2\x96\x81"))
            known = p->prefix = 1;
        else if (!strcmp(type, "Replace") && from && to && !strcmp(from, " ") && !strcmp(to, "\xe2\x96\x81"))
            known = 1;
        else if (!strcmp(type, "Replace") && regex && !strcmp(regex, " {2,}"))
            known = p->removes_spaces = 1;
        else if (!strcmp(type, "Precompiled") && json_str(v, "precompiled_charsmap")) {
            p->charsmap = json_str(v, "precompiled_charsmap");
            known = 1;
        } else if (!strcmp(type, "Strip"))
            known = p->removes_spaces = 1;
        if (!known)
            return err_set(e, ILAB_E_INVALID, "normalizer '%.40s' is not supported", type);
    }
    return 0;
}

static int add_pattern(struct pipeline *p, const char *text, ilab_err *e)
{
    if (p->n_pattern == PRETOK_STAGES)
        return err_set(e, ILAB_E_LIMIT, "more than %d pre-tokenizer patterns", PRETOK_STAGES);
    p->pattern[p->n_pattern++] = sv_of(text);
    return 0;
}

static int read_split(struct pipeline *p, const json_t *v, ilab_err *e)
{
    const json_t *pattern = json_object_get(v, "pattern");
    const char *regex = json_str(pattern, "Regex"), *literal = json_str(pattern, "String"), *behavior = json_str(v, "behavior");
    int keeps = behavior && (!strcmp(behavior, "Isolated") || (!strcmp(behavior, "Removed") && truth(v, "invert", 0)));

    if (literal && !strcmp(literal, " ") && !p->byte_level)
        return 0; /* behind "Replace": there is none left */
    if (!regex || !keeps)
        return err_set(e, ILAB_E_INVALID, "a Split that is not by regular expression and 'Isolated' is not supported");
    return add_pattern(p, regex, e);
}

static int read_byte_level(struct pipeline *p, const json_t *v, ilab_err *e)
{
    if (truth(v, "add_prefix_space", 0))
        return err_set(e, ILAB_E_INVALID, "ByteLevel with add_prefix_space is not supported");
    return truth(v, "use_regex", 1) ? add_pattern(p, pretok_find(SV("gpt-2"))->pattern[0], e) : 0;
}

static int read_digits(struct pipeline *p, const json_t *v, ilab_err *e)
{
    return add_pattern(p, truth(v, "individual_digits", 0) ? "\\p{N}" : "\\p{N}+", e);
}

static int read_punctuation(struct pipeline *p, const json_t *v, ilab_err *e)
{
    const char *behavior = json_str(v, "behavior");

    if (behavior && !strcmp(behavior, "Contiguous"))
        return add_pattern(p, "[!-/:-@\\[-`{-~\\p{P}]+", e);
    if (behavior && strcmp(behavior, "Isolated"))
        return err_set(e, ILAB_E_INVALID, "Punctuation '%.40s' is not supported", behavior);
    return add_pattern(p, "[!-/:-@\\[-`{-~\\p{P}]", e);
}

static int read_metaspace(struct pipeline *p, const json_t *v, ilab_err *e)
{
    const char *scheme = json_str(v, "prepend_scheme");

    p->prefix = scheme ? strcmp(scheme, "never") != 0 : truth(v, "add_prefix_space", 1);
    return p->byte_level ? err_set(e, ILAB_E_INVALID, "Metaspace in a byte-level tokenizer is not supported") : 0;
}

static int read_white_space(struct pipeline *p, const json_t *v, ilab_err *e)
{
    (void)v;
    p->removes_spaces = 1;
    return p->byte_level ? err_set(e, ILAB_E_INVALID, "WhitespaceSplit in a byte-level tokenizer is not supported") : 0;
}

static int read_bert(struct pipeline *p, const json_t *v, ilab_err *e)
{
    (void)p, (void)v, (void)e;
    return 0;
}

static int read_pre(struct pipeline *p, ilab_err *e)
{
    static const struct { const char *type; int (*read)(struct pipeline *, const json_t *, ilab_err *); } row[] = {
        { "Split", read_split }, { "ByteLevel", read_byte_level }, { "Digits", read_digits }, { "Punctuation", read_punctuation },
        { "Metaspace", read_metaspace }, { "WhitespaceSplit", read_white_space }, { "BertPreTokenizer", read_bert },
    };
    int rc = 0;

    for (int k = 0; k < p->pre.n && !rc; k++) {
        const char *type = json_str(p->pre.v[k], "type");
        size_t r = 0;
        while (r < ARRAY_LEN(row) && strcmp(type, row[r].type))
            r++;
        rc = r < ARRAY_LEN(row) ? row[r].read(p, p->pre.v[k], e) : err_set(e, ILAB_E_INVALID, "pre-tokenizer '%.40s' is not supported", type);
    }
    return rc;
}

static int read_pipeline(struct pipeline *p, const json_t *root, ilab_err *e)
{
    int rc;

    if ((rc = flatten(&p->normalizer, json_object_get(root, "normalizer"), "normalizers", 0, e)) ||
        (rc = flatten(&p->pre, json_object_get(root, "pre_tokenizer"), "pretokenizers", 0, e)) ||
        (rc = flatten(&p->post, json_object_get(root, "post_processor"), "processors", 0, e)) ||
        (rc = flatten(&p->decoder, json_object_get(root, "decoder"), "decoders", 0, e)))
        return rc;
    p->byte_level = part_find(&p->pre, "ByteLevel") || part_find(&p->decoder, "ByteLevel");
    rc = read_normalizer(p, e);
    return rc ? rc : read_pre(p, e);
}

/* ---- vocabularies ---- */

static int put_vocab(struct draft *d, const json_t *vocab, float score, ilab_err *e)
{
    const char *key;
    json_t *v;
    int rc = 0;

    if (!json_is_object(vocab) || !json_object_size(vocab))
        return err_set(e, ILAB_E_FORMAT, "model.vocab is missing, empty or no object");
    json_object_foreach((json_t *)vocab, key, v) {
        if (!json_is_integer(v))
            return err_set(e, ILAB_E_FORMAT, "token '%.60s' has no whole number as its id", key);
        if ((rc = draft_put(d, json_integer_value(v), sv_of(key), TOKEN_NORMAL, score, 0, e)))
            return rc;
    }
    return 0;
}

static int put_added(struct draft *d, const json_t *root, ilab_err *e)
{
    const json_t *added = json_object_get(root, "added_tokens");

    for (size_t k = 0; k < json_array_size(added); k++) {
        const json_t *v = json_array_get(added, k);
        const char *content = json_str(v, "content");
        int64_t id = json_int(v, "id", -1);
        int rc;
        if (!content)
            return err_set(e, ILAB_E_FORMAT, "added token %zu has no content", k);
        if ((rc = draft_put(d, id, sv_of(content), truth(v, "special", 1) ? TOKEN_CONTROL : TOKEN_USER, 0, 1, e)))
            return rc;
        d->strip[id] = (uint8_t)((truth(v, "lstrip", 0) ? STRIP_LEFT : 0) | (truth(v, "rstrip", 0) ? STRIP_RIGHT : 0));
    }
    return 0;
}

/* A merge is "left right" or ["left", "right"]. The arena keeps what is joined here; joined: without the space. */
static int take_merge(struct draft *d, const json_t *v, int joined, struct sv *out)
{
    const char *whole = json_string_value(v), *left = json_string_value(json_array_get(v, 0)), *right = json_string_value(json_array_get(v, 1));
    size_t n_left, n_right;

    if (whole) {
        const char *gap = *whole ? strchr(whole + 1, ' ') : NULL;
        if (!gap)
            return ILAB_E_FORMAT;
        left = whole;
        n_left = (size_t)(gap - whole);
        right = gap + 1;
    } else if (left && right && json_array_size(v) == 2)
        n_left = strlen(left);
    else
        return ILAB_E_FORMAT;
    n_right = strlen(right);
    char *p = arena_alloc(&d->strings, n_left + n_right + 2, 1);
    if (!p)
        return ILAB_E_NOMEM;
    memcpy(p, left, n_left);
    p[n_left] = ' ';
    memcpy(p + n_left + !joined, right, n_right);
    *out = (struct sv){ p, n_left + n_right + !joined };
    return 0;
}

/* Calls of take_merge for all; *out is the caller's to free. */
static int take_merges(struct draft *d, const json_t *model, int joined, struct sv **out, int *n, ilab_err *e)
{
    const json_t *merges = json_object_get(model, "merges");
    size_t count = json_array_size(merges);
    int rc = 0;

    *out = NULL;
    *n = 0;
    if (!json_is_array(merges) || !count)
        return err_set(e, ILAB_E_FORMAT, "model.merges is missing or empty");
    if (count > TOKEN_MAX_MERGES)
        return err_set(e, ILAB_E_LIMIT, "%zu merges: at most %d", count, TOKEN_MAX_MERGES);
    *out = mem_calloc(count, sizeof **out);
    if (!*out)
        return err_set(e, ILAB_E_NOMEM, "no memory for %zu merges", count);
    for (; (size_t)*n < count && !rc; ++*n)
        rc = take_merge(d, json_array_get(merges, (size_t)*n), joined, &(*out)[*n]);
    if (rc == ILAB_E_NOMEM)
        err_set(e, rc, "no memory for %zu merges", count);
    else if (rc)
        err_set(e, rc, "merge %d is no pair of tokens", *n - 1);
    return rc;
}

/* Pieces get their scores from the merges that make them. */
static int score_pieces(struct draft *d, struct tokenizer *t, const json_t *model, ilab_err *e)
{
    struct sv *made;
    int n, rc = take_merges(d, model, 1, &made, &n, e);

    for (int k = n - 1; k >= 0 && !rc; k--) { /* the first merge is the last to write */
        int32_t id = vocab_find(t, made[k]);
        if (id >= 0 && (t->kind[id] == TOKEN_NORMAL || t->kind[id] == TOKEN_USER))
            t->score[id] = -(float)k;
    }
    mem_free(made);
    return rc;
}

static void mark_bytes(struct draft *d)
{
    for (int id = 0; id < d->n; id++) {
        struct sv s = d->text[id];
        if (s.n == 6 && sv_starts(s, "<0x") && s.p[5] == '>' && d->kind[id] == TOKEN_NORMAL)
            d->kind[id] = TOKEN_BYTE;
    }
}

static int set_patterns(struct tokenizer *t, const struct pipeline *p, ilab_err *e)
{
    int rc = pretok_new(&t->pre, p->pattern, p->n_pattern, e);
    const struct pretok_row *row;
    const char *const *last = NULL;

    t->ignores_merges = truth(p->model, "ignore_merges", 0);
    for (int k = 0; !rc && !t->pre_name[0] && (row = pretok_row(k)); k++) {
        struct pretok *other;
        if (row->pattern == last || !!(row->flags & PRETOK_IGNORE_MERGES) != t->ignores_merges)
            continue;
        last = row->pattern;
        if ((rc = pretok_new_row(&other, row, e)))
            break;
        if (pretok_same(t->pre, other))
            snprintf(t->pre_name, sizeof t->pre_name, "%s", row->name);
        pretok_free(other);
    }
    return rc;
}

static int load_bpe(struct tokenizer *t, struct draft *d, const struct pipeline *p, const json_t *root, const struct hf_facts *f, ilab_err *e)
{
    const char *const odd[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    struct sv *merge = NULL;
    int rc, n_merge;

    for (size_t k = 0; k < ARRAY_LEN(odd); k++)
        if (json_str(p->model, odd[k]) && *json_str(p->model, odd[k]))
            return err_set(e, ILAB_E_INVALID, "BPE with %s is not supported", odd[k]);
    if ((rc = put_vocab(d, json_object_get(p->model, "vocab"), NEVER_MADE, e)))
        return rc;
    if (!p->byte_level && truth(p->model, "byte_fallback", 0))
        mark_bytes(d);
    if ((rc = put_added(d, root, e)) || (rc = hf_add_tokens(d, f, e)) || (rc = draft_finish(d, t, f->n_vocab, e)))
        return rc;
    if (!p->byte_level) {
        if (!truth(p->model, "byte_fallback", 0))
            memset(t->byte_id, 0xff, sizeof t->byte_id);
        return score_pieces(d, t, p->model, e);
    }
    if (!(rc = set_patterns(t, p, e)) && !(rc = take_merges(d, p->model, 0, &merge, &n_merge, e)))
        rc = tokenizer_set_merges(t, merge, n_merge, e);
    mem_free(merge);
    return rc;
}

static int load_unigram(struct tokenizer *t, struct draft *d, const struct pipeline *p, const json_t *root, const struct hf_facts *f, ilab_err *e)
{
    const json_t *vocab = json_object_get(p->model, "vocab");
    int64_t unknown = json_int(p->model, "unk_id", -1);
    int rc;

    for (size_t k = 0; k < json_array_size(vocab); k++) {
        const json_t *v = json_array_get(vocab, k), *score = json_array_get(v, 1);
        const char *text = json_string_value(json_array_get(v, 0));
        if (!text || !json_is_number(score))
            return err_set(e, ILAB_E_FORMAT, "piece %zu is no pair of text and score", k);
        if ((rc = draft_put(d, (int64_t)k, sv_of(text), TOKEN_NORMAL, (float)json_number_value(score), 0, e)))
            return rc;
    }
    if (truth(p->model, "byte_fallback", 0))
        mark_bytes(d);
    if ((rc = put_added(d, root, e)) || (rc = hf_add_tokens(d, f, e)) || (rc = draft_finish(d, t, f->n_vocab, e)))
        return rc;
    if (unknown >= t->n)
        return err_set(e, ILAB_E_FORMAT, "unk_id %lld: the vocabulary has %d tokens", (long long)unknown, t->n);
    t->unknown = unknown < 0 ? -1 : (int)unknown;
    if (!truth(p->model, "byte_fallback", 0))
        memset(t->byte_id, 0xff, sizeof t->byte_id);
    return 0;
}

/* "##s" goes on in a word: GGUF's form marks the beginnings instead. Special tokens stay as they are. */
static int mark_word_starts(struct draft *d, const char *prefix, ilab_err *e)
{
    for (int id = 0; id < d->n; id++) {
        struct sv s = d->text[id];
        if (!s.p || d->kind[id] != TOKEN_NORMAL || (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']'))
            continue;
        if (sv_starts(s, prefix) && s.n > strlen(prefix)) {
            d->text[id] = (struct sv){ s.p + strlen(prefix), s.n - strlen(prefix) };
            continue;
        }
        char *p = arena_alloc(&d->strings, s.n + 4, 1);
        if (!p)
            return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", d->n);
        memcpy(p, "\xe2\x96\x81", 3);
        memcpy(p + 3, s.p, s.n);
        d->text[id] = (struct sv){ p, s.n + 3 };
    }
    return 0;
}

static int load_wordpiece(struct tokenizer *t, struct draft *d, const struct pipeline *p, const json_t *root, const struct hf_facts *f, ilab_err *e)
{
    const char *prefix = json_str(p->model, "continuing_subword_prefix");
    const json_t *normalizer = part_find(&p->normalizer, "BertNormalizer");
    int rc;

    if ((rc = put_vocab(d, json_object_get(p->model, "vocab"), 0, e)) || (rc = put_added(d, root, e)) || (rc = hf_add_tokens(d, f, e)) ||
        (rc = mark_word_starts(d, prefix && *prefix ? prefix : "##", e)) || (rc = draft_finish(d, t, f->n_vocab, e)))
        return rc;
    t->lowercase = normalizer ? truth(normalizer, "lowercase", 1) : 0;
    t->strips_accents = normalizer ? truth(normalizer, "strip_accents", t->lowercase) : 0;
    return 0;
}

/* ---- the whole ---- */

/* BOS and EOS as the post-processor writes them around a single text. */
static void read_post(struct tokenizer *t, const struct pipeline *p)
{
    const json_t *form = part_find(&p->post, "TemplateProcessing"), *single = json_object_get(form, "single");
    const json_t *pair = part_find(&p->post, "BertProcessing") ? part_find(&p->post, "BertProcessing") : part_find(&p->post, "RobertaProcessing");
    const char *name = json_string_value(json_array_get(json_object_get(pair, "cls"), 0));
    int before = 1, *const id[] = { &t->eos, &t->bos }, *const adds[] = { &t->adds_eos, &t->adds_bos };

    t->adds_bos = t->adds_eos = pair != NULL;
    if (name)
        t->bos = tokenizer_find(t, name);
    if ((name = json_string_value(json_array_get(json_object_get(pair, "sep"), 0))))
        t->eos = tokenizer_find(t, name);
    for (size_t k = 0; k < json_array_size(single); k++) {
        const json_t *v = json_array_get(single, k);
        if (json_object_get(v, "Sequence"))
            before = 0;
        name = json_str(json_object_get(v, "SpecialToken"), "id");
        if (!name || tokenizer_find(t, name) < 0)
            continue;
        *adds[before] = 1;
        *id[before] = tokenizer_find(t, name);
    }
}

/* base64 (RFC 4648) into p; 0: damaged. */
static size_t base64_decode(const char *s, uint8_t *p)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int n_bit = 0;
    size_t n = 0;

    for (; *s && *s != '='; s++) {
        const char *at = strchr(digits, *s);
        if (!at)
            return 0;
        bits = bits << 6 | (uint32_t)(at - digits);
        if ((n_bit += 6) >= 8)
            p[n++] = (uint8_t)(bits >> (n_bit -= 8));
    }
    return n;
}

static int set_sentence(struct tokenizer *t, const struct pipeline *p, ilab_err *e)
{
    t->space_prefix = p->prefix;
    t->removes_spaces = p->removes_spaces;
    if (!p->charsmap || !*p->charsmap)
        return 0;
    t->charsmap = mem_alloc(strlen(p->charsmap) + 1);
    if (!t->charsmap)
        return err_set(e, ILAB_E_NOMEM, "no memory for the tokenizer's normalisation table");
    t->charsmap_n = base64_decode(p->charsmap, t->charsmap);
    return charsmap_check(t->charsmap, t->charsmap_n, e);
}

int tokenizer_from_hf_json(struct tokenizer **out, const json_t *root, const struct hf_facts *f, ilab_err *e)
{
    static const struct {
        const char *type;
        int (*load)(struct tokenizer *, struct draft *, const struct pipeline *, const json_t *, const struct hf_facts *, ilab_err *);
        enum vocab_model model;
    } row[] = { { "BPE", load_bpe, VOCAB_SPM }, { "Unigram", load_unigram, VOCAB_UNIGRAM }, { "WordPiece", load_wordpiece, VOCAB_WORDPIECE } };
    struct pipeline p = { .model = json_object_get(root, "model") };
    const char *type = json_str(p.model, "type");
    struct draft d;
    size_t r = 0;
    int rc = read_pipeline(&p, root, e);

    *out = NULL;
    if (rc)
        return rc;
    if (!type) /* older files do not say */
        type = json_object_get(p.model, "merges") ? "BPE" : json_is_array(json_object_get(p.model, "vocab")) ? "Unigram" : "none";
    while (r < ARRAY_LEN(row) && strcmp(type, row[r].type))
        r++;
    if (r == ARRAY_LEN(row))
        return err_set(e, ILAB_E_INVALID, "model type '%.40s' is not supported (BPE, Unigram, WordPiece)", type);
    struct tokenizer *t = tokenizer_alloc(row[r].model == VOCAB_SPM && p.byte_level ? VOCAB_BPE : row[r].model);
    if (!t)
        return err_set(e, ILAB_E_NOMEM, "no memory for a tokenizer");
    draft_init(&d);
    rc = row[r].load(t, &d, &p, root, f, e);
    draft_release(&d);
    if (!rc && t->unknown < 0 && json_str(p.model, "unk_token"))
        t->unknown = tokenizer_find(t, json_str(p.model, "unk_token"));
    if (!rc && (t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM))
        rc = set_sentence(t, &p, e);
    if (!rc) {
        read_post(t, &p);
        rc = hf_finish(t, f, e);
    }
    if (rc)
        tokenizer_free(t);
    else
        *out = t;
    return rc;
}
