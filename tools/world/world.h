/* world.h — the generator of the starter model's text: a small invented world, a grammar of wordings, task samples.
 *
 * Nothing here is part of the product: `ilab` sees only what a model learnt from this text.  All output is a function
 * of the seed.  Every generated word of a name falls by hash into one of two partitions: names of the corpus, and names
 * of documents and questions that the corpus must never contain.
 *
 * Template codes: %E entity, %S its possessive, %V value, %N noun of the relation, %P participle or adjective,
 * %A preposition of the type, %T noun of the type, %Q " in 2017" or nothing, %y 2017, %O its/his/her.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLD_H
#define WORLD_H

#include "base/base.h"
#include "text/text.h"

enum { NAME_MAX_BYTES = 96, VALUE_MAX_BYTES = 96, FACTS_MAX = 14, CORE_MAX = 320 };

enum relation_class { CLASS_ROLE, CLASS_EVENT, CLASS_COUNT, CLASS_MEASURE, CLASS_THING, CLASS_PLACE, N_CLASS };
enum value_kind { VALUE_PERSON, VALUE_YEAR, VALUE_COUNT, VALUE_MEASURE, VALUE_TOWN, VALUE_REGION, VALUE_RIVER, VALUE_MOUNTAIN,
                  VALUE_UNIVERSITY, VALUE_COMPANY, VALUE_COLOUR, VALUE_MOTTO, VALUE_WORD, VALUE_NAME, VALUE_ANY };
enum type_id { TYPE_UNIVERSITY, TYPE_TOWN, TYPE_COMPANY, TYPE_RIVER, TYPE_PERSON, TYPE_REGION, TYPE_INSTRUMENT, TYPE_MUSEUM,
               TYPE_MOUNTAIN, N_CORE_TYPE, TYPE_CLUB = N_CORE_TYPE, TYPE_SHIP, TYPE_SCHOOL, TYPE_BRIDGE, TYPE_HOSPITAL, TYPE_THEATRE,
               TYPE_LIBRARY, TYPE_LAKE, TYPE_FESTIVAL, TYPE_NEWSPAPER, TYPE_AIRPORT, TYPE_HOTEL, N_TYPE };
/* Forms: S statement, T statement with a year; questions: D direct, N noun phrase, E embedded, I in place, K key words,
 * F to be completed; the same for the way back from value to entity: R Q M; Y yes/no, G wrong premise, Z asks the year of a count,
 * W asks what somebody is. */
enum form_tag { FORM_S, FORM_T, FORM_D, FORM_N, FORM_E, FORM_I, FORM_K, FORM_F, FORM_R, FORM_Q, FORM_M, FORM_Y, FORM_G, FORM_Z, FORM_W, N_FORM };

struct relation {
    const char *key;               /* NULL: an open relation, made of a noun of the lists */
    enum relation_class cls;
    const char *noun, *verb;       /* synonyms separated by '|'; verb: participle (EVENT), adjective (MEASURE) */
    enum value_kind value;
    int lo, hi;                    /* numbers */
    const char *arg;               /* unit (MEASURE) or '|' list of values (WORD) */
    const char *const *form;       /* extra forms, "S:…", NULL-ended */
};
struct type_info { const char *noun, *prep; int first_relation, n_relation; };
struct entity { int type; char name[NAME_MAX_BYTES], alias[NAME_MAX_BYTES]; int female; };
struct fact { const struct relation *rel /* NULL: open */; struct relation open; int noun, verb; char value[VALUE_MAX_BYTES]; int year; };
struct core_entity { struct entity e; struct fact fact[FACTS_MAX]; int n_fact; double weight; };

/* ---- names.c ---- */
enum partition { PARTITION_CORPUS, PARTITION_DOCUMENT };
struct names { struct rng *r; enum partition part; int plain; /* no noise: easily read */ };
int name_word_allowed(const char *word, enum partition part);
int name_word_common(const char *word);
void name_town(struct names *n, char *out, size_t cap);
void name_word(struct names *n, char *out, size_t cap);                       /* an invented word, capitalised */
void name_person(struct names *n, int female, int title, char *out, size_t cap);
void name_entity(struct names *n, int type, struct entity *e);
void name_perturb(struct names *n, const char *from, char *out, size_t cap);  /* another name that looks like `from` */
const char *pick_list(struct rng *r, const char *list, char *out, size_t cap);/* one item of a '|' list */
int list_len(const char *list);
const char *list_item(const char *list, int i, char *out, size_t cap);
int chance(struct rng *r, int percent);
int between(struct rng *r, int lo, int hi);                                   /* inclusive */

