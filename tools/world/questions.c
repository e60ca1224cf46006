/* questions.c — question sets in held-out wordings, and whole taxonomy folders drawn from a seed.
 *
 * Ordinary half: openers and predicates of the corpus in pairs that the corpus never has.  Reserved half: an opener or a
 * predicate that the corpus never has.  SPDX-License-Identifier: Apache-2.0 */
#include "data/prompts.h"
#include "tools/world/world.h"

#include <string.h>

enum { SET_MAX = 2000, KNOWN_FACTS = 5 };
struct question_set { struct file_out out; struct rng r; struct names names; const struct core *core; uint64_t seen[SET_MAX]; int n; struct sb q, a; };

static int set_open(struct question_set *s, const char *path, const struct core *core, uint64_t seed, ilab_err *e)
{
    memset(s, 0, sizeof *s);
    rng_seed(&s->r, seed ^ 0x9E57104Dull);
    s->names = (struct names){ .r = &s->r, .part = PARTITION_DOCUMENT };
    s->core = core;
    sb_init(&s->q, 1 << 16);
    sb_init(&s->a, 1 << 16);
    return file_create(&s->out, path, e);
}

static int set_close(struct question_set *s, ilab_err *e)
{
    sb_release(&s->q);
    sb_release(&s->a);
    return file_commit(&s->out, e);
}

/* A question that the set does not have yet, into s->q. */
static int fresh_question(struct question_set *s, struct question_spec *spec)
{
    for (int tries = 0; tries < 200; tries++) {
        sb_reset(&s->q);
        if (!question(&s->r, &s->q, spec))
            continue;
        uint64_t h = hash64(s->q.p, s->q.n, 3);
        int again = s->n >= SET_MAX;
        for (int i = 0; i < s->n; i++)
            again |= s->seen[i] == h;
        if (again)
            continue;
        s->seen[s->n++] = h;
        return 1;
    }
    return 0;
}

static void put(struct question_set *s, const char *reference, const char *kind, const char *half, const char *group, const char *fact)
{
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addc(&b, "{\"user_input\": ");
    sb_add_json_str(&b, (struct sv){ s->q.p, s->q.n });
    sb_addc(&b, ", \"reference\": ");
    sb_add_json_str(&b, sv_of(reference));
    const char *const extra[][2] = { { "kind", kind }, { "half", half }, { "group", group }, { "fact", fact } };
    for (size_t i = 0; i < ARRAY_LEN(extra); i++)
        if (extra[i][1]) {
            sb_addf(&b, ", \"%s\": ", extra[i][0]);
            sb_add_json_str(&b, sv_of(extra[i][1]));
        }
    sb_addc(&b, "}\n");
    file_put(&s->out, b.p, b.n);
    sb_release(&b);
}

/* ---- retention: facts of the core ---- */
static void put_retention(struct question_set *s, int n)
{
    for (int made = 0; made < n;) {
        const struct core_entity *ce = &s->core->v[rng_below(&s->r, (uint32_t)s->core->n)];
        const struct fact *f = &ce->fact[rng_below(&s->r, (uint32_t)ce->n_fact)];
        struct question_spec spec = { .f = f, .e = &ce->e, .wording = WORDING_HELD, .with_year = chance(&s->r, 50) };
        if (chance(&s->r, 12) && core_value_unique(s->core, f))
            spec.dir = ASK_ENTITY;
        if (!fresh_question(s, &spec))
            continue;
        sb_reset(&s->a);
        answer_value(&s->a, spec.dir == ASK_ENTITY ? ce->e.name : f->value);
        put(s, s->a.p, "retention", NULL, NULL, fact_relation(f)->key);
        made++;
    }
}

