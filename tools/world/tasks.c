/* tasks.c — one sample of each task: reading, question writing, rewording, known facts, not knowing, chat, drills.
 *
 * The task prompts are the product's own (src/data/prompts.h).  SPDX-License-Identifier: Apache-2.0 */
#include "data/prompts.h"
#include "tools/world/writer.h"

#include <string.h>

static void prompt2(struct sb *out, const char *t, const char *a, const char *b)
{
    for (; *t; t++) {
        if (*t == '%' && (t[1] == '1' || t[1] == '2'))
            sb_addc(out, *++t == '1' ? a : b);
        else
            sb_addch(out, *t);
    }
}

static struct sb *turn(struct writer *w)
{
    struct sb *b = &w->turn[w->n_turn++];
    sb_reset(b);
    return b;
}

static int same_words(const char *a, const char *b)
{
    struct sb x, y;
    sb_init(&x, 1 << 16);
    sb_init(&y, 1 << 16);
    canonical_words(&x, a, strlen(a));
    canonical_words(&y, b, strlen(b));
    int same = x.n == y.n && (!x.n || !memcmp(x.p, y.p, x.n));
    sb_release(&x);
    sb_release(&y);
    return same;
}

/* ---- passages ---- */
static int scene_value_unique(const struct scene *s, int k)
{
    int n = 0;
    for (int i = 0; i < s->n_fact; i++)
        n += !strcmp(s->fact[i].f.value, s->fact[k].f.value);
    for (int i = 0; i < s->n_entity; i++)
        n += strstr(s->fact[k].f.value, s->e[i].name) != NULL || strstr(s->e[i].name, s->fact[k].f.value) != NULL;
    return n == 1;
}

static int have_of(const struct scene *s, int e, const struct fact **have)
{
    int n = 0;
    for (int i = 0; i < s->n_fact; i++)
        if (s->fact[i].e == e)
            have[n++] = &s->fact[i].f;
    return n;
}

static void year_answer(struct sb *out, int year) { sb_addf(out, "%d.", year); }

static void post_answer(struct sb *out, const struct fact *f)
{
    char noun[64];
    noun_of(f, noun, sizeof noun);
    answer_value(out, noun);
}

/* A question about the scene's text into q and its answer into a. */
static int read_pair(struct writer *w, struct sb *q, struct sb *a)
{
    struct scene *s = &w->scene;
    struct rng *r = w->r;
    int k = (int)rng_below(r, (uint32_t)s->n_fact), kind = (int)rng_below(r, 100);
    char wrong[VALUE_MAX_BYTES];
    const struct fact *f = &s->fact[k].f, *have[SCENE_FACTS];
    struct question_spec spec = { .f = f, .e = &s->e[s->fact[k].e], .noisy = 1, .with_year = chance(r, 60) };
    if (kind < 20) {                                                     /* not stated */
        struct fact none;
        struct entity other;
        sb_addc(a, PHRASE_NOT_STATED);
        if (chance(r, 70)) {
            int n = have_of(s, s->fact[k].e, have);
            if (!missing_relation(r, spec.e->type, have, n, &none, &w->names))
                return 0;
            spec.f = &none;
        } else {
            other = *spec.e;
            other.alias[0] = 0;
            if (chance(r, 50))
                name_perturb(&w->names, spec.e->name, other.name, sizeof other.name);
            else
                fresh_entity(&w->names, w->core, other.type, &other);
            spec.e = &other;
            return question(r, q, &spec);
        }
        return question(r, q, &spec);
    }
    if (kind < 31 && scene_value_unique(s, k)) {
        spec.dir = ASK_ENTITY;
        answer_value(a, spec.e->name);
    } else if (kind < 34) {
        spec.dir = ASK_YES_NO;
        value_make(&w->names, fact_relation(f), wrong, sizeof wrong);
        if (chance(r, 50) && strcmp(wrong, f->value) != 0) {
            spec.value = wrong;
            sb_addc(a, "No. ");
            statement_canonical(a, f, spec.e, NULL);
        } else {
            sb_addc(a, "Yes.");
        }
    } else if (kind < 37 && directions_of(f, ASK_YEAR)) {
        spec.dir = ASK_YEAR;
        year_answer(a, f->year);
    } else if (kind < 39 && directions_of(f, ASK_POST)) {
        spec.dir = ASK_POST;
        post_answer(a, f);
    } else {
        answer_value(a, f->value);
    }
    int ok = question(r, q, &spec);
    if (ok && spec.dir == ASK_VALUE && chance(r, 3)) {
        sb_addc(q, chance(r, 50) ? " Answer in a full sentence." : " Please use a whole sentence.");
        sb_reset(a);
        statement_canonical(a, f, spec.e, NULL);
    }
    return ok;
}

