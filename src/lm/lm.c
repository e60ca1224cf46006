/* lm.c — what all language models share.  SPDX-License-Identifier: Apache-2.0 */
#include "lm/lm.h"

#include <string.h>

void lm_result_release(struct lm_result *r) {
    mem_free(r->text);
    mem_free(r->token);
    mem_free(r->top);
    memset(r, 0, sizeof *r);
}

void lm_close(struct lm *l) {
    if (!l) return;
    if (l->ops) l->ops->close(l->self);
    mem_free(l);
}
