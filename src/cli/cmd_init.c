/* cmd_init.c — `ilab init`: configuration, taxonomy and starter model in the current folder.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

struct init_args { int interactive; const char *model_path, *base, *taxonomy, *repository; int min_taxonomy; };
static const struct init_args DEFAULTS = { .interactive = 1, .model_path = "models/starter.gguf", .base = "empty", .taxonomy = "taxonomy", .repository = "" };
#define O(field) offsetof(struct init_args, field)
static const struct opt OPTS[] = {
    { "interactive", 0, NULL, OPT_FLAG, O(interactive), 0, 0, NULL, NULL, "ask before each step" },
    { "non-interactive", 0, NULL, OPT_NO_FLAG, O(interactive), 0, 0, NULL, NULL, "take the defaults; needs no network" },
    { "model-path", 0, NULL, OPT_STR, O(model_path), 0, 0, "FILE", NULL, "model written into the configuration" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", NULL, "git reference that changes are counted from" },
    { "taxonomy-path", 0, NULL, OPT_STR, O(taxonomy), 0, 0, "DIR", NULL, "folder of the taxonomy" },
    { "repository", 0, NULL, OPT_STR, O(repository), 0, 0, "URL", NULL, "clone the taxonomy from here instead of writing the example" },
    { "min-taxonomy", 0, NULL, OPT_FLAG, O(min_taxonomy), 0, 0, NULL, NULL, "clone without history" },
    { 0 },
};

/* One line of the user's, or the default when it is empty or input has ended. */
static const char *ask(const char *question, const char *dflt, char *buf, size_t cap)
{
    printf("%s [%s]: ", question, dflt);
    fflush(stdout);
    if (!fgets(buf, (int)cap, stdin)) {
        putchar('\n');
        return dflt;
    }
    buf[strcspn(buf, "\n")] = 0;
    return *buf ? buf : dflt;
}

/* A question that is answered with no unless somebody says yes. */
static int confirm(const char *question)
{
    char buf[16];
    const char *s = ask(question, "y/N", buf, sizeof buf);
    return s == buf && ((s[0] | 0x20) == 'y' || (s[0] | 0x20) == 'j');
}

static int clone(const struct init_args *a, ilab_err *e)
{
    const char *const full[] = { "git", "clone", "--quiet", "--recurse-submodules", "--branch", "main", "--", a->repository, a->taxonomy, NULL };
    const char *const shallow[] = { "git", "clone", "--quiet", "--depth", "1", "--branch", "main", "--", a->repository, a->taxonomy, NULL };
    char *text = NULL;
    int status = 0;
    printf("Cloning %s...\n", a->repository);
    int rc = child_run(a->min_taxonomy ? shallow : full, NULL, 1 << 20, NULL, NULL, &text, &status, e);
    if (!rc && status)
        rc = err_set(e, ILAB_E_IO, "Failed to clone taxonomy repo: %.300s\nPlease make sure to manually run `git clone %s`", text ? text : "", a->repository);
    mem_free(text);
    return rc;
}

static int folder_is_empty(const char *path)
{
    char **name = NULL;
    size_t n = 0;
    if (file_exists(path) != 2 || dir_list(path, &name, &n, NULL)) return 1;
    dir_list_free(name, n);
    return n == 0;
}

/* Writes one embedded file where it is missing; the taxonomy's go below the chosen folder. */
static int place(const struct embedded *f, const struct init_args *a, int with_example, ilab_err *e)
{
    const int of_taxonomy = !strncmp(f->path, "taxonomy/", 9), of_example = of_taxonomy || !strncmp(f->path, "documents/", 10);
    if (of_example && !with_example) return 0;
    char *to = of_taxonomy ? path_join(a->taxonomy, f->path + 9) : xstrdup(f->path), *dir = to ? xstrdup(to) : NULL;
    int rc = to ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && !file_exists(to)) {
        char *slash = strrchr(dir, '/');
        if (slash) *slash = 0;
        rc = dir_make(dir, e);
        if (!rc && disk_free(dir) < f->n + (1 << 20)) rc = err_set(e, ILAB_E_IO, "no room for '%s' (%zu bytes): free some disk space", to, f->n);
        if (!rc) rc = file_write(to, f->p, f->n, e);
    }
    mem_free(dir);
    mem_free(to);
    return rc;
}

static int run(struct cli *c, void *args)
{
    struct init_args *a = args;
    ilab_err e = { 0 };
    static char b1[1024], b2[1024];
    if (a->interactive && file_exists(c->config_path) &&
        !confirm("Found config.yaml in the current directory, do you still want to continue?"))
        return EXIT_DONE;
    if (a->interactive) {
        printf("Welcome to ilab. It sets up a configuration, a taxonomy and a model in this folder.\nPress Enter to take what stands in brackets.\n");
        a->taxonomy = ask("Path to taxonomy repo", a->taxonomy, b1, sizeof b1);
    }
    const int empty = folder_is_empty(a->taxonomy);
    int example = empty && !*a->repository;
    if (a->interactive && empty && *a->repository) {
        char question[512];
        snprintf(question, sizeof question, "`%s` seems to not exist or is empty. Should I clone %s for you?", a->taxonomy, a->repository);
        if (!confirm(question)) a->repository = "", example = 1;
    }
    if (a->interactive) a->model_path = ask("Path to your model", a->model_path, b2, sizeof b2);
    if (empty && *a->repository && clone(a, &e)) return fail(&e, "%s", "");
    for (int i = 0; i < embedded_count(); i++) {
        const struct embedded f = embedded_at(i);
        if (place(&f, a, example, &e)) return fail(&e, "init failed: ");
    }
    printf("Generating `%s` in the current directory...\n", c->config_path);
    if (config_write_default(c->config_path, a->model_path, a->taxonomy, a->base, &e)) return fail(&e, "init failed: ");
    printf("Initialization completed successfully, you're ready to start using `ilab`. Enjoy!\n");
    return EXIT_DONE;
}

const struct cmd CMD_INIT = {
    .name = "init", .group = "config", .args_bytes = sizeof(struct init_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = -1,
    .summary = "Set up a configuration, an example taxonomy and the starter model in this folder.",
    .help = "Examples:\n  ilab init                       ask for each path\n  ilab init --non-interactive     no questions, no network\n"
            "  ilab init --repository https://github.com/instructlab/taxonomy.git --taxonomy-base origin/main\n\n"
            "Existing files are kept (an edited config.yaml as config.yaml.bak). The base `empty` takes every leaf of the taxonomy as new; a git reference such as\n"
            "origin/main takes what differs from it.\n",
};