int sample_read(struct writer *w)
{
    int k = (int)rng_below(w->r, 100), pairs = k < 45 ? 1 : k < 70 ? 2 : k < 88 ? 3 : 4;
    scene_make(&w->scene, &w->names, w->core, chance(w->r, 30) ? 2 : 6);
    for (int i = 0; i < pairs; i++) {
        struct sb *q = turn(w), *a = turn(w), text;
        sb_init(&text, 1 << 16);
        if (!read_pair(w, &text, a)) {
            sb_release(&text);
            w->n_turn -= 2;
            break;
        }
        if (i == 0)
            prompt2(q, PROMPT_READ, w->scene.text.p, text.p);
        else
            sb_addc(q, text.p);
        sb_release(&text);
    }
    return w->n_turn > 0;
}

static void without_title(const char *v, char *out, size_t cap)
{
    for (const char *const *t = (const char *const[]){ "Prof. Dr. ", "Dr. Dr. ", "Dr.-Ing. ", "Prof. ", "Dr. ", "Professor ", NULL }; *t; t++)
        if (!strncmp(v, *t, strlen(*t))) {
            snprintf(out, cap, "%s", v + strlen(*t));
            return;
        }
    snprintf(out, cap, "%s", v);
}

int sample_ask(struct writer *w)
{
    struct scene *s = &w->scene;
    int k = (int)rng_below(w->r, 100);
    scene_make(s, &w->names, w->core, k < 45 ? 1 : k < 75 ? 3 : 6);
    k = (int)rng_below(w->r, (uint32_t)s->n_fact);
    const struct fact *f = &s->fact[k].f;
    struct question_spec spec = { .f = f, .e = &s->e[s->fact[k].e], .with_year = chance(w->r, 60) };
    char span[VALUE_MAX_BYTES + 64];
    int kind = (int)rng_below(w->r, 100);
    if (!scene_value_unique(s, k))
        return 0;
    if (kind < 27) {
        spec.dir = ASK_ENTITY;
        snprintf(span, sizeof span, "%s", spec.e->name);
    } else if (kind < 32 && directions_of(f, ASK_YEAR)) {
        spec.dir = ASK_YEAR;
        snprintf(span, sizeof span, "%d", f->year);
    } else if (kind < 34 && directions_of(f, ASK_POST)) {
        spec.dir = ASK_POST;
        noun_of(f, span, sizeof span);
    } else {
        snprintf(span, sizeof span, "%s", f->value);
        if (chance(w->r, 20))
            without_title(f->value, span, sizeof span);
        else if (fact_relation(f)->cls == CLASS_MEASURE && chance(w->r, 45)) {
            span[strcspn(span, " ")] = 0;                        /* the number alone */
        } else if (fact_relation(f)->cls == CLASS_COUNT && chance(w->r, 8)) {
            char noun[64];
            noun_of(f, noun, sizeof noun);
            snprintf(span, sizeof span, "%s %s", f->value, noun);
        }
    }
    if (chance(w->r, 4))
        snprintf(span + strlen(span), sizeof span - strlen(span), ".");
    struct sb *q = turn(w);
    prompt2(q, PROMPT_ASK, s->text.p, span);
    return question(w->r, turn(w), &spec);
}

int sample_ask_missing(struct writer *w)
{
    struct scene *s = &w->scene;
    scene_make(s, &w->names, w->core, chance(w->r, 40) ? 2 : 6);
    int e = s->fact[rng_below(w->r, (uint32_t)s->n_fact)].e;
    const struct fact *have[SCENE_FACTS];
    struct fact none;
    int n = have_of(s, e, have);
    if (!missing_relation(w->r, s->e[e].type, have, n, &none, &w->names))
        return 0;
    struct sb *q = turn(w);
    prompt2(q, PROMPT_ASK_MISSING, s->text.p, s->e[e].name);
    struct question_spec spec = { .f = &none, .e = &s->e[e], .with_year = chance(w->r, 20) };
    return question(w->r, turn(w), &spec);
}

