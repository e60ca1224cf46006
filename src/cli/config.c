/* config.c — config.yaml: the sections and keys of the early reference system, each key a row with its default and its meaning.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <string.h>

enum { CONFIG_MAX_FILE = 1 << 20 };

struct config { struct arena mem; struct yaml_node *root; };

/* %M model path, %m its stem, %T taxonomy path, %B taxonomy base */
struct config_key { const char *section, *key, *dflt, *doc; int required; };
static const struct config_key KEYS[] = {
    { "general", "log_level", "INFO", "DEBUG, INFO, WARNING or ERROR", 0 },
    { "chat", "model", "%m", "model that answers; a name below models/ or a path", 1 },
    { "chat", "vi_mode", "false", "vi keys in the prompt", 0 },
    { "chat", "visible_overflow", "true", "kept for compatibility; answers are streamed whole", 0 },
    { "chat", "context", "default", "named system prompt", 0 },
    { "chat", "session", "", "session file that every chat starts from", 0 },
    { "chat", "logs_dir", "data/chatlogs", "where chats are written down; empty: nowhere", 0 },
    { "chat", "greedy_mode", "false", "true: always the most likely answer", 0 },
    { "chat", "temperature", "0", "0: always the most likely answer (this program's default)", 0 },
    { "chat", "max_tokens", "", "longest answer", 0 },
    { "chat", "system_prompt", "", "first message of every chat, of the training samples and of the quiz", 0 },
    { "generate", "model", "%m", "model that writes the training data", 1 },
    { "generate", "taxonomy_path", "%T", "folder of the taxonomy", 1 },
    { "generate", "taxonomy_base", "%B", "git reference that changes are counted from; empty: every leaf", 1 },
    { "generate", "chunk_word_count", "1000", "words of a document chunk", 0 },
    { "generate", "num_instructions", "0", "samples about facts in all; 0: by the number of facts", 0 },
    { "generate", "output_dir", "generated", "where the training data goes", 0 },
    { "serve", "model_path", "%M", "GGUF file that is served", 1 },
    { "serve", "host_port", "127.0.0.1:8000", "address of the server", 0 },
    { "serve", "max_ctx_size", "4096", "longest conversation in tokens", 0 },
};

int config_load(struct config **out, const char *path, ilab_err *e)
{
    char *text = NULL;
    size_t n = 0;
    if (!file_exists(path))
        return err_set(e, ILAB_E_NOTFOUND, "`%s` does not exists, please run `ilab init` or point to a valid configuration file using `--config=<path>`.", path);
    int rc = file_read(path, CONFIG_MAX_FILE, &text, &n, e);
    if (rc) return rc;
    struct config *c = xcalloc(1, sizeof *c);
    arena_init(&c->mem, (size_t)64 << 20);
    const char *copy = arena_strndup(&c->mem, text, n);
    mem_free(text);
    if (!copy) rc = err_set(e, ILAB_E_NOMEM, "no memory for '%s'", path);
    if (!rc && (rc = yaml_parse((struct sv){ copy, n }, path, &c->mem, &c->root, e)))
        err_set(e, rc, "%s: correct it, or write a new file with `ilab init` (the old one is kept as %s.bak)", e ? e->msg : "", path);
    if (!rc && c->root->kind != YAML_MAP) rc = err_set(e, ILAB_E_FORMAT, "%s:1:1: sections such as `general:` are expected: `ilab init` writes a new file", path);
    int n_missing = 0;
    struct sb missing;
    sb_init(&missing, CONFIG_MAX_FILE);
    for (size_t i = 0; !rc && i < ARRAY_LEN(KEYS); i++) {
        const struct yaml_node *s = yaml_get(c->root, KEYS[i].section);
        if (!KEYS[i].required || (s && yaml_get(s, KEYS[i].key))) continue;
        const int first_of_section = !s && (i == 0 || strcmp(KEYS[i].section, KEYS[i - 1].section) || !KEYS[i - 1].required);
        if (s) sb_addf(&missing, "- missing %s->%s: field required\n", KEYS[i].section, KEYS[i].key);
        else if (first_of_section) sb_addf(&missing, "- missing %s: field required\n", KEYS[i].section);
        n_missing += s || first_of_section;
    }
    if (!rc && n_missing) {
        fprintf(stderr, "%d errors in %s:\n%s", n_missing, path, missing.p);
        rc = err_set(e, ILAB_E_FORMAT, "Add what is missing, or write a new file with `ilab init` (the old one is kept as %s.bak)", path);
    }
    sb_release(&missing);
    if (rc) config_free(c);
    else *out = c;
    return rc;
}

