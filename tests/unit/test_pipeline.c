/* test_pipeline.c — `generate` with a scripted language model: files, kinds, discards, interruption, failing disks.
 *
 * The fake answers the prompts of prompts.h about a small leaf from a table of facts; what it says depends on the prompt and
 * the request's seed only. Now and then it does what real models do: asks about another fact, leaves out the name, gives the
 * answer away, does not stop.  SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"
#include "data/prompts.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- the world of the fake ---- */
#define SUBJECT "Torvik Lamps"
static const struct { const char *word, *value; } FACT[] = {
    { "director", "Marta Engelund" }, { "founded", "1962" }, { "employees", "348" }, { "founder", "Aksel Brandt" }, { "town", "Sandmar" }, { "year", "2023" },
};
static const char QNA[] = "version: 2\ncreated_by: me\ndomain: companies\ntask_description: Facts about Torvik Lamps\nseed_examples:\n"
                          "  - question: Who is the director of Torvik Lamps?\n    answer: The director of Torvik Lamps is Marta Engelund.\n"
                          "  - question: In which year was Torvik Lamps founded?\n    answer: Torvik Lamps was founded in 1962.\n"
                          "  - question: Who was the founder of Torvik Lamps?\n    answer: \"Aksel Brandt.\"\n"
                          "  - question: How many employees did Torvik Lamps have?\n    answer: Torvik Lamps had 348 employees.\n"
                          "  - question: Who owns Torvik Lamps?\n    answer: It belongs to Zed Quux.\n" /* the document does not say so */
                          "document:\n  repo: .\n  commit: HEAD\n  patterns: [\"*.md\"]\n";
static const char TEXT[] = "# Torvik Lamps\n\nTorvik Lamps is a company in the town of Sandmar. The director of **Torvik\nLamps** is Marta Engelund. "
                           "It was founded in 1962. Its founder was Aksel Brandt.\n\nTorvik Lamps had 348 employees in the year 2023.\n";
static const char *const FILL[] = { "please", "exactly", "today", "really", "briefly", "now", "kindly", "once", "again", "plainly", "surely", "ever", "indeed", "only", "then", "here" };

struct fake {
    int n_requests, stop_after /* raises SIGINT then */, cancels /* … and gives up in the middle of the batch */, fails;
    uint64_t asked[8192]; int n_asked, n_repeated;
    int invalid;                                   /* answers hold bytes that are no UTF-8 */
    int scores, n_scores;                          /* it tells how likely a text is */
    int misreads;                                  /* it answers every question about a text with the same value */
    int mumbles;                                   /* it cannot say "employees" */
};

static const char *word_of(struct sv value)
{
    for (size_t i = 0; i < ARRAY_LEN(FACT); i++)
        if (sv_eq_c(value, FACT[i].value)) return FACT[i].word;
    return "thing";
}

static void add_fill(struct sb *b, struct rng *r, int n)
{
    for (int i = 0; i < n; i++) sb_addf(b, " %s", FILL[rng_below(r, ARRAY_LEN(FILL))]);
}

static void write_question(struct sb *b, const char *word, int greedy, struct rng *r)
{
    const uint32_t mood = greedy ? 9 : rng_below(r, 12);
    sb_addf(b, "Tell");
    add_fill(b, r, 3);
    if (mood == 0) word = FACT[rng_below(r, 4)].word; /* perhaps about something else */
    if (mood == 1) sb_addf(b, " the %s of that company", word);
    else sb_addf(b, " the %s of " SUBJECT, word);
    if (mood == 2) sb_addf(b, ", which is %s", FACT[0].value), sb_addf(b, " or %s or %s or %s", FACT[1].value, FACT[2].value, FACT[3].value);
    add_fill(b, r, 2);
    sb_addch(b, '?');
}

static int ends(struct sv s, const char *marker, struct sv *before, struct sv *behind)
{
    const ptrdiff_t at_byte = sv_find(s, sv_of(marker), 0);
    if (at_byte < 0) return 0;
    *before = (struct sv){ s.p, (size_t)at_byte };
    *behind = (struct sv){ s.p + at_byte + strlen(marker), s.n - (size_t)at_byte - strlen(marker) };
    return 1;
}

static void read_text(struct sb *b, struct sv text, struct sv question)
{
    if (sv_starts(question, "Which company")) {
        sb_addc(b, text_has(text, SV(SUBJECT)) ? SUBJECT "." : PHRASE_NOT_STATED);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(FACT); i++)
        if (text_has(question, sv_of(FACT[i].word)) && text_has(text, sv_of(FACT[i].value)) && text_has(question, SV(SUBJECT))) {
            sb_addf(b, "It is %s.", FACT[i].value);
            return;
        }
    sb_addc(b, PHRASE_NOT_STATED);
}

