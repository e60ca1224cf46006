/* fuzz_tokenizer_json.c — any bytes as tokenizer.json, and the same bytes as text for what comes of it.
 *
 * An error has a message and leaves nothing; a tokenizer keeps its promises and goes through GGUF metadata unharmed.
 * The seeds in corpus/tokenizer_json are written by tests/unit/test_token_hf.c.  SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"
#include "tests/fuzz/tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sv text = { (const char *)p, n < MAX_TEXT ? n : MAX_TEXT };
    struct hf_facts f = { .add_bos = -1, .add_eos = -1, .n_vocab = n % 7 ? -1 : (int64_t)n };
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };
    json_t *root = json_parse_unique((struct sv){ (const char *)p, n }, "input", &e);

    if (!root)
        return 0;
    f.tokenizer_config = f.config = root; /* the same keys mean something there, too */
    int rc = tokenizer_from_hf_json(&t, root, &f, &e);
    expect(rc ? rc < 0 && e.msg[0] && !t : t != NULL);
    json_decref(root);
    if (rc)
        return 0;
    use(t, text);
    struct gguf_writer *w = gguf_writer_new();
    (void)tokenizer_to_gguf(t, w, &e);
    gguf_writer_free(w);
    tokenizer_free(t);
    return 0;
}
