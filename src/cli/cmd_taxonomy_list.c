/* cmd_taxonomy_list.c — `ilab taxonomy list` and `tree`: every leaf with its state, kind, version, counts and author.
 *
 * Nothing is fetched. Where git cannot tell what changed (no repository, no such base), the leaves are listed all the same, and
 * one line says why their states are not known.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "taxonomy/taxonomy.h"

#include <fnmatch.h>
#include <string.h>

struct list_args { const char *path, *base, *kind, *by; struct opt_list state; int version, json; };
static const struct list_args DEFAULTS = { .path = "taxonomy", .base = "origin/main" };
#define O(field) offsetof(struct list_args, field)
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy", 0, NULL, NULL },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: do not ask git", 0, NULL, NULL },
    { "state", 0, NULL, OPT_LIST, O(state), 0, 0, "STATE", NULL, "only leaves in this state", 0, "new changed unchanged invalid unfilled", NULL },
    { "kind", 0, NULL, OPT_STR, O(kind), 0, 0, "KIND", NULL, "only leaves of this kind; skill: freeform and grounded", 0, "knowledge skill freeform grounded", NULL },
    { "schema-version", 0, NULL, OPT_INT, O(version), 0, 100, "N", NULL, "only leaves of this version of the schema; 0: any", 0, NULL, NULL },
    { "created-by", 0, NULL, OPT_STR, O(by), 0, 0, "NAME", NULL, "only leaves of this author", 0, NULL, NULL },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "one JSON object: leaves and totals", 0, NULL, NULL },
    { 0 },
};

static const char *const CHANGE[] = { "new", "changed", "unchanged", "unknown" };
enum { S_NEW, S_CHANGED, S_UNCHANGED, S_UNKNOWN, S_INVALID, S_UNFILLED, S_KINDS };
struct listing {
    const struct list_args *a;
    const struct cli *c;
    int tree, n, total[S_KINDS];
    char above[4096];            /* tree: the folder that was printed last */
    json_t *leaves;
};

/* The whole path, part of it, or a pattern. */
static int is_wanted_path(const struct cli *c, const char *path)
{
    for (int i = 0; i < c->n_word; i++)
        if (strstr(path, c->word[i]) || !fnmatch(c->word[i], path, 0)) return 1;
    return !c->n_word;
}

static int is_wanted_state(const struct list_args *a, enum leaf_change change, int invalid, int unfilled)
{
    for (int i = 0; i < a->state.n; i++) {
        const char *s = a->state.v[i];
        if (!strcmp(s, CHANGE[change]) || (invalid && !strcmp(s, "invalid")) || (unfilled && !strcmp(s, "unfilled"))) return 1;
    }
    return !a->state.n;
}

static int contexts(const struct leaf *l)
{
    int n = 0;
    for (int i = 0; i < l->n_seed; i++) {
        const char *c = l->seed[i].context;
        n += c && (!i || !l->seed[i - 1].context || !l->is_knowledge || strcmp(c, l->seed[i - 1].context));
    }
    return n;
}

/* Folders of the path that the last leaf did not share. */
static void print_folders(struct listing *v, const char *path, int *depth)
{
    struct sv rest = sv_of(path), part, above = sv_of(v->above);
    int same = 1;
    *depth = 0;
    while (sv_split(&rest, '/', &part) && rest.n) {
        struct sv old = { "", 0 };
        same = same && sv_split(&above, '/', &old) && sv_eq(old, part);
        if (rest.n && !memchr(rest.p, '/', rest.n)) break; /* the last folder stands in the leaf's own line */
        if (!same) printf("%*s%.*s/\n", 2 * *depth, "", SV_ARG(part));
        ++*depth;
    }
    snprintf(v->above, sizeof v->above, "%s", path);
}

