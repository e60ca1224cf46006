/* fuzz_tokenizer_model.c — any bytes as tokenizer.model (SentencePiece), and the same bytes as text for what comes of it.
 *
 * The seeds in corpus/tokenizer_model are written by tests/unit/test_token_hf.c.  SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"
#include "tests/fuzz/tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sv text = { (const char *)p, n < MAX_TEXT ? n : MAX_TEXT };
    struct hf_facts f = { .add_bos = -1, .add_eos = -1, .n_vocab = -1 };
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };
    int rc = tokenizer_from_spm_model(&t, p, n, &f, &e);

    expect(rc ? rc < 0 && e.msg[0] && !t : t != NULL);
    if (!rc)
        use(t, text);
    tokenizer_free(t);
    return 0;
}
