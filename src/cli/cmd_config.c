/* cmd_config.c — `ilab config show | edit | migrate`: settings as they hold, changed with an editor, moved to the other layout.
 *
 * Nothing invalid replaces a file, and what is replaced is kept as PATH.bak.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- show ---- */
struct show_args { const char *key; int plain, all, json; };
#define O(field) offsetof(struct show_args, field)
static const struct opt SHOW_OPTS[] = {
    { "key", 'k', NULL, OPT_STR, O(key), 0, 0, "SECTION.KEY", NULL, "only this section or key, such as serve or serve.model_path" },
    { "without-comments", 0, "wc", OPT_FLAG, O(plain), 0, 0, NULL, NULL, "only keys and values" },
    { "all", 0, NULL, OPT_FLAG, O(all), 0, 0, NULL, NULL, "also the keys that have no effect in this program" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "each key with its value and where that comes from, as JSON" },
    { 0 },
};
#undef O

static const char *origin_of(const struct config *c, int key)
{
    const struct config_value *v = &c->value[key];
    if (v->set) return v->from == FROM_ENVIRONMENT ? "environment" : "file";
    return v->text ? "default of InstructLab, not chosen" : "default";
}

static int show_json(const struct config *c, const struct config_print *how, const char *only)
{
    struct arena a;
    struct sb b;
    json_t *all = json_object();
    arena_init(&a, (size_t)16 << 20);
    const struct config_paths with = config_standard_paths(how->late, &a);
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        const size_t n = only ? strlen(only) : 0;
        if (k->type == KEY_SECTION || !config_key_in(k, how->late) || !(how->all || config_key_works(k))) continue;
        if (n && (strncmp(k->name, only, n) || (k->name[n] && k->name[n] != '.'))) continue;
        const char *v = config_get(c, k->name), *text = v ? v : config_key_default(k, how->late, how->reference, &with, &a);
        const char *from = v && !c->value[i].set && c->late ? "default" : origin_of(c, i);
        json_t *value = !strcmp(text, "null") ? json_null() : k->type == KEY_BOOL ? json_boolean(!strcmp(text, "true")) : NULL;
        int64_t whole;
        double real;
        if (!value && k->type == KEY_INT && !parse_i64(text, INT64_MIN, INT64_MAX, &whole)) value = json_integer(whole);
        if (!value && k->type == KEY_FLOAT && !parse_f64(text, -1e300, 1e300, &real)) value = json_real(real);
        if (!value) value = json_string(!strcmp(text, "''") ? "" : text);
        json_object_set_new(all, k->name, json_pack("{s:o,s:s}", "value", value ? value : json_null(), "from", from));
    }
    sb_init(&b, 1 << 22);
    sb_add_json(&b, all);
    const int n = (int)json_object_size(all);
    if (n) printf("%s\n", b.p);
    else fprintf(stderr, "Key not found: '%s'\n", only);
    sb_release(&b);
    json_decref(all);
    arena_release(&a);
    return n ? EXIT_DONE : EXIT_USAGE;
}

static int show_run(struct cli *c, void *args)
{
    const struct show_args *a = args;
    ilab_err e = { 0 };
    struct sb b;
    const int late = c->config->late || c->compat == 26;
    const struct config_print how = { .late = late, .reference = c->compat != 0, .comments = !a->plain, .all = a->all, .below = a->key };
    if (a->json) return show_json(c->config, &how, a->key);
    sb_init(&b, 1 << 22);
    const int rc = config_print(&b, c->config, &how, &e);
    if (!rc) fputs(b.p, stdout);
    else fprintf(stderr, "%s: `ilab config show --all -wc` lists the keys\n", e.msg);
    sb_release(&b);
    return rc ? EXIT_USAGE : EXIT_DONE;
}

const struct cmd CMD_CONFIG_SHOW = {
    .name = "config show", .args_bytes = sizeof(struct show_args), .opts = SHOW_OPTS, .run = show_run, .needs_config = 1,
    .summary = "Print the settings that hold, each with its meaning and default.",
    .help = "A setting comes from the command line, else from the environment (ILAB_ and the key in capitals, such as\n"
            "ILAB_SERVE_MODEL_PATH), else from the file, else it is the default. The file is that of --config, else that of\n"
            "ILAB_GLOBAL_CONFIG, else config.yaml here, else ~/.config/instructlab/config.yaml.\n\n"
            "Examples:\n  ilab config show\n  ilab config show -k serve\n  ilab config show -k generate.taxonomy_path -wc\n  ilab --config DEFAULT config show --all\n",
};

/* ---- edit ---- */

