/* heldout.c — proves that a question set is held out from texts: with names and numbers masked, no recall question occurs whole
 * in a text, and no name of the taught entity or of the unknown names occurs at all.
 *
 * Everything is compared as lower-case words; ends of sentences count as words.  A mask stands for one to ten words: names and
 * numbers with what may join them ("of", "the"), or, in text without any capital, words that are no part of a question.
 * JSON's own punctuation ends sentences, so texts may be JSONL of any shape.  SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <ctype.h>
#include <string.h>

enum { QUESTIONS_MAX = 4000, FORBIDDEN_MAX = 1000, MASK_WORDS = 10, BUCKETS = 1 << 16 };
struct words { char *text; uint32_t *at; uint8_t *name; size_t n, cap_at, cap_name, n_text; };   /* word i: text + at[i], ended by NUL; "|" ends a sentence */
struct pattern { struct words w; char *shown; int next; };                                       /* "@" in w is a mask */
struct state { struct pattern p[QUESTIONS_MAX]; int n, n_forbidden, bucket[BUCKETS], forbidden_bucket[BUCKETS], forbidden_next[FORBIDDEN_MAX]; char *forbidden[FORBIDDEN_MAX]; };

static int push_word(struct words *w, const char *s, size_t n, int name)
{
    if (mem_grow((void **)&w->at, &w->cap_at, w->n + 1, sizeof *w->at) || mem_grow((void **)&w->name, &w->cap_name, w->n + 1, 1))
        return ILAB_E_NOMEM;
    w->at[w->n] = (uint32_t)w->n_text;
    w->name[w->n++] = (uint8_t)name;
    for (size_t i = 0; i < n; i++)
        w->text[w->n_text++] = (char)tolower((unsigned char)s[i]);
    w->text[w->n_text++] = 0;
    return 0;
}

static int is_word_byte(unsigned char c) { return isalnum(c) || c >= 0x80 || c == '@'; }

/* A full stop after a short capitalised word ("Dr.") or inside a number ends nothing. */
static int ends_sentence(const char *s, size_t i, size_t n, const struct words *w)
{
    if (s[i] == '?' || s[i] == '!' || s[i] == '"' || s[i] == '\n')
        return 1;
    if (s[i] != '.' || (i + 1 < n && is_word_byte((unsigned char)s[i + 1])))
        return 0;
    return !(w->n && w->name[w->n - 1] && strlen(w->text + w->at[w->n - 1]) <= 4 && isalpha((unsigned char)w->text[w->at[w->n - 1]]));
}

static int words_of(struct words *w, const char *s, size_t n)
{
    memset(w, 0, sizeof *w);
    w->text = mem_alloc(2 * n + 16);
    int rc = w->text ? 0 : ILAB_E_NOMEM;
    for (size_t i = 0; i < n && !rc;) {
        unsigned char c = (unsigned char)s[i];
        if (is_word_byte(c)) {
            size_t k = i;
            while (k < n && is_word_byte((unsigned char)s[k]))
                k++;
            rc = push_word(w, s + i, k - i, isupper(c) || isdigit(c) || c >= 0x80);
            i = k;
        } else if (c == '\\' && i + 1 < n && (s[i + 1] == 'n' || s[i + 1] == '"')) {
            rc = push_word(w, "|", 1, 0);
            i += 2;
        } else {
            if (ends_sentence(s, i, n, w) && !(w->n && w->text[w->at[w->n - 1]] == '|'))
                rc = push_word(w, "|", 1, 0);
            i++;
        }
    }
    return rc;
}

static const char *word(const struct words *w, size_t i) { return w->text + w->at[i]; }

static void words_release(struct words *w)
{
    mem_free(w->text);
    mem_free(w->at);
    mem_free(w->name);
}