void config_free(struct config *c)
{
    if (!c) return;
    arena_release(&c->mem);
    mem_free(c);
}

const char *config_get(const struct config *c, const char *key)
{
    const char *dot = strchr(key, '.');
    char section[64];
    if (!c || !dot || (size_t)(dot - key) >= sizeof section) return NULL;
    snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
    const struct yaml_node *s = yaml_get(c->root, section), *v = s ? yaml_get(s, dot + 1) : NULL;
    if (!v || v->kind == YAML_NULL || v->kind == YAML_SEQ || v->kind == YAML_MAP) return NULL;
    return arena_strndup((struct arena *)(uintptr_t)&c->mem, v->text.p, v->text.n);
}

/* A path or name, in quotes unless it is plain in YAML without any doubt. */
static void add_text(struct sb *b, const char *s)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    if (*s && *s != '-' && *s != '.' && !s[strspn(s, PLAIN)]) sb_addc(b, s);
    else sb_add_json_str(b, sv_of(s));
}

static void add_value(struct sb *b, const char *dflt, const char *const with[4])
{
    static const char WHICH[] = "MmTB";
    if (dflt[0] == '%' && strchr(WHICH, dflt[1])) add_text(b, with[strchr(WHICH, dflt[1]) - WHICH]);
    else sb_addc(b, *dflt ? dflt : "null");
}

/* A configuration that somebody may have edited is not lost: it becomes PATH.bak. */
static int keep_old(const char *path, struct sv text, ilab_err *e)
{
    char *old = NULL;
    size_t n = 0;
    if (!file_exists(path)) return 0;
    int rc = file_read(path, CONFIG_MAX_FILE, &old, &n, e);
    if (!rc && !sv_eq((struct sv){ old, n }, text)) {
        struct sb b;
        sb_init(&b, 1 << 16);
        sb_addf(&b, "%s.bak", path);
        rc = b.failed ? err_set(e, ILAB_E_LIMIT, "the path '%s' is too long", path) : file_write(b.p, old, n, e);
        if (!rc) printf("The old configuration is kept as `%s`.\n", b.p);
        sb_release(&b);
    }
    mem_free(old);
    return rc;
}

int config_write_default(const char *path, const char *model_path, const char *taxonomy_path, const char *taxonomy_base, ilab_err *e)
{
    struct sb b;
    const char *section = "";
    char *stem = path_stem(model_path);
    const char *const with[4] = { model_path, stem ? stem : model_path, taxonomy_path, taxonomy_base };
    sb_init(&b, CONFIG_MAX_FILE);
    sb_addc(&b, "# Configuration of ilab. An option on the command line wins over a key here.\n");
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        if (strcmp(section, KEYS[i].section)) sb_addf(&b, "%s:\n", section = KEYS[i].section);
        sb_addf(&b, "  # %s\n  %s: ", KEYS[i].doc, KEYS[i].key);
        add_value(&b, KEYS[i].dflt, with);
        sb_addch(&b, '\n');
    }
    int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory for the configuration") : keep_old(path, (struct sv){ b.p, b.n }, e);
    if (!rc) rc = file_write(path, b.p, b.n, e);
    sb_release(&b);
    mem_free(stem);
    return rc;
}