static void answer(const struct fake *f, const struct lm_request *q, struct sb *b, struct rng *r)
{
    const struct sv user = q->n_message ? q->message[q->n_message - 1].content : (struct sv){ "", 0 };
    struct sv x, y;
    if (q->write_user && q->prefix.n) { /* goes on after "… the director of " */
        sb_addf(b, "%s Works", FILL[rng_below(r, ARRAY_LEN(FILL))]);
        add_fill(b, r, 1);
        sb_addch(b, '?');
    } else if (q->write_user) {
        sb_addf(b, "What is %u plus %u", rng_below(r, 900), rng_below(r, 900));
        add_fill(b, r, 2);
        sb_addch(b, '?');
    } else if (ends(user, "\n\nWrite a question with this answer: ", &x, &y)) {
        if (sv_eq_c(y, SUBJECT)) { /* reverse: about a value of the statement */
            sb_addc(b, "Which company");
            add_fill(b, r, 4);
            for (size_t i = 0; i < ARRAY_LEN(FACT); i++)
                if (text_has(x, sv_of(FACT[i].value))) sb_addf(b, " has %s", FACT[i].value);
            sb_addch(b, '?');
        } else {
            const char *word = word_of(y);
            write_question(b, f->mumbles && !strcmp(word, "employees") ? "penguins" : word, q->temp == 0, r);
        }
    } else if (ends(user, "Say this in other words: ", &x, &y)) {
        if (sv_ends(y, "?")) {
            const char *word = "thing";
            for (size_t i = ARRAY_LEN(FACT); i-- > 0;)
                if (text_has(y, sv_of(FACT[i].word))) word = f->mumbles && !strcmp(FACT[i].word, "employees") ? "penguins" : FACT[i].word;
            write_question(b, word, q->temp == 0, r);
        } else {
            sb_addc(b, "Know");
            add_fill(b, r, 4);
            sb_addf(b, " that %.*s", SV_ARG(y));
        }
    } else if (ends(user, "Write this as a statement: ", &x, &y)) {
        for (size_t i = 0; i < ARRAY_LEN(FACT); i++)
            if (text_has(y, sv_of(FACT[i].value))) sb_addf(b, "The %s of " SUBJECT " is %s.", FACT[i].word, FACT[i].value);
    } else if (ends(user, "\n\nWrite a question about ", &x, &y)) {
        sb_addc(b, "What");
        add_fill(b, r, 3);
        sb_addf(b, rng_below(r, 6) ? " is the flag of " SUBJECT : " is the director of " SUBJECT);
        add_fill(b, r, 2);
        sb_addch(b, '?');
    } else if (ends(user, "\n\n", &x, &y)) {
        if (f->misreads) sb_addf(b, "It is %s.", FACT[0].value);
        else read_text(b, x, y);
    } else if (sv_starts(user, "What is ")) {
        sb_addf(b, "It is %u.", rng_below(r, 2000));
    } else {
        sb_addc(b, PHRASE_UNKNOWN);
    }
}

static int fake_complete(void *self, const struct lm_request *q, int n, struct lm_result *out, ilab_err *e)
{
    struct fake *f = self;
    memset(out, 0, (size_t)n * sizeof *out);
    if (f->fails) return err_set(e, ILAB_E_IO, "the model is gone");
    for (int i = 0; i < n; i++) {
        const struct sv user = q[i].n_message ? q[i].message[q[i].n_message - 1].content : (struct sv){ "", 0 };
        if (f->stop_after && f->n_requests >= f->stop_after) {
            raise(SIGINT);
            f->stop_after = 0;
            if (f->cancels) return err_set(e, ILAB_E_CANCEL, "interrupted");
        }
        const uint64_t key = hash64(user.p, user.n, hash64(&q[i].seed, sizeof q[i].seed, (uint64_t)q[i].max_tokens));
        for (int k = 0; k < f->n_asked; k++) f->n_repeated += f->asked[k] == key;
        if (f->n_asked < (int)ARRAY_LEN(f->asked)) f->asked[f->n_asked++] = key;
        f->n_requests++;
        struct rng r;
        struct sb b;
        rng_seed(&r, q[i].seed);
        sb_init(&b, 1 << 16);
        answer(f, &q[i], &b, &r);
        if (f->invalid && q[i].write_user && rng_below(&r, 4) == 0) sb_add(&b, (struct sv){ " \xC3\x00 x", 5 });
        out[i].finished = q[i].temp == 0 || rng_below(&r, 20) != 0;
        out[i].logp_mean = rng_below(&r, 2) ? -0.1 : -1.0 / 3;
        if (f->invalid && rng_below(&r, 9) == 0) out[i].logp_mean = -1.0 / 0.0;
        out[i].text = sb_take(&b, &out[i].n);
        out[i].n_token = 2;
        out[i].token = mem_calloc(2, sizeof *out[i].token);
        if (q[i].n_top) out[i].top = mem_calloc(2 * (size_t)q[i].n_top, sizeof *out[i].top);
        for (int k = 0; k < 2 * q[i].n_top; k++) out[i].top[k] = (struct lm_token){ k, -0.1f * (float)(k + 1) };
    }
    return 0;
}
/* A writer who knows what it reads: a question is likely when the text before it has the question's word, a statement when it
 * keeps the value. One answer is very strange to it. */
