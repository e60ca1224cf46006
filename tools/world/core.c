/* core.c — the known world in memory: some 220 entities with about five facts each, exposed by a flat Zipf law.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <string.h>

int core_has_name(const struct core *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->v[i].e.name, name) || (c->v[i].e.alias[0] && !strcmp(c->v[i].e.alias, name)))
            return 1;
    return 0;
}

/* "relation=value@year" */
static int fact_parse(struct sv s, struct fact *f)
{
    char key[64];
    const char *eq = memchr(s.p, '=', s.n), *at = memrchr(s.p, '@', s.n);
    int64_t year = 0;
    if (!eq || !at || at < eq)
        return 0;
    memset(f, 0, sizeof *f);
    snprintf(key, sizeof key, "%.*s", (int)(s.p + s.n - at - 1), at + 1);
    if (parse_i64(key, 0, 9999, &year))
        return 0;
    f->year = (int)year;
    snprintf(f->value, sizeof f->value, "%.*s", (int)(at - eq - 1), eq + 1);
    snprintf(key, sizeof key, "%.*s", (int)(eq - s.p), s.p);
    f->rel = relation_named(key);
    return f->rel != NULL;
}

int core_load(struct core *c, ilab_err *e)
{
    memset(c, 0, sizeof *c);
    for (int i = 0; i < n_core_row; i++) {
        const struct core_row *row = &core_table[i];
        struct core_entity *ce = &c->v[c->n++];
        ce->e.type = row->type;
        ce->e.female = row->female;
        snprintf(ce->e.name, sizeof ce->e.name, "%s", row->name);
        snprintf(ce->e.alias, sizeof ce->e.alias, "%s", row->alias);
        struct sv rest = sv_of(row->facts), part;
        while (sv_split(&rest, '|', &part))
            if (ce->n_fact == FACTS_MAX || !fact_parse(part, &ce->fact[ce->n_fact++]))
                return err_set(e, ILAB_E_FORMAT, "core_table: '%s' has the bad fact '%.*s'", row->name, SV_ARG(part));
        ce->weight = row->exposure * ce->n_fact;
        c->total_weight += ce->weight;
        c->n_fact += ce->n_fact;
    }
    return 0;
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