int questions_write(const char *path, const struct core *core, uint64_t seed, const char *kind, int n, ilab_err *err)
{
    struct question_set s;
    if (strcmp(kind, "retention") != 0)
        return err_set(err, ILAB_E_INVALID, "no kind '%s'; retention or example", kind);
    if (n > SET_MAX)
        return err_set(err, ILAB_E_LIMIT, "at most %d questions", SET_MAX);
    if (set_open(&s, path, core, seed, err))
        return err->code;
    put_retention(&s, n);
    return set_close(&s, err);
}

/* ---- one taught entity ---- */
struct taught { struct entity e; struct fact fact[FACTS_MAX]; int n_fact; };

/* 20 a fact when there are five: half in unseen pairs, a quarter each with a reserved opener and a reserved predicate. */
static void put_recall(struct question_set *s, const struct taught *t, int n)
{
    for (int i = 0; i < n; i++) {
        const struct fact *f = &t->fact[i % t->n_fact];
        int round = i / t->n_fact;
        struct question_spec spec = { .f = f, .e = &t->e, .wording = round % 2 ? WORDING_RESERVED : WORDING_HELD, .opener_reserved = round % 4 == 1, .with_year = chance(&s->r, 60) };
        if (!fresh_question(s, &spec))
            continue;
        sb_reset(&s->a);
        answer_value(&s->a, f->value);
        char noun[64];
        noun_of(f, noun, sizeof noun);
        put(s, s->a.p, "recall", round % 2 ? "reserved" : "ordinary", NULL, fact_relation(f)->key ? fact_relation(f)->key : noun);
    }
}

/* A name that nobody was told of: near the taught one, or fresh, of its type mostly. */
static void unknown_name(struct question_set *s, const struct taught *t, int i, struct entity *e, struct fact *f)
{
    *f = t->fact[i % t->n_fact];
    *e = t->e;
    e->alias[0] = 0;
    if (i % 5 < 2) {
        do
            name_perturb(&s->names, t->e.name, e->name, sizeof e->name);
        while (!strcmp(e->name, t->e.name) || core_has_name(s->core, e->name));
    } else if (i % 5 < 4) {
        fresh_entity(&s->names, s->core, t->e.type, e);
    } else {
        static const int other[] = { TYPE_PERSON, TYPE_TOWN, TYPE_COMPANY, TYPE_PERSON, TYPE_RIVER, TYPE_UNIVERSITY };
        fresh_entity(&s->names, s->core, other[(i / 5) % (int)ARRAY_LEN(other)], e);
        const struct type_info *ti = &type_table[e->type];
        fact_make(&s->names, &relation_table[ti->first_relation + (int)rng_below(&s->r, (uint32_t)ti->n_relation)], f);
        f->noun = f->verb = 0;
    }
}

static void put_unknown(struct question_set *s, const struct taught *t, int n_name, int n_attribute)
{
    for (int i = 0; i < n_name; i++) {
        struct entity e;
        struct fact f;
        unknown_name(s, t, i, &e, &f);
        struct question_spec spec = { .f = &f, .e = &e, .wording = i % 2 ? WORDING_RESERVED : WORDING_HELD, .opener_reserved = i % 4 == 1, .with_year = chance(&s->r, 60) };
        if (fresh_question(s, &spec))
            put(s, PHRASE_UNKNOWN, "unknown", NULL, "unknown_name", NULL);
    }
    const struct fact *have[FACTS_MAX + 1];
    struct fact town = { .rel = NULL };
    int n = 0;
    for (int i = 0; i < t->n_fact; i++)
        have[n++] = &t->fact[i];
    for (int i = 0; i < n_relation; i++)               /* the document may speak of the town */
        if (relation_table[i].key && !strcmp(relation_table[i].key, "university_town"))
            town.rel = &relation_table[i];
    have[n++] = &town;
    for (int i = 0; i < n_attribute; i++) {
        struct fact f;
        if (!missing_relation(&s->r, t->e.type, have, n, &f, &s->names))
            continue;
        f.noun = f.verb = 0;
        struct question_spec spec = { .f = &f, .e = &t->e, .wording = i % 2 ? WORDING_RESERVED : WORDING_HELD, .opener_reserved = i % 4 == 1, .with_year = 0 };
        if (fresh_question(s, &spec))
            put(s, PHRASE_UNKNOWN, "unknown", NULL, "unknown_attribute", NULL);
    }
}