static int fake_score(void *self, const struct lm_message *m, int n, struct sv a, double *logp, int *n_token, ilab_err *e)
{
    struct fake *f = self;
    struct sv x, y;
    int fits = 0;
    *logp = 0, *n_token = 1;
    if (!f->scores) return err_set(e, ILAB_E_INVALID, "not scripted");
    f->n_scores++;
    for (size_t i = 0; i < a.n; i++) *n_token += a.p[i] == ' ';
    const int asks = ends(m[n - 1].content, "\n\nWrite a question with this answer: ", &x, &y), says = !asks && ends(m[n - 1].content, "Say this in other words: ", &x, &y);
    for (size_t i = 0; i < ARRAY_LEN(FACT); i++) {
        const struct sv word = sv_of(FACT[i].word), value = sv_of(FACT[i].value);
        fits |= asks && text_has(x, word) && (text_has(a, word) || (sv_eq_c(y, SUBJECT) && text_has(a, value)));
        fits |= says && text_has(y, word) && text_has(a, value);
    }
    *logp = asks || says ? -12 + 6 * fits - 4 * text_has(a, SV("penguins")) : text_has(a, sv_of(FACT[3].value)) ? -80 : -10;
    return 0;
}
static int fake_count(void *self, struct sv t) /* words; of a short answer what fake_complete() says */
{
    int n = 0;
    (void)self;
    if (t.n < 32) return 2;
    for (size_t i = 0; i < t.n; i++) n += (unsigned char)t.p[i] > ' ' && (i + 1 == t.n || (unsigned char)t.p[i + 1] <= ' ');
    return n;
}
static const char *fake_hash(void *self) { return (void)self, "fake"; }
static int fake_ctx(void *self) { return (void)self, 4096; }
static void fake_close(void *self) { (void)self; }
static const struct lm_ops OPS = { "fake", fake_complete, fake_score, fake_count, fake_hash, fake_ctx, fake_close };

/* ---- running it ---- */
static ilab_err err;
static struct generate_report report;

static int generate_by(struct fake *f, const char *out, const char *taxonomy, int compat)
{
    struct lm lm = { .ops = &OPS, .self = f, .name = "fake" };
    char dir[512], tax[512];
    snprintf(dir, sizeof dir, "%s", out[0] == '/' ? out : at(out));
    snprintf(tax, sizeof tax, "%s", at(taxonomy));
    const struct generate_opts o = { .taxonomy = tax, .base = "empty", .out_dir = dir, .model_name = "my-model", .chunk_words = compat ? 40 : 1000, .reference_chunks = compat, .server_ctx = 4096, .rouge_threshold = 0.9,
                                     .per_fact = 6, .seed = 7, .quiet = 1, .resume = 1, .system_prompt = "Be brief." };
    err = (ilab_err){ 0 };
    signal_clear();
    const int rc = pipeline_run(&lm, &o, &report, &err);
    signal_clear();
    assert_true(!rc == !err.msg[0]);
    return rc;
}
static int generate(struct fake *f, const char *out) { return generate_by(f, out, "tax", 0); }

