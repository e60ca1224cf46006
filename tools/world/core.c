/* core.c — the known world: some 220 entities with about five facts each, exposed by a flat Zipf law.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <math.h>
#include <string.h>

static const struct { int type, count, facts_lo, facts_hi; } plan[] = {
    { TYPE_REGION, 12, 4, 6 }, { TYPE_TOWN, 36, 4, 6 }, { TYPE_MOUNTAIN, 14, 3, 5 }, { TYPE_RIVER, 20, 4, 5 }, { TYPE_UNIVERSITY, 38, 5, 8 },
    { TYPE_COMPANY, 36, 4, 6 }, { TYPE_PERSON, 40, 3, 5 }, { TYPE_INSTRUMENT, 12, 3, 5 }, { TYPE_MUSEUM, 16, 4, 5 } };

int core_has_name(const struct core *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->v[i].e.name, name) || (c->v[i].e.alias[0] && !strcmp(c->v[i].e.alias, name)))
            return 1;
    return 0;
}

/* A value that is itself an entity of the core, when there is one. */
static int core_value(const struct core *c, struct rng *r, enum value_kind v, const char *self, char *out, size_t cap)
{
    static const struct { enum value_kind v; int type; } of[] = { { VALUE_TOWN, TYPE_TOWN }, { VALUE_REGION, TYPE_REGION }, { VALUE_RIVER, TYPE_RIVER },
        { VALUE_MOUNTAIN, TYPE_MOUNTAIN }, { VALUE_UNIVERSITY, TYPE_UNIVERSITY }, { VALUE_COMPANY, TYPE_COMPANY } };
    for (size_t k = 0; k < ARRAY_LEN(of); k++) {
        if (of[k].v != v || chance(r, 35))
            continue;
        for (int tries = 0; tries < 200; tries++) {
            const struct entity *e = &c->v[rng_below(r, (uint32_t)(c->n ? c->n : 1))].e;
            if (c->n && e->type == of[k].type && strcmp(e->name, self) != 0) {
                strncpy(out, e->name, cap - 1);
                out[cap - 1] = 0;
                return 1;
            }
        }
    }
    return 0;
}

static void add_facts(struct core *c, struct names *n, struct core_entity *ce, int want)
{
    const struct type_info *t = &type_table[ce->e.type];
    const struct relation *used[FACTS_MAX];
    int skip_title = ce->e.type == TYPE_UNIVERSITY ? chance(n->r, 50) ? 1 : 2 : -1;      /* a rector or a president, not both */
    while (ce->n_fact < want) {
        int k = (int)rng_below(n->r, (uint32_t)t->n_relation), again = k == skip_title;
        if (ce->e.type == TYPE_UNIVERSITY && ce->n_fact < 3 && k > 5)
            again = 1;                                                                  /* the best known kinds first */
        const struct relation *rel = &relation_table[t->first_relation + k];
        for (int i = 0; i < ce->n_fact; i++)
            again |= used[i] == rel;
        if (again)
            continue;
        struct fact *f = &ce->fact[ce->n_fact];
        used[ce->n_fact++] = rel;
        fact_make(n, rel, f);
        f->noun = f->verb = 0;
        core_value(c, n->r, rel->value, ce->e.name, f->value, sizeof f->value);
    }
    c->n_fact += ce->n_fact;
}

void core_make(struct core *c, uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed ^ 0xC04Eu);
    struct names n = { &r, PARTITION_CORPUS };
    c->n = c->n_fact = 0;
    c->total_weight = 0;
    for (size_t p = 0; p < ARRAY_LEN(plan); p++)
        for (int i = 0; i < plan[p].count; i++) {
            struct core_entity *ce = &c->v[c->n];
            memset(ce, 0, sizeof *ce);
            do
                name_entity(&n, plan[p].type, &ce->e);
            while (strlen(ce->e.name) > 34 || core_has_name(c, ce->e.name) || (ce->e.alias[0] && core_has_name(c, ce->e.alias)));
            add_facts(c, &n, ce, between(&r, plan[p].facts_lo, plan[p].facts_hi));
            c->n++;
        }
    /* Ranks in random order: weight falls with the root of the rank, about 3.5 : 1 from first to last. */
    int rank[CORE_MAX];
    for (int i = 0; i < c->n; i++)
        rank[i] = i;
    for (int i = c->n - 1; i > 0; i--) {
        int j = (int)rng_below(&r, (uint32_t)(i + 1)), t = rank[i];
        rank[i] = rank[j];
        rank[j] = t;
    }
    for (int i = 0; i < c->n; i++) {
        c->v[i].weight = c->v[i].n_fact / sqrt(rank[i] + 20.0);
        c->total_weight += c->v[i].weight;
    }
}

const struct core_entity *core_pick(const struct core *c, struct rng *r)
{
    double x = rng_unit(r) * c->total_weight;
    for (int i = 0; i < c->n; i++)
        if ((x -= c->v[i].weight) < 0)
            return &c->v[i];
    return &c->v[c->n - 1];
}

int core_value_unique(const struct core *c, const struct fact *f)
{
    int n = 0;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->v[i].n_fact; k++)
            n += c->v[i].fact[k].rel == f->rel && !strcmp(c->v[i].fact[k].value, f->value);
    return n == 1;
}
