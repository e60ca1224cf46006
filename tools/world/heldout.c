/* heldout.c — proves that a question set is held out from texts: with names and numbers masked, no recall question occurs whole
 * in a text, and no name of the taught entity occurs at all.
 *
 * Everything is compared as lower-case words.  A mask matches one to eight words.  The texts may be JSONL of any shape, since
 * JSON's own punctuation disappears with the rest.  SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <ctype.h>
#include <string.h>

enum { PIECES = 8, QUESTIONS_MAX = 4000, MASK_WORDS = 8, FORBIDDEN_MAX = 1000 };
struct pattern { char *piece[PIECES]; int n, open_start, open_end; char *shown; };
struct state { struct pattern p[QUESTIONS_MAX]; int n, n_forbidden; char *forbidden[FORBIDDEN_MAX]; };

/* A question's words with every capitalised word (but the first) and every number as a mask. */
static void pattern_make(struct pattern *p, const char *q)
{
    struct sb piece;
    sb_init(&piece, 1 << 16);
    memset(p, 0, sizeof *p);
    p->shown = xstrdup(q);
    int first = 1, masked = 0;
    for (const char *w = q; *w;) {
        size_t n = strcspn(w, " ");
        size_t k = 0;
        while (k < n && !isalnum((unsigned char)w[k]) && !(w[k] & 0x80))
            k++;
        int name = k < n && ((isupper((unsigned char)w[k]) && !first && !(n - k == 1 && w[k] == 'I') && strncmp(w + k, "I'", 2)) || isdigit((unsigned char)w[k]) || (w[k] & 0x80));
        if (name) {
            if (!masked && piece.n && p->n < PIECES)
                p->piece[p->n++] = mem_strndup(piece.p, piece.n);
            else if (!masked && !piece.n && !p->n)
                p->open_start = 1;
            sb_reset(&piece);
            masked = 1;
        } else if (k < n) {
            canonical_words(&piece, w, n);
            masked = 0;
        }
        /* after a full stop or colon the next word is capitalised anyway */
        first = n && strchr(".?!:", w[n - 1]) != NULL && !(name && w[n - 1] == '.');
        w += n;
        w += strspn(w, " ");
    }
    if (!masked && piece.n && p->n < PIECES)
        p->piece[p->n++] = mem_strndup(piece.p, piece.n);
    p->open_end = masked;
    sb_release(&piece);
}

static int add_question(void *ud, int line, const json_t *v, ilab_err *e)
{
    struct state *s = ud;
    const char *q = json_str(v, "user_input"), *kind = json_str(v, "kind");
    if (!q || !kind)
        return err_set(e, ILAB_E_FORMAT, "line %d: user_input or kind is missing", line);
    if (!strcmp(kind, "recall") && s->n < QUESTIONS_MAX)
        pattern_make(&s->p[s->n++], q);
    /* Names of recall questions, of their answers and of unknown names must not be in any text. */
    const char *group = json_str(v, "group");
    const char *const from[] = { !strcmp(kind, "recall") || (group && !strcmp(group, "unknown_name")) ? q : NULL, !strcmp(kind, "recall") ? json_str(v, "reference") : NULL };
    for (int i = 0; i < 2; i++)
        for (const char *w = from[i]; w && *w;) {
            size_t n = strcspn(w, " .?!,:;'-&()");
            char word[NAME_MAX_BYTES];
            snprintf(word, sizeof word, "%.*s", (int)n, w);
            /* Generated words are known by their partition. */
            int first = w == from[i] || (w - from[i] > 1 && strchr(".?!:", w[-2]));
            if (n >= 5 && ((isupper((unsigned char)*w) && !first && !name_word_common(word) && name_word_allowed(word, PARTITION_DOCUMENT)) ||
                           !strcmp(word, "Bielefeld") || !strcmp(word, "Stephan") || !strcmp(word, "Becker"))) {
                struct sb b;
                sb_init(&b, 4096);
                canonical_words(&b, word, n);
                int again = s->n_forbidden >= FORBIDDEN_MAX;
                for (int k = 0; k < s->n_forbidden; k++)
                    again |= !strcmp(s->forbidden[k], b.p);
                if (!again)
                    s->forbidden[s->n_forbidden++] = xstrdup(b.p);
                sb_release(&b);
            }
            w += n;
            w += strspn(w, " .?!,:;'-&()");
        }
    return 0;
}

