/* judge.c — is a short answer right, wrong, or an admission of not knowing?
 *
 * Right: one of the reference's alternatives ("A|B") occurs, in normalised form and on word borders, and the answer holds
 * no name or number that is foreign to question and reference. Abstained: a phrase of not knowing and no such claim.
 * Deliberately strict and deterministic: no model judges here.  SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

/* Words that may stand capitalised at the start of a sentence without being a name. */
static const char *const STARTERS[] = {
    "the", "it", "its", "in", "a", "an", "of", "his", "her", "their", "there", "this", "that", "they", "he", "she", "yes", "no", "i",
    "as", "at", "on", "by", "since", "with", "about", "around", "for", "is", "was", "are", "were", "sorry", "to", "from", "you", "we",
    "these", "those", "today", "currently", "now", "then", "when", "according", "approximately", "roughly", "nearly", "almost", "over", "more",
    "during", "after", "before", "until", "under", "between", "both", "all", "some", "most", "my", "your", "our", "and", "but", "so", "if",
    "unfortunately", "however", "well", "what", "who", "which", "where", "how", "not", "nobody", "nothing", "none",
    "das", "die", "der", "es", "ja", "nein", "ich", "im", "seit", "kein", "keine", "leider",
};

static int in_list(const char *const *list, size_t n, struct sv word)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq_c(word, list[i])) return 1;
    return 0;
}

/* Is the first letter or digit of a word a capital? */
static int is_capital(struct sv w)
{
    for (size_t i = 0; i < w.n;) {
        const int32_t cp = utf8_next(w, &i);
        const char *category = cp >= 0 ? utf8_category(cp) : "Cn";
        if (category[0] == 'L' || category[0] == 'N') return category[1] == 'u' || category[1] == 't';
    }
    return 0;
}

/* A word of the answer that claims something which neither the question nor the reference says. */
static int has_foreign_claim(struct arena *a, struct sv answer, struct sv known_question, struct sv known_reference)
{
    size_t i = 0;
    int sentence_start = 1;
    while (i < answer.n) {
        while (i < answer.n && (unsigned char)answer.p[i] <= ' ') i++;
        const size_t start = i;
        while (i < answer.n && (unsigned char)answer.p[i] > ' ') i++;
        const struct sv raw = { answer.p + start, i - start };
        if (!raw.n) break;
        const struct sv word = utf8_normalize_answer(a, raw);
        int digit = 0;
        for (size_t j = 0; j < raw.n; j++) digit |= raw.p[j] >= '0' && raw.p[j] <= '9';
        const int starter = sentence_start && in_list(STARTERS, ARRAY_LEN(STARTERS), word);
        const char last = raw.p[raw.n - 1];
        sentence_start = (last == '.' && raw.n > 3) || last == '!' || last == '?' || last == ':';
        if (!word.n || starter || !(digit || is_capital(raw))) continue;
        if (sv_eq_c(word, "i") || sv_eq_c(word, "im")) continue;
        if (!text_has_words(known_question, word) && !text_has_words(known_reference, word)) return 1;
    }
    return 0;
}

/* "the University's" names the University: a possessive 's goes, on all sides of the comparison. */
static struct sv without_possessive(struct arena *a, struct sv s)
{
    char *o = arena_alloc(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; o && i < s.n; i++) {
        const struct sv rest = { s.p + i, s.n - i };
        const size_t mark = sv_starts(rest, "'s") ? 2 : sv_starts(rest, "\xE2\x80\x99s") ? 4 : 0;
        const char next = mark && i + mark < s.n ? s.p[i + mark] : ' ';
        const int letter = ((next | 0x20) >= 'a' && (next | 0x20) <= 'z') || (unsigned char)next >= 0x80;
        if (mark && i && !letter) i += mark - 1;
        else o[n++] = s.p[i];
    }
    return o ? (struct sv){ o, n } : s;
}

enum verdict quiz_judge(struct sv question, struct sv reference, struct sv answer)
{
    struct arena a;
    arena_init(&a, (size_t)4 << 20);
    question = without_possessive(&a, question);
    reference = without_possessive(&a, reference);
    answer = without_possessive(&a, answer);
    const struct sv text = utf8_normalize_answer(&a, answer), q = utf8_normalize_answer(&a, question);
    enum verdict v = ANSWER_WRONG;
    if (text_is_refusal(text)) {
        if (!has_foreign_claim(&a, answer, q, (struct sv){ "", 0 })) v = ANSWER_ABSTAINED;
    } else {
        struct sv rest = reference, part;
        while (v == ANSWER_WRONG && sv_split(&rest, '|', &part)) {
            const struct sv ref = utf8_normalize_answer(&a, part);
            if (text_has_words(text, ref) && !has_foreign_claim(&a, answer, q, ref)) v = ANSWER_RIGHT;
        }
    }
    arena_release(&a);
    return v;
}

struct interval wilson(int right, int n)
{
    if (n <= 0) return (struct interval){ 0, 1 };
    const double z = 1.959964, p = (double)right / n, zz = z * z / n;
    const double mid = (p + zz / 2) / (1 + zz), half = z * sqrt(p * (1 - p) / n + zz / (4.0 * n)) / (1 + zz);
    return (struct interval){ fmax(0, mid - half), fmin(1, mid + half) };
}
