/* cmd_list.c — `ilab model list | remove`, `ilab data list`: what lies in the folders of models and of training data.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/process.h"
#include "model/model.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ITEMS = 10000, MAX_DEPTH = 4, ROW_TEXT = 64 };

struct item { char *name, *path; uint64_t bytes; int64_t when; const char *group; };
struct items { struct item *v; size_t n, cap; };

static void items_release(struct items *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->v[i].name), mem_free(l->v[i].path);
    mem_free(l->v);
}

static int add_item(struct items *l, const char *name, const char *path, uint64_t bytes, int64_t when, ilab_err *e)
{
    if (l->n >= MAX_ITEMS) return err_set(e, ILAB_E_LIMIT, "more than %d entries: name smaller folders", MAX_ITEMS);
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the list");
    l->v[l->n++] = (struct item){ xstrdup(name), xstrdup(path), bytes, when, NULL };
    return 0;
}

static void when_text(int64_t when, char *out, size_t cap)
{
    const time_t t = (time_t)when;
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm);
}

static json_t *item_json(const struct item *it, const char *when)
{
    json_t *name = json_string(it->name), *path = json_string(it->path); /* NULL where a name is not UTF-8 */
    return json_pack("{s:o,s:o,s:I,s:s}", "name", name ? name : json_null(), "path", path ? path : json_null(), "bytes", (json_int_t)it->bytes, "modified", when);
}

/* ---- models ---- */

static int is_gguf(const char *path)
{
    char magic[4] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, magic, 4);
    close(fd);
    return n == 4 && !memcmp(magic, "GGUF", 4);
}

static uint64_t folder_bytes(const char *path)
{
    char **name = NULL;
    size_t n = 0;
    uint64_t sum = 0;
    struct stat st;
    if (dir_list(path, &name, &n, NULL)) return 0;
    for (size_t i = 0; i < n; i++) {
        char *p = path_join(path, name[i]);
        if (p && !stat(p, &st) && S_ISREG(st.st_mode)) sum += (uint64_t)st.st_size;
        mem_free(p);
    }
    dir_list_free(name, n);
    return sum;
}

/* Models below dir: GGUF files, and Hugging Face folders as owner/name. */
static int find_models(struct items *l, const char *dir, const char *prefix, int depth, ilab_err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = 0;
    if (depth > MAX_DEPTH || file_exists(dir) != 2 || dir_list(dir, &name, &n, NULL)) return 0;
    for (size_t i = 0; !rc && i < n; i++) {
        struct sb shown;
        struct stat st;
        char *path = path_join(dir, name[i]);
        sb_init(&shown, 1 << 16);
        sb_addf(&shown, "%s%s%s", prefix, *prefix ? "/" : "", name[i]);
        const int ok = path && !shown.failed && !stat(path, &st);
        if (ok && S_ISDIR(st.st_mode) && hf_is_dir(path)) rc = add_item(l, shown.p, path, folder_bytes(path), (int64_t)st.st_mtime, e);
        else if (ok && S_ISDIR(st.st_mode) && name[i][0] != '.') rc = find_models(l, path, shown.p, depth + 1, e);
        else if (ok && S_ISREG(st.st_mode) && is_gguf(path)) rc = add_item(l, shown.p, path, (uint64_t)st.st_size, (int64_t)st.st_mtime, e);
        sb_release(&shown);
        mem_free(path);
    }
    dir_list_free(name, n);
    return rc;
}

struct models_args { struct opt_list dirs; int checkpoints, json; };
#define O(field) offsetof(struct models_args, field)
static const struct opt MODELS_OPTS[] = {
    { "model-dirs", 0, NULL, OPT_LIST, O(dirs), 0, 0, "DIR", NULL, "folder to look in; can be repeated. Default: models/, general.models_dir and the user's models" },
    { "list-checkpoints", 0, NULL, OPT_FLAG, O(checkpoints), 0, 0, NULL, NULL, "also the models of train.ckpt_output_dir" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "as JSON" },
    { 0 },
};
#undef O

static int by_path(const void *a, const void *b) { return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path); }

