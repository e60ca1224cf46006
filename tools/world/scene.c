/* scene.c — a short passage about one to three entities, mostly fresh, with the facts that it states.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <string.h>

int fresh_entity(struct names *n, const struct core *core, int type, struct entity *e)
{
    do
        name_entity(n, type, e);
    while (core && (core_has_name(core, e->name) || (e->alias[0] && core_has_name(core, e->alias))));
    return 0;
}

static int draw_type(struct rng *r)
{
    static const int row[] = { TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_UNIVERSITY, TYPE_TOWN, TYPE_TOWN, TYPE_COMPANY, TYPE_COMPANY, TYPE_COMPANY, TYPE_RIVER, TYPE_RIVER, TYPE_PERSON, TYPE_PERSON,
        TYPE_REGION, TYPE_INSTRUMENT, TYPE_MUSEUM, TYPE_MOUNTAIN };
    return chance(r, 72) ? row[rng_below(r, ARRAY_LEN(row))] : N_CORE_TYPE + (int)rng_below(r, N_TYPE - N_CORE_TYPE);
}

static int same_noun(const struct relation *a, const struct relation *b)
{
    char x[64];
    if (a == b || !a->noun || !b->noun)
        return 1;
    for (int i = 0; i < list_len(a->noun); i++) {
        list_item(a->noun, i, x, sizeof x);
        for (int k = 0; k < list_len(b->noun); k++) {
            char y[64];
            if (!strcmp(x, list_item(b->noun, k, y, sizeof y)))
                return 1;
        }
    }
    return a->verb && b->verb && a->cls == CLASS_EVENT && b->cls == CLASS_EVENT && !strncmp(a->verb, b->verb, 4);
}

static void draw_relation(struct rng *r, int type, struct fact *f)
{
    const struct type_info *t = &type_table[type];
    if (t->n_relation && chance(r, 62)) {
        f->rel = &relation_table[t->first_relation + (int)rng_below(r, (uint32_t)t->n_relation)];
    } else {
        f->rel = NULL;
        open_relation(r, type, &f->open);
    }
}

int missing_relation(struct rng *r, int type, const struct fact *const *have, int n_have, struct fact *out, struct names *n)
{
    for (int tries = 0; tries < 100; tries++) {
        struct fact f = { 0 };
        draw_relation(r, type, &f);
        int taken = 0;
        for (int i = 0; i < n_have; i++)
            taken |= same_noun(fact_relation(&f), fact_relation(have[i]));
        if (taken)
            continue;
        fact_make(n, fact_relation(&f), out);
        return 1;
    }
    return 0;
}

static void add_entity(struct scene *s, struct names *n, const struct core *core)
{
    struct entity *e = &s->e[s->n_entity];
    if (s->n_entity == 0) {
        fresh_entity(n, core, draw_type(n->r), e);
    } else if (chance(n->r, 12)) {
        *e = s->e[0];
        e->alias[0] = 0;
        name_perturb(n, s->e[0].name, e->name, sizeof e->name);
    } else {
        fresh_entity(n, core, chance(n->r, 65) ? s->e[0].type : draw_type(n->r), e);
    }
    s->n_entity++;
}

static int add_fact(struct scene *s, struct names *n, int e)
{
    struct fact f = { 0 };
    int shared = -1;
    if (s->n_fact >= SCENE_FACTS)
        return 0;
    if (e > 0 && s->e[e].type == s->e[0].type && chance(n->r, 60))
        shared = (int)rng_below(n->r, (uint32_t)s->n_fact);
    if (shared >= 0 && s->fact[shared].e != e)
        f = s->fact[shared].f;
    else
        draw_relation(n->r, s->e[e].type, &f);
    for (int i = 0; i < s->n_fact; i++)
        if (s->fact[i].e == e && same_noun(fact_relation(&s->fact[i].f), fact_relation(&f)))
            return 0;
    struct fact *to = &s->fact[s->n_fact].f;
    struct relation rel = *fact_relation(&f);
    fact_make(n, f.rel ? f.rel : &rel, to);
    s->fact[s->n_fact++].e = e;
    return 1;
}

static void filler_sentence(struct rng *r, struct sb *out, const struct entity *e)
{
    static const char *const line[] = { "%E is well known.", "many people know %E.", "%E is a %T.", "people like to talk about %E.", "there is a lot to say about %E.", "much has been written about %E.",
        "here are some facts about %E.", "%E is not easy to describe.", "everyone in the area has heard of %E.", "%E is open to all.", "there are many pictures of %E.", "this is about %E.", "%E is a well-known %T.",
        "%E has many friends.", "a visit is worth the time.", "the weather is often fine.", "more can be read in the newspaper.", "%E belongs to the public.", "%E is an important %T in the country.", "some call it the best %T of all." };
    const char *t = line[rng_below(r, ARRAY_LEN(line))];
    size_t from = out->n;
    for (; *t; t++) {
        if (*t == '%' && t[1] == 'E')
            sb_addc(out, e->name), t++;
        else if (*t == '%')
            sb_addc(out, type_table[e->type].noun), t++;
        else
            sb_addch(out, *t);
    }
    sentence_case(out->p + from);
}

/* "Chancellor: Dr. …" lines, as in a table. */
static void write_table(struct scene *s)
{
    for (int e = 0; e < s->n_entity; e++) {
        sb_addf(&s->text, "%s%s", s->text.n ? "\n" : "", s->e[e].name);
        for (int i = 0; i < s->n_fact; i++)
            if (s->fact[i].e == e) {
                const struct fact *f = &s->fact[i].f;
                const struct relation *rel = fact_relation(f);
                char noun[64];
                if (rel->cls == CLASS_EVENT)
                    list_item(rel->verb, f->verb, noun, sizeof noun);
                else
                    noun_of(f, noun, sizeof noun);
                sentence_case(noun);
                if (f->year)
                    sb_addf(&s->text, "\n%s (%d): %s", noun, f->year, f->value);
                else
                    sb_addf(&s->text, "\n%s: %s", noun, f->value);
            }
    }
}

