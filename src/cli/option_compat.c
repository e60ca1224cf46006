/* option_compat.c — options of InstructLab that are taken for the sake of scripts and have no effect here; each use is told.
 * What would change the result (another model, several phases, 4 bits) is not among them: such an option is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <string.h>

#define TLS_VALUES " tls-client-cert tls-client-key tls-client-passwd"
static const struct { const struct cmd *cmd; const char *flags, *values; } IGNORED[] = {
    { &CMD_GENERATE, "enable-serving-output tls-insecure",
      "sdg-scale-factor pipeline batch-size gpus max-num-tokens student-model-id teacher-model-id model-family" TLS_VALUES },
    { &CMD_TRAIN,
      "skip-preprocessing local skip-quantize sq deepspeed-cpu-offload-optimizer deepspeed-cpu-offload-optimizer-pin-memory fsdp-cpu-offload-optimizer is-padding-free use-dolomite "
      "disable-flash-attn skip-user-confirm y enable-serving-output checkpoint-at-epoch optimize-memory disable-accelerate-full-state-at-epoch",
      "tokenizer-dir iters save-samples warmup-steps deepspeed-cpu-offload-optimizer-ratio distributed-backend lora-quantize-dtype gpus nnodes node-rank rdzv-id rdzv-endpoint" },
    { &CMD_CHAT, "tls-insecure", "serving-log-file" TLS_VALUES },
    { &CMD_SERVE, "", "chat-template backend gpus log-file" },
};

static int in_list(const char *list, struct sv word)
{
    struct sv rest = sv_of(list), part;
    while (sv_split(&rest, ' ', &part))
        if (part.n && sv_eq(part, word)) return 1;
    return 0;
}

int option_ignored(const struct cmd *cmd, const char *word)
{
    const size_t dashes = strspn(word, "-");
    const struct sv name = { word + dashes, strcspn(word + dashes, "=") };
    if (!dashes || !name.n || (dashes == 1) != (name.n <= 2)) return 0;
    for (size_t i = 0; i < ARRAY_LEN(IGNORED); i++) {
        if (IGNORED[i].cmd != cmd) continue;
        const int flag = in_list(IGNORED[i].flags, name), value = !flag && in_list(IGNORED[i].values, name);
        if (flag || value) log_warn("%.*s has no effect: it is taken for scripts of InstructLab", (int)(dashes + name.n), word);
        return flag ? 1 : value && !word[dashes + name.n] ? 2 : value;
    }
    return 0;
}

void options_ignored_help(const struct cmd *cmd)
{
    for (size_t i = 0; i < ARRAY_LEN(IGNORED); i++) {
        if (IGNORED[i].cmd != cmd) continue;
        struct sv rest[2] = { sv_of(IGNORED[i].flags), sv_of(IGNORED[i].values) }, part;
        int at = printf("\n  Taken without effect, for scripts of InstructLab:");
        for (int k = 0; k < 2; k++)
            while (sv_split(&rest[k], ' ', &part)) {
                if (part.n <= 2) continue;
                if (at + (int)part.n > 110) at = printf("\n   ") - 1;
                at += printf(" --%.*s", SV_ARG(part));
            }
        printf("\n");
    }
}
