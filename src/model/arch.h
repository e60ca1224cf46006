/* arch.h — inside of layer 3 `model`: the architecture table.
 *
 * An architecture is a row: its metadata prefix, names of tensors, and the keys whose presence would change the maths and
 * which are therefore refused by name. Names follow llama.cpp's GGUF conventions (gguf-py/gguf/constants.py).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_ARCH_H
#define ILAB_MODEL_ARCH_H

#include "model/model.h"

enum refusal { REFUSE_NONZERO, REFUSE_NOT_ONE, REFUSE_FALSE, REFUSE_TEXT /* other than "none" */ };
struct refused_key { const char *suffix; enum refusal how; };
struct arch {
    const char *name;                       /* general.architecture and the prefix of its keys */
    const char *embedding, *output, *output_norm, *rope_factors;
    const char *attn_norm, *ffn_norm;       /* inside a block: blk.N.<this>.weight */
    const struct refused_key *refused; int n_refused;
};
extern const struct arch ARCHS[];
extern const int N_ARCHS;

const struct arch *arch_named(struct sv name);                              /* NULL: none */
/* Reads and checks hparams and that the file holds exactly the tensors this row knows, in their shapes; spends no memory. */
int arch_read_hparams(const struct gguf *g, const struct arch **arch, struct hparams *hp, ilab_err *e);
int arch_check_tensors(const struct gguf *g, const struct arch *a, const struct hparams *hp, ilab_err *e);
/* dim of a linear layer as {in, out}. */
void linear_dims(const struct hparams *hp, int kind, int64_t dim[2]);
int hparams_check(const struct hparams *hp, ilab_err *e);
/* The name of a block's tensor: blk.<layer>.<what>.weight */
void block_tensor_name(char out[128], int layer, const char *what);

#endif
