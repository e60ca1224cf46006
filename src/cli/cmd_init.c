/* cmd_init.c — `ilab init`: configuration, taxonomy and starter model, in the current folder (`ilab init`, the early layout)
 * or in the user's directories (`ilab config init`, the late one). The questions come in the reference's order; what exists
 * is kept.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char UPSTREAM[] = "https://github.com/instructlab/taxonomy.git";

struct init_args { int interactive; const char *model_path, *base, *taxonomy, *repository, *profile; int min_taxonomy; };
static const struct init_args DEFAULTS = { .interactive = 1 };
#define O(field) offsetof(struct init_args, field)
static const struct opt OPTS[] = {
    { "interactive", 0, NULL, OPT_FLAG, O(interactive), 0, 0, NULL, NULL, "ask before each step (default)" },
    { "non-interactive", 0, NULL, OPT_NO_FLAG, O(interactive), 0, 0, NULL, NULL, "take the defaults; needs no network" },
    { "model-path", 0, NULL, OPT_STR, O(model_path), 0, 0, "FILE", NULL, "model written into the configuration; default: the starter inside this program" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", NULL, "git reference that changes are counted from; default: empty, for a clone origin/main" },
    { "taxonomy-path", 0, NULL, OPT_STR, O(taxonomy), 0, 0, "DIR", NULL, "folder of the taxonomy; default: taxonomy" },
    { "repository", 0, NULL, OPT_STR, O(repository), 0, 0, "URL", NULL, "clone the taxonomy from here instead of writing the example" },
    { "min-taxonomy", 0, NULL, OPT_FLAG, O(min_taxonomy), 0, 0, NULL, NULL, "clone without history" },
    { "profile", 0, NULL, OPT_STR, O(profile), 0, 0, "FILE", NULL, "settings laid over the defaults: a file, or a name in ILAB_SYSTEM_PROFILE_DIR" },
    { 0 },
};

/* One run of init: what was chosen, in memory of its own. */
struct setup { int late; char *config, *model, *taxonomy, *models_dir, *documents, *data; const char *base, *repository; };

static void setup_release(struct setup *s)
{
    char **const all[] = { &s->config, &s->model, &s->taxonomy, &s->models_dir, &s->documents, &s->data };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) mem_free(*all[i]);
}

/* One line of the user's, or the default when it is empty or input has ended. After Ctrl-C nothing more is asked. */
static const char *ask(const char *question, const char *dflt, char *buf, size_t cap)
{
    if (signal_pending()) return dflt;
    printf("%s [%s]: ", question, dflt);
    if (!ask_line(buf, cap)) {
        putchar('\n');
        return dflt;
    }
    return *buf ? buf : dflt;
}

static int confirm(const char *question, int dflt)
{
    char buf[16];
    const char *s = ask(question, dflt ? "Y/n" : "y/N", buf, sizeof buf);
    return s == buf ? (s[0] | 0x20) == 'y' || (s[0] | 0x20) == 'j' : dflt;
}

static void replace(char **what, const char *with)
{
    char *copy = xstrdup(with);
    mem_free(*what);
    *what = copy;
}

