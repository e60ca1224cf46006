/* compose.c — sentences and questions from facts: opener × form × entity reference × year × closer, and noise.
 *
 * Held out by wording: a pair of (last two words of a non-empty opener, form) whose hash is 0 mod 8 occurs in held-out
 * questions only.  The tail of the opener decides, so that no other opener of the corpus can contain the pair.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <ctype.h>
#include <string.h>

enum { HELD_PARTS = 8 };
struct slots { const char *e, *v, *prep, *type, *own; char poss[NAME_MAX_BYTES + 8], noun[64], verb[64], q[16], y[8]; };

void sentence_case(char *s)
{
    if (*s >= 'a' && *s <= 'z')
        *s = (char)(*s - 32);
}

void noun_of(const struct fact *f, char *out, size_t cap) { list_item(fact_relation(f)->noun, f->noun, out, cap); }

static void possessive(const char *e, char *out, size_t cap)
{
    size_t n = strlen(e);
    snprintf(out, cap, "%s%s", e, n && (e[n - 1] == 's' || e[n - 1] == 'x') ? "'" : "'s");
}

static void slots_fill(struct slots *s, const struct fact *f, const struct entity *e, const char *name, const char *value)
{
    const struct relation *rel = fact_relation(f);
    s->e = name;
    s->v = value;
    s->prep = type_table[e->type].prep;
    s->type = type_table[e->type].noun;
    s->own = e->type == TYPE_PERSON ? e->female ? "her" : "his" : "its";
    possessive(name, s->poss, sizeof s->poss);
    list_item(rel->noun ? rel->noun : "", f->noun, s->noun, sizeof s->noun);
    list_item(rel->verb ? rel->verb : "", f->verb, s->verb, sizeof s->verb);
    s->q[0] = s->y[0] = 0;
    if (f->year) {
        snprintf(s->q, sizeof s->q, " in %d", f->year);
        snprintf(s->y, sizeof s->y, "%d", f->year);
    }
}

static void render(struct sb *out, const char *t, const struct slots *s)
{
    for (; *t; t++) {
        if (*t != '%') {
            const char *next = strchr(t, '%');
            size_t n = next ? (size_t)(next - t) : strlen(t);
            sb_add(out, (struct sv){ t, n });
            t += n - 1;
            continue;
        }
        switch (*++t) {
        case 'E': sb_addc(out, s->e); break;
        case 'S': sb_addc(out, s->poss); break;
        case 'V': sb_addc(out, s->v); break;
        case 'N': sb_addc(out, s->noun); break;
        case 'P': sb_addc(out, s->verb); break;
        case 'A': sb_addc(out, s->prep); break;
        case 'T': sb_addc(out, s->type); break;
        case 'O': sb_addc(out, s->own); break;
        case 'Q': sb_addc(out, s->q); break;
        case 'y': sb_addc(out, s->y); break;
        default: break;
        }
    }
}

/* Class forms and the relation's own are one list; the relation's own weigh double when they are few. */
static const char *pick_form(struct rng *r, const struct relation *rel, enum form_tag tag, int reserved)
{
    const struct forms *a = class_forms(rel->cls, tag, reserved), *b = relation_forms(rel, tag, reserved);
    int weight = b->n && b->n * 3 < a->n ? 2 : 1, n = a->n + b->n * weight;
    if (!n)
        return NULL;
    int i = (int)rng_below(r, (uint32_t)n);
    return i < a->n ? a->v[i] : b->v[(i - a->n) % b->n];
}

/* "a " before a vowel: nouns such as "organist", "area". */
static void fix_articles(struct sb *b, size_t from)
{
    for (size_t i = from; i + 3 < b->n; i++)
        if (b->p[i] == ' ' && b->p[i + 1] == 'a' && b->p[i + 2] == ' ' && strchr("aeiou", b->p[i + 3]) && b->p[i + 3]) {
            char *rest = mem_strndup(b->p + i + 2, b->n - i - 2);
            b->p[b->n = i + 2] = 0;
            sb_addch(b, 'n');
            sb_addc(b, rest);
            mem_free(rest);
        }
}