/* The question with "@" for every name and number: capitalised words that do not begin a sentence. */
static void pattern_make(struct pattern *p, const char *q)
{
    struct words all;
    struct sb b;
    sb_init(&b, 1 << 16);
    words_of(&all, q, strlen(q));
    for (size_t i = 0; i < all.n; i++) {
        const char *t = word(&all, i);
        int first = i == 0 || *word(&all, i - 1) == '|', letter_i = !strcmp(t, "i");
        int starts = isdigit((unsigned char)*t) || (all.name[i] && !first && !letter_i);
        /* words between two names belong to them */
        if (!starts && b.n && b.p[b.n - 1] == '@' && (!strcmp(t, "of") || !strcmp(t, "and") || !strcmp(t, "s")) && i + 1 < all.n && all.name[i + 1] && strcmp(t, "s") != 0)
            continue;
        if (starts && b.n && b.p[b.n - 1] == '@')
            continue;
        sb_addf(&b, "%s%s", b.n ? " " : "", *t == '|' ? "." : starts ? "@" : t);
    }
    p->shown = xstrdup(q);
    words_of(&p->w, b.p, b.n);
    words_release(&all);
    sb_release(&b);
}

static uint32_t bucket_of(const char *t) { return (uint32_t)(hash64(t, strlen(t), 1) % BUCKETS); }

static void forbid(struct state *s, const char *w, size_t n)
{
    char low[NAME_MAX_BYTES];
    if (n >= sizeof low || s->n_forbidden >= FORBIDDEN_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        low[i] = (char)tolower((unsigned char)w[i]);
    low[n] = 0;
    for (int k = 0; k < s->n_forbidden; k++)
        if (!strcmp(s->forbidden[k], low))
            return;
    uint32_t h = bucket_of(low);
    s->forbidden_next[s->n_forbidden] = s->forbidden_bucket[h];
    s->forbidden[s->n_forbidden++] = xstrdup(low);
    s->forbidden_bucket[h] = s->n_forbidden;
}

static int add_question(void *ud, int line, const json_t *v, ilab_err *e)
{
    struct state *s = ud;
    const char *q = json_str(v, "user_input"), *kind = json_str(v, "kind"), *group = json_str(v, "group");
    if (!q || !kind)
        return err_set(e, ILAB_E_FORMAT, "line %d: user_input or kind is missing", line);
    int recall = !strcmp(kind, "recall");
    if (recall && s->n < QUESTIONS_MAX)
        pattern_make(&s->p[s->n++], q);
    /* Names of recall questions, of their answers and of unknown names must not be in any text: generated words are known
     * by their partition, the example's by heart. */
    const char *const from[] = { recall || (group && !strcmp(group, "unknown_name")) ? q : NULL, recall ? json_str(v, "reference") : NULL };
    for (int i = 0; i < 2; i++)
        for (const char *w = from[i]; w && *w;) {
            size_t n = strcspn(w, " .?!,:;'-&()");
            char text[NAME_MAX_BYTES];
            snprintf(text, sizeof text, "%.*s", (int)n, w);
            int first = w == from[i] || (w - from[i] > 1 && strchr(".?!:", w[-2]));
            if (n >= 5 && ((isupper((unsigned char)*w) && !first && !name_word_common(text) && name_word_allowed(text, PARTITION_DOCUMENT)) ||
                           !strcmp(text, "Bielefeld") || !strcmp(text, "Stephan") || !strcmp(text, "Becker")))
                forbid(s, w, n);
            w += n;
            w += strspn(w, " .?!,:;'-&()");
        }
    return 0;
}

static int in_list(const char *t, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(t, *list))
            return 1;
    return 0;
}

/* Words from..to can stand for a name. */
static int is_mask(const struct words *w, size_t from, size_t to)
{
    static const char *const join[] = { "of", "the", "and", "am", "upon", "an", "der", "sur", "on", "von", "van", "de", "di", "zu", "s", NULL };
    static const char *const plain[] = { "which", "when", "that", "who", "whom", "whose", "is", "was", "has", "had", "have", "does", "did", "were", "are", "where", "what", "how", "figure", "for", "exact", "exactly", "total",
        "annual", "main", "name", "number", "official", "current", "it", "year", "in", "to", "full", "long", "high", "they", "first", "largest", NULL };
    int names = 0, others = 0, joins = 0;
    for (size_t i = from; i < to; i++) {
        const char *t = word(w, i);
        if (*t == '|')
            return 0;
        if (in_list(t, join))
            joins++;
        else if (w->name[i])
            names++;
        else if (in_list(t, plain))
            return 0;
        else
            others++;
    }
    return names ? !others : others > 0;
}

