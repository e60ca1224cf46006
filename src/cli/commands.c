/* commands.c — the commands in the order in which help lists them.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

const struct cmd *const CMDS[] = {
    &CMD_INIT, &CMD_DOWNLOAD, &CMD_DIFF, &CMD_GENERATE, &CMD_TRAIN, &CMD_TEST, &CMD_CHAT, &CMD_SERVE,
    &CMD_COMPLETE, &CMD_PERPLEXITY, &CMD_EVALUATE, &CMD_INFO, &CMD_CONVERT, &CMD_QUANTIZE, &CMD_SYSTEM_INFO, &CMD_SYSTEM_BENCH,
};
const int N_CMDS = ARRAY_LEN(CMDS);
