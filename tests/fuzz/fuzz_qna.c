/* fuzz_qna.c — any bytes as a qna.yaml, as a document and as an answer.
 *
 * Whatever the text is: it becomes a leaf or findings with place and remedy, never both; a leaf has all that the generator
 * relies on; cutting a document loses no word; a perturbed name is another one.  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void expect(int condition)
{
    if (!condition)
        abort();
}

static void check_leaf(const struct leaf *l)
{
    expect(l->version >= 1 && l->version <= 3 && l->n_seed > 0 && l->path && l->created_by);
    for (int i = 0; i < l->n_seed; i++)
        expect(l->seed[i].question && l->seed[i].answer && l->seed[i].line > 0);
    if (l->is_knowledge) {
        expect(l->repo && l->commit && l->n_pattern > 0);
        for (int i = 0; i < l->n_pattern; i++)
            expect(l->pattern[i] != NULL);
    }
    struct arena a;
    arena_init(&a, (size_t)256 << 20);
    const struct sv s = subject_find(l, sv_of(l->seed[0].answer), &a);
    expect(utf8_valid(s, NULL));
    arena_release(&a);
}

static void read_leaf(struct sv text, const char *file)
{
    struct leaf *l = NULL;
    struct findings f;
    ilab_err e = { 0 };
    const int rc = leaf_check_text(text, file, "tax", &(struct check_opts){ .no_style = 1 }, &l, &f, &e);
    expect(!rc || (rc < 0 && !l && e.msg[0]));
    expect(!(l && f.n_errors));
    for (size_t i = 0; i < f.n; i++)
        expect(f.v[i].line > 0 && f.v[i].col > 0 && f.v[i].remedy && (!f.v[i].text || utf8_valid(sv_of(f.v[i].text), NULL)));
    if (!rc && !l)
        expect(f.n > 0);
    if (l)
        check_leaf(l);
    leaf_free(l);
    findings_release(&f);
}

static int count_words(void *ud, struct sv s)
{
    int n = 0;
    (void)ud;
    for (size_t i = 0; i < s.n; i++)
        n += (unsigned char)s.p[i] > ' ' && (i + 1 == s.n || (unsigned char)s.p[i + 1] <= ' ');
    return n;
}

static void cut_document(struct sv text)
{
    struct arena a;
    struct sv *v, *span;
    size_t n, n_span;
    struct rng r;

    arena_init(&a, (size_t)256 << 20);
    rng_seed(&r, text.n);
    expect(!passage_sentences(text, (int)(text.n % 2), &a, &v, &n, NULL));
    for (size_t i = 0; i < n && i < 50; i++) {
        expect(v[i].n && utf8_valid(v[i], NULL));
        expect(!value_spans(v[i], &a, &span, &n_span, NULL));
        for (size_t k = 0; k < n_span && k < 10; k++) {
            const struct sv other = name_perturb(&a, span[k], &r);
            expect(span[k].n && utf8_valid(other, NULL) && !sv_eq(sv_trim(other), sv_trim(span[k])));
            text_replace(&a, v[i], span[k], other);
        }
        quiz_judge(v[i], v[n - 1 - i], v[i]);
        expect(rouge_l(v[i], v[0]) <= 1.0);
    }
    struct extract x;
    struct chunk_list l;
    if (!document_extract_bytes(text.n % 3 ? "markdown" : "text", text, "fuzz", &x, NULL)) {
        const int budget = 1 + (int)(text.n % 7);
        expect(!chunks_of(&x, budget, count_words, NULL, &l, NULL));
        for (size_t i = 0; i < l.n; i++) expect(l.v[i].text.n && l.v[i].first <= l.v[i].last && l.v[i].last < x.n && l.v[i].n_tokens <= budget);
        chunks_release(&l);
        expect(!chunks_as_reference(&x, 20 + budget, 4096, budget % 2, count_words, NULL, &l, NULL));
        for (size_t i = 0; i < l.n; i++) expect(l.v[i].text.n && l.v[i].first <= l.v[i].last && l.v[i].last < x.n);
        chunks_release(&l);
    }
    extract_release(&x);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    const struct sv text = { (const char *)p, n };
    read_leaf(text, "tax/knowledge/x/qna.yaml");
    read_leaf(text, "tax/compositional_skills/x/qna.yaml");
    read_leaf(text, "qna.yaml");
    if (utf8_valid(text, NULL) && n < 1 << 14)
        cut_document(text);
    return 0;
}