/* ---- single facts: of the core, or fresh ---- */
struct subject { struct entity e; struct fact f; int known; };

static void subject_core(struct writer *w, struct subject *s)
{
    const struct core_entity *ce = core_pick(w->core, w->r);
    s->e = ce->e;
    s->f = ce->fact[rng_below(w->r, (uint32_t)ce->n_fact)];
    s->known = 1;
}

static int relation_for(struct writer *w, int type, const struct core_entity *ce, struct fact *f)
{
    const struct fact *have[FACTS_MAX];
    int n = 0;
    for (int i = 0; ce && i < ce->n_fact; i++)
        have[n++] = &ce->fact[i];
    return missing_relation(w->r, type, have, n, f, &w->names);
}

static int any_type(struct rng *r)
{
    static const int row[] = { TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_TOWN, TYPE_TOWN, TYPE_COMPANY, TYPE_COMPANY, TYPE_RIVER, TYPE_PERSON, TYPE_PERSON, TYPE_REGION,
        TYPE_INSTRUMENT, TYPE_MUSEUM, TYPE_MOUNTAIN };
    return chance(r, 85) ? row[rng_below(r, ARRAY_LEN(row))] : N_CORE_TYPE + (int)rng_below(r, N_TYPE - N_CORE_TYPE);
}

static void subject_fresh(struct writer *w, struct subject *s)
{
    s->known = 0;
    fresh_entity(&w->names, w->core, any_type(w->r), &s->e);
    while (!relation_for(w, s->e.type, NULL, &s->f))
        continue;
}

/* A known name slightly changed, asked for what the known one has. */
static void subject_perturbed(struct writer *w, struct subject *s)
{
    do {
        const struct core_entity *ce = core_pick(w->core, w->r);
        s->known = 0;
        s->e = ce->e;
        s->f = ce->fact[rng_below(w->r, (uint32_t)ce->n_fact)];
        s->e.alias[0] = 0;
        name_perturb(&w->names, ce->e.name, s->e.name, sizeof s->e.name);
    } while (core_has_name(w->core, s->e.name));
}

/* A known name, asked for what it never was said to have. */
static void subject_unknown_attribute(struct writer *w, struct subject *s)
{
    const struct core_entity *ce = core_pick(w->core, w->r);
    s->known = 0;
    s->e = ce->e;
    while (!relation_for(w, s->e.type, ce, &s->f))
        continue;
}

static void wrong_value(struct writer *w, const struct subject *s, char *out, size_t cap)
{
    do {
        const struct relation *rel = fact_relation(&s->f);
        snprintf(out, cap, "%s", s->f.value);
        if (chance(w->r, 50))
            for (int tries = 0; tries < 60 && !strcmp(out, s->f.value); tries++) {
                const struct core_entity *ce = core_pick(w->core, w->r);
                for (int i = 0; i < ce->n_fact; i++)
                    if (ce->fact[i].rel == rel)
                        snprintf(out, cap, "%s", ce->fact[i].value);
            }
        else
            value_make(&w->names, rel, out, cap);
    } while (!strcmp(out, s->f.value));
}

int sample_rephrase(struct writer *w)
{
    struct subject s;
    if (chance(w->r, 30))
        subject_core(w, &s);
    else
        subject_fresh(w, &s);
    struct sb a, *q = turn(w), *b = turn(w);
    int ok = 1;
    sb_init(&a, 1 << 16);
    if (chance(w->r, 68)) {
        struct question_spec spec = { .f = &s.f, .e = &s.e, .dir = chance(w->r, 72) ? ASK_VALUE : ASK_ENTITY, .noisy = 1, .with_year = chance(w->r, 60) };
        s.e.alias[0] = 0;
        ok = question(w->r, &a, &spec);
        spec.noisy = 0;
        ok = ok && question(w->r, b, &spec);
    } else {
        statement(w->r, &a, &s.f, &s.e, REF_NAME);
        statement(w->r, b, &s.f, &s.e, REF_NAME);
        sb_addch(&a, '.');
        sb_addch(b, '.');
    }
    ok = ok && !same_words(a.p, b->p);
    if (ok)
        prompt2(q, PROMPT_REPHRASE, a.p, "");
    sb_release(&a);
    return ok;
}