/* Names of finished files in a folder. */
static int count_files(const char *dir)
{
    char **name = NULL;
    size_t n = 0;
    int count = 0;
    if (file_exists(at(dir)) != 2) return 0;
    assert_int_equal(dir_list(at(dir), &name, &n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        assert_null(strstr(name[i], ".tmp")); /* not even a temporary one is left */
        count += name[i][0] != '.';
    }
    dir_list_free(name, n);
    return count;
}

static char *slurp(const char *path)
{
    char *text = NULL;
    size_t n;
    if (file_read(path, 1 << 26, &text, &n, &err)) fail_msg("%s", err.msg);
    return text;
}

/* All five files as one text; the log's times are left out. */
static char *results(void)
{
    const char *const path[] = { report.generated, report.train, report.test, report.messages };
    struct sb b;
    sb_init(&b, 1 << 26);
    for (size_t i = 0; i < ARRAY_LEN(path); i++) {
        char *t = slurp(path[i]);
        sb_addc(&b, t);
        mem_free(t);
    }
    char *log = slurp(report.discard_log);
    struct sv rest = sv_of(log), line;
    while (sv_split(&rest, '\n', &line)) sb_add(&b, (struct sv){ line.p + 19, line.n - 19 });
    mem_free(log);
    return sb_take(&b, NULL);
}

static int setup(void **state)
{
    signal_install();
    if (dir_setup(state)) return 1;
    put("tax/knowledge/companies/torvik/qna.yaml", QNA);
    put("tax/knowledge/companies/torvik/torvik.md", TEXT);
    return 0;
}

static void test_files_and_layout(void **state)
{
    (void)state;
    struct fake f = { 0 };
    if (generate(&f, "out")) fail_msg("%s", err.msg);
    assert_int_equal(count_files("out"), 5);
    assert_int_equal(report.discarded[DISCARD_FORMAT], 0);
    assert_true(report.facts >= 5 && report.tokens > 0); /* four seeds and what the model found itself */
    for (int i = 0; i < ITEM_KIND_COUNT; i++)
        if (!report.by_kind[i]) fail_msg("no item of kind %s", ITEM_NAME[i]);
    const char *base = path_base(report.generated);
    assert_true(!strncmp(base, "generated_my-model_20", 21) && strlen(base) == strlen("generated_my-model_2026-11-23T07_31_02.json") && base[29] == 'T' && base[32] == '_');
    assert_true(!strncmp(path_base(report.train), "train_my-model_", 15) && !strncmp(path_base(report.test), "test_my-model_", 14) &&
                !strncmp(path_base(report.messages), "messages_my-model_", 18) && !strncmp(path_base(report.discard_log), "discarded_my-model_", 19));

    char *text = slurp(report.generated);
    assert_memory_equal(text, "[\n    {\n        \"instruction\": \"", 31);
    mem_free(text);
    json_t *all = json_read_file(report.generated, 1 << 26, &err), *v;
    size_t i;
    assert_int_equal(json_array_size(all), report.kept);
    json_array_foreach(all, i, v)
    {
        static const char *const KEY[] = { "instruction", "input", "output", "taxonomy_path", "task_description", "document" };
        const char *key;
        json_t *member;
        size_t k = 0;
        json_object_foreach(v, key, member) assert_string_equal(key, KEY[k++]);
        assert_int_equal(k, ARRAY_LEN(KEY));
        assert_string_equal(json_str(v, "taxonomy_path"), "knowledge->companies->torvik");
        assert_string_equal(json_str(v, "task_description"), "Facts about Torvik Lamps");
        assert_true(json_is_null(json_object_get(v, "document")) || json_array_size(json_object_get(v, "document")) == 1);
    }
    json_decref(all);
    text = slurp(report.test);
    assert_memory_equal(text, "{\"system\":\"Be brief.\",\"user\":\"Who is the director of Torvik Lamps?\",\"assistant\":\"The director of Torvik Lamps is Marta Engelund.\"}\n", 120);
    int lines = 0;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 5);
    mem_free(text);
}

struct seen { int n[ITEM_KIND_COUNT], soft, dialogue; };
static int look(void *ud, int line, const json_t *v, ilab_err *e)
{
    (void)e, (void)line;
    struct seen *s = ud;
    const json_t *m = json_object_get(v, "messages");
    const char *kind = json_str(v, "kind"), *user = json_str(json_array_get(m, json_array_size(m) - 2), "content"), *said = json_str(json_array_get(m, json_array_size(m) - 1), "content");
    int k = 0;
    while (k < ITEM_KIND_COUNT && strcmp(kind, ITEM_NAME[k])) k++;
    assert_true(k < ITEM_KIND_COUNT && user && *user && said && *said);
    s->n[k]++;
    assert_string_equal(json_str(json_array_get(m, 0), "role"), "system");
    assert_string_equal(json_str(json_array_get(m, json_array_size(m) - 2), "role"), "user");
    assert_int_equal(json_array_size(m), k == ITEM_DIALOGUE ? 5 : 3);
    const struct sv u = sv_of(user), a = sv_of(said);
    const char *value = json_str(v, "value");
    switch (k) {
    case ITEM_FORWARD: assert_true(text_has(u, SV(SUBJECT)) && text_has(a, sv_of(value)) && !text_has(u, sv_of(value))); break;
    case ITEM_STATEMENT: assert_true(sv_starts(u, "Tell me about ") && text_has(a, sv_of(value))); break;
    case ITEM_REVERSE: assert_true(text_has(u, sv_of(value)) && !text_has(u, SV(SUBJECT))), assert_string_equal(said, SUBJECT "."); break;
    case ITEM_CHECK: assert_true(sv_starts(u, "Is this true? ") && text_has(u, sv_of(value))), assert_string_equal(said, "Yes."); break;
    case ITEM_WRONG_PREMISE: assert_true(!text_has(u, sv_of(value)) && sv_starts(a, "No. ") && text_has(a, sv_of(value))); break;
    case ITEM_UNKNOWN_NAME: assert_false(text_has(u, SV(SUBJECT))), assert_string_equal(said, PHRASE_UNKNOWN); break;
    case ITEM_UNKNOWN_ATTRIBUTE: assert_true(text_has(u, SV("flag"))), assert_string_equal(said, PHRASE_UNKNOWN); break;
    default: break;
    }
    if (json_object_get(v, "soft")) {
        s->soft++;
        assert_true(k == ITEM_KNOWN || k == ITEM_REPLAY || k == ITEM_UNKNOWN_NAME);
        assert_int_equal(json_array_size(json_object_get(v, "soft")), 2);
        assert_int_equal(json_array_size(json_array_get(json_object_get(v, "soft"), 0)), 12);
    }
    return 0;
}

