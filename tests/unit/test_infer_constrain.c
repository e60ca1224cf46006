/* test_infer_constrain.c — constrained text stays in its language, never runs into a dead end, and the mask is exact.
 * Oracle: a backtracking matcher of its own over the parts of a skeleton.  SPDX-License-Identifier: Apache-2.0 */
#include "infer_fixture.h"

#include <math.h>

#define SHARED "../shared/data/"
static const char SOURCE[] = "Dr. Anna Bell  (of Ashby's west),\nborn in 1969, counts\t24,255 people.\n\nM\xC3\xBCller-Haus";
/* The words of SOURCE as the oracle sees them; NULL: an empty line. */
static const char *const WORD[] = { "Dr.", "Anna", "Bell", "(of", "Ashby's", "west),", "born", "in", "1969,", "counts", "24,255", "people.", NULL, "M\xC3\xBCller-Haus" };

enum kind { LIT, LINE, SPAN, NUMBER, CHOICE, TEXT, END };
struct piece { enum kind kind; const char *text; int limit; };
struct language { const char *skeleton; struct piece piece[10]; };
static const struct language LANGUAGE[] = {
    { "Question: {line}\nAnswer: {span}", { { LIT, "Question: " }, { LINE }, { LIT, "\nAnswer: " }, { SPAN }, { END } } },
    { "{choice:yes|no|not stated}: {number}%", { { CHOICE, "yes|no|not stated" }, { LIT, ": " }, { NUMBER }, { LIT, "%" }, { END } } },
    { "{{{text:12}}}{line}", { { LIT, "{" }, { TEXT, NULL, 12 }, { LIT, "}" }, { LINE }, { END } } },
    { "{span} ({number}, {span})", { { SPAN }, { LIT, " (" }, { NUMBER }, { LIT, ", " }, { SPAN }, { LIT, ")" }, { END } } },
    { "{line}\n{line}\n", { { LINE }, { LIT, "\n" }, { LINE }, { LIT, "\n" }, { END } } },
    { "{number}", { { NUMBER }, { END } } },
    { "{number}{number} {text:3}{choice:a|ab|abc}", { { NUMBER }, { NUMBER }, { LIT, " " }, { TEXT, NULL, 3 }, { CHOICE, "a|ab|abc" }, { END } } },
    { "A: {span}\nB: {span}.", { { LIT, "A: " }, { SPAN }, { LIT, "\nB: " }, { SPAN }, { LIT, "." }, { END } } },
    { "only text", { { LIT, "only text" }, { END } } },
};

/* ---- oracle ---- */
enum { FULL = 1, PREFIX = 2 };
static int match(const struct piece *p, const char *t, size_t n);

static int match_literal(const struct piece *p, const char *s, size_t len, const char *t, size_t n) {
    if (memcmp(s, t, n < len ? n : len)) return 0;
    return n < len ? PREFIX : match(p + 1, t + len, n - len);
}

static int is_number(const char *t, size_t n) {
    size_t i = n && t[0] == '-', digits = 0, groups = 0, fraction = 0;
    while (i < n && t[i] >= '0' && t[i] <= '9') i++, digits++;
    if (!digits || digits > 15) return 0;
    while (digits <= 3 && i + 3 < n && t[i] == ',' && t[i + 1] >= '0' && t[i + 1] <= '9' && t[i + 2] >= '0' && t[i + 2] <= '9' && t[i + 3] >= '0' && t[i + 3] <= '9')
        i += 4, groups++;
    if (groups > 5) return 0;
    if (i < n && t[i] == '.') {
        i++;
        while (i < n && t[i] >= '0' && t[i] <= '9') i++, fraction++;
        if (!fraction || fraction > 6) return 0;
    }
    return i == n;
}

static int match_number(const struct piece *p, const char *t, size_t n) {
    static const char *const FILL[] = { "", "0", "00", "000" };
    int got = 0;
    for (size_t k = 1; k <= n; k++) {
        char one[256] = "";
        if (k < sizeof one) memcpy(one, t, k);
        if (is_number(one, k)) got |= match(p + 1, t + k, n - k);
    }
    for (size_t f = 0; f < ARRAY_LEN(FILL); f++) {
        char all[256];
        size_t len = n + strlen(FILL[f]);
        if (len > sizeof all) continue;
        memcpy(all, t, n);
        memcpy(all + n, FILL[f], len - n);
        if (is_number(all, len)) got |= PREFIX;
    }
    return got;
}

