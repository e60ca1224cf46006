/* sentence.c — where a sentence ends, by the look of words alone.  SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

#include <string.h>

static const char *const FUNCTION_WORDS[] = {
    "the", "a", "an", "in", "on", "at", "of", "it", "its", "he", "she", "they", "his", "her", "their", "this", "that", "these", "those",
    "there", "who", "what", "when", "where", "which", "how", "why", "whose", "whom", "is", "was", "are", "were", "does", "did", "do",
    "has", "have", "had", "can", "could", "would", "will", "please", "tell", "name", "give", "i", "we", "you", "since", "by", "for",
    "from", "to", "and", "or", "but", "with", "as", "if", "after", "before", "between", "during", "about", "among", "according",
    "today", "currently", "also", "both", "many", "some", "most", "all", "no", "yes", "one", "two", "three", "in", "under", "until",
    "wer", "was", "wann", "wo", "wie", "der", "die", "das", "ein", "eine", "im", "am", "seit", "und", "es", "sie", "er",
};

int word_is_function(struct sv w)
{
    for (size_t i = 0; i < ARRAY_LEN(FUNCTION_WORDS); i++) {
        const char *f = FUNCTION_WORDS[i];
        size_t j = 0;
        while (j < w.n && f[j] && (w.p[j] | 0x20) == f[j]) j++;
        if (j == w.n && !f[j]) return 1;
    }
    return 0;
}

static int is_digits(struct sv w)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.p[i] < '0' || w.p[i] > '9') return 0;
    return w.n > 0;
}

/* The word that begins at or behind s[*i], up to the next space; *i moves behind it. */
static struct sv word_at(struct sv s, size_t *i)
{
    while (*i < s.n && s.p[*i] == ' ') ++*i;
    const size_t from = *i;
    while (*i < s.n && s.p[*i] != ' ') ++*i;
    return (struct sv){ s.p + from, *i - from };
}

/* Is the word before a full stop an abbreviation by its look? "Dr", "St", "J", "Ph.D", or one of the longer usual ones. */
static int is_abbreviation(struct sv w)
{
    static const char *const LONGER[] = { "Prof", "Capt", "Messrs", "approx", "vs", "ca", "cf", "vol", "fig", "pp", "bzw", "geb", "gest", "usw" };
    for (size_t i = 0; i < ARRAY_LEN(LONGER); i++)
        if (sv_eq_c(w, LONGER[i])) return 1;
    if (w.n && memchr(w.p, '.', w.n)) return 1;
    const int capital = w.n && w.p[0] >= 'A' && w.p[0] <= 'Z';
    return capital && (w.n == 1 || (w.n <= 3 && w.p[1] >= 'a' && w.p[1] <= 'z'));
}

int text_ends_sentence(struct sv s, size_t i)
{
    if (i + 1 < s.n && s.p[i + 1] != ' ' && !strchr("\"')", s.p[i + 1])) return 0;
    if (s.p[i] != '.') return 1;
    size_t start = i, at = i + 1;
    while (start && s.p[start - 1] != ' ') start--;
    while (start < i && strchr("\"'([", s.p[start])) start++;
    const struct sv w = { s.p + start, i - start }, next = word_at(s, &at), third = word_at(s, &at);
    if (!next.n) return 1;
    if (next.p[0] >= 'a' && next.p[0] <= 'z') return 0;
    if (is_digits(w) && w.n <= 2 && third.n >= 4 && is_digits((struct sv){ third.p, 4 })) return 0; /* "5. September 1969" */
    if (!is_abbreviation(w)) return 1;
    /* "He lives in Ulm. It …": a function word with a capital begins a sentence, but not the initial of "Dr. A. Lind" */
    return next.p[next.n - 1] != '.' && word_is_function(next);
}