/* Runs $VISUAL or $EDITOR, split at blanks, on path; its exit code, or -1 with *e. */
static int run_editor(const char *path, ilab_err *e)
{
    enum { MAX_WORDS = 16 };
    const char *editor = getenv("VISUAL");
    char *words = NULL, *argv[MAX_WORDS + 2];
    int n = 0, status = 0;
    pid_t pid;
    if (!editor || !*editor) editor = getenv("EDITOR");
    if (!editor || !*editor) editor = "vi";
    words = xstrdup(editor);
    for (char *p = words; *p && n < MAX_WORDS;) {
        while (*p == ' ') *p++ = 0;
        if (!*p) break;
        argv[n++] = p;
        p += strcspn(p, " ");
    }
    argv[n] = (char *)(uintptr_t)path;
    argv[n + 1] = NULL;
    fflush(stdout);
    const int errnum = n ? posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) : ENOENT;
    if (errnum) err_errno(e, errnum, "cannot run the editor '%s' (set EDITOR to one that is installed)", editor);
    mem_free(words);
    if (errnum) return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Is the draft valid? Lists on stderr what is not. */
static int draft_is_valid(const char *draft, const char *name, int compat, char **text, size_t *n)
{
    ilab_err e = { 0 };
    struct config *parsed = NULL;
    struct sb found;
    int count = 0;
    sb_init(&found, CONFIG_MAX_FILE);
    int rc = file_read(draft, CONFIG_MAX_FILE, text, n, &e);
    if (!rc) rc = config_parse(&parsed, (struct sv){ *text, *n }, name, compat ? CONFIG_LENIENT : 0, &found, &count, &e);
    if (rc) fprintf(stderr, "%s\n", e.msg);
    else if (count) { fprintf(stderr, tr("%d errors in %s:\n"), count, name); fputs(found.p, stderr); }
    config_free(parsed);
    sb_release(&found);
    return !rc && !count;
}

