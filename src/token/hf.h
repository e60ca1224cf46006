/* hf.h — what the readers of Hugging Face and SentencePiece files share; private to `token`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_HF_H
#define ILAB_TOKEN_HF_H

#include "token/token_internal.h"

enum { HF_MAX_JSON_BYTES = 1 << 28, HF_MAX_CONFIG_BYTES = 1 << 24, HF_MAX_MODEL_BYTES = 1 << 26, HF_MAX_ENDS = 8 };

/* A vocabulary while it is put together: ids may come in any order and leave holes. Texts are views. */
struct draft {
    struct sv *text; int32_t *kind; float *score; uint8_t *strip;
    size_t text_cap, kind_cap, score_cap, strip_cap;
    int n;
    struct arena strings;                                     /* texts that the draft made itself */
};
void draft_init(struct draft *d);
void draft_release(struct draft *d);
/* ILAB_E_FORMAT when the id is out of range or has another text already (`over` allows that). */
int draft_put(struct draft *d, int64_t id, struct sv text, int32_t kind, float score, int over, ilab_err *e);
/* Fills holes, and the end up to n_vocab, with unused tokens "[PADn]"; then gives all to the tokenizer. */
int draft_finish(struct draft *d, struct tokenizer *t, int64_t n_vocab, ilab_err *e);

/* What the files beside the vocabulary say. Strings belong to the JSON values, which live as long. -1: nothing. */
struct hf_facts {
    json_t *config, *tokenizer_config, *special_map, *added, *generation; /* NULL: no such file */
    const char *bos, *eos, *unknown, *padding, *mask, *cls, *sep;
    int add_bos, add_eos;
    int64_t n_vocab;
};
/* tokenizer.json (hf_json.c) and tokenizer.model (spm_model.c). */
int tokenizer_from_hf_json(struct tokenizer **out, const json_t *root, const struct hf_facts *f, ilab_err *e);
int tokenizer_from_spm_model(struct tokenizer **out, const uint8_t *p, size_t n, const struct hf_facts *f, ilab_err *e);
/* Added tokens of tokenizer_config.json and added_tokens.json. */
int hf_add_tokens(struct draft *d, const struct hf_facts *f, ilab_err *e);
/* Named special tokens to ids, BOS and EOS flags; then tokenizer_finish. */
int hf_finish(struct tokenizer *t, const struct hf_facts *f, ilab_err *e);

#endif