static void test_items(void **state)
{
    (void)state;
    struct fake f = { 0 };
    struct seen s = { 0 };
    if (generate(&f, "items")) fail_msg("%s", err.msg);
    if (json_read_lines(report.messages, 1 << 26, look, &s, &err)) fail_msg("%s", err.msg);
    for (int i = 0; i < ITEM_KIND_COUNT; i++) assert_int_equal(s.n[i], report.by_kind[i]);
    assert_true(s.soft >= s.n[ITEM_KNOWN] + s.n[ITEM_REPLAY]);
    assert_true(s.n[ITEM_FORWARD] > 4 * 3);
}

static void test_discards_have_reasons(void **state)
{
    (void)state;
    struct fake f = { 0 };
    if (generate(&f, "log")) fail_msg("%s", err.msg);
    static const enum discard WANT[] = { DISCARD_UNSUPPORTED, DISCARD_SUBJECT, DISCARD_LEAK, DISCARD_AMBIGUOUS, DISCARD_EMPTY };
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++)
        if (!report.discarded[WANT[i]]) fail_msg("nothing was discarded as '%s'", DISCARD_REASON[WANT[i]]);
    char *log = slurp(report.discard_log);
    struct sv rest = sv_of(log), line;
    int n = 0, sum = 0;
    for (int i = 0; i < DISCARD_COUNT; i++) sum += report.discarded[i];
    for (; sv_split(&rest, '\n', &line); n++) { /* 2026-11-23T07:31:02 - Discarded instruction(REASON): 'text' */
        assert_true(line.n > 50 && line.p[10] == 'T' && line.p[13] == ':' && line.p[4] == '-');
        assert_memory_equal(line.p + 19, " - Discarded instruction(", 25);
        const struct sv reason = { line.p + 44, line.n - 44 };
        int known = 0;
        for (int i = 1; i < DISCARD_COUNT; i++) known |= sv_starts(reason, DISCARD_REASON[i]);
        assert_true(known && sv_find(line, SV("): '"), 0) > 0 && (sv_ends(line, "'") || sv_ends(line, "\"")));
    }
    assert_int_equal(n, sum);
    assert_true(sv_find(sv_of(log), SV("not supported by the document): 'Who owns Torvik Lamps?'"), 0) >= 0);
    mem_free(log);
}

static void test_interrupted_run_goes_on(void **state)
{
    (void)state;
    struct fake whole = { .invalid = 1 };
    if (generate(&whole, "whole")) fail_msg("%s", err.msg);
    char *want = results();
    for (int way = 0; way < 2; way++) { /* 0: the batch ends before the stop, 1: the model gives up inside of it */
        struct fake f = { .cancels = way, .invalid = 1 };
        char dir[32], journal[64];
        int stops = 0;
        snprintf(dir, sizeof dir, "parts%d", way);
        snprintf(journal, sizeof journal, "%s/.generate-journal.jsonl", dir);
        for (int rc = ILAB_E_CANCEL; rc; stops++) {
            f.stop_after = stops < 40 ? f.n_requests + 37 : 0;
            rc = generate(&f, dir);
            assert_true(rc == 0 || rc == ILAB_E_CANCEL);
            assert_int_equal(file_exists(at(journal)), rc ? 1 : 0);
            assert_int_equal(count_files(dir), rc ? 0 : 5);
            if (rc && stops == 1) { /* killed while a line was written */
                char *text = slurp(at(journal));
                assert_int_equal(truncate(at(journal), (off_t)strlen(text) - 7), 0);
                mem_free(text);
                f.n_asked--; /* its request is made again */
            }
        }
        assert_true(stops > 4);
        assert_int_equal(f.n_repeated, 0);
        assert_int_equal(f.n_requests, whole.n_requests + 1);
        char *got = results();
        assert_string_equal(got, want);
        mem_free(got);
    }
    mem_free(want);
}

struct tally { int forward[ARRAY_LEN(FACT)], other_word, penguins, reverse, statement; };
static int count_lessons(void *ud, int line, const json_t *v, ilab_err *e)
{
    (void)e, (void)line;
    struct tally *t = ud;
    const json_t *m = json_object_get(v, "messages");
    const char *kind = json_str(v, "kind"), *value = json_str(v, "value");
    const struct sv user = sv_of(json_str(json_array_get(m, json_array_size(m) - 2), "content"));
    t->reverse += !strcmp(kind, "reverse");
    t->statement += !strcmp(kind, "statement");
    for (size_t i = 0; value && !strcmp(kind, "forward") && i < ARRAY_LEN(FACT); i++)
        if (!strcmp(value, FACT[i].value)) t->forward[i]++, t->other_word += !text_has(user, sv_of(FACT[i].word)), t->penguins += text_has(user, SV("penguins"));
    return 0;
}

