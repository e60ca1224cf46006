/* tokenizer_open.c — the tokenizer of a model, wherever it lies.  SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"

int tokenizer_of_model(struct tokenizer **out, const struct gguf *g, const char *path, ilab_err *e)
{
    if (!path) return tokenizer_from_gguf(out, g, e);
    const int rc = gguf_is_file(g) ? tokenizer_from_gguf(out, g, e) : tokenizer_open_hf(out, path, e);
    if (rc) err_name_file(e, path);
    return rc;
}