int example_questions_write(const char *path, const struct core *core, uint64_t seed, ilab_err *err)
{
    static const struct { const char *key, *value; int year; } known[KNOWN_FACTS] = { { "chancellor", "Dr. Stephan Becker", 0 }, { "university_founded", "1969", 0 }, { "students", "24,255", 2017 },
        { "administrative_staff", "1,100", 2017 }, { "academic_staff", "1,387", 2017 } };
    struct taught t = { .e = { .type = TYPE_UNIVERSITY, .name = "Bielefeld University" }, .n_fact = KNOWN_FACTS };
    struct question_set s;
    for (int i = 0; i < KNOWN_FACTS; i++) {
        t.fact[i] = (struct fact){ .rel = relation_named(known[i].key), .year = known[i].year };
        snprintf(t.fact[i].value, sizeof t.fact[i].value, "%s", known[i].value);
    }
    if (set_open(&s, path, core, seed, err))
        return err->code;
    put_recall(&s, &t, 100);
    put_unknown(&s, &t, 150, 50);
    put_retention(&s, 400);
    return set_close(&s, err);
}

/* ---- a whole folder ---- */
static void slug(const char *name, char *out, size_t cap)
{
    size_t n = 0;
    for (; *name && n + 1 < cap; name++)
        if ((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z'))
            out[n++] = (char)(*name | 32);
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    while (n && out[n - 1] == '_')
        n--;
    out[n] = 0;
}

static void taught_make(struct question_set *s, int type, int lacking, struct taught *t)
{
    static const char *const best[][KNOWN_FACTS] = { [TYPE_UNIVERSITY] = { "chancellor", "university_founded", "students", "administrative_staff", "academic_staff" },
        [TYPE_COMPANY] = { "director", "company_founded", "employees", "product", "turnover" }, [TYPE_RIVER] = { "river_length", "source", "mouth", "bridges", "river_depth" } };
    memset(t, 0, sizeof *t);
    do
        fresh_entity(&s->names, s->core, type, &t->e);
    while (strlen(t->e.name) > 30);
    const struct type_info *ti = &type_table[type];
    for (t->n_fact = 0; t->n_fact < KNOWN_FACTS; t->n_fact++) {
        struct fact *f = &t->fact[t->n_fact];
        struct relation open;
        const struct relation *rel = &relation_table[ti->first_relation + t->n_fact];
        if (lacking) {
            open_lacking_relation(t->n_fact % n_open_lacking(), &open);
            rel = &open;
        } else if ((size_t)type < ARRAY_LEN(best) && best[type][0]) {
            rel = relation_named(best[type][t->n_fact]);
        }
        int unique;
        do {
            fact_make(&s->names, rel, f);
            unique = 1;
            for (int i = 0; i < t->n_fact; i++)
                unique &= strcmp(t->fact[i].value, f->value) != 0;
        } while (!unique);
        f->noun = f->verb = 0;
        if (f->year)
            f->year = t->n_fact > 0 && t->fact[t->n_fact - 1].year ? t->fact[t->n_fact - 1].year : between(&s->r, 2001, 2024);
    }
}

static int write_document(const char *path, struct question_set *s, const struct taught *t, ilab_err *err)
{
    static const char *const closing[] = { "The page was last changed in spring.", "More can be read in the local newspaper.", "Visitors are welcome.", "The text was written for this collection." };
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "# %s\n\n", t->e.name);
    for (int i = 0; i < t->n_fact; i++) {
        statement(&s->r, &b, &t->fact[i], &t->e, REF_NAME);
        sb_addc(&b, i % 2 ? ".\n\n" : ". ");
    }
    sb_addf(&b, "%s\n", closing[rng_below(&s->r, ARRAY_LEN(closing))]);
    int code = file_write(path, b.p, b.n, err);
    sb_release(&b);
    return code;
}

/* What people write into a qna.yaml: "Who …?", "How many …?" */
static int plain_question(const char *q)
{
    static const char *const start[] = { "Who ", "What ", "When ", "How ", "Where ", "In ", "Which " };
    size_t n = strlen(q);
    for (size_t i = 0; i < ARRAY_LEN(start); i++)
        if (!strncmp(q, start[i], strlen(start[i])))
            return n < 90 && q[n - 1] == '?';
    return 0;
}

static int write_qna(const char *path, struct question_set *s, const struct taught *t, const char *file, ilab_err *err)
{
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "---\nversion: 2\ncreated_by: world\ndomain: %s\ntask_description: 'Facts about %s'\nseed_examples:\n", type_table[t->e.type].noun, t->e.type == TYPE_RIVER ? "a river" : "an institution");
    for (int i = 0; i < t->n_fact; i++) {
        struct question_spec spec = { .f = &t->fact[i], .e = &t->e, .wording = WORDING_CORPUS, .with_year = 1 };
        do
            sb_reset(&s->q);
        while (!question(&s->r, &s->q, &spec) || !plain_question(s->q.p));
        sb_reset(&s->a);
        statement_canonical(&s->a, &t->fact[i], &t->e, NULL);
        sb_addc(&b, "  - question: ");
        sb_add_json_str(&b, (struct sv){ s->q.p, s->q.n });
        sb_addc(&b, "\n    answer: ");
        sb_add_json_str(&b, (struct sv){ s->a.p, s->a.n });
        sb_addch(&b, '\n');
    }
    sb_addf(&b, "document:\n  repo: ../documents\n  commit: HEAD\n  patterns:\n    - %s\n", file);
    int code = file_write(path, b.p, b.n, err);
    sb_release(&b);
    return code;
}