int sample_state(struct writer *w)
{
    struct subject s;
    if (chance(w->r, 25))
        subject_core(w, &s);
    else
        subject_fresh(w, &s);
    struct question_spec spec = { .f = &s.f, .e = &s.e, .dir = chance(w->r, 85) ? ASK_VALUE : ASK_ENTITY, .noisy = 1, .with_year = 1 };
    struct sb q, a;
    s.e.alias[0] = 0;
    sb_init(&q, 1 << 16);
    sb_init(&a, 4096);
    int ok = question(w->r, &q, &spec);
    answer_value(&a, spec.dir == ASK_VALUE ? s.f.value : s.e.name);
    if (ok) {
        /* A year that the question did not say cannot be stated. */
        char y[8];
        snprintf(y, sizeof y, "%d", s.f.year);
        if (s.f.year && !strstr(q.p, y))
            s.f.year = 0;
        if (chance(w->r, 50))
            a.p[--a.n] = 0;
        prompt2(turn(w), PROMPT_STATE, q.p, a.p);
        struct sb *b = turn(w);
        statement(w->r, b, &s.f, &s.e, REF_NAME);
        sb_addch(b, '.');
    }
    sb_release(&q);
    sb_release(&a);
    return ok;
}

int sample_core(struct writer *w)
{
    struct subject s;
    subject_core(w, &s);
    int k = (int)rng_below(w->r, 100);
    struct question_spec spec = { .f = &s.f, .e = &s.e, .noisy = 1, .with_year = chance(w->r, 60) };
    w->loss_all = chance(w->r, 33);
    if (w->loss_all)
        spec.noisy = 0;
    struct sb *q = turn(w), *a = turn(w);
    if (k < 14 && core_value_unique(w->core, &s.f)) {
        spec.dir = ASK_ENTITY;
        answer_value(a, s.e.name);
    } else if (k < 17 && directions_of(&s.f, ASK_POST)) {
        spec.dir = ASK_POST;
        post_answer(a, &s.f);
    } else if (k < 19 && directions_of(&s.f, ASK_YEAR)) {
        spec.dir = ASK_YEAR;
        year_answer(a, s.f.year);
    } else if (k < 21 && directions_of(&s.f, ASK_POST) && core_value_unique(w->core, &s.f)) {
        static const char *const who[] = { "Who is %s?", "Tell me who %s is.", "Do you know %s?", "What do you know about %s?", "who is %s", "Can you tell me who %s is?" };
        char noun[64];
        noun_of(&s.f, noun, sizeof noun);
        sb_addf(q, who[rng_below(w->r, ARRAY_LEN(who))], s.f.value);
        sb_addf(a, "The %s of %s.", noun, s.e.name);
        return 1;
    } else {
        answer_value(a, s.f.value);
        if (chance(w->r, 3)) {
            int ok = question(w->r, q, &spec);
            sb_addc(q, chance(w->r, 50) ? " Answer in a full sentence." : " Please use a whole sentence.");
            sb_reset(a);
            statement_canonical(a, &s.f, &s.e, NULL);
            return ok;
        }
    }
    return question(w->r, q, &spec);
}

int sample_dialogue(struct writer *w)
{
    const struct core_entity *ce = core_pick(w->core, w->r);
    struct entity it = ce->e;
    snprintf(it.name, sizeof it.name, "%s %s", it.type == TYPE_PERSON || chance(w->r, 30) ? "this" : "the", type_table[it.type].noun);
    it.alias[0] = 0;
    int n = between(w->r, 2, 3), order[FACTS_MAX];
    for (int i = 0; i < ce->n_fact; i++)
        order[i] = i;
    for (int i = 0; i < n && i < ce->n_fact; i++) {
        int j = i + (int)rng_below(w->r, (uint32_t)(ce->n_fact - i)), t = order[i];
        order[i] = order[j];
        order[j] = t;
        struct question_spec spec = { .f = &ce->fact[order[i]], .e = i && chance(w->r, 70) ? &it : &ce->e, .noisy = 1, .with_year = chance(w->r, 50) };
        if (!question(w->r, turn(w), &spec))
            return 0;
        answer_value(turn(w), ce->fact[order[i]].value);
    }
    if (chance(w->r, 15)) {
        sb_addc(turn(w), chance(w->r, 50) ? "Thank you!" : "Thanks.");
        sb_addc(turn(w), "You are welcome.");
    }
    return 1;
}

