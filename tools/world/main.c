/* main.c — `world`: writes the starter's text, held-out text, question sets and taxonomy folders.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: world corpus     --seed S --tokens N --out FILE.jsonl [--mix TASK=SHARE,...] [--loss all]  the starter's training text\n"
    "       world validation --seed S --tokens N --out FILE.jsonl     held-out text of the same mix\n"
    "       world probe      --seed S --tokens N --out FILE.jsonl     the same, each line with its task\n"
    "       world questions  --kind retention|example [--n N] --seed S --out FILE.jsonl\n"
    "       world document   --type university|company|river|lacking --seed S --out DIR\n"
    "       world heldout    QUESTIONS.jsonl TEXT...                   no question occurs in a text; no name of them either (--names allowed: names may)\n"
    "       world facts                                                the core world, one fact a line\n";

static void print_facts(const struct core *c)
{
    struct sb b;
    sb_init(&b, 4096);
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->v[i].n_fact; k++) {
            sb_reset(&b);
            statement_canonical(&b, &c->v[i].fact[k], &c->v[i].e, NULL);
            printf("%s\t%s\t%s\n", type_table[c->v[i].e.type].noun, fact_relation(&c->v[i].fact[k])->key, b.p);
        }
    printf("%d entities, %d facts\n", c->n, c->n_fact);
    sb_release(&b);
}

static int run(int argc, char **argv, struct core *core, ilab_err *e)
{
    const char *out = NULL, *kind = "retention", *type = "university", *plain[16];
    int64_t seed = 1, tokens = 1000000, n = 400;
    int n_plain = 0, loss_all = 0, names_allowed = 0;
    for (int i = 2; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--out"))
            out = v, i++;
        else if (!strcmp(argv[i], "--kind"))
            kind = v, i++;
        else if (!strcmp(argv[i], "--type"))
            type = v, i++;
        else if (!strcmp(argv[i], "--loss") && !strcmp(v, "all"))
            loss_all = 1, i++;
        else if (!strcmp(argv[i], "--names") && !strcmp(v, "allowed"))
            names_allowed = 1, i++;
        else if (!strcmp(argv[i], "--mix") && !corpus_mix(v, e))
            i++;
        else if (!strcmp(argv[i], "--seed") && !parse_i64(v, 0, INT64_MAX, &seed))
            i++;
        else if (!strcmp(argv[i], "--tokens") && !parse_i64(v, 1, INT64_MAX, &tokens))
            i++;
        else if (!strcmp(argv[i], "--n") && !parse_i64(v, 1, 100000, &n))
            i++;
        else if (argv[i][0] != '-' && n_plain < 16)
            plain[n_plain++] = argv[i];
        else
            return err_set(e, ILAB_E_INVALID, "bad argument %s\n%s", argv[i], usage);
    }
    const char *cmd = argv[1];
    if (!strcmp(cmd, "facts")) {
        print_facts(core);
        return 0;
    }
    if (!strcmp(cmd, "heldout") && n_plain >= 2)
        return heldout_check(plain[0], plain + 1, n_plain - 1, names_allowed, e);
    if (!out)
        return err_set(e, ILAB_E_INVALID, "--out is missing\n%s", usage);
    static const char *const texts[] = { [TEXT_CORPUS] = "corpus", [TEXT_VALIDATION] = "validation", [TEXT_PROBE] = "probe" };
    for (int k = 0; k < (int)ARRAY_LEN(texts); k++)
        if (!strcmp(cmd, texts[k]))
            return corpus_write(out, core, (uint64_t)seed, tokens, (enum text_kind)k, loss_all, e);
    if (!strcmp(cmd, "questions") && !strcmp(kind, "example"))
        return example_questions_write(out, core, (uint64_t)seed, e);
    if (!strcmp(cmd, "questions"))
        return questions_write(out, core, (uint64_t)seed, kind, (int)n, e);
    if (!strcmp(cmd, "document")) {
        int lacking = !strcmp(type, "lacking"), t = -1;
        for (int i = 0; i < N_TYPE; i++)
            if (!strcmp(type, type_table[i].noun))
                t = i;
        if (lacking)
            t = TYPE_MUSEUM;
        if (t >= 0)
            return document_write(out, core, t, lacking, (uint64_t)seed, e);
    }
    return err_set(e, ILAB_E_INVALID, "%s", usage);
}

int main(int argc, char **argv)
{
    static struct core core;
    ilab_err e = { 0 };
    if (argc < 2 || !strcmp(argv[1], "--help")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    forms_init();
    int code = core_load(&core, &e);
    if (!code)
        code = run(argc, argv, &core, &e);
    if (code)
        fprintf(stderr, "world: %s\n", e.msg);
    return code ? 1 : 0;
}