static void print_leaf(struct listing *v, const struct leaf_read_result *r, const char *state, const char *kind, int version, int seeds, int n_contexts, int qa)
{
    char numbers[80];
    const char *by = r->leaf && r->leaf->created_by && !leaf_text_is_mark(r->leaf->created_by) ? r->leaf->created_by : "-";
    if (v->tree) {
        int depth;
        print_folders(v, r->path, &depth);
        const char *end = strrchr(r->path, '/'), *from = end;
        while (from && from > r->path && from[-1] != '/') from--;
        if (r->leaf) snprintf(numbers, sizeof numbers, "v%d, %d context%s, %d Q&A", version, n_contexts, n_contexts == 1 ? "" : "s", qa);
        else snprintf(numbers, sizeof numbers, "%d error%s", r->findings.n_errors, r->findings.n_errors == 1 ? "" : "s");
        printf("%*s%.*s%s%s  [%s] %s, %s, by %s\n", 2 * depth, "", end ? (int)(end - from) : 0, from ? from : "", end && strcmp(end, "/qna.yaml") ? end : "", end ? "" : r->path, state, kind, numbers, by);
        return;
    }
    if (!v->n) printf("%-10s %-10s %3s %5s %8s %5s  %-20s %s\n", "STATE", "KIND", "VER", "SEEDS", "CONTEXTS", "Q&A", "CREATED BY", "LEAF");
    if (r->leaf) snprintf(numbers, sizeof numbers, "%3d %5d %8d %5d", version, seeds, n_contexts, qa);
    else snprintf(numbers, sizeof numbers, "%3s %5s %8s %5s", "-", "-", "-", "-");
    const size_t cut = strcspn(by, "\n");
    printf("%-10s %-10s %s  %-20.*s %s\n", state, kind, numbers, (int)(cut < 40 ? cut : 40), by, r->path);
}

static json_t *text(const char *s) /* a file name need not be UTF-8 */
{
    json_t *v = s ? json_string(s) : json_null();
    return v ? v : json_string("?");
}

static int list_leaf(void *ud, struct leaf_read_result *r, ilab_err *e)
{
    struct listing *v = ud;
    const struct list_args *a = v->a;
    const struct leaf *l = r->leaf;
    int marks = 0;
    for (size_t i = 0; i < r->findings.n; i++) marks += r->findings.v[i].error && l != NULL;
    const int unfilled = l && marks && marks == r->findings.n_errors, invalid = r->rc || (!unfilled && r->findings.n_errors > 0);
    const int knowledge = l ? l->is_knowledge : !strncmp(r->path, "knowledge/", 10);
    const char *kind = knowledge ? "knowledge" : !l ? "skill" : l->n_seed && l->seed[0].context ? "grounded" : "freeform";
    if (!is_wanted_path(v->c, r->path) || !is_wanted_state(a, r->change, invalid, unfilled)) return 0;
    if (a->kind && strcmp(a->kind, kind) && !(!knowledge && !strcmp(a->kind, "skill"))) return 0;
    if (a->version && (!l || l->version != a->version)) return 0;
    if (a->by && (!l || !l->created_by || strcmp(a->by, l->created_by))) return 0;
    const int n_contexts = l ? contexts(l) : 0, qa = l ? l->n_seed : 0, seeds = l && knowledge && l->version > 2 ? n_contexts : qa;
    const char *state = invalid ? "invalid" : unfilled ? "unfilled" : CHANGE[r->change];
    if (!a->json) print_leaf(v, r, state, kind, l ? l->version : 0, seeds, n_contexts, qa);
    else {
        json_t *o = json_pack("{s:o,s:s,s:s,s:b,s:b,s:i,s:s}", "path", text(r->path), "state", state, "change", CHANGE[r->change], "valid", !invalid && !unfilled, "unfilled", unfilled,
                              "errors", r->findings.n_errors + (r->rc != 0), "kind", kind);
        if (l) {
            json_object_set_new(o, "version", json_integer(l->version));
            json_object_set_new(o, "seed_examples", json_integer(seeds));
            json_object_set_new(o, "contexts", json_integer(n_contexts));
            json_object_set_new(o, "questions_and_answers", json_integer(qa));
            json_object_set_new(o, "created_by", text(l->created_by));
            if (l->is_knowledge) json_object_set_new(o, "domain", text(l->domain)), json_object_set_new(o, "repo", text(l->repo));
        } else if (r->rc) {
            json_object_set_new(o, "message", text(r->err.msg));
        }
        if (!o || json_array_append_new(v->leaves, o)) return err_set(e, ILAB_E_NOMEM, "no memory for the list");
    }
    v->n++;
    v->total[r->change]++;
    v->total[S_INVALID] += invalid;
    v->total[S_UNFILLED] += unfilled;
    return 0;
}