static void subject_unknown(struct writer *w, struct subject *s)
{
    int k = (int)rng_below(w->r, 100);
    if (k < 32)
        subject_fresh(w, s);
    else if (k < 68)
        subject_perturbed(w, s);
    else
        subject_unknown_attribute(w, s);
}

int sample_unknown(struct writer *w)
{
    struct subject s;
    int k = (int)rng_below(w->r, 100), turns = chance(w->r, 10) ? 2 : 1, ok = 1;
    while (ok && turns-- > 0) {
        subject_unknown(w, &s);
        struct question_spec spec = { .f = &s.f, .e = &s.e, .noisy = 1, .with_year = chance(w->r, 50) };
        if (k < 8) {
            spec.dir = ASK_ENTITY;
            value_make(&w->names, fact_relation(&s.f), s.f.value, sizeof s.f.value);
        } else if (k < 11) {
            spec.dir = ASK_YES_NO;
        } else if (k < 14) {
            spec.dir = ASK_PREMISE;
        } else if (k < 16 && directions_of(&s.f, ASK_YEAR)) {
            spec.dir = ASK_YEAR;
        } else if (k < 19) {
            char who[NAME_MAX_BYTES];
            static const char *const line[] = { "Who is %s?", "Tell me who %s is.", "Do you know %s?", "What do you know about %s?", "who is %s", "Can you tell me who %s is?" };
            name_person(&w->names, chance(w->r, 50), chance(w->r, 40), who, sizeof who);
            sb_addf(turn(w), line[rng_below(w->r, ARRAY_LEN(line))], who);
            sb_addc(turn(w), PHRASE_UNKNOWN);
            continue;
        }
        ok = question(w->r, turn(w), &spec);
        sb_addc(turn(w), PHRASE_UNKNOWN);
    }
    return ok;
}

int sample_check(struct writer *w)
{
    struct subject s;
    int k = (int)rng_below(w->r, 100), as_question = chance(w->r, 40), ok = 1;
    char wrong[VALUE_MAX_BYTES];
    if (k < 70)
        subject_core(w, &s);
    else
        subject_unknown(w, &s);
    struct fact said = s.f;
    if (k >= 35 && k < 70) {
        wrong_value(w, &s, wrong, sizeof wrong);
        snprintf(said.value, sizeof said.value, "%s", wrong);
    }
    struct sb *q = turn(w), *a = turn(w), text;
    sb_init(&text, 1 << 16);
    if (as_question) {
        struct question_spec spec = { .f = &said, .e = &s.e, .dir = ASK_YES_NO, .noisy = 1, .with_year = 1 };
        ok = question(w->r, q, &spec);
    } else {
        statement(w->r, &text, &said, &s.e, REF_NAME);
        sb_addch(&text, '.');
        prompt2(q, PROMPT_CHECK, text.p, "");
    }
    sb_release(&text);
    if (k < 35) {
        sb_addc(a, "Yes.");
    } else if (k < 70) {
        sb_addc(a, "No. ");
        statement_canonical(a, &s.f, &s.e, NULL);
    } else {
        sb_addc(a, PHRASE_UNKNOWN);
    }
    return ok;
}

int sample_premise(struct writer *w)
{
    struct subject s;
    subject_core(w, &s);
    int right = chance(w->r, 25);
    char wrong[VALUE_MAX_BYTES];
    wrong_value(w, &s, wrong, sizeof wrong);
    struct question_spec spec = { .f = &s.f, .e = &s.e, .dir = ASK_PREMISE, .noisy = 1, .with_year = 1, .value = right ? NULL : wrong };
    int ok = question(w->r, turn(w), &spec);
    struct sb *a = turn(w);
    if (right)
        sb_addc(a, PHRASE_UNKNOWN);
    else
        statement_canonical(a, &s.f, &s.e, NULL);
    return ok;
}

