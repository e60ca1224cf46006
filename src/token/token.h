/* token.h — front header of layer 2 `token`: text ↔ token ids, chat templates, role spans.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_H
#define ILAB_TOKEN_H

#include "base/base.h"
#include "tensor/tensor.h"
#include "text/text.h"

enum token_kind { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5, TOKEN_BYTE = 6 };

struct tokenizer;
/* From tokenizer.ggml.* metadata (models "llama": SentencePiece BPE; "t5": SentencePiece unigram; "gpt2": byte-level BPE;
 * "bert": WordPiece). Copies what it needs. */
int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, ilab_err *e);
/* From a Hugging Face directory: tokenizer.json, else tokenizer.model (SentencePiece); with tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json, chat_template.jinja and generation_config.json where they are. When config.json names
 * a larger vocab_size, unused tokens "[PADn]" fill the vocabulary up to it, as the embedding's rows need. */
int tokenizer_open_hf(struct tokenizer **out, const char *dir, ilab_err *e);
/* Of a model that model_gguf_open opened from `path`: from its keys, or from the directory. */
int tokenizer_of_model(struct tokenizer **out, const struct gguf *g, const char *path, ilab_err *e);
/* Writes all tokenizer.* keys, chat template too. */
int tokenizer_to_gguf(const struct tokenizer *t, struct gguf_writer *w, ilab_err *e);
/* Byte-level BPE from vocabulary (kind NULL: all normal) and merges (a training run; tests). BOS is added when it is
 * not EOS. `pre` names a pre-tokenizer row ("gpt2", "smollm", "llama-bpe", …). */
int tokenizer_new_bpe(struct tokenizer **out, const struct sv *token, const int32_t *kind, int n_token,
                      const struct sv *merge, int n_merge, const char *pre, int bos, int eos, ilab_err *e);
void tokenizer_free(struct tokenizer *t);
int tokenizer_size(const struct tokenizer *t);                               /* V */
int tokenizer_bos(const struct tokenizer *t), tokenizer_eos(const struct tokenizer *t); /* -1: none */
int tokenizer_adds_bos(const struct tokenizer *t), tokenizer_adds_eos(const struct tokenizer *t);
int tokenizer_is_end(const struct tokenizer *t, int id);                     /* end of text, of turn … */
int tokenizer_kind(const struct tokenizer *t, int id);
int tokenizer_find(const struct tokenizer *t, const char *token);            /* -1: none */

struct ids { int32_t *v; size_t n, cap; };                                   /* growing list; release with ids_release */
int ids_push(struct ids *l, int32_t id);                                     /* 0 or ILAB_E_NOMEM */
void ids_release(struct ids *l);

/* ADD_BOS, ADD_EOS: in front, at the end, when the model adds one (WordPiece: [CLS], [SEP]).
 * PARSE_SPECIAL: "<|user|>" in the text becomes its id. User-defined tokens always do. */
enum { TOKEN_ADD_BOS = 1, TOKEN_PARSE_SPECIAL = 2, TOKEN_ADD_EOS = 4 };
int tokenizer_encode(const struct tokenizer *t, struct sv text, int flags, struct ids *out, ilab_err *e); /* appends */
/* Appends the bytes of one id (control tokens: nothing unless `special`). A code point may be cut: stream through a utf8 buffer. */
void tokenizer_piece(const struct tokenizer *t, int id, int special, struct sb *out);
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, int special, struct sb *out);

/* ---- training a byte-level BPE vocabulary (bpe_train.c) ---- */
/* Sennrich et al. 2016 over pre-tokenized words; ties broken by the lower pair of ids, so the result is deterministic.
 * Vocabulary = special tokens (control; cut out of the text), then 256 bytes, then merges until n_vocab or until no pair is left.
 * EOS is the special token of that name ("<|endoftext|>", "</s>" …); BOS likewise, else the same as EOS and then not added. */
int bpe_train(struct tokenizer **out, struct sv text, int n_vocab, const char *const *special, int n_special,
              const char *pre, ilab_err *e);

/* ---- chat templates (chat_template.c) ---- */
struct chat_message { const char *role; struct sv content; };                /* role: system, user, assistant */
struct chat_template;                                                        /* static rows, never freed */
/* The row whose markers occur in the model's template text (tokenizer.chat_template). No row knows it: by the special tokens that
 * the vocabulary has, else ChatML (chat_template_warning says so). No text at all: by general.name, else the default. */
const struct chat_template *chat_template_of(const struct tokenizer *t);
int chat_template_warning(const struct tokenizer *t, char *out, size_t cap);  /* 1: a line for the user is in out; 0: all is well */
const struct chat_template *chat_template_named(const char *family);         /* NULL: none */
const char *chat_template_name(const struct chat_template *c);               /* "granite", "chatml", … */
const char *chat_template_jinja(const struct chat_template *c);              /* text for the metadata key */
void tokenizer_set_chat_template(struct tokenizer *t, const char *jinja);
/* Ids of a conversation, replacing what `out` held. mask (one byte an id): 1 where the loss counts = the assistant's content
 * and its end token. add_prompt: ends with the assistant's header, ready to be continued. BOS in front when the model adds one
 * or its template family always has one. Content never becomes a control token. */
struct chat_ids { struct ids ids; uint8_t *mask; size_t mask_n, mask_cap; };    /* mask_n == ids.n; start from zeros */
int chat_encode(const struct tokenizer *t, const struct chat_template *c, const struct chat_message *m, int n_message,
                int add_prompt, struct chat_ids *out, ilab_err *e);
/* Ids that open a user's turn, so that the model writes the user's words. */
int chat_encode_user_head(const struct tokenizer *t, const struct chat_template *c, struct chat_ids *out, ilab_err *e);
void chat_ids_release(struct chat_ids *c);

#endif
