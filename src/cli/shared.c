/* shared.c — what several commands need: finding models and data, choosing where a model runs, ending with a message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"
#include "infer/infer.h"
#include "lm/lm.h"
#include "model/model.h"

#include <string.h>

int fail(const ilab_err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, tr(fmt), ap);
    va_end(ap);
    struct arena mem;
    arena_init(&mem, 1 << 16);
    fprintf(stderr, "%s\n", words_of_user(&mem, e->msg));
    arena_release(&mem);
    return e->code == ILAB_E_CANCEL ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int print_json(json_t *v)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 30);
    sb_add_json(&b, v);
    const int rc = v && !b.failed ? EXIT_DONE : EXIT_FAILED;
    if (rc) fprintf(stderr, "%s\n", "no memory for the JSON output");
    else printf("%s\n", b.p);
    sb_release(&b);
    json_decref(v);
    return rc;
}

char *path_stem(const char *path)
{
    char *s = xstrdup(path_base(path)), *dot = strrchr(s, '.');
    if (dot && dot != s) *dot = 0;
    return s;
}

static const char *models_dir; /* set once, before the command runs */
void models_dir_set(const char *dir) { models_dir = dir; }

char *model_locate(const char *name, ilab_err *e)
{
    char *user = user_dir("cache", "models", NULL), *found = NULL;
    const char *const dir[] = { "", "models/", models_dir, user };
    static const char *const ENDING[] = { "", ".gguf" };
    for (size_t i = 0; !found && i < ARRAY_LEN(dir); i++)
        for (size_t k = 0; dir[i] && !found && k < ARRAY_LEN(ENDING) && (*dir[i] || !k) && (i == 0 || *name != '/'); k++) {
            struct sb b;
            sb_init(&b, 1 << 17);
            sb_addf(&b, "%s%s%s%s", dir[i], *dir[i] && i > 1 ? "/" : "", name, ENDING[k]);
            if (b.p && (file_exists(b.p) == 1 || hf_is_dir(b.p))) found = sb_take(&b, NULL);
            sb_release(&b);
        }
    if (!found && file_exists(name) == 2)
        err_set(e, ILAB_E_NOTFOUND, "%s is a folder without a model: there is no config.json with *.safetensors beside it; name a GGUF file, or such a folder", name);
    else if (!found)
        err_set(e, ILAB_E_NOTFOUND, "Model path does not exist: %s (looked here, below models/ and below %s): `ilab init` or `ilab download` brings one", name,
                models_dir ? models_dir : user ? user : "models/");
    mem_free(user);
    return found;
}

char *model_find(const char *name)
{
    ilab_err e = { 0 };
    char *path = model_locate(name, &e);
    if (!path) fprintf(stderr, "%s\n", e.msg);
    return path;
}

/* Part of a dataset's name behind its kind: "messages_X.jsonl" → X. */
static int is_kind(const char *name, const char *kind)
{
    const size_t n = strlen(kind);
    return !strncmp(name, kind, n) && sv_ends(sv_of(name), ".jsonl");
}

int newest_dataset(const char *dir, char **train, char **test, ilab_err *e)
{
    static const char *const KIND[] = { "messages_", "train_" };
    char **name = NULL;
    size_t n = 0;
    *train = NULL;
    if (test) *test = NULL;
    if (file_exists(dir) != 2) return err_set(e, ILAB_E_NOTFOUND, "Could not read directory: %s: did you run `ilab generate`?", dir);
    int rc = dir_list(dir, &name, &n, e);
    /* names end in the date, so the last of the sorted dates is the newest, whatever the model's name is */
    const char *best = NULL, *best_date = "";
    int found = 0;
    for (size_t k = 0; !rc && k < ARRAY_LEN(KIND) && !best; k++)
        for (size_t i = 0; i < n; i++) {
            if (!is_kind(name[i], KIND[k])) continue;
            found++;
            const char *date = strlen(name[i]) > 25 ? name[i] + strlen(name[i]) - 25 : name[i];
            if (!best || strcmp(date, best_date) > 0) best = name[i], best_date = date;
        }
    if (!rc && !best) rc = err_set(e, ILAB_E_NOTFOUND, "%s does not contain training or test files, did you run `ilab generate`?", dir);
    if (!rc && found > 1) log_info("Found multiple files from `ilab generate`. Using the most recent generation.");
    if (!rc) {
        *train = path_join(dir, best);
        struct sb b;
        sb_init(&b, 4096);
        sb_addf(&b, "test_%s", strchr(best, '_') + 1);
        char *p = path_join(dir, b.p ? b.p : "");
        if (test && p && file_exists(p) == 1) *test = p;
        else mem_free(p);
        sb_release(&b);
    }
    dir_list_free(name, n);
    return rc;
}

const char *system_prompt_for(const struct cli *c)
{
    const char *s = c->config ? config_get(c->config, "chat.system_prompt") : NULL;
    return s ? s : "";
}

int lm_for_command(const struct cli *c, const char *model, const char *adapter, const char *endpoint, const char *api_key, int n_threads,
                   int kv_type, struct lm **out, ilab_err *e)
{
    char url[256];
    if (endpoint && *endpoint) return lm_http_open(out, endpoint, model, api_key, e);
    char *path = model_locate(model, e);
    if (!path) return ILAB_E_NOTFOUND;
    const char *host = c->config ? config_get(c->config, "serve.host_port") : NULL;
    int rc = -1;
    snprintf(url, sizeof url, "http://%s/v1", host ? host : "127.0.0.1:8000");
    if (!adapter && lm_http_probe(url)) {
        char hash[65];
        struct lm *remote = NULL;
        if (!sha256_file_cached(path, 64 << 20, hash, NULL) && !lm_http_open(&remote, url, model, api_key, NULL)) {
            if (!strcmp(lm_hash(remote), hash)) {
                log_info("using the server that already runs at %s", url);
                *out = remote;
                rc = 0;
            } else {
                log_debug("the server at %s serves another model", url);
                lm_close(remote);
            }
        }
    }
    if (rc) {
        struct engine *en = NULL;
        if (!(rc = engine_open(&en, path, adapter, n_threads, e))) en->kv_type = kv_type;
        if (!rc) rc = lm_local_new(out, en, 1, e);
        if (rc && en) engine_free(en);
    }
    mem_free(path);
    return rc;
}

int kv_type_arg(const char *name, int *out)
{
    *out = name ? kv_type_by_name(name) : KV_DEFAULT;
    if (*out >= 0) return 0;
    fprintf(stderr, "Error: --kv-type: '%s' is none of auto, f32, f16, q8_0, q4_0\n", name);
    return EXIT_USAGE;
}