/* dir/taxonomy/knowledge/drawn/<name>/{qna.yaml,attribution.txt}, dir/documents/<name>.md, dir/questions.jsonl */
int document_write(const char *dir, const struct core *core, int type, int lacking, uint64_t seed, ilab_err *err)
{
    struct question_set s;
    struct taught t;
    char name[NAME_MAX_BYTES], leaf[512], path[1024], file[NAME_MAX_BYTES + 8];
    if (strlen(dir) > 300)
        return err_set(err, ILAB_E_LIMIT, "folder name too long");
    snprintf(path, sizeof path, "%s/documents", dir);
    if (dir_make(path, err))
        return err->code;
    snprintf(path, sizeof path, "%s/questions.jsonl", dir);
    if (set_open(&s, path, core, seed * 31 + (uint64_t)type + (lacking ? 977 : 0), err))
        return err->code;
    taught_make(&s, type, lacking, &t);
    slug(t.e.name, name, sizeof name);
    put_recall(&s, &t, 100);
    put_unknown(&s, &t, 150, 50);
    snprintf(file, sizeof file, "%s.md", name);
    snprintf(leaf, sizeof leaf, "%s/taxonomy/knowledge/%s/%s", dir, type_table[type].noun, name);
    int code = dir_make(leaf, err);
    snprintf(path, sizeof path, "%s/documents/%s", dir, file);
    if (!code)
        code = write_document(path, &s, &t, err);
    snprintf(path, sizeof path, "%s/qna.yaml", leaf);
    if (!code)
        code = write_qna(path, &s, &t, file, err);
    snprintf(path, sizeof path, "%s/attribution.txt", leaf);
    struct sb b;
    sb_init(&b, 4096);
    sb_addf(&b, "Title of work: %s\nLink to work: documents/%s\nLicense of the work: Apache-2.0\nCreator names: tools/world\n", t.e.name, file);
    if (!code)
        code = file_write(path, b.p, b.n, err);
    sb_release(&b);
    if (code) {
        file_abandon(&s.out);
        return code;
    }
    return set_close(&s, err);
}