void statement(struct rng *r, struct sb *out, const struct fact *f, const struct entity *e, enum reference ref)
{
    const struct relation *rel = fact_relation(f);
    enum form_tag tag = f->year ? FORM_T : FORM_S;
    const char *t = pick_form(r, rel, tag, 0);
    struct slots s;
    char the[64];
    const char *name = e->name;
    int pronoun = ref == REF_START_PRONOUN, starts = !strncmp(t, "%E", 2) || !strncmp(t, "%S", 2);
    if (pronoun && !starts && e->type != TYPE_PERSON) {
        snprintf(the, sizeof the, "the %s", type_table[e->type].noun);
        name = the;
    }
    slots_fill(&s, f, e, name, f->value);
    if (pronoun && starts) {
        const char *it = e->type == TYPE_PERSON ? e->female ? "she" : "he" : "it";
        snprintf(the, sizeof the, "the %s", type_table[e->type].noun);
        s.e = chance(r, 65) || e->type == TYPE_PERSON ? it : the;
        snprintf(s.poss, sizeof s.poss, "%s%s", s.e == it ? s.own : the, s.e == it ? "" : "'s");
    }
    size_t from = out->n;
    render(out, t, &s);
    fix_articles(out, from);
    sentence_case(out->p + from);
}

void statement_canonical(struct sb *out, const struct fact *f, const struct entity *e, const char *value)
{
    const struct relation *rel = fact_relation(f);
    struct slots s;
    struct fact g = *f;
    g.noun = g.verb = 0;
    slots_fill(&s, &g, e, e->name, value ? value : f->value);
    size_t from = out->n;
    render(out, class_canonical[rel->cls][f->year && class_canonical[rel->cls][1] ? 1 : 0], &s);
    fix_articles(out, from);
    sentence_case(out->p + from);
    sb_addch(out, '.');
}

void answer_value(struct sb *out, const char *value)
{
    size_t n = strlen(value), from = out->n;
    sb_addc(out, value);
    sentence_case(out->p + from);
    if (!n || value[n - 1] != '.')
        sb_addch(out, '.');
}

void canonical_words(struct sb *out, const char *s, size_t n)
{
    int gap = out->n > 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (isalnum(c) || c >= 0x80 || c == '@') {
            if (gap && out->n && out->p[out->n - 1] != ' ')
                sb_addch(out, ' ');
            gap = 0;
            sb_addch(out, (char)tolower(c));
        } else if (c != '\'') {
            gap = 1;
        }
    }
}

/* ---- held-out pairs ---- */
static int pair_is_held(const char *opener, const char *form)
{
    char key[128];
    const char *end = strchr(opener, '@'), *p;
    int words = 0;
    if (!end || end == opener)
        return 0;
    for (p = end; p > opener; p--) {
        if (p[-1] == ' ' && p < end && ++words == 2)
            break;
    }
    size_t k = 0;
    for (; p < end && k + 1 < sizeof key; p++)
        if (isalpha((unsigned char)*p) || *p == ' ')
            key[k++] = (char)tolower((unsigned char)*p);
    return hash64(form, strlen(form), hash64(key, k, 5)) % HELD_PARTS == 0;
}

/* ---- noise ---- */
static int inside(const char *text, size_t at, const char *name)
{
    if (!*name)
        return 0;
    size_t n = strlen(name);
    for (const char *p = text; (p = strstr(p, name)); p++)
        if (at + 1 >= (size_t)(p - text) && at <= (size_t)(p - text) + n)
            return 1;
    return 0;
}

static void typo(struct rng *r, char *s, const char *e, const char *v)
{
    size_t n = strlen(s);
    for (int tries = 0; tries < 12 && n > 6; tries++) {
        size_t i = 1 + rng_below(r, (uint32_t)(n - 3));
        if (islower((unsigned char)s[i - 1]) && islower((unsigned char)s[i]) && islower((unsigned char)s[i + 1]) && !inside(s, i, e) && !inside(s, i, v)) {
            if (chance(r, 50)) {
                char c = s[i];
                s[i] = s[i + 1];
                s[i + 1] = c;
            } else {
                memmove(s + i, s + i + 1, n - i);
            }
            return;
        }
    }
}

