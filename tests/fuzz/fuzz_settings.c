/* fuzz_settings.c — any bytes as config.yaml: read, printed in both layouts, and what was printed is valid and means the same.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void expect(int condition)
{
    if (!condition) abort();
}

static void printed(const struct config *c, int late)
{
    static const char *const SAME[] = { "chat.model", "serve.host_port", "serve.max_ctx_size", "train.num_epochs", "generate.taxonomy_path" };
    const struct config_print how = { .late = late, .comments = 1, .rewrite = 1 };
    struct sb text, found;
    struct config *again = NULL;
    ilab_err e = { 0 };
    int n;
    sb_init(&text, (size_t)64 << 20);
    sb_init(&found, 1 << 20);
    expect(!config_print(&text, c, &how, &e));
    const int rc = config_parse(&again, (struct sv){ text.p, text.n }, "again", CONFIG_PARTIAL, &found, &n, &e);
    if (rc) expect(e.msg[0]); /* lists nested or aliased beyond the reader's limits when written out */
    for (size_t i = 0; !rc && !n && i < ARRAY_LEN(SAME); i++) {
        const char *a = config_get(c, SAME[i]), *b = config_get(again, SAME[i]);
        expect(!a || (b && (!strcmp(a, b) || strchr(a, '$') || *a == '~')));
    }
    expect(rc || !n);
    config_free(again);
    sb_release(&text);
    sb_release(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct config *c = NULL;
    struct sb found;
    ilab_err e = { 0 };
    int n_found = 0;
    sb_init(&found, 1 << 20);
    const int rc = config_parse(&c, (struct sv){ (const char *)p, n }, "input", n & 1 ? CONFIG_LENIENT : 0, &found, &n_found, &e);
    expect(rc ? rc == e.code && e.msg[0] && !c : c != NULL);
    expect(rc || !n_found == !found.n);
    if (!rc && !n_found) printed(c, 0), printed(c, 1);
    config_free(c);
    sb_release(&found);
    return 0;
}
