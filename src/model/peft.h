/* peft.h — inside of layer 3 `model`: adapters as the PEFT library names them; the names come from the table of families (hf_arch.c).
 *
 * A module is a linear layer of the family's Python class. Its rows are one or more adapted kinds of ours (qkv_proj: three), its A is
 * shared by them. Rows of q and k are in the other order where the conversion of the weights reorders them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_PEFT_H
#define ILAB_MODEL_PEFT_H

#include "model/arch.h"
#include "model/hf.h"

#define PEFT_CONFIG "adapter_config.json"
#define PEFT_WEIGHTS "adapter_model.safetensors"
#define PEFT_PREFIX "base_model.model."

struct peft_module { const struct hf_arch *arch; const struct hf_name *rule; int layer, expert /* -1: none */, kind[3], n; };

/* The family of a model; ILAB_E_INVALID when the table has none. */
int peft_family(const struct hf_arch **out, const struct model *m, ilab_err *e);
/* What the rule's module adapts in that layer; returns the number of kinds, 0: nothing that could be a module. */
int peft_kinds(const struct model *m, const struct hf_name *rule, int layer, int kind[3]);
/* "model.layers.0.self_attn.q_proj" */
void peft_name(char out[SAFETENSORS_MAX_NAME], const struct peft_module *p);
/* Calls fn for every module of the model, adapted or not, until it returns something else than 0. */
int peft_each(const struct model *m, const struct hf_arch *arch, int (*fn)(void *ud, const struct peft_module *p, ilab_err *e), void *ud, ilab_err *e);
/* The module's row that is row r of ours. */
int64_t peft_row(const struct model *m, const struct hf_name *rule, int64_t r);

int adapter_open_peft(struct adapter **out, const char *dir, struct model *m, ilab_err *e); /* adapter_peft_read.c */

#endif