/* 1: valid UTF-8 without control characters; 2: cut inside a code point, *more bytes missing. */
static int free_text(const char *t, size_t n, int newlines, int *more) {
    struct sv s = { t, n };
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)t[i] < 0x20 && !(newlines && (t[i] == '\n' || t[i] == '\t'))) || t[i] == 0x7f) return 0;
    *more = 0;
    if (utf8_valid(s, NULL)) return 1;
    for (*more = 1; *more < 4; ++*more)
        for (int f = 0; f < 2; f++) {
            char all[512];
            if (n + 4 > sizeof all) continue;
            memcpy(all, t, n);
            memset(all + n, f ? 0xBF : 0x80, 4);
            if (utf8_valid((struct sv){ all, n + (size_t)*more }, NULL)) return 2;
        }
    return 0;
}

static int match_free(const struct piece *p, const char *t, size_t n) {
    int got = 0, more, text = p->kind == TEXT;
    for (size_t k = 1; k <= n && (!text || k <= (size_t)p->limit); k++) {
        if (free_text(t, k, text, &more) != 1 || (!text && strspn(t, " ") >= k)) continue;
        got |= match(p + 1, t + k, n - k);
        if (!text && p[1].kind == END && t[k] == '\n' && strspn(t + k, "\n ") >= n - k) got |= FULL | PREFIX;
    }
    int all = free_text(t, n, text, &more);
    if (all && (!text || n + (size_t)more <= (size_t)p->limit)) got |= PREFIX;
    if (text && n == (size_t)p->limit && all == 1) got |= PREFIX;
    return got;
}

static int match_span(const struct piece *p, const char *t, size_t n) {
    int got = 0;
    for (size_t i = 0; i < ARRAY_LEN(WORD); i++) {
        char run[256] = "";
        size_t len = 0;
        for (size_t j = i; j < ARRAY_LEN(WORD) && WORD[j]; j++) {
            len += (size_t)snprintf(run + len, sizeof run - len, "%s%s", j > i ? " " : "", WORD[j]);
            size_t bare = len;
            while (bare && strchr(".,)", run[bare - 1])) bare--;
            for (size_t from = 0; from <= (run[0] == '('); from++) {
                got |= match_literal(p, run + from, len - from, t, n);
                if (bare < len) got |= match_literal(p, run + from, bare - from, t, n);
                if (bare > 2 && !memcmp(run + bare - 2, "'s", 2)) got |= match_literal(p, run + from, bare - 2 - from, t, n);
            }
        }
    }
    return got;
}

static int match(const struct piece *p, const char *t, size_t n) {
    int got = 0;
    switch (p->kind) {
    case LIT: return match_literal(p, p->text, strlen(p->text), t, n);
    case CHOICE:
        for (const char *s = p->text, *end; s; s = *end ? end + 1 : NULL) {
            end = s + strcspn(s, "|");
            got |= match_literal(p, s, (size_t)(end - s), t, n);
        }
        return got;
    case NUMBER: return match_number(p, t, n);
    case LINE: case TEXT: return match_free(p, t, n);
    case SPAN: return match_span(p, t, n);
    case END: return n ? 0 : FULL | PREFIX;
    }
    return 0;
}

static void test_oracle_itself(void **state) {
    (void)state;
    assert_int_equal(match(LANGUAGE[0].piece, "Question: a?\nAnswer: Bell", 25), FULL | PREFIX);
    assert_int_equal(match(LANGUAGE[0].piece, "Question: \nAnswer: Bell", 23), 0);
    assert_int_equal(match(LANGUAGE[1].piece, "no: 24,255%", 11), FULL | PREFIX);
    assert_int_equal(match(LANGUAGE[1].piece, "no: 24,2", 8), PREFIX);
    assert_int_equal(match(LANGUAGE[3].piece, "Ashby (1, of Ashby)", 19), FULL | PREFIX);
    assert_int_equal(match(LANGUAGE[7].piece, "A: 255", 6), 0);
    assert_int_equal(match(LANGUAGE[7].piece, "A: people. M", 12), 0);
}

