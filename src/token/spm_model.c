/* spm_model.c — SentencePiece's own file, tokenizer.model: a protocol buffer, of which a few fields matter.
 *
 * Fields: sentencepiece, src/sentencepiece_model.proto; encoding: protobuf.dev, "Encoding". Every length is checked against
 * what is left, unknown fields are skipped, groups (which the format does not use) are an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"

#include <float.h>
#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
struct field { uint32_t number; enum wire wire; uint64_t v; struct sv bytes; };

static int read_varint(struct sv *s, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && s->n; shift += 7) {
        uint8_t b = (uint8_t)*s->p;
        s->p++, s->n--;
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return 1;
    }
    return 0;
}

/* Takes the next field off s: 1, 0 at the end, -1 when it is damaged. */
static int next_field(struct sv *s, struct field *f)
{
    uint64_t key;

    *f = (struct field){ 0 };
    if (!s->n)
        return 0;
    if (!read_varint(s, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return -1;
    f->number = (uint32_t)(key >> 3);
    f->wire = (enum wire)(key & 7);
    if (f->wire == WIRE_VARINT)
        return read_varint(s, &f->v) ? 1 : -1;
    uint64_t n = f->wire == WIRE_64 ? 8 : f->wire == WIRE_32 ? 4 : 0;
    if (f->wire != WIRE_64 && f->wire != WIRE_32 && (f->wire != WIRE_BYTES || !read_varint(s, &n)))
        return -1;
    if (n > s->n)
        return -1;
    f->bytes = (struct sv){ s->p, (size_t)n };
    for (size_t k = 0; k < n && f->wire != WIRE_BYTES; k++)
        f->v |= (uint64_t)(uint8_t)s->p[k] << (8 * k);
    s->p += n;
    s->n -= (size_t)n;
    return 1;
}

struct spm { struct draft d; enum vocab_model model; int bos, eos, unknown, padding, prefix, removes_spaces, suffix; struct sv charsmap; };

static float float_of(uint64_t bits)
{
    uint32_t u = (uint32_t)bits;
    float f;

    memcpy(&f, &u, sizeof f);
    return f >= -FLT_MAX && f <= FLT_MAX ? f : -FLT_MAX;
}

/* In GGUF files, and so here, a user-defined token has spaces where the model has ▁: it is looked for in the text as it comes. */
static struct sv spaces_for_marks(struct draft *d, struct sv s)
{
    char *p = arena_strndup(&d->strings, s.p, s.n);
    size_t n = 0;

    for (size_t i = 0; p && i < s.n; n++)
        if (s.n - i >= 3 && !memcmp(s.p + i, "\xe2\x96\x81", 3)) {
            p[n] = ' ';
            i += 3;
        } else
            p[n] = s.p[i++];
    return (struct sv){ p, n };
}

static int read_piece(struct spm *m, struct sv s, ilab_err *e)
{
    struct sv text = { "", 0 };
    float score = 0;
    int32_t kind = TOKEN_NORMAL;
    struct field f;
    int more;

    while ((more = next_field(&s, &f)) > 0)
        if (f.number == 1 && f.wire == WIRE_BYTES)
            text = f.bytes;
        else if (f.number == 2 && f.wire == WIRE_32)
            score = float_of(f.v);
        else if (f.number == 3 && f.wire == WIRE_VARINT)
            kind = f.v >= TOKEN_NORMAL && f.v <= TOKEN_BYTE ? (int32_t)f.v : TOKEN_NORMAL;
    if (more < 0)
        return err_set(e, ILAB_E_FORMAT, "piece %d is damaged", m->d.n);
    if (kind == TOKEN_USER && !(text = spaces_for_marks(&m->d, text)).p)
        return err_set(e, ILAB_E_NOMEM, "no memory for piece %d", m->d.n);
    return draft_put(&m->d, m->d.n, text, kind, score, 0, e);
}

static int small_id(uint64_t v) { return v < TOKEN_MAX_VOCAB ? (int)v : -1; }

static int read_trainer(struct spm *m, struct sv s, ilab_err *e)
{
    enum { UNIGRAM = 1, BPE = 2 };
    struct field f;
    int more;

    while ((more = next_field(&s, &f)) > 0) {
        if (f.wire != WIRE_VARINT)
            continue;
        switch (f.number) {
        case 3:
            if (f.v != UNIGRAM && f.v != BPE)
                return err_set(e, ILAB_E_INVALID, "SentencePiece model type %llu is not supported (1 unigram, 2 BPE)", (unsigned long long)f.v);
            m->model = f.v == UNIGRAM ? VOCAB_UNIGRAM : VOCAB_SPM;
            break;
        case 24: m->suffix = f.v != 0; break;
        case 40: m->unknown = small_id(f.v); break;
        case 41: m->bos = small_id(f.v); break;
        case 42: m->eos = small_id(f.v); break;
        case 43: m->padding = small_id(f.v); break;
        default: break;
        }
    }
    if (m->suffix)
        return err_set(e, ILAB_E_INVALID, "SentencePiece models with white space as suffix are not supported");
    return more < 0 ? err_set(e, ILAB_E_FORMAT, "the trainer's part is damaged") : 0;
}

static int read_normalizer(struct spm *m, struct sv s, ilab_err *e)
{
    struct field f;
    int more;

    while ((more = next_field(&s, &f)) > 0)
        if (f.number == 2 && f.wire == WIRE_BYTES)
            m->charsmap = f.bytes;
        else if (f.number == 3 && f.wire == WIRE_VARINT)
            m->prefix = f.v != 0;
        else if (f.number == 4 && f.wire == WIRE_VARINT)
            m->removes_spaces = f.v != 0;
    return more < 0 ? err_set(e, ILAB_E_FORMAT, "the normalizer's part is damaged") : 0;
}

static int read_model(struct spm *m, struct sv s, ilab_err *e)
{
    struct field f;
    int more, rc = 0;

    while (!rc && (more = next_field(&s, &f)) > 0)
        if (f.wire == WIRE_BYTES)
            rc = f.number == 1 ? read_piece(m, f.bytes, e) : f.number == 2 ? read_trainer(m, f.bytes, e) : f.number == 3 ? read_normalizer(m, f.bytes, e) : 0;
    if (!rc && more < 0)
        rc = err_set(e, ILAB_E_FORMAT, "no SentencePiece model: a field is damaged");
    return rc;
}

static int build(struct tokenizer *t, struct spm *m, const struct hf_facts *f, ilab_err *e)
{
    int rc;

    if ((rc = hf_add_tokens(&m->d, f, e)) || (rc = draft_finish(&m->d, t, f->n_vocab, e)))
        return rc;
    t->bos = m->bos;
    t->eos = m->eos;
    t->unknown = m->unknown;
    t->padding = m->padding;
    t->space_prefix = m->prefix;
    t->removes_spaces = m->removes_spaces;
    if (m->charsmap.n) {
        if ((rc = charsmap_check((const uint8_t *)m->charsmap.p, m->charsmap.n, e)))
            return rc;
        t->charsmap = mem_alloc(m->charsmap.n);
        if (!t->charsmap)
            return err_set(e, ILAB_E_NOMEM, "no memory for the tokenizer's normalisation table");
        memcpy(t->charsmap, m->charsmap.p, m->charsmap.n);
        t->charsmap_n = m->charsmap.n;
    }
    return hf_finish(t, f, e);
}

int tokenizer_from_spm_model(struct tokenizer **out, const uint8_t *p, size_t n, const struct hf_facts *f, ilab_err *e)
{
    struct spm m = { .model = VOCAB_UNIGRAM, .bos = 1, .eos = 2, .unknown = 0, .padding = -1, .prefix = 1, .removes_spaces = 1 };
    struct tokenizer *t = NULL;

    *out = NULL;
    draft_init(&m.d);
    int rc = read_model(&m, (struct sv){ (const char *)p, n }, e);
    if (!rc && !(t = tokenizer_alloc(m.model)))
        rc = err_set(e, ILAB_E_NOMEM, "no memory for a tokenizer");
    if (!rc)
        rc = build(t, &m, f, e);
    draft_release(&m.d);
    if (rc)
        tokenizer_free(t);
    else
        *out = t;
    return rc;
}