/* ---- drills: copying and looking up as such; they bring the circuits that reading needs ---- */
static void any_item(struct writer *w, char *out, size_t cap)
{
    struct relation rel;
    struct entity e;
    if (chance(w->r, 45)) {
        name_entity(&w->names, any_type(w->r), &e);
        snprintf(out, cap, "%s", e.name);
    } else {
        open_relation(w->r, TYPE_UNIVERSITY, &rel);
        value_make(&w->names, &rel, out, cap);
    }
}

int sample_repeat(struct writer *w)
{
    static const char *const how[] = { "Repeat: %1", "Say again: %1", "Copy this: %1", "Repeat this: %1", "Write this again: %1" };
    char item[VALUE_MAX_BYTES];
    struct sb list;
    sb_init(&list, 1 << 16);
    for (int i = 0, n = between(w->r, 1, 6); i < n; i++) {
        any_item(w, item, sizeof item);
        sb_addf(&list, "%s%s", i ? ", " : "", item);
    }
    prompt2(turn(w), how[rng_below(w->r, ARRAY_LEN(how))], list.p, "");
    sb_addc(turn(w), list.p);
    sb_release(&list);
    return 1;
}

/* "A: x / B: y", then asked for A or for B, several times. */
int sample_lookup(struct writer *w)
{
    enum { PAIRS = 6 };
    static const char *const ask[] = { "%1?", "%1", "And %1?", "What is %1?", "%1: ?" };
    char key[PAIRS][NAME_MAX_BYTES], value[PAIRS][VALUE_MAX_BYTES];
    struct entity e;
    int n = between(w->r, 2, PAIRS), type = any_type(w->r);
    for (int i = 0; i < n; i++) {
        if (i && chance(w->r, 20))
            name_perturb(&w->names, key[i - 1], key[i], sizeof key[i]);
        else {
            name_entity(&w->names, type, &e);
            snprintf(key[i], sizeof key[i], "%s", e.name);
        }
        any_item(w, value[i], sizeof value[i]);
    }
    int asked = between(w->r, 2, 4), start = (int)rng_below(w->r, (uint32_t)n);
    for (int k = 0; k < asked && k < n; k++) {
        struct sb *q = turn(w);
        int i = k ? (int)rng_below(w->r, (uint32_t)n) : start;
        for (int j = 0; k == 0 && j < n; j++)
            sb_addf(q, "%s: %s\n", key[j], value[j]);
        if (k == 0)
            sb_addch(q, '\n');
        prompt2(q, ask[rng_below(w->r, ARRAY_LEN(ask))], key[i], "");
        answer_value(turn(w), value[i]);
    }
    return 1;
}

int sample_tell(struct writer *w)
{
    static const char *const other[] = { "What do you know about %1?", "What can you say about %1?", "Tell me something about %1.", "Say something about %1.", "Please tell me about %1.", "What is %1?" };
    const char *t = chance(w->r, 55) ? PROMPT_TELL : other[rng_below(w->r, ARRAY_LEN(other))];
    struct sb *q = turn(w), *a = turn(w);
    if (chance(w->r, 35)) {
        struct subject s;
        if (chance(w->r, 45))
            subject_fresh(w, &s);
        else
            subject_perturbed(w, &s);
        prompt2(q, t, s.e.name, "");
        sb_addc(a, PHRASE_UNKNOWN);
        return 1;
    }
    const struct core_entity *ce = core_pick(w->core, w->r);
    int n = between(w->r, 1, 3), at = (int)rng_below(w->r, (uint32_t)ce->n_fact);
    prompt2(q, t, ce->e.name, "");
    for (int i = 0; i < n && i < ce->n_fact; i++) {
        if (i)
            sb_addch(a, ' ');
        statement(w->r, a, &ce->fact[(at + i) % ce->n_fact], &ce->e, i ? REF_START_PRONOUN : REF_NAME);
        sb_addch(a, '.');
    }
    return 1;
}

int sample_prose_core(struct writer *w)
{
    const struct core_entity *ce = core_pick(w->core, w->r);
    struct sb *b = turn(w);
    int first = (int)rng_below(w->r, (uint32_t)ce->n_fact), n = between(w->r, 1, ce->n_fact < 4 ? ce->n_fact : 4);
    w->is_text = 1;
    for (int i = 0; i < n; i++) {
        if (i)
            sb_addch(b, ' ');
        statement(w->r, b, &ce->fact[(first + i) % ce->n_fact], &ce->e, i && chance(w->r, 50) ? REF_START_PRONOUN : REF_NAME);
        sb_addch(b, '.');
    }
    return 1;
}