/* ---- walks with random logits ---- */
struct walk { struct sb text; int n_step, complete, forced; };

static void add_piece(const struct tokenizer *t, const struct constraint *c, int32_t id, struct sb *text) {
    tokenizer_piece(t, id, 0, text);
    text->n -= (size_t)constraint_tail(c);
    text->p[text->n] = 0;
}

/* Random tokens under the mask; ends, line feeds and full stops are likelier, or lines would hardly end. */
static void walk(const struct fixture *f, const struct constraint *proto, const struct language *lang, struct rng *r, int max_step, int exact, struct walk *w) {
    const struct kern *k = kern_get(cpu_detect());
    int n_vocab = tokenizer_size(f->tokenizer);
    struct constraint *c = constraint_copy(proto);
    struct sample_opts o = SAMPLE_OPTS_INIT;
    float logits[512];
    o.temp = 1;
    sb_init(&w->text, 1 << 16);
    sb_addc(&w->text, "");
    sb_addch(&w->text, 'x'); /* never NULL */
    w->text.n = 0;
    w->text.p[0] = 0;
    for (w->n_step = 0; w->n_step < max_step; w->n_step++) {
        struct ids forced = { 0 };
        if (rng_below(r, 4)) assert_true(constraint_forced(c, &forced) >= 0); /* sometimes the mask alone must do */
        for (size_t i = 0; i < forced.n; i++) tokenizer_piece(f->tokenizer, forced.v[i], 0, &w->text);
        w->forced += (int)forced.n;
        ids_release(&forced);
        for (int i = 0; i < n_vocab; i++) {
            struct sb s;
            sb_init(&s, 256);
            tokenizer_piece(f->tokenizer, i, 0, &s);
            logits[i] = (float)rng_normal(r) + (s.n && strpbrk(s.p, "\n.%})") ? 4.0f : 0.0f) + (tokenizer_is_end(f->tokenizer, i) ? 2.0f : 0.0f);
            sb_release(&s);
        }
        int done = constraint_mask(c, logits, n_vocab);
        assert_true(done >= 0);
        for (int i = 0; i < n_vocab && exact; i++) {
            size_t before = w->text.n;
            int end = tokenizer_is_end(f->tokenizer, i), want;
            tokenizer_piece(f->tokenizer, i, 0, &w->text);
            int got = match(lang->piece, w->text.p, w->text.n);
            want = end ? match(lang->piece, w->text.p, before) & FULL : !done && w->text.n > before && (got & (PREFIX | FULL));
            if (!!want != (logits[i] > -INFINITY)) fail_msg("'%s': token %d allowed %d, should be %d", w->text.p, i, logits[i] > -INFINITY, !!want);
            w->text.n = before;
            w->text.p[before] = 0;
        }
        int id = sample_next(k, logits, n_vocab, &o, r, NULL, 0, NULL);
        if (!(logits[id] > 0)) fail_msg("dead end behind '%s'", w->text.p); /* the weight after sampling */
        constraint_accept(c, id);
        if (tokenizer_is_end(f->tokenizer, id)) break;
        add_piece(f->tokenizer, c, id, &w->text);
    }
    w->complete = constraint_complete(c);
    constraint_free(c);
}

static void test_constraint_random_walks_stay_in_the_language(void **state) {
    (void)state;
    struct fixture f;
    ilab_err e = { 0 };
    struct rng r;
    int total = 0, complete = 0;
    fixture_open(&f, 1, 64);
    rng_seed(&r, 5);
    for (size_t l = 0; l < ARRAY_LEN(LANGUAGE); l++) {
        struct constraint *c;
        int full = 0;
        must(constraint_new_with(&c, LANGUAGE[l].skeleton, sv_of(SOURCE), f.tokenizer, engine_token_table(f.engine), &e), &e);
        for (int run = 0; run < 80; run++) {
            struct walk w = { 0 };
            walk(&f, c, &LANGUAGE[l], &r, 40, run < 5, &w);
            int got = match(LANGUAGE[l].piece, w.text.p, w.text.n);
            if (!(got & (w.complete ? FULL : PREFIX))) fail_msg("'%s' is outside %s", w.text.p, LANGUAGE[l].skeleton);
            full += w.complete;
            sb_release(&w.text);
        }
        assert_true(full > 0);
        total += 80;
        complete += full;
        constraint_free(c);
    }
    print_message("%d walks, %d complete\n", total, complete);
    fixture_close(&f);
}