/* A model that reads badly, but can tell what it would write: its questions are sorted by that, and each fact gets its share. */
static void test_weighed_questions(void **state)
{
    (void)state;
    struct fake f = { .scores = 1, .misreads = 1, .mumbles = 1 };
    struct tally t = { 0 };
    if (generate(&f, "weighed")) fail_msg("%s", err.msg);
    if (json_read_lines(report.messages, 1 << 26, count_lessons, &t, &err)) fail_msg("%s", err.msg);
    for (int i = 0; i < 4; i++)
        if (t.forward[i] != (i == 3 ? 17 : 6)) fail_msg("%d questions for %s", t.forward[i], FACT[i].word); /* (80 / 48)² times the usual */
    assert_int_equal(t.other_word, 0);
    assert_int_equal(t.penguins, 0); /* the document's word is put where the other one stood */
    assert_true(t.reverse >= 4 && t.statement >= 4);
    assert_true(report.discarded[DISCARD_UNSUPPORTED] > 0);
    char *want = results();

    struct fake again = { .scores = 1, .misreads = 1, .mumbles = 1 };
    again.stop_after = f.n_requests / 2;
    assert_int_equal(generate(&again, "weighed-parts"), ILAB_E_CANCEL);
    if (generate(&again, "weighed-parts")) fail_msg("%s", err.msg);
    assert_int_equal(again.n_scores, f.n_scores); /* scores are in the journal, too */
    char *got = results();
    assert_string_equal(got, want);
    mem_free(got);
    mem_free(want);
}

static int find_value(void *ud, int line, const json_t *v, ilab_err *e)
{
    (void)e, (void)line;
    const json_t *m = json_object_get(v, "messages");
    if (!strcmp(json_str(v, "kind"), "forward") && !strcmp(json_str(v, "value"), "900")) ((int *)ud)[1]++;
    if (!strcmp(json_str(v, "kind"), "statement")) assert_null(strstr(json_str(json_array_get(m, json_array_size(m) - 1), "content"), "--watts"));
    if (!strcmp(json_str(v, "kind"), "forward") && !strcmp(json_str(v, "value"), "kettles"))
        *(int *)ud += !strcmp(json_str(json_array_get(m, json_array_size(m) - 1), "content"), "Kettles.");
    return 0;
}

/* A value that begins a sentence in the document and stands inside of one in the answer; another that stands in code, which is no
 * sentence to teach. */
static void test_value_in_other_case(void **state)
{
    (void)state;
    struct fake f = { 0 };
    int found[2] = { 0 };
    RUN(test_dir, "mv", "tax", "tax-away");
    put("tax/knowledge/companies/kettles/qna.yaml", "version: 2\ncreated_by: me\ndomain: companies\ntask_description: Facts\nseed_examples:\n"
        "  - question: What does Torvik Lamps make?\n    answer: The main product of Torvik Lamps is kettles.\n"
        "  - question: Who is the director?\n    answer: Nobody.\n  - question: Who was the founder?\n    answer: Somebody.\n"
        "  - question: What is the town?\n    answer: Anywhere.\n  - question: What power has a kettle of Torvik Lamps?\n    answer: It has 900 watts.\n"
        "document:\n  repo: .\n  commit: HEAD\n  patterns: [\"*.md\"]\n");
    put("tax/knowledge/companies/kettles/a.md", "# Torvik Lamps\n\nKettles are the main product of Torvik Lamps.\n\n```\ntorvik --watts 900\n```\n");
    const int rc = generate(&f, "kettles");
    RUN(test_dir, "rm", "-r", "tax");
    RUN(test_dir, "mv", "tax-away", "tax");
    if (rc) fail_msg("%s", err.msg);
    if (json_read_lines(report.messages, 1 << 26, find_value, found, &err)) fail_msg("%s", err.msg);
    assert_true(found[0] > 0 && found[1] > 0);
}

/* ---- documents of every format ---- */

static const char FACTS[] = "version: 2\ncreated_by: me\ndomain: companies\ntask_description: Fakten\nseed_examples:\n"
                            "  - question: Wer gründete die Grünwald-Werke?\n    answer: Marta Engelund.\n"
                            "  - question: Wie viele Menschen beschäftigen die Grünwald-Werke?\n    answer: Es sind 1840.\n"
                            "  - question: Was haben die Gru\xCC\x88nwald-Werke in Künzelsau?\n    answer: Die Fertigung.\n"                  /* an item; ü in two code points */
                            "  - question: Welche Fläche haben die Grünwald-Werke?\n    answer: In der Stadt sind es 4200.\n"         /* a row of a table */
                            "  - question: An welchem Tag wurden die Grünwald-Werke gegründet?\n    answer: Am 5. Mai 1962.\n"        /* a footnote */
                            "document:\n  repo: %s\n  commit: HEAD\n  patterns: [\"%s\"]\n";
static const struct { const char *value, *window; } STATED[] = {
    { "Marta Engelund", "Die Grünwald-Werke wurden 1962 von Marta Engelund in Öhringen gegründet." }, { "1840", "Sie beschäftigen heute 1840 Menschen & bauen Straßenleuchten." },
    { "Fertigung", "Künzelsau: Fertigung" }, { "4200", "Standort: Öhringen; Fläche: 4200 m²; Eröffnet: 1962" }, { "5. Mai 1962", "Der Gründungstag war der 5. Mai 1962." },
};
struct cited { const char *document, *unit, *part; int first /* where the first fact stands */, seen[ARRAY_LEN(STATED)]; };