/* Whether `piece` ends at a word's end and starts at a word's start. */
static const char *find_words(const char *hay, const char *end, const char *piece)
{
    size_t n = strlen(piece);
    for (const char *p = hay; (p = memmem(p, (size_t)(end - p), piece, n)); p++)
        if ((p == hay || p[-1] == ' ') && (p + n == end || p[n] == ' '))
            return p;
    return NULL;
}

/* What stands for a name must not hold words of the question itself. */
static int is_mask(const char *p, const char *end)
{
    static const char *const no[] = { "which", "when", "that", "who", "whom", "whose", "is", "was", "has", "had", "have", "does", "did", "were", "are", "where", "what", "how" };
    while (p < end) {
        const char *sp = memchr(p, ' ', (size_t)(end - p));
        size_t n = (size_t)((sp ? sp : end) - p);
        for (size_t i = 0; i < ARRAY_LEN(no); i++)
            if (n == strlen(no[i]) && !memcmp(p, no[i], n))
                return 0;
        p += n + 1;
    }
    return 1;
}

static int pattern_in(const struct pattern *p, const char *text, const char *end)
{
    for (const char *at = text; p->n && (at = find_words(at, end, p->piece[0])); at++) {
        const char *here = at + strlen(p->piece[0]);
        int k = 1;
        for (; k < p->n; k++) {
            const char *limit = here;
            for (int w = 0; w <= MASK_WORDS && limit < end; w++) {
                const char *sp = memchr(limit + 1, ' ', (size_t)(end - limit - 1));
                limit = sp ? sp : end;
            }
            const char *room = limit + strlen(p->piece[k]) + 1;
            const char *next = find_words(here + (*here == ' '), room < end ? room : end, p->piece[k]);
            if (!next || !is_mask(here + (*here == ' '), next))
                break;
            here = next + strlen(p->piece[k]);
        }
        if (k == p->n)
            return 1;
    }
    return 0;
}

static int check_text(const struct state *s, const char *path, int *found, ilab_err *e)
{
    char *text = NULL;
    size_t n = 0;
    int rc = file_read(path, (size_t)2 << 30, &text, &n, e);
    if (rc)
        return rc;
    /* One search a JSON string: a line break or a quote ends it, so nothing matches across samples. */
    struct sb b;
    sb_init(&b, (size_t)2 << 30);
    for (size_t i = 0; i + 1 < n; i++)
        if (text[i] == '\\' && text[i + 1] == 'n')
            text[i] = text[i + 1] = ' ';
    canonical_words(&b, text, n);
    mem_free(text);
    for (int i = 0; i < s->n; i++)
        if (pattern_in(&s->p[i], b.p, b.p + b.n)) {
            printf("%s: has the question: %s\n", path, s->p[i].shown);
            ++*found;
        }
    for (int i = 0; i < s->n_forbidden; i++)
        if (find_words(b.p, b.p + b.n, s->forbidden[i])) {
            printf("%s: has the name: %s\n", path, s->forbidden[i]);
            ++*found;
        }
    sb_release(&b);
    return 0;
}

int heldout_check(const char *questions, const char *const *text, int n_text, ilab_err *err)
{
    static struct state s;
    int found = 0, rc = json_read_lines(questions, (size_t)64 << 20, add_question, &s, err);
    for (int i = 0; !rc && i < n_text; i++)
        rc = check_text(&s, text[i], &found, err);
    if (rc)
        return rc;
    printf("%d recall questions, %d names, %d texts: %d found\n", s.n, s.n_forbidden, n_text, found);
    return found ? err_set(err, ILAB_E_INVALID, "the questions are not held out") : 0;
}