static void test_constraint_of_a_batch_at_temperature_2(void **state) {
    (void)state;
    enum { RUNS = 500, EACH = 50 };
    struct fixture f;
    ilab_err e = { 0 };
    int outside = 0, finished = 0;
    fixture_open(&f, 2, 256);
    struct batcher *b = batcher_new(f.engine, 8, 8 * 256, &e);
    struct ids p = fixture_ids(&f, "Question: Who is the mayor of Ashby?\n");
    for (int at = 0; at < RUNS; at += EACH) {
        const struct language *l = &LANGUAGE[at / EACH % 8];
        struct request rq[EACH];
        struct completion c[EACH];
        struct constraint *con;
        must(constraint_new_with(&con, l->skeleton, sv_of(SOURCE), f.tokenizer, engine_token_table(f.engine), &e), &e);
        for (int i = 0; i < EACH; i++) {
            rq[i] = (struct request){ .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 30, .sample = SAMPLE_OPTS_INIT, .constraint = con };
            rq[i].sample.temp = 2;
            rq[i].sample.seed = (uint64_t)(at + i);
        }
        must(batcher_run(b, rq, EACH, c, &e), &e);
        for (int i = 0; i < EACH; i++) {
            int partial = c[i].finish != FINISH_STOP, got = 0;
            /* a cut may fall inside a code point, which the text shows as U+FFFD: drop it */
            size_t n = c[i].n_text >= 3 && partial && !memcmp(c[i].text + c[i].n_text - 3, "\xEF\xBF\xBD", 3) ? c[i].n_text - 3 : c[i].n_text;
            c[i].text[n] = 0;
            got = match(l->piece, c[i].text, n);
            if (!(got & (partial ? PREFIX : FULL))) {
                print_message("outside: %s: '%s'\n", l->skeleton, c[i].text);
                outside++;
            }
            finished += !partial;
            completion_release(&c[i]);
        }
        constraint_free(con);
    }
    print_message("%d runs at temperature 2: %d finished, %d outside their language\n", RUNS, finished, outside);
    assert_int_equal(outside, 0);
    ids_release(&p);
    batcher_free(b);
    fixture_close(&f);
}

static void test_constraint_forces_literals_and_leaves_the_space_to_the_field(void **state) {
    (void)state;
    struct fixture f;
    struct constraint *c;
    struct ids forced = { 0 };
    struct sb text;
    ilab_err e = { 0 };
    float logits[512] = { 0 };
    fixture_open(&f, 1, 64);
    sb_init(&text, 256);
    must(constraint_new(&c, "Answer: {span}", sv_of("of Anna Bell"), f.tokenizer, &e), &e);
    assert_true(constraint_forced(c, &forced) > 0);
    tokenizer_decode(f.tokenizer, forced.v, forced.n, 0, &text);
    assert_string_equal(text.p, "Answer:");
    assert_int_equal(constraint_forced(c, &forced), 0);
    assert_int_equal(constraint_mask(c, logits, tokenizer_size(f.tokenizer)), 0);
    struct ids anna = fixture_ids(&f, " Anna");
    assert_int_equal(anna.n, 1); /* the made vocabulary has it */
    assert_true(logits[anna.v[0]] == 0);
    assert_false(constraint_complete(c));
    sb_release(&text);
    ids_release(&anna);
    ids_release(&forced);
    constraint_free(c);
    fixture_close(&f);
}