/* ---- relations.c, open.c: the tables ---- */
extern const struct relation relation_table[];
extern const int n_relation;
extern const struct type_info type_table[N_TYPE];
const struct relation *relation_named(const char *key);                       /* NULL: none */
void open_relation(struct rng *r, int type, struct relation *out);            /* any noun of the lists */
void open_lacking_relation(int i, struct relation *out);                      /* nouns that the corpus lacks (for one document) */
int n_open_lacking(void);
const char *filler_word(struct rng *r);
void value_make(struct names *n, const struct relation *rel, char *out, size_t cap);
const struct relation *fact_relation(const struct fact *f);
void fact_make(struct names *n, const struct relation *rel, struct fact *f);  /* draws value and year */

/* ---- core_table.c, core.c ---- */
struct core_row { int type, female; const char *name, *alias, *facts; int exposure; };
extern const struct core_row core_table[];
extern const int n_core_row;
struct core { struct core_entity v[CORE_MAX]; int n, n_fact; double total_weight; };
int core_load(struct core *c, ilab_err *e);
int core_has_name(const struct core *c, const char *name);
int core_value_unique(const struct core *c, const struct fact *f);
const struct core_entity *core_pick(const struct core *c, struct rng *r);

/* ---- forms.c, openers.c: the grammar's tables ---- */
enum { FORMS_MAX = 64 };
struct forms { const char *v[FORMS_MAX]; int n; };
void forms_init(void);
void openers_init(void);
const struct forms *class_forms(enum relation_class c, enum form_tag t, int reserved);
const struct forms *relation_forms(const struct relation *rel, enum form_tag t, int reserved);
enum opener_set { OPENER_D, OPENER_N, OPENER_E, N_OPENER_SET };
const struct forms *openers(enum opener_set s, int reserved);
const char *closer_pick(struct rng *r);
extern const char *const class_canonical[N_CLASS][2];                         /* [1]: with a year */

/* ---- compose.c: sentences and questions ---- */
enum direction { ASK_VALUE, ASK_ENTITY, ASK_YES_NO, ASK_PREMISE, ASK_YEAR, ASK_POST };
enum wording { WORDING_CORPUS, WORDING_HELD, WORDING_RESERVED };
struct question_spec {
    const struct fact *f; const struct entity *e; const char *value /* NULL: the fact's */;
    enum direction dir; enum wording wording; int noisy, with_year;
    int opener_reserved;                                                       /* WORDING_RESERVED: 1 opener, 0 predicate */
};
enum reference { REF_NAME, REF_START_PRONOUN };
void statement(struct rng *r, struct sb *out, const struct fact *f, const struct entity *e, enum reference ref);
void statement_canonical(struct sb *out, const struct fact *f, const struct entity *e, const char *value);
int question(struct rng *r, struct sb *out, const struct question_spec *q);   /* 0: no such form */
void answer_value(struct sb *out, const char *value);                          /* value and full stop */
int directions_of(const struct fact *f, enum direction d);                     /* 1: has forms for it */
void sentence_case(char *s);
void noun_of(const struct fact *f, char *out, size_t cap);
/* Lower case, no punctuation, single spaces: the form in which wordings are compared. */
void canonical_words(struct sb *out, const char *s, size_t n);

/* ---- scene.c: passages about fresh entities ---- */
enum { SCENE_ENTITIES = 3, SCENE_FACTS = 8 };
struct scene { struct entity e[SCENE_ENTITIES]; struct { int e; struct fact f; } fact[SCENE_FACTS]; int n_entity, n_fact; struct sb text; };
void scene_make(struct scene *s, struct names *n, const struct core *core, int max_facts);
void scene_release(struct scene *s);
int missing_relation(struct rng *r, int type, const struct fact *const *have, int n_have, struct fact *out, struct names *n);
int fresh_entity(struct names *n, const struct core *core, int type, struct entity *e);

/* ---- the programs ---- */
enum text_kind { TEXT_CORPUS, TEXT_VALIDATION, TEXT_PROBE /* held-out, each line with its task */ };
int corpus_mix(const char *spec, ilab_err *err);
int corpus_write(const char *path, const struct core *core, uint64_t seed, int64_t tokens, enum text_kind kind, int loss_all, ilab_err *err);
int questions_write(const char *path, const struct core *core, uint64_t seed, const char *kind, int n, ilab_err *err);
int document_write(const char *dir, const struct core *core, int type, int lacking, uint64_t seed, ilab_err *err);
int example_questions_write(const char *path, const struct core *core, uint64_t seed, ilab_err *err);
int heldout_check(const char *questions, const char *const *text, int n_text, int names_allowed, ilab_err *err);

#endif