static int clone(const struct setup *s, int shallow, ilab_err *e)
{
    const char *const full[] = { "git", "clone", "--quiet", "--recurse-submodules", "--branch", "main", "--", s->repository, s->taxonomy, NULL };
    const char *const min[] = { "git", "clone", "--quiet", "--depth", "1", "--branch", "main", "--", s->repository, s->taxonomy, NULL };
    char *text = NULL;
    int status = 0;
    printf(tr("Cloning %s...\n"), s->repository);
    fflush(stdout);
    int rc = child_run(shallow ? min : full, NULL, 1 << 20, NULL, NULL, &text, &status, e);
    if (rc || status)
        rc = err_set(e, rc ? rc : ILAB_E_IO, "Failed to clone taxonomy repo: %.300s\nPlease make sure to manually run `git clone %s`", rc ? e->msg : text ? text : "", s->repository);
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

/* Writes one embedded file where it is missing. */
static int place(const struct embedded *f, const struct setup *s, int with_example, ilab_err *e)
{
    static const struct { const char *prefix; size_t field; int example; } PLACES[] = {
        { "taxonomy/", offsetof(struct setup, taxonomy), 1 }, { "documents/", offsetof(struct setup, documents), 1 }, { "models/", offsetof(struct setup, models_dir), 0 },
    };
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(PLACES) && strncmp(f->path, PLACES[i].prefix, strlen(PLACES[i].prefix))) i++;
    if (PLACES[i].example && !with_example) return 0;
    char *to = path_join(*(char *const *)((const char *)s + PLACES[i].field), f->path + strlen(PLACES[i].prefix)), *dir = to ? xstrdup(to) : NULL;
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

/* The places of the layout. */
static int setup_init(struct setup *s, const struct cli *c, const struct init_args *a, ilab_err *e)
{
    s->late = c->by_group || c->compat == 26;
    if (s->late) {
        s->data = user_dir("data", "", e);
        s->models_dir = s->data ? user_dir("cache", "models", e) : NULL;
        if (!s->models_dir) return e->code;
        s->taxonomy = path_join(s->data, "taxonomy");
        s->documents = path_join(s->data, "documents");
        s->model = path_join(s->models_dir, "starter.gguf");
    } else {
        s->models_dir = xstrdup("models");
        s->taxonomy = xstrdup("taxonomy");
        s->documents = xstrdup("documents");
        s->model = xstrdup("models/starter.gguf");
    }
    s->config = xstrdup(c->config_path);
    if (a->model_path) replace(&s->model, a->model_path);
    if (a->taxonomy) replace(&s->taxonomy, a->taxonomy);
    s->repository = a->repository ? a->repository : c->compat ? UPSTREAM : "";
    s->base = a->base;
    return 0;
}

/* The file of --profile: itself, or NAME[.yaml] in the folders of profiles. Caller mem_frees; NULL: *e. */
static char *find_profile(const char *name, ilab_err *e)
{
    char *user = user_dir("data", "internal/system_profiles", NULL), *found = NULL;
    const char *const dir[] = { NULL, getenv("ILAB_SYSTEM_PROFILE_DIR"), user };
    for (size_t i = 0; i < ARRAY_LEN(dir); i++)
        for (int k = 0; !found && k < 2 && (!i || dir[i]); k++) {
            struct sb b;
            sb_init(&b, 1 << 16);
            sb_addf(&b, "%s%s%s%s", i ? dir[i] : "", i ? "/" : "", name, k ? ".yaml" : "");
            if (file_exists(b.p) == 1) found = sb_take(&b, NULL);
            sb_release(&b);
        }
    if (!found) err_set(e, ILAB_E_NOTFOUND, "there is no profile '%s' (looked here, in ILAB_SYSTEM_PROFILE_DIR and in %s)", name, user ? user : "no home");
    mem_free(user);
    return found;
}

/* Values of the profile under those of the command line. */
static int read_profile(struct config **out, const char *name, const struct cli *c, const struct init_args *a, ilab_err *e)
{
    const struct { const char *key; int given; } OVER[] = {
        { "chat.model", a->model_path != NULL }, { "serve.model_path", a->model_path != NULL }, { "evaluate.model", a->model_path != NULL },
        { "generate.taxonomy_path", a->taxonomy != NULL }, { "generate.taxonomy_base", a->base != NULL },
    };
    struct sb found;
    char *text = NULL, *path = find_profile(name, e);
    size_t n = 0;
    int count = 0, rc = path ? file_read(path, CONFIG_MAX_FILE, &text, &n, e) : e->code;
    sb_init(&found, CONFIG_MAX_FILE);
    if (!rc) rc = config_parse(out, (struct sv){ text, n }, path, CONFIG_PARTIAL | (c->compat ? CONFIG_LENIENT : 0), &found, &count, e);
    if (!rc && count) {
        fprintf(stderr, "%d errors in %s:\n%s", count, path, found.p);
        rc = err_set(e, ILAB_E_FORMAT, "correct the profile first");
    }
    for (size_t i = 0; !rc && i < ARRAY_LEN(OVER); i++)
        if (OVER[i].given) (*out)->value[config_key_index(OVER[i].key, strlen(OVER[i].key))].set = 0;
    sb_release(&found);
    mem_free(text);
    mem_free(path);
    return rc;
}

static int write_config(const struct setup *s, const struct cli *c, const struct init_args *a, ilab_err *e)
{
    struct config *profile = NULL;
    struct sb b;
    sb_init(&b, 1 << 22);
    int rc = a->profile ? read_profile(&profile, a->profile, c, a, e) : 0;
    if (profile) profile->late = s->late;
    const struct config_print how = { .late = s->late, .comments = 1, .sparse = 1, .rewrite = 1, .with = { s->model, s->taxonomy, s->base } };
    sb_addc(&b, "# Configuration of ilab. An option on the command line wins over a key here. `ilab config show` prints all settings.\n");
    if (!rc) rc = config_print(&b, profile, &how, e);
    if (!rc) rc = config_replace(s->config, (struct sv){ b.p, b.n }, e);
    sb_release(&b);
    config_free(profile);
    return rc;
}

/* What the user says; 1: enough, nothing is to be done. */
static int dialogue(struct setup *s, const struct cli *c, const struct init_args *a, int *example)
{
    char buf[1024], question[1400];
    int stop = 0;
    if (file_exists(s->config)) {
        if (s->late) printf(tr("Existing config file was found in:\n    %s\n"), s->config);
        stop = !confirm(s->late ? tr("Do you still want to continue?") : tr("Found config.yaml in the current directory, do you still want to continue?"), 0) && !signal_pending();
    }
    if (stop) return 1;
    printf(tr("Welcome to ilab. It sets up a configuration, a taxonomy and a model %s.\nPress Enter to take what stands in brackets.\n"), s->late ? tr("for your user") : tr("in this folder"));
    replace(&s->taxonomy, ask(tr("Path to taxonomy repo"), s->taxonomy, buf, sizeof buf));
    if (folder_is_empty(s->taxonomy)) {
        const char *url = *s->repository ? s->repository : UPSTREAM;
        snprintf(question, sizeof question, tr("`%s` seems to not exist or is empty. Should I clone %s for you?"), s->taxonomy, url);
        s->repository = confirm(question, c->compat == 26 || (s->late && a->repository)) ? url : "";
        *example = !*s->repository;
    }
    replace(&s->model, ask(tr("Path to your model"), s->model, buf, sizeof buf));
    if (s->late && !a->profile) {
        char cpu[128];
        cpu_name(cpu, sizeof cpu);
        printf(tr("We have detected the %s profile as an exact match for your system.\n"), strstr(cpu, "AMD") ? "AMD CPU" : strstr(cpu, "Intel") ? "INTEL CPU" : "CPU");
    }
    return 0;
}

static int run(struct cli *c, void *args)
{
    struct init_args *a = args;
    struct setup s = { 0 };
    ilab_err e = { 0 };
    static const char *const LATE_DIRS[] = { "checkpoints", "datasets", "internal", "chatlogs", "logs" };
    if (!strcmp(c->config_path, "DEFAULT")) {
        fprintf(stderr, "Error: --config DEFAULT names no file: give a path\n");
        return EXIT_USAGE;
    }
    int rc = setup_init(&s, c, a, &e), example = 0;
    const int empty = !rc && folder_is_empty(s.taxonomy);
    if (!rc) example = empty && !*s.repository;
    if (!rc && a->interactive && dialogue(&s, c, a, &example)) {
        setup_release(&s);
        return EXIT_DONE;
    }
    if (!rc && signal_pending()) rc = err_set(&e, ILAB_E_CANCEL, "interrupted: nothing was written");
    const int cloning = !rc && *s.repository && folder_is_empty(s.taxonomy);
    if (!s.base) s.base = cloning || c->compat ? "origin/main" : "empty";
    if (cloning) rc = clone(&s, a->min_taxonomy, &e);
    if (rc) {
        setup_release(&s);
        return fail(&e, "%s", "");
    }
    for (int i = 0; !rc && i < embedded_count(); i++) {
        const struct embedded f = embedded_at(i);
        rc = place(&f, &s, example, &e);
    }
    for (size_t i = 0; !rc && s.late && i < ARRAY_LEN(LATE_DIRS); i++) {
        char *dir = path_join(s.data, LATE_DIRS[i]);
        rc = dir_make(dir, &e);
        mem_free(dir);
    }
    if (s.late) printf(tr("Generating config file:\n    %s\n"), s.config);
    else printf(tr("Generating `%s` in the current directory...\n"), s.config);
    fflush(stdout);
    if (!rc) rc = write_config(&s, c, a, &e);
    if (!rc) fputs(s.late ? tr("Initialization completed successfully! You're ready to start using `ilab`. Enjoy!\n") : tr("Initialization completed successfully, you're ready to start using `ilab`. Enjoy!\n"), stdout);
    setup_release(&s);
    return rc ? fail(&e, "init failed: ") : EXIT_DONE;
}

const struct cmd CMD_INIT = {
    .name = "init", .group = "config", .args_bytes = sizeof(struct init_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = -1,
    .summary = "Set up a configuration, an example taxonomy and the starter model.",
    .help = "`ilab init` works in this folder. `ilab config init` works in the user's directories: ~/.config/instructlab/config.yaml,\n"
            "~/.local/share/instructlab (taxonomy, data, checkpoints), ~/.cache/instructlab/models; XDG_CONFIG_HOME, XDG_DATA_HOME and\n"
            "XDG_CACHE_HOME move them.\n\n"
            "Examples:\n  ilab init                       ask for each path\n  ilab init --non-interactive     no questions, no network\n"
            "  ilab config init --profile gaming-pc.yaml\n"
            "  ilab init --repository https://github.com/instructlab/taxonomy.git --taxonomy-base origin/main\n\n"
            "Existing files are kept (an edited config.yaml as config.yaml.bak). The base `empty` takes every leaf of the taxonomy as new; a git reference such as\n"
            "origin/main takes what differs from it.\n",
};