static void test_constraint_refuses_bad_skeletons(void **state) {
    (void)state;
    static const char *const BAD[] = { "", "{lines}", "{line", "a } b", "{choice:}", "{choice:a||b}", "{text:}", "{text:0}", "{text:x}", "{line:3}", "{}", "{:}", "{text:99999999999999999999}" };
    struct fixture f;
    struct constraint *c;
    ilab_err e;
    fixture_open(&f, 1, 64);
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        e.msg[0] = 0;
        assert_int_equal(constraint_new(&c, BAD[i], SV("x"), f.tokenizer, &e), ILAB_E_INVALID);
        assert_null(c);
        assert_true(e.msg[0]);
    }
    assert_int_equal(constraint_new(&c, "{span}", SV(" \n.,"), f.tokenizer, &e), 0); /* punctuation alone is a word of its own */
    constraint_free(c);
    assert_int_equal(constraint_new(&c, "{span}", SV(" \n"), f.tokenizer, &e), ILAB_E_INVALID);
    char many[3 * CONSTRAINT_MAX_PARTS * 3 + 64] = "";
    for (int i = 0; i <= CONSTRAINT_MAX_PARTS; i++) strncat(many, "{line}", 7);
    assert_int_equal(constraint_new(&c, many, SV(""), f.tokenizer, &e), ILAB_E_LIMIT);
    fixture_close(&f);
}

/* Cost of a mask over real vocabularies, and that SentencePiece vocabularies work, too. */
static void test_constraint_over_real_vocabularies(void **state) {
    (void)state;
    static const char *const FILE_NAME[] = { "ggml-vocab-gpt-2.gguf", "ggml-vocab-llama-spm.gguf" };
    static const char *const SKELETON[] = { "Question: {line}\nAnswer: {span}", "{span}", "{text:40}", "{number}" };
    for (size_t i = 0; i < ARRAY_LEN(FILE_NAME); i++) {
        char path[256];
        struct gguf *g;
        struct tokenizer *t;
        ilab_err e = { 0 };
        snprintf(path, sizeof path, SHARED "vocab/%s", FILE_NAME[i]);
        if (!file_exists(path)) {
            print_message("skipped: '%s' is missing\n", path);
            skip();
        }
        must(gguf_open(&g, path, &e), &e);
        must(tokenizer_from_gguf(&t, g, &e), &e);
        gguf_close(g);
        double t0 = now_seconds();
        struct token_table *tt = token_table_new(t);
        double made = now_seconds() - t0;
        int n = tokenizer_size(t);
        float *logits = mem_alloc((size_t)n * sizeof *logits);
        print_message("%s: %d ids, table %.1f ms; mask:", FILE_NAME[i], n, 1e3 * made);
        for (size_t s = 0; s < ARRAY_LEN(SKELETON); s++) {
            struct constraint *c;
            struct ids forced = { 0 };
            must(constraint_new_with(&c, SKELETON[s], SV(FIXTURE_TEXT), t, tt, &e), &e);
            assert_true(constraint_forced(c, &forced) >= 0);
            t0 = now_seconds();
            for (int k = 0; k < 3; k++) {
                memset(logits, 0, (size_t)n * sizeof *logits);
                assert_int_equal(constraint_mask(c, logits, n), 0);
            }
            print_message("  %s %.2f ms", s ? SKELETON[s] : "{line}", 1e3 * (now_seconds() - t0) / 3);
            constraint_free(c);
            ids_release(&forced);
        }
        print_message("\n");
        struct ids ids = { 0 };
        struct sb text;
        sb_init(&text, 256);
        must(encode_continuation(t, SV("Answer: no\n"), &ids, &e), &e);
        for (size_t k = 0; k < ids.n; k++) tokenizer_piece(t, ids.v[k], 0, &text);
        assert_string_equal(text.p, "Answer: no\n");
        sb_release(&text);
        ids_release(&ids);
        mem_free(logits);
        token_table_free(tt);
        tokenizer_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle_itself),
        cmocka_unit_test(test_constraint_forces_literals_and_leaves_the_space_to_the_field),
        cmocka_unit_test(test_constraint_refuses_bad_skeletons),
        cmocka_unit_test(test_constraint_random_walks_stay_in_the_language),
        cmocka_unit_test(test_constraint_of_a_batch_at_temperature_2),
        cmocka_unit_test(test_constraint_over_real_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