static void lower_all(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s + 32);
}

/* Words in any order around noun and name: what counts is what is asked of whom. */
static void word_salad(struct rng *r, struct sb *out, const struct slots *s, const struct relation *rel)
{
    const char *key = rel->cls == CLASS_EVENT && chance(r, 60) ? s->verb : s->noun;
    int n = between(r, 1, 4), at = between(r, 0, n), at2 = between(r, 0, n);
    for (int i = 0; i <= n; i++) {
        if (i == at2 && i != at)
            sb_addf(out, "%s %s ", chance(r, 50) ? "of" : chance(r, 50) ? "at" : "for", s->e);
        if (i == at)
            sb_addf(out, "%s ", key);
        if (i == at2 && i == at)
            sb_addf(out, "%s %s ", chance(r, 50) ? "of" : chance(r, 50) ? "at" : "for", s->e);
        if (i < n)
            sb_addf(out, "%s ", filler_word(r));
    }
    out->p[--out->n] = 0;
}

static void unknown_opener(struct rng *r, struct sb *out)
{
    static const char *const glue[] = { ": ", ", ", " - ", ". ", " ", " and ", " or ", " of ", " for ", " to me: ", " at the ", " if " };
    int n = between(r, 1, 6);
    size_t from = out->n;
    for (int i = 0; i < n; i++)
        sb_addf(out, "%s%s", i ? chance(r, 25) ? " the " : " " : "", filler_word(r));
    sentence_case(out->p + from);
    sb_addc(out, glue[rng_below(r, ARRAY_LEN(glue))]);
}

/* ---- questions ---- */
static enum form_tag pick_tag(struct rng *r, enum direction d, int noisy)
{
    int k = (int)rng_below(r, 100);
    switch (d) {
    case ASK_VALUE: return k < 44 ? FORM_D : k < 68 ? FORM_N : k < 88 ? FORM_E : k < 92 ? FORM_I : k < (noisy ? 97 : 96) ? FORM_K : FORM_F;
    case ASK_ENTITY: return k < 55 ? FORM_R : k < 78 ? FORM_Q : FORM_M;
    case ASK_YES_NO: return FORM_Y;
    case ASK_PREMISE: return FORM_G;
    case ASK_YEAR: return FORM_Z;
    default: return FORM_W;
    }
}

static int opener_set_of(enum form_tag t) { return t == FORM_N || t == FORM_M ? OPENER_N : t == FORM_E || t == FORM_Q ? OPENER_E : OPENER_D; }

int directions_of(const struct fact *f, enum direction d)
{
    const struct relation *rel = fact_relation(f);
    switch (d) {
    case ASK_YEAR: return f->year != 0 && rel->cls == CLASS_COUNT;
    case ASK_POST: return rel->cls == CLASS_ROLE && rel->value == VALUE_PERSON;
    default: return 1;
    }
}

/* A form and an opener that the wording allows. */
static int pick_pair(struct rng *r, const struct question_spec *q, const struct relation *rel, enum form_tag *tag, const char **form, const char **opener)
{
    int reserved_form = q->wording == WORDING_RESERVED && !q->opener_reserved, reserved_opener = q->wording == WORDING_RESERVED && q->opener_reserved;
    for (int tries = 0; tries < 400; tries++) {
        *tag = pick_tag(r, q->dir, q->noisy);
        if (q->wording != WORDING_CORPUS && (*tag == FORM_K || *tag == FORM_F || *tag == FORM_I))
            continue;
        *form = pick_form(r, rel, *tag, reserved_form);
        if (!*form)
            continue;
        int bare = *tag == FORM_K || *tag == FORM_F || (opener_set_of(*tag) == OPENER_D && !reserved_opener && q->wording != WORDING_HELD && chance(r, *tag == FORM_I ? 80 : 45));
        *opener = "@";
        if (!bare) {
            const struct forms *o = openers((enum opener_set)opener_set_of(*tag), reserved_opener);
            *opener = o->v[rng_below(r, (uint32_t)o->n)];
        }
        if (reserved_opener || reserved_form)
            return 1;
        int held = pair_is_held(*opener, *form), two_words = strchr(*opener, ' ') && strchr(strchr(*opener, ' ') + 1, ' ');
        if (q->wording == WORDING_CORPUS ? !held : held && two_words)
            return 1;
    }
    return 0;
}