static int look_at_source(void *ud, int line, const json_t *v, ilab_err *e)
{
    (void)e, (void)line;
    struct cited *c = ud;
    const json_t *s = json_object_get(v, "source");
    assert_int_equal(!s, json_int(v, "fact", 0) < 0);
    if (!s) return 0;
    assert_string_equal(json_str(s, "document"), c->document);
    assert_true(json_int(s, c->unit, 0) > 0);
    if (c->part) assert_string_equal(json_str(s, "part"), c->part);
    for (size_t i = 0; i < ARRAY_LEN(STATED); i++) {
        if (strcmp(STATED[i].value, json_str(v, "value"))) continue;
        c->seen[i]++;
        if (i < 2) assert_int_equal(json_int(s, c->unit, 0), c->first);
        if (i < 3) assert_string_equal(json_str(s, "heading"), i < 2 ? "Geschichte" : "Geschichte > Standorte");
    }
    return 0;
}

/* Every chunk that is quoted has its facts as lines that can be read. */
static void look_at_chunks(size_t most_bytes)
{
    json_t *all = json_read_file(report.generated, 1 << 26, &err), *v;
    int seen[ARRAY_LEN(STATED)] = { 0 };
    size_t i;
    json_array_foreach(all, i, v)
    {
        const char *chunk = json_string_value(json_array_get(json_object_get(v, "document"), 0));
        assert_true(!chunk || strlen(chunk) <= most_bytes);
        for (size_t k = 0; chunk && k < ARRAY_LEN(STATED); k++) seen[k] += strstr(chunk, STATED[k].window) != NULL;
    }
    for (size_t k = 0; k < ARRAY_LEN(STATED); k++)
        if (!seen[k]) fail_msg("no chunk with: %s", STATED[k].window);
    json_decref(all);
}

static void test_documents_of_every_format(void **state)
{
    (void)state;
    enum { FOLDER, ONE_FILE, REPOSITORY, ADDRESS };
    static const struct { const char *file, *unit, *part; int first, from; } ROWS[] = {
        { "facts.md", "line", NULL, 7, FOLDER },        { "facts.txt", "line", NULL, 4, ONE_FILE },       { "facts.html", "line", NULL, 3, ADDRESS },
        { "facts.docx", "paragraph", NULL, 2, FOLDER }, { "facts.odt", "paragraph", NULL, 2, REPOSITORY }, { "facts.epub", "line", "OEBPS/text/kapitel 1.xhtml", 2, ADDRESS },
        { "facts.pdf", "page", NULL, 1, ONE_FILE },
    };
    setenv("ILAB_CACHE_DIR", at("cache"), 1);
    RUN(test_dir, "mkdir", "repository");
    GIT(at("repository"), "init", "-q");
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        char *bytes = NULL, from[600], to[64];
        size_t n = 0;
        snprintf(from, sizeof from, "tests/documents/%s", ROWS[i].file);
        if (file_read(from, 1 << 24, &bytes, &n, &err)) fail_msg("%s", err.msg);
        snprintf(to, sizeof to, "formats/knowledge/werke/%s", ROWS[i].file);
        put_n(to, bytes, n);
        snprintf(to, sizeof to, "repository/%s", ROWS[i].file);
        put_n(to, bytes, n);
        mem_free(bytes);
    }
    GIT(at("repository"), "add", ".");
    GIT(at("repository"), "commit", "-q", "-m", "documents");
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct fake f = { 0 };
        struct cited c = { .document = ROWS[i].file, .unit = ROWS[i].unit, .part = ROWS[i].part, .first = ROWS[i].first };
        char qna[4096], repo[600];
        if (ROWS[i].from == FOLDER) snprintf(repo, sizeof repo, ".");
        else if (ROWS[i].from == ONE_FILE) snprintf(repo, sizeof repo, "%s", ROWS[i].file);
        else snprintf(repo, sizeof repo, "%s%s", ROWS[i].from == ADDRESS ? "file://" : "", at("repository"));
        snprintf(qna, sizeof qna, FACTS, repo, ROWS[i].file);
        put("formats/knowledge/werke/qna.yaml", qna);
        print_message("%s from %s\n", ROWS[i].file, repo);
        const int rc = generate_by(&f, ROWS[i].file, "formats", 0);
        if (rc == ILAB_E_NOTFOUND && strstr(err.msg, "apt install")) {
            print_message("SKIP: a library or program of this format is not installed\n");
            continue;
        }
        if (rc) fail_msg("%s", err.msg);
        if (json_read_lines(report.messages, 1 << 26, look_at_source, &c, &err)) fail_msg("%s", err.msg);
        for (size_t k = 0; k < ARRAY_LEN(STATED); k++)
            if (!c.seen[k]) fail_msg("%s: '%s' is not taught", ROWS[i].file, STATED[k].value);
        look_at_chunks(1000);
    }
    /* InstructLab's chunks of characters under --compat: 208 of them, and the line that names the subject; places as before */
    struct fake f = { 0 };
    struct cited c = { .document = "facts.md", .unit = "line", .first = 7 };
    char qna[4096];
    snprintf(qna, sizeof qna, FACTS, ".", "facts.md");
    put("formats/knowledge/werke/qna.yaml", qna);
    if (generate_by(&f, "characters", "formats", 14)) fail_msg("%s", err.msg);
    if (json_read_lines(report.messages, 1 << 26, look_at_source, &c, &err)) fail_msg("%s", err.msg);
    look_at_chunks(208 + 160);
}