static void print_totals(const struct listing *v, const struct leaf_list *l)
{
    static const char *const NAME[] = { "new", "changed", "unchanged", "of unknown state", "invalid", "with marks to fill in" };
    if (v->a->json) {
        json_t *o = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:O}", "total", v->n, "new", v->total[S_NEW], "changed", v->total[S_CHANGED], "unchanged", v->total[S_UNCHANGED], "invalid",
                              v->total[S_INVALID], "unfilled", v->total[S_UNFILLED], "leaves", v->leaves);
        json_t *problems = json_array();
        for (size_t i = 0; i < l->n_problem; i++) json_array_append_new(problems, json_pack("{s:o,s:o}", "path", text(l->problem[i].path), "message", text(l->problem[i].text)));
        json_object_set_new(o, "problems", problems);
        print_json(o);
        return;
    }
    printf("%s%d lea%s", v->n ? "\n" : "", v->n, v->n == 1 ? "f" : "ves");
    for (int i = 0, n = 0; i < S_KINDS; i++)
        if (v->total[i]) printf("%s%d %s", n++ ? ", " : ": ", v->total[i], NAME[i]);
    printf("\n");
    if (v->total[S_UNKNOWN] && !strcmp(v->a->base, "empty")) printf("The base 'empty' takes every leaf; new and changed ones are told by --taxonomy-base BRANCH in a git repository.\n");
    if (v->total[S_INVALID] || v->total[S_UNFILLED]) printf("`ilab taxonomy diff` says what is wrong and how to mend it.\n");
}

static const struct check_opts NO_STYLE = { .no_style = 1 }; /* whether it can be used */

static int run_as(struct cli *c, const struct list_args *a, int tree)
{
    struct listing v = { .a = a, .c = c, .tree = tree };
    struct leaf_list l;
    ilab_err e = { 0 };
    int rc = taxonomy_leaves(a->path, a->base, TAXONOMY_EVERY, &l, &e);
    if (rc && rc != ILAB_E_CANCEL && rc != ILAB_E_NOMEM && strcmp(a->base, "empty") && file_exists(a->path)) {
        fprintf(stderr, "What is new or changed is not known: %s\n", e.msg);
        rc = taxonomy_leaves(a->path, "empty", TAXONOMY_EVERY, &l, &e);
    }
    if (rc) return fail(&e, "Reading taxonomy failed with the following error: ");
    v.leaves = json_array();
    rc = leaves_each(a->path, &l, &NO_STYLE, list_leaf, &v, &e);
    for (size_t i = 0; !rc && i < l.n_problem; i++) fprintf(stderr, "%s: %s\n", l.problem[i].path, l.problem[i].text);
    if (!rc) print_totals(&v, &l);
    json_decref(v.leaves);
    leaf_list_release(&l);
    return rc ? fail(&e, "Reading taxonomy failed with the following error: ") : EXIT_DONE;
}

static int run_list(struct cli *c, void *args) { return run_as(c, args, 0); }
static int run_tree(struct cli *c, void *args) { return run_as(c, args, 1); }

#define FILTERS "PART is a part of a leaf's path, or a pattern such as \"knowledge/*/lamps/*\". --state can be given several times.\n\nExamples:\n"
const struct cmd CMD_TAXONOMY_LIST = {
    .name = "taxonomy list", .args_bytes = sizeof(struct list_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run_list, .max_words = 64, .words = "[PART…]",
    .summary = "List the leaves: state, kind, version, counts, author.",
    .help = FILTERS "  ilab taxonomy list\n  ilab taxonomy list --state new --state invalid\n  ilab taxonomy list --kind grounded writing\n  ilab taxonomy list --json | jq '.leaves[].path'\n",
};
const struct cmd CMD_TAXONOMY_TREE = {
    .name = "taxonomy tree", .args_bytes = sizeof(struct list_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run_tree, .max_words = 64, .words = "[PART…]",
    .summary = "Show the leaves as a tree.",
    .help = FILTERS "  ilab taxonomy tree\n  ilab taxonomy tree --state changed\n  ilab taxonomy tree knowledge/science\n",
};
