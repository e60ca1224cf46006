/* lookup.c — prompt lookup: what followed the last ids where they occurred before is likely to follow again.
 *
 * After A. Saxena, "Prompt Lookup Decoding", 2023. The proposal is only a guess about the next ids: batch.c feeds it as a chunk and
 * keeps what the model chooses itself. So this file decides about speed alone. A wrong guess costs rows of a step: lengths grow
 * with success, and after failures in a row no guess is made for a while.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/lookup.h"

enum {
    MIN_GRAM = 3, MAX_GRAM = 16,          /* ids that must, and need at most, agree */
    FIRST_LENGTH = 4, MIN_LENGTH = 2,
    MAX_FAILURES = 3, MAX_PAUSE = 64
};

int lookup_propose(struct lookup *l, const int32_t *id, int n, int most, int32_t *out) {
    if (l->pause > 0) {
        l->pause--;
        return 0;
    }
    const int length = l->length ? l->length : FIRST_LENGTH;
    int best = MIN_GRAM - 1, from = 0;
    for (int end = n - 1; end >= MIN_GRAM && best < MAX_GRAM; end--) { /* id[end-k .. end) against id[n-k .. n) */
        int k = 0;
        while (k < MAX_GRAM && k < end && id[end - 1 - k] == id[n - 1 - k]) k++;
        if (k > best) {
            best = k;
            from = end;
        }
    }
    if (!from || most <= 0) return 0;
    if (most > length) most = length;
    for (int i = 0; i < most; i++) out[i] = from + i < n ? id[from + i] : out[from + i - n]; /* a repetition goes on */
    return most;
}

void lookup_result(struct lookup *l, int proposed, int accepted) {
    l->failures = accepted ? 0 : l->failures + 1;
    l->length = accepted == proposed ? 2 * proposed : accepted + 1;
    if (l->length < MIN_LENGTH) l->length = MIN_LENGTH;
    if (l->length > LOOKUP_MAX) l->length = LOOKUP_MAX;
    if (l->failures < MAX_FAILURES) return;
    int doublings = l->failures - MAX_FAILURES;
    l->pause = doublings < 4 ? 4 << doublings : MAX_PAUSE;
}