static void test_failing_disk(void **state)
{
    (void)state;
    struct fake f = { 0 };
    if (generate(&f, "good")) fail_msg("%s", err.msg);
    char *want = results(), path[64];
    const int n_requests = f.n_requests;
    struct rlimit old, lim;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    int failures = 0, rc = 1;
    f = (struct fake){ 0 };
    for (rlim_t bytes = 16 << 10; rc && bytes < 4 << 20; bytes += bytes / 4) {
        lim = (struct rlimit){ bytes, old.rlim_max };
        setrlimit(RLIMIT_FSIZE, &lim);
        rc = generate(&f, "full");
        setrlimit(RLIMIT_FSIZE, &old);
        if (!rc) break;
        failures++;
        assert_int_equal(rc, ILAB_E_IO);
        assert_has(err.msg, "cannot write");
        assert_has(err.msg, test_dir);
        assert_int_equal(count_files("full"), 0); /* nothing half-written, and no part of a generation */
    }
    assert_true(!rc && failures > 2);
    assert_true(f.n_requests <= n_requests + 128 * failures); /* the journal kept what could be written */
    char *got = results();
    assert_string_equal(got, want);
    mem_free(got);
    mem_free(want);

    put("regular-file", "x");
    snprintf(path, sizeof path, "%s", "regular-file/out");
    assert_true(generate(&f, path) < 0);
    assert_has(err.msg, "regular-file");
    assert_has(err.msg, "--output-dir");
    if (geteuid() != 0) {
        assert_int_equal(mkdir(at("closed"), 0555), 0);
        assert_int_equal(generate(&f, "closed"), ILAB_E_IO);
        assert_has(err.msg, "--output-dir");
    }
}

static void test_clear_errors(void **state)
{
    (void)state;
    struct fake f = { .fails = 1 };
    assert_int_equal(generate(&f, "fails"), ILAB_E_IO);
    assert_string_equal(err.msg, "the model is gone");
    f.fails = 0;
    put("tax/knowledge/companies/bad/qna.yaml", "version: 2\n");
    assert_int_equal(generate(&f, "bad"), ILAB_E_FORMAT);
    assert_has(err.msg, "taxonomy files with errors! Exiting.");
    put("tax/knowledge/companies/bad/qna.yaml", "# nothing\n");
    if (generate(&f, "with-empty")) fail_msg("%s", err.msg); /* an empty file is skipped */
    RUN(test_dir, "mv", "tax/knowledge/companies/torvik", "away");
    assert_int_equal(generate(&f, "none"), ILAB_E_NOTFOUND);
    assert_has(err.msg, "Nothing to generate");
    RUN(test_dir, "rm", "-r", "tax/knowledge/companies/bad");
    assert_int_equal(generate(&f, "none"), ILAB_E_NOTFOUND);
    assert_string_equal(err.msg, "Nothing to generate. Exiting.");
    RUN(test_dir, "mv", "away", "tax/knowledge/companies/torvik");
    RUN(test_dir, "mv", "tax/knowledge/companies/torvik/torvik.md", "away.md");
    assert_int_equal(generate(&f, "nodoc"), ILAB_E_NOTFOUND);
    assert_has(err.msg, "qna.yaml:17:1: Couldn't find knowledge documents");
    put("tax/knowledge/companies/torvik/torvik.md", "# Only a heading\n");
    assert_int_equal(generate(&f, "nodoc"), ILAB_E_FORMAT);
    assert_has(err.msg, "no sentence was found in the documents");
    put("tax/knowledge/companies/torvik/torvik.md", "It rains in a town far away from here.\n");
    assert_int_equal(generate(&f, "nodoc"), ILAB_E_NOTFOUND);
    assert_has(err.msg, "no fact was found");
    RUN(test_dir, "mv", "away.md", "tax/knowledge/companies/torvik/torvik.md");
    int lock;
    assert_int_equal(dir_lock(at("with-empty"), &lock, &err), 0);
    assert_int_equal(generate(&f, "with-empty"), ILAB_E_LIMIT);
    assert_has(err.msg, "another run");
    dir_unlock(lock);
}

int main(int argc, char **argv)
{
    const int child = document_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_and_layout),        cmocka_unit_test(test_items),        cmocka_unit_test(test_discards_have_reasons),
        cmocka_unit_test(test_interrupted_run_goes_on), cmocka_unit_test(test_weighed_questions), cmocka_unit_test(test_value_in_other_case),
        cmocka_unit_test(test_documents_of_every_format),
        cmocka_unit_test(test_failing_disk),            cmocka_unit_test(test_clear_errors),
    };
    return cmocka_run_group_tests(tests, setup, dir_teardown);
}