static void write_text(struct scene *s, struct rng *r)
{
    int order[SCENE_FACTS], mixed = s->n_entity > 1 && chance(r, 30), lines = chance(r, 12), bullets = chance(r, 5), last = -1, named = 0;
    for (int i = 0; i < s->n_fact; i++)
        order[i] = i;
    for (int i = s->n_fact - 1; i > 0; i--) {
        int j = (int)rng_below(r, (uint32_t)(i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    if (!mixed)                                       /* by entity, stable */
        for (int a = 0; a < s->n_fact; a++)
            for (int b = s->n_fact - 1; b > a; b--)
                if (s->fact[order[b]].e < s->fact[order[b - 1]].e) {
                    int t = order[b];
                    order[b] = order[b - 1];
                    order[b - 1] = t;
                }
    if (chance(r, 8))
        sb_addf(&s->text, "# %s\n\n", s->e[0].name);
    for (int k = 0; k < s->n_fact; k++) {
        int e = s->fact[order[k]].e, joined = 0;
        size_t from = s->text.n;
        if (from && s->text.p[from - 1] == '.') {
            if (!bullets && e == last && chance(r, 12)) {
                s->text.p[--s->text.n] = 0;
                static const char *const join[] = { ", and ", "; ", ", while ", ", and ", " and " };
                sb_addc(&s->text, join[rng_below(r, ARRAY_LEN(join))]);
                joined = 1;
            } else {
                sb_addc(&s->text, lines ? "\n" : " ");
            }
        }
        if (bullets)
            sb_addc(&s->text, k ? "\n- " : "- ");
        if (!joined && !bullets && chance(r, 9)) {
            filler_sentence(r, &s->text, &s->e[e]);
            sb_addch(&s->text, ' ');
        }
        from = s->text.n;
        enum reference ref = named && e == last && (joined ? chance(r, 85) : chance(r, 50)) ? REF_START_PRONOUN : REF_NAME;
        statement(r, &s->text, &s->fact[order[k]].f, &s->e[e], ref);
        /* After a join the sentence goes on in lower case when it starts with a common word. */
        if (joined)
            for (const char *const *w = (const char *const[]){ "The ", "It ", "Its ", "In ", "As ", "There ", "His ", "Her ", "He ", "She ", "At ", "You ", "With ", NULL }; *w; w++)
                if (!strncmp(s->text.p + from, *w, strlen(*w)))
                    s->text.p[from] = (char)(s->text.p[from] + 32);
        sb_addch(&s->text, '.');
        last = e;
        named = 1;
    }
    if (chance(r, 8)) {
        sb_addch(&s->text, ' ');
        filler_sentence(r, &s->text, &s->e[0]);
    }
}

void scene_make(struct scene *s, struct names *n, const struct core *core, int max_facts)
{
    if (!s->text.max)
        sb_init(&s->text, 1 << 16);
    sb_reset(&s->text);
    s->n_entity = s->n_fact = 0;
    int entities = chance(n->r, 66) || max_facts < 2 ? 1 : chance(n->r, 80) ? 2 : 3;
    if (entities == 1 && chance(n->r, 7)) {           /* a passage about something known */
        const struct core_entity *ce = core_pick(core, n->r);
        s->e[0] = ce->e;
        s->n_entity = 1;
        for (int i = 0; i < ce->n_fact && s->n_fact < max_facts; i++)
            if (chance(n->r, 70) || i + 1 == ce->n_fact) {
                s->fact[s->n_fact].e = 0;
                s->fact[s->n_fact++].f = ce->fact[i];
            }
    } else {
        int want = between(n->r, 1, max_facts);
        if (want < entities)
            want = entities;
        for (int e = 0; e < entities; e++) {
            add_entity(s, n, core);
            int k = want / entities + (e < want % entities), got = 0;
            for (int tries = 0; got < k && tries < 30; tries++)
                got += add_fact(s, n, e);
        }
    }
    if (chance(n->r, 4))
        write_table(s);
    else
        write_text(s, n->r);
}

void scene_release(struct scene *s) { sb_release(&s->text); }