static int models_run(struct cli *c, void *args)
{
    static const char *const HEAD[] = { "Model Name", "Last Modified", "Size", "Absolute path" };
    enum { COLS = ARRAY_LEN(HEAD) };
    const struct models_args *a = args;
    ilab_err e = { 0 };
    struct items l = { 0 };
    char *user = user_dir("cache", "models", NULL);
    const char *own = config_get(c->config, "general.models_dir"), *ckpt = config_get(c->config, "train.ckpt_output_dir");
    const char *const standard[] = { "models", own, user };
    int rc = 0;
    for (int i = 0; !rc && i < a->dirs.n; i++) rc = find_models(&l, a->dirs.v[i], "", 0, &e);
    for (size_t i = 0; !rc && !a->dirs.n && i < ARRAY_LEN(standard); i++)
        if (standard[i] && !(i == 2 && own && !strcmp(own, user)) && !(i == 1 && !strcmp(own, "models"))) rc = find_models(&l, standard[i], "", 0, &e);
    if (!rc && a->checkpoints) rc = find_models(&l, ckpt ? ckpt : "training_results", "", 0, &e);
    mem_free(user);
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_path);
    const char **cell = mem_calloc(l.n * COLS + 1, sizeof *cell);
    char(*text)[2][ROW_TEXT] = mem_calloc(l.n + 1, sizeof *text), **full = mem_calloc(l.n + 1, sizeof *full);
    if (!rc && (!cell || !text || !full)) rc = err_set(&e, ILAB_E_NOMEM, "no memory for the list");
    json_t *all = json_array();
    for (size_t i = 0; !rc && i < l.n; i++) {
        full[i] = realpath(l.v[i].path, NULL); /* third-party: freed below as the C library's */
        when_text(l.v[i].when, text[i][0], ROW_TEXT);
        format_bytes(text[i][1], ROW_TEXT, (double)l.v[i].bytes);
        const char *const row[COLS] = { l.v[i].name, text[i][0], text[i][1], full[i] ? full[i] : l.v[i].path };
        for (int k = 0; k < COLS; k++) cell[i * COLS + (size_t)k] = row[k];
        json_array_append_new(all, item_json(&l.v[i], text[i][0]));
    }
    if (!rc && a->json) print_json(json_incref(all));
    else if (!rc && l.n) table_print(HEAD, COLS, cell, (int)l.n);
    else if (!rc) printf("No models found: `ilab download` brings one\n");
    json_decref(all);
    for (size_t i = 0; full && i < l.n; i++) free(full[i]); /* third-party: the C library's */
    mem_free(full);
    mem_free(cell);
    mem_free(text);
    items_release(&l);
    return rc ? fail(&e, "%s", "") : EXIT_DONE;
}

const struct cmd CMD_MODEL_LIST = {
    .name = "model list", .needs_config = 2, .args_bytes = sizeof(struct models_args), .opts = MODELS_OPTS, .run = models_run,
    .summary = "Models that are here: names, sizes, places.",
    .help = "GGUF files, and Hugging Face folders as OWNER/NAME.\n\nExamples:\n  ilab model list\n  ilab model list --model-dirs /data/models --json\n",
};

/* ---- remove ---- */
struct remove_args { const char *model, *dir; int force; };
#define O(field) offsetof(struct remove_args, field)
static const struct opt REMOVE_OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "NAME", NULL, "a name of `ilab model list`" },
    { "model-dir", 0, "md", OPT_STR, O(dir), 0, 0, "DIR", "general.models_dir", "folder of the models; default: models/, then the user's" },
    { "force", 'f', NULL, OPT_FLAG, O(force), 0, 0, NULL, NULL, "do not ask" },
    { 0 },
};
#undef O

/* A folder's files, then the folder; links are removed, never followed. */
static int remove_folder(const char *path, int depth, ilab_err *e)
{
    char **name = NULL;
    size_t n = 0;
    struct stat st;
    int rc = depth > 8 ? err_set(e, ILAB_E_LIMIT, "'%s' is nested too deeply for a model", path) : dir_list(path, &name, &n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        char *p = path_join(path, name[i]);
        if (!p || lstat(p, &st)) rc = err_set(e, ILAB_E_IO, "cannot look at a file of '%s'", path);
        else if (S_ISDIR(st.st_mode)) rc = remove_folder(p, depth + 1, e);
        else if (unlink(p)) rc = err_set(e, ILAB_E_IO, "cannot remove '%s'", p);
        mem_free(p);
    }
    dir_list_free(name, n);
    if (!rc && rmdir(path)) rc = err_set(e, ILAB_E_IO, "cannot remove the folder '%s'", path);
    return rc;
}