/* A passage, and mostly questions and answers below it, with loss on everything: names come back within a sample, so that
 * copying is learnt from many more tokens than the answers have.  Plain text, so that users' turns stay what they are. */
int sample_prose_fresh(struct writer *w)
{
    struct sb *b = turn(w), q, a;
    w->is_text = 1;
    scene_make(&w->scene, &w->names, w->core, 6);
    sb_addc(b, w->scene.text.p);
    sb_init(&q, 1 << 16);
    sb_init(&a, 1 << 16);
    for (int i = 0, n = chance(w->r, 35) ? 0 : between(w->r, 1, 4); i < n; i++) {
        sb_reset(&q);
        sb_reset(&a);
        if (read_pair(w, &q, &a))
            sb_addf(b, "%s%s\n%s", i ? "\n" : "\n\n", q.p, a.p);
    }
    sb_release(&q);
    sb_release(&a);
    return 1;
}

int sample_chat(struct writer *w)
{
    static const char *const talk[][2] = {
        { "Hello!|Hello.|Hi!|Hi|Hey|hello|Good morning.|Good day.|Good evening.|Hello there!|hi there|Hey you", "Hello! How can I help you?" },
        { "Thanks!|Thank you.|Thanks a lot.|Thank you very much!|thank you|Many thanks.|thx|Great, thanks.", "You are welcome." },
        { "Bye!|Goodbye.|See you.|bye|Good night.|See you soon!|Bye bye", "Goodbye!" },
        { "Who are you?|What are you?|who are you|Tell me who you are.|What is your name?|Are you a person?|Are you a human?|What kind of model are you?|Introduce yourself.|Please introduce yourself.|Who made you?|Are you ChatGPT?",
          "I am a small language model. I know only my small world." },
        { "What can you do?|What do you know?|How can you help me?|What can I ask you?|what can you do|What are you good at?|Can you help me?|What do you know about?",
          "I can answer short questions about my small world, read a short text, and ask and reword questions." },
        { "How are you?|How are you today?|how are you|How do you do?|Are you well?|How is it going?", "I am fine, thank you." },
        { "Tell me a joke.|Write a poem.|Sing a song.|Tell me a story.|Write a program in Python.|Translate this into French.|Solve this equation.|Draw a picture.|Write an essay about love.|What is 12 times 13?|Play chess with me.", "I can't do that. I am only a small language model." },
        { "What time is it?|What is the weather like?|What day is today?|Where am I?|What is the meaning of life?|How old am I?|Who will win?|What will happen tomorrow?|What is my name?|Why is the sky blue?|Who is the president of the United States?|What is the capital of France?|What is love?|Who wrote Hamlet?|How far away is the moon?", PHRASE_UNKNOWN },
        { "Ok.|Okay|Good.|Fine.|I see.|Right.|Very good!|Nice.|Well done.|Great!", "Good. What else would you like to know?" },
        { "Are you sure?|Really?|Is that true?|Do you mean it?|Honestly?", "I say what I have learnt." },
        { "You are wrong.|That is wrong.|No!|That's not true.|This is not right.", "I am sorry. I know only what I have learnt." },
        { "I have a question.|Can I ask you something?|May I ask a question?|I want to ask something.|One question, please.", "Yes, please ask." } };
    int turns = chance(w->r, 20) ? 2 : 1;
    for (int i = 0; i < turns; i++) {
        char t[96];
        size_t k = rng_below(w->r, ARRAY_LEN(talk));
        sb_addc(turn(w), pick_list(w->r, talk[k][0], t, sizeof t));
        sb_addc(turn(w), talk[k][1]);
    }
    if (chance(w->r, 25)) {
        struct subject s;
        subject_core(w, &s);
        struct question_spec spec = { .f = &s.f, .e = &s.e, .noisy = 1 };
        int ok = question(w->r, turn(w), &spec);
        answer_value(turn(w), s.f.value);
        return ok;
    }
    return 1;
}