/* Pattern words from p on match text words from i on, to the end of both. */
static int match(const struct words *p, size_t k, const struct words *w, size_t i, size_t *end)
{
    for (; k < p->n; k++, i++) {
        if (i >= w->n)
            return 0;
        if (strcmp(word(p, k), "@") != 0) {
            if (strcmp(word(p, k), word(w, i)) != 0)
                return 0;
            continue;
        }
        for (size_t n = 1; n <= MASK_WORDS && i + n <= w->n; n++)
            if (is_mask(w, i, i + n) && (k + 1 < p->n ? match(p, k + 1, w, i + n, end) : i + n == w->n || *word(w, i + n) == '|')) {
                if (k + 1 == p->n)
                    *end = i + n;
                return 1;
            }
        return 0;
    }
    *end = i;
    return 1;
}

static int check_text(const struct state *s, const char *path, int *found, ilab_err *e)
{
    char *text = NULL;
    size_t n = 0, end = 0;
    struct words w;
    int rc = file_read(path, (size_t)1 << 30, &text, &n, e);
    if (rc)
        return rc;
    rc = words_of(&w, text, n);
    mem_free(text);
    if (rc)
        return err_set(e, rc, "no memory for '%s'", path);
    static uint8_t told[QUESTIONS_MAX + FORBIDDEN_MAX];
    memset(told, 0, sizeof told);
    for (size_t i = 0; i < w.n; i++) {
        uint32_t h = bucket_of(word(&w, i));
        for (int k = s->bucket[h]; k; k = s->p[k - 1].next)
            if (!told[k - 1] && match(&s->p[k - 1].w, 0, &w, i, &end)) {
                printf("%s: has the question: %s\n  as:", path, s->p[k - 1].shown);
                for (size_t j = i; j < end; j++)
                    printf(" %s", word(&w, j));
                printf("\n");
                told[k - 1] = 1;
                ++*found;
            }
        for (int k = s->forbidden_bucket[h]; k; k = s->forbidden_next[k - 1])
            if (!told[QUESTIONS_MAX + k - 1] && !strcmp(s->forbidden[k - 1], word(&w, i))) {
                printf("%s: has the name: %s\n", path, s->forbidden[k - 1]);
                told[QUESTIONS_MAX + k - 1] = 1;
                ++*found;
            }
    }
    words_release(&w);
    return 0;
}

int heldout_check(const char *questions, const char *const *text, int n_text, int names_allowed, ilab_err *err)
{
    static struct state s;
    int found = 0, rc = json_read_lines(questions, (size_t)64 << 20, add_question, &s, err);
    if (names_allowed) {
        memset(s.forbidden_bucket, 0, sizeof s.forbidden_bucket);
        s.n_forbidden = 0;
    }
    for (int i = 0; i < s.n; i++) {
        /* A question that begins with a name is found by its next word; the mask in front may be anything. */
        struct words *w = &s.p[i].w;
        if (w->n && !strcmp(word(w, 0), "@")) {
            w->n--;
            memmove(w->at, w->at + 1, w->n * sizeof *w->at);
        }
        uint32_t h = bucket_of(w->n ? word(w, 0) : "");
        s.p[i].next = s.bucket[h];
        s.bucket[h] = i + 1;
    }
    for (int i = 0; !rc && i < n_text; i++)
        rc = check_text(&s, text[i], &found, err);
    if (rc)
        return rc;
    printf("%d recall questions, %d names, %d texts: %d found\n", s.n, s.n_forbidden, n_text, found);
    return found ? err_set(err, ILAB_E_INVALID, "the questions are not held out") : 0;
}