static void add_mark(struct rng *r, struct sb *out, enum form_tag tag, char mark, int noisy)
{
    if (tag == FORM_F) {
        static const char *const end[] = { " ...", " ___.", "", " what?", ":" };
        sb_addc(out, end[rng_below(r, ARRAY_LEN(end))]);
    } else if (tag == FORM_K) {
        sb_addc(out, chance(r, 60) ? "?" : "");
    } else if (noisy && chance(r, 10)) {
        static const char *const odd[] = { "", "", "", "??", " ?", "...", "?!", "!", "" };
        sb_addc(out, odd[rng_below(r, ARRAY_LEN(odd))]);
    } else {
        sb_addch(out, mark);
    }
}

int question(struct rng *r, struct sb *out, const struct question_spec *q)
{
    struct fact f = *q->f;
    const struct relation *rel = fact_relation(&f);
    enum form_tag tag;
    const char *form, *opener;
    struct slots s;
    int synonyms = rel->noun ? list_len(rel->noun) : 1;
    if (chance(r, 35))
        f.noun = (int)rng_below(r, (uint32_t)synonyms);
    if (rel->verb && chance(r, 50))
        f.verb = (int)rng_below(r, (uint32_t)list_len(rel->verb));
    if (q->wording != WORDING_CORPUS)
        f.noun = f.verb = 0;
    if (!pick_pair(r, q, rel, &tag, &form, &opener))
        return 0;
    if (f.year && !q->with_year && tag != FORM_Z)
        f.year = 0;
    const char *name = q->e->name;
    if (q->e->alias[0] && chance(r, 12) && q->dir == ASK_VALUE && q->wording == WORDING_CORPUS && q->noisy)
        name = q->e->alias;
    slots_fill(&s, &f, q->e, name, q->value ? q->value : f.value);

    size_t from = out->n;
    int salad = q->noisy && q->dir == ASK_VALUE && chance(r, 3);
    if (q->noisy && chance(r, 9))
        unknown_opener(r, out);
    /* The year may lead: "in 2017, how many …". */
    int year_first = f.year && strstr(form, "%Q") && (tag == FORM_D || tag == FORM_R) && chance(r, 18);
    size_t start = out->n;
    const char *at = strchr(opener, '@');
    sb_add(out, (struct sv){ opener, (size_t)(at - opener) });
    if (year_first) {
        sb_addf(out, "in %s, ", s.y);
        s.q[0] = 0;
    }
    if (salad)
        word_salad(r, out, &s, rel);
    else
        render(out, form, &s);
    char mark = at[1] ? at[1] : '?';
    if (at[1] == ',' || (at[1] && at[2])) {          /* words after the question: the line brings its own mark */
        size_t n = strlen(at + 1);
        sb_add(out, (struct sv){ at + 1, n - 1 });
        mark = at[n];
    }
    if (tag == FORM_K && !q->noisy)
        sb_addch(out, '?');
    else
        add_mark(r, out, tag, mark, q->noisy);
    fix_articles(out, start);
    if (!(tag == FORM_K && chance(r, 50)))
        sentence_case(out->p + start);
    if (tag != FORM_F && tag != FORM_K && chance(r, q->wording == WORDING_CORPUS ? q->noisy ? 14 : 8 : 25)) {
        sb_addch(out, ' ');
        sb_addc(out, closer_pick(r));
    }
    if (q->noisy) {
        if (chance(r, 6)) {
            typo(r, out->p + from, name, s.v);
            out->n = from + strlen(out->p + from);
        }
        int k = (int)rng_below(r, 100);
        if (k < 3)
            lower_all(out->p + from);
        else if (k < 8 && out->p[from] >= 'A' && out->p[from] <= 'Z' && strncmp(out->p + from, name, 3) != 0 && strncmp(out->p + from, s.v, 3) != 0)
            out->p[from] = (char)(out->p[from] + 32);
    }
    return 1;
}
