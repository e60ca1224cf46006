/* filter.c — ROUGE-L (Lin 2004) as the reference computes it, and the reasons for which a sample is discarded.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"

#include <string.h>

const char *const DISCARD_REASON[DISCARD_COUNT] = {
    [KEEP] = "kept",
    [DISCARD_FORMAT] = "didn't match expected format",
    [DISCARD_UNSUPPORTED] = "answer not supported by the document",
    [DISCARD_ROUGE] = "too similar to an earlier one",
    [DISCARD_SUBJECT] = "does not name its subject",
    [DISCARD_LEAK] = "gives its own answer away",
    [DISCARD_AMBIGUOUS] = "the document answers it although it should not",
    [DISCARD_EMPTY] = "wrong number of words",
};

enum { ROUGE_MAX_WORDS = 256 };

/* Hashes of the tokens: lower-cased runs of [a-z0-9]. */
static int tokens(struct sv s, uint64_t out[ROUGE_MAX_WORDS])
{
    int n = 0;
    size_t i = 0;
    while (i < s.n && n < ROUGE_MAX_WORDS) {
        uint64_t h = 1469598103934665603u;
        size_t len = 0;
        for (; i < s.n; i++, len++) {
            char c = s.p[i];
            if (c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) break;
            h = (h ^ (uint64_t)(unsigned char)c) * 1099511628211u;
        }
        if (len) out[n++] = h;
        else i++;
    }
    return n;
}

double rouge_l(struct sv a, struct sv b)
{
    uint64_t x[ROUGE_MAX_WORDS], y[ROUGE_MAX_WORDS];
    const int n = tokens(a, x), m = tokens(b, y);
    int row[ROUGE_MAX_WORDS + 1] = { 0 };
    for (int i = 0; i < n; i++) {
        int diagonal = 0;
        for (int j = 0; j < m; j++) {
            const int up = row[j + 1];
            row[j + 1] = x[i] == y[j] ? diagonal + 1 : up > row[j] ? up : row[j];
            diagonal = up;
        }
    }
    const int lcs = row[m];
    if (!lcs) return 0;
    const double p = (double)lcs / n, r = (double)lcs / m;
    return 2 * p * r / (p + r);
}