/* The model's place below one of the folders: only what `model list` would show. Caller mem_frees. */
static char *place_of(const char *dir, const char *name)
{
    struct items l = { 0 };
    char *found = NULL;
    find_models(&l, dir, "", 0, NULL);
    for (size_t i = 0; !found && i < l.n; i++) {
        const size_t n = strlen(name);
        if (!strcmp(l.v[i].name, name) || (!strncmp(l.v[i].name, name, n) && !strcmp(l.v[i].name + n, ".gguf"))) found = xstrdup(l.v[i].path);
    }
    items_release(&l);
    return found;
}

static int remove_run(struct cli *c, void *args)
{
    (void)c;
    const struct remove_args *a = args;
    ilab_err e = { 0 };
    struct stat st;
    if (!a->model) {
        fprintf(stderr, "Error: Missing option '--model' / '-m'.\n");
        return EXIT_USAGE;
    }
    char *user = a->dir ? NULL : user_dir("cache", "models", NULL), *path = place_of(a->dir ? a->dir : "models", a->model);
    if (!path && user) path = place_of(user, a->model);
    mem_free(user);
    if (!path) {
        printf("Model %s does not exist: `ilab model list` shows what is here\n", a->model);
        return EXIT_FAILED;
    }
    int agreed = 1;
    if (!a->force) {
        printf("Are you sure you want to remove the model '%s'? [y/N]: ", path);
        agreed = ask_agreed(0) == 1;
    }
    int rc = 0;
    if (!agreed) {
        printf("Aborted deletion.\n");
        if (signal_pending()) rc = err_set(&e, ILAB_E_CANCEL, "interrupted: nothing was removed");
    } else {
        printf("Removing model: %s.\n", a->model);
        if (lstat(path, &st)) rc = err_set(&e, ILAB_E_NOTFOUND, "Model %s does not exist", a->model);
        else if (S_ISDIR(st.st_mode)) rc = remove_folder(path, 0, &e);
        else if (unlink(path)) rc = err_set(&e, ILAB_E_IO, "cannot remove '%s'", path);
        if (!rc) printf("Model %s has been removed.\n", a->model);
    }
    mem_free(path);
    return rc ? fail(&e, "%s", "") : EXIT_DONE;
}

const struct cmd CMD_MODEL_REMOVE = {
    .name = "model remove", .needs_config = 2, .args_bytes = sizeof(struct remove_args), .opts = REMOVE_OPTS, .run = remove_run,
    .summary = "Delete a model's file or folder, after a question.",
    .help = "Only what `ilab model list` shows is removed.\n\nExamples:\n  ilab model remove -m old-model.gguf\n  ilab model remove -m owner/name --force\n",
};

/* ---- data list ---- */
struct data_args { struct opt_list dirs; int json; };
#define O(field) offsetof(struct data_args, field)
static const struct opt DATA_OPTS[] = {
    { "dataset-dirs", 0, NULL, OPT_LIST, O(dirs), 0, 0, "DIR", "generate.output_dir", "folder to look in; can be repeated. Default: generated/" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "as JSON" },
    { 0 },
};
#undef O

static int find_data(struct items *l, const char *dir, const char *prefix, int depth, ilab_err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = 0;
    if (depth > MAX_DEPTH || dir_list(dir, &name, &n, NULL)) return 0;
    for (size_t i = 0; !rc && i < n; i++) {
        struct sb shown;
        struct stat st;
        char *path = path_join(dir, name[i]);
        sb_init(&shown, 1 << 16);
        sb_addf(&shown, "%s%s%s", prefix, *prefix ? "/" : "", name[i]);
        const int ok = path && !shown.failed && !stat(path, &st);
        if (ok && name[i][0] != '.' && S_ISDIR(st.st_mode)) rc = find_data(l, path, shown.p, depth + 1, e);
        else if (ok && name[i][0] != '.' && S_ISREG(st.st_mode) && sv_ends(sv_of(name[i]), ".jsonl")) rc = add_item(l, shown.p, path, (uint64_t)st.st_size, (int64_t)st.st_ctime, e);
        sb_release(&shown);
        mem_free(path);
    }
    dir_list_free(name, n);
    return rc;
}