static int edit_run(struct cli *c, void *args)
{
    (void)args;
    ilab_err e = { 0 };
    char *old = NULL, *text = NULL;
    size_t n_old = 0, n = 0;
    struct sb draft;
    if (!strcmp(c->config_path, "DEFAULT") || file_exists(c->config_path) != 1) {
        fprintf(stderr, "`%s` does not exist: `ilab init` writes one\n", c->config_path);
        return EXIT_USAGE;
    }
    sb_init(&draft, 1 << 16);
    sb_addf(&draft, "%s.draft.yaml", c->config_path);
    int rc = file_read(c->config_path, CONFIG_MAX_FILE, &old, &n_old, &e);
    if (!rc) rc = file_write(draft.p, old, n_old, &e);
    while (!rc) {
        const int code = run_editor(draft.p, &e);
        if (code) {
            if (code > 0) err_set(&e, ILAB_E_CANCEL, "the editor ended with code %d: nothing was changed", code);
            rc = ILAB_E_INVALID;
            unlink(draft.p);
            break;
        }
        mem_free(text);
        text = NULL;
        if (draft_is_valid(draft.p, c->config_path, c->compat, &text, &n)) {
            const int same = n == n_old && !memcmp(text, old, n);
            rc = same ? 0 : config_replace(c->config_path, (struct sv){ text, n }, &e);
            if (!rc) printf(same ? tr("Nothing was changed.\n") : tr("`%s` is valid and was changed.\n"), c->config_path);
            if (!rc) unlink(draft.p);
            break;
        }
        int again = 0;
        if (isatty(0)) {
            printf("Edit again? [Y/n]: ");
            again = ask_agreed(1) == 1;
        }
        if (!again) rc = err_set(&e, ILAB_E_FORMAT, "`%s` is as it was; what you wrote is kept in `%s`", c->config_path, draft.p);
    }
    sb_release(&draft);
    mem_free(old);
    mem_free(text);
    if (rc) fail(&e, "%s", "");
    return rc ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_CONFIG_EDIT = {
    .name = "config edit", .run = edit_run, .needs_config = -1,
    .summary = "Open the configuration in $EDITOR; it is checked before it replaces the old one.",
    .help = "What is not valid does not replace the file: it is kept beside it as PATH.draft.yaml. The old file is kept as PATH.bak.\n\n"
            "Examples:\n  ilab config edit\n  EDITOR=nano ilab config edit\n",
};

/* ---- migrate ---- */
struct migrate_args { const char *to, *output; int undo, dry_run; };
#define O(field) offsetof(struct migrate_args, field)
static const struct opt MIGRATE_OPTS[] = {
    { "to", 0, NULL, OPT_STR, O(to), 0, 0, "VERSION", NULL, "layout to write: 0.14 or 0.26; without it the same layout, as a file of this program", 0, "0.14 0.26" },
    { "output", 'o', NULL, OPT_STR, O(output), 0, 0, "FILE", NULL, "write here instead of replacing the file" },
    { "undo", 0, NULL, OPT_FLAG, O(undo), 0, 0, NULL, NULL, "bring back what the last change kept as PATH.bak" },
    { "dry-run", 0, NULL, OPT_FLAG, O(dry_run), 0, 0, NULL, NULL, "print what would be written" },
    { 0 },
};
#undef O

static int undo(const struct cli *c)
{
    ilab_err e = { 0 };
    struct sb bak;
    char *text = NULL;
    size_t n = 0;
    sb_init(&bak, 1 << 16);
    sb_addf(&bak, "%s.bak", c->config_path);
    int rc = file_exists(bak.p) == 1 ? file_read(bak.p, CONFIG_MAX_FILE, &text, &n, &e) : err_set(&e, ILAB_E_NOTFOUND, "there is no `%s`: nothing to undo", bak.p);
    if (!rc) rc = config_replace(c->config_path, (struct sv){ text, n }, &e);
    if (!rc) printf("`%s` is as it was before.\n", c->config_path);
    sb_release(&bak);
    mem_free(text);
    return rc ? fail(&e, "%s", "") : EXIT_DONE;
}

static int migrate_run(struct cli *c, void *args)
{
    const struct migrate_args *a = args;
    ilab_err e = { 0 };
    struct config *from = NULL;
    char *text = NULL;
    size_t n = 0;
    struct sb b, found;
    int count = 0;
    if (!strcmp(c->config_path, "DEFAULT") || !file_exists(c->config_path)) {
        fprintf(stderr, "`%s` does not exist: `ilab init` writes one\n", c->config_path);
        return EXIT_USAGE;
    }
    if (a->undo) return undo(c);
    sb_init(&found, CONFIG_MAX_FILE);
    sb_init(&b, 1 << 22);
    int rc = file_read(c->config_path, CONFIG_MAX_FILE, &text, &n, &e);
    if (!rc) rc = config_parse(&from, (struct sv){ text, n }, c->config_path, CONFIG_LENIENT, &found, &count, &e);
    if (!rc && count) {
        fprintf(stderr, "%d errors in %s:\n%s", count, c->config_path, found.p);
        rc = err_set(&e, ILAB_E_FORMAT, "Correct what is listed first: `ilab config edit`");
    }
    if (!rc) {
        const struct config_print how = { .late = a->to ? !strcmp(a->to, "0.26") : from->late, .comments = 1, .rewrite = 1, .sparse = 1 };
        sb_addf(&b, "# Configuration of ilab, made from a file of the %s layout by `ilab config migrate`; `ilab config migrate --undo` goes back.\n", from->late ? "late" : "early");
        rc = config_print(&b, from, &how, &e);
    }
    for (int i = 0; !rc && i < N_CONFIG_KEYS; i++)
        if (from->value[i].text && !from->value[i].set)
            fprintf(stderr, "%s: InstructLab's default %s is replaced by this program's %s\n", CONFIG_KEYS[i].name, from->value[i].text, CONFIG_KEYS[i].ours ? CONFIG_KEYS[i].ours : "own");
    if (!rc && a->dry_run) fputs(b.p, stdout);
    else if (!rc && a->output && file_exists(a->output)) rc = err_set(&e, ILAB_E_INVALID, "'%s' exists: choose another name", a->output);
    else if (!rc) rc = config_replace(a->output ? a->output : c->config_path, (struct sv){ b.p, b.n }, &e);
    if (!rc && !a->dry_run) printf("`%s` is written.%s\n", a->output ? a->output : c->config_path, a->output ? "" : " `ilab config migrate --undo` brings the old one back.");
    config_free(from);
    sb_release(&b);
    sb_release(&found);
    mem_free(text);
    return rc ? fail(&e, "%s", "") : EXIT_DONE;
}

const struct cmd CMD_CONFIG_MIGRATE = {
    .name = "config migrate", .args_bytes = sizeof(struct migrate_args), .opts = MIGRATE_OPTS, .run = migrate_run, .needs_config = -1,
    .summary = "Turn a configuration of InstructLab into this program's, or into the other layout; can be undone.",
    .help = "Files of InstructLab work as they are. Migrating writes them anew with this program's keys and texts; values keep their\n"
            "meaning under the other layout's names, and unknown keys are left out. InstructLab's own defaults with which training\n"
            "teaches next to nothing are replaced, each told. The old file is kept as PATH.bak.\n\n"
            "Examples:\n  ilab config migrate --dry-run\n  ilab config migrate --to 0.26\n  ilab config migrate --undo\n",
};