/* "test_MODEL_2024-10-27T08_34_48.jsonl" → MODEL; "General" for other names. */
static void model_of(const char *path, char *out, size_t cap)
{
    static const char *const KIND[] = { "test_", "messages_", "train_" };
    const char *name = path_base(path);
    snprintf(out, cap, "General");
    for (size_t i = 0; i < ARRAY_LEN(KIND); i++) {
        const size_t skip = strlen(KIND[i]);
        const char *last = strrchr(name, '_');
        for (int back = 0; last && back < 2; back++) { /* the time has two underscores of its own */
            const char *p = last;
            while (p > name && p[-1] != '_') p--;
            last = p > name ? p - 1 : NULL;
        }
        if (strncmp(name, KIND[i], skip) || !last || last <= name + skip || !isdigit((unsigned char)last[1])) continue;
        snprintf(out, cap, "%.*s", (int)(last - name - (ptrdiff_t)skip), name + skip);
    }
}

static int is_run(const char *name) /* 2025-01-01_120000/ */
{
    static const char SHAPE[] = "0000-00-00_000000/";
    for (size_t i = 0; SHAPE[i]; i++)
        if (SHAPE[i] == '0' ? !isdigit((unsigned char)name[i]) : name[i] != SHAPE[i]) return 0;
    return 1;
}

/* Newest run first, what belongs to no run last; within one by name. */
static int by_run(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    const int ra = is_run(a->name), rb = is_run(b->name);
    if (ra != rb) return rb - ra;
    const int run = ra ? strncmp(b->name, a->name, 17) : 0;
    return run ? run : strcmp(a->name, b->name);
}

static int data_run(struct cli *c, void *args)
{
    static const char *const HEAD[] = { "Dataset", "Model", "Created At", "File size" }, *const UNIT[] = { "B", "KB", "MB", "GB", "TB" };
    enum { COLS = ARRAY_LEN(HEAD) };
    const struct data_args *a = args;
    ilab_err e = { 0 };
    struct items l = { 0 };
    int rc = 0;
    (void)c;
    for (int i = 0; !rc && i < (a->dirs.n ? a->dirs.n : 1); i++) rc = find_data(&l, a->dirs.n ? a->dirs.v[i] : "generated", "", 0, &e);
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_run);
    const char **cell = mem_calloc(l.n * COLS + 1, sizeof *cell);
    char(*text)[3][256] = mem_calloc(l.n + 1, sizeof *text);
    if (!rc && (!cell || !text)) rc = err_set(&e, ILAB_E_NOMEM, "no memory for the list");
    json_t *all = json_array();
    for (size_t i = 0; !rc && i < l.n; i++) {
        double size = (double)l.v[i].bytes;
        size_t u = 0;
        while (size >= 1024 && u + 1 < ARRAY_LEN(UNIT)) size /= 1024, u++;
        model_of(l.v[i].path, text[i][0], 256);
        when_text(l.v[i].when, text[i][1], 256);
        snprintf(text[i][2], 256, "%.2f %s", size, UNIT[u]);
        const char *const row[COLS] = { l.v[i].name, text[i][0], text[i][1], text[i][2] };
        for (int k = 0; k < COLS; k++) cell[i * COLS + (size_t)k] = row[k];
        json_array_append_new(all, item_json(&l.v[i], text[i][1]));
    }
    for (size_t i = 0, n; !rc && !a->json && i < l.n; i += n) {
        const int run = is_run(l.v[i].name);
        for (n = 1; i + n < l.n && is_run(l.v[i + n].name) == run && (!run || !strncmp(l.v[i].name, l.v[i + n].name, 17)); n++) {}
        if (run) printf("%sRun from %.17s\n", i ? "\n" : "", l.v[i].name);
        else printf("%sUncategorized datasets\n", i ? "\n" : "");
        table_print(HEAD, COLS, cell + i * COLS, (int)n);
    }
    if (!rc && a->json) print_json(json_incref(all));
    else if (!rc && !l.n) printf("No datasets found: `ilab generate` writes them\n");
    json_decref(all);
    mem_free(cell);
    mem_free(text);
    items_release(&l);
    return rc ? fail(&e, "%s", "") : EXIT_DONE;
}

const struct cmd CMD_DATA_LIST = {
    .name = "data list", .needs_config = 2, .args_bytes = sizeof(struct data_args), .opts = DATA_OPTS, .run = data_run,
    .summary = "Training data that is here, newest run first.",
    .help = "Examples:\n  ilab data list\n  ilab data list --dataset-dirs generated --dataset-dirs old --json\n",
};
