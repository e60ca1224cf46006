/* config.c — reads config.yaml by the table of keys: both layouts of InstructLab, the environment over the file.
 *
 * All findings of a file come in one pass, each with its place. A text that somebody may have edited is never changed
 * here: config_write.c writes. What it does not do: change options' own defaults (they are in the options' rows).
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reader { struct config *c; const char *name; unsigned flags; struct sb *found; int n, no_memory; };

static void complain(struct reader *r, const struct yaml_node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void complain(struct reader *r, const struct yaml_node *at, const char *fmt, ...)
{
    char msg[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    for (char *p = msg; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = ' ';
    if (at) sb_addf(r->found, "- %s:%d:%d: %s\n", r->name, at->line, at->col, msg);
    else sb_addf(r->found, "- %s\n", msg);
    r->n++;
}

/* "~/x", "$HOME/x", "${X}/y" as a shell reads them; a name that is not set stays. */
static const char *expand(struct arena *a, const char *s)
{
    struct sb b;
    sb_init(&b, CONFIG_MAX_FILE);
    if (*s == '~' && (!s[1] || s[1] == '/') && getenv("HOME")) sb_addc(&b, getenv("HOME")), s++;
    while (*s) {
        const size_t plain = strcspn(s, "$");
        sb_add(&b, (struct sv){ s, plain });
        s += plain;
        if (!*s) break;
        const int brace = s[1] == '{';
        const char *name = s + 1 + brace;
        size_t n = 0;
        char var[128];
        while (isalnum((unsigned char)name[n]) || name[n] == '_') n++;
        snprintf(var, sizeof var, "%.*s", (int)(n < sizeof var ? n : 0), name);
        const char *v = n && n < sizeof var && (!brace || name[n] == '}') ? getenv(var) : NULL;
        const size_t used = v ? 1 + (size_t)brace + n + (size_t)brace : 1;
        sb_add(&b, v ? sv_of(v) : (struct sv){ s, 1 });
        s += used;
    }
    const char *out = b.failed ? NULL : arena_strndup(a, b.p, b.n);
    sb_release(&b);
    return out;
}

static int is_choice(const struct config_key *k, const char *v)
{
    struct sv rest = sv_of(k->choices), part;
    const size_t n = strlen(v);
    while (sv_split(&rest, ' ', &part))
        if (part.n == n && !(k->flags & KEY_ANY_CASE ? strncasecmp : strncmp)(part.p, v, n)) return 1;
    return 0;
}

/* HOST:PORT; an address with colons of its own stands in brackets. */
static int is_address(const char *v)
{
    const char *colon = strrchr(v, ':');
    int64_t port;
    if (!colon || colon == v || parse_i64(colon + 1, 0, 65535, &port)) return 0;
    const size_t n = (size_t)(colon - v);
    return memchr(v, ':', n) || *v == '[' ? *v == '[' && v[n - 1] == ']' && n > 2 && !memchr(v + 1, '[', n - 2) && !memchr(v + 1, ']', n - 2) : 1;
}

/* Is the scalar v a value of k? node is NULL for text from the environment; what names it in messages. */
static int check(struct reader *r, const struct config_key *k, const char *v, const struct yaml_node *node, const char *what)
{
    int64_t i;
    double f;
    int truth = 0;
    const int before = r->n;
    switch (k->type) {
    case KEY_BOOL:
        if (node ? yaml_bool(node, &truth) : strcasecmp(v, "true") && strcasecmp(v, "false") && strcmp(v, "1") && strcmp(v, "0"))
            complain(r, node, tr("%s: '%s' is neither true nor false"), what, v);
        break;
    case KEY_INT:
        if (parse_i64(v, INT32_MIN, INT32_MAX, &i)) complain(r, node, tr("%s: '%s' is not a valid integer"), what, v);
        else if ((double)i < k->lo || (double)i > k->hi) complain(r, node, tr("%s: %s is not in the range %.0f to %.0f"), what, v, k->lo, k->hi);
        break;
    case KEY_FLOAT:
        if (parse_f64(v, -1e300, 1e300, &f)) complain(r, node, tr("%s: '%s' is not a valid number"), what, v);
        else if (f < k->lo || f > k->hi) complain(r, node, tr("%s: %s is not in the range %g to %g"), what, v, k->lo, k->hi);
        break;
    case KEY_STR: case KEY_PATH:
        if (strlen(v) > 65536) complain(r, node, "%s: the text is longer than 65536 bytes", what);
        else if ((k->flags & KEY_ADDRESS) && !is_address(v))
            complain(r, node, "%s: '%s' is no address such as 127.0.0.1:8000", what, v);
        else if (k->choices && !is_choice(k, v)) complain(r, node, tr("%s: '%s' is not one of: %s"), what, v, k->choices);
        break;
    default: break;
    }
    return r->n != before;
}

static void set_value(struct reader *r, int key, const char *v, const struct yaml_node *node, enum opt_source from)
{
    const struct config_key *k = &CONFIG_KEYS[key];
    struct config_value *to = &r->c->value[key];
    *to = (struct config_value){ .text = k->type == KEY_PATH ? expand(&r->c->mem, v) : v, .node = node, .set = 1, .from = (unsigned char)from };
    if (k->type == KEY_BOOL) {
        int truth = !strcasecmp(v, "true") || !strcmp(v, "1");
        if (node) yaml_bool(node, &truth);
        to->text = truth ? "true" : "false";
    }
    if (!to->text) to->set = 0, r->no_memory = 1;
}

static void read_value(struct reader *r, int key, const struct yaml_node *v)
{
    const struct config_key *k = &CONFIG_KEYS[key];
    r->c->value[key].node = v; /* it is there, valid or not */
    if (k->type == KEY_LIST || k->type == KEY_MAP) {
        const enum yaml_kind want = k->type == KEY_LIST ? YAML_SEQ : YAML_MAP;
        if (v->kind != want && v->kind != YAML_NULL) complain(r, v, "%s: a %s is expected", k->name, k->type == KEY_LIST ? "list" : "mapping");
        else r->c->value[key] = (struct config_value){ .node = v, .from = FROM_CONFIG };
        return;
    }
    if (v->kind == YAML_SEQ || v->kind == YAML_MAP) {
        complain(r, v, "%s: one value is expected, not a %s", k->name, v->kind == YAML_SEQ ? "list" : "mapping");
        return;
    }
    if (v->kind == YAML_NULL) { /* "not chosen", as if it were not there */
        r->c->value[key] = (struct config_value){ .node = v, .from = FROM_CONFIG };
        return;
    }
    if (!check(r, k, v->text.p, v, k->name)) set_value(r, key, v->text.p, v, FROM_CONFIG);
}

static void unknown_key(struct reader *r, const char *name, const struct yaml_node *at)
{
    const char *names[CONFIG_MAX_KEYS] = { 0 }, *leaf = strrchr(name, '.');
    leaf = leaf ? leaf + 1 : name;
    for (int i = 0; i < N_CONFIG_KEYS; i++) names[i] = CONFIG_KEYS[i].name;
    int near = -1;
    for (int i = 0; near < 0 && i < N_CONFIG_KEYS; i++) { /* the right name in the wrong section */
        const char *dot = strrchr(names[i], '.');
        if (dot && strchr(name, '.') && !strcmp(dot + 1, leaf)) near = i;
    }
    if (near < 0) near = nearest_name(name, names, N_CONFIG_KEYS);
    if (near >= 0) complain(r, at, tr("unknown key '%s': did you mean '%s'?"), name, names[near]);
    else complain(r, at, tr("unknown key '%s': `ilab config show --all` lists the keys"), name);
}

static void walk(struct reader *r, const struct yaml_node *map, const char *prefix)
{
    for (int i = 0; i < map->n; i++) {
        const struct yaml_node *key = map->key[i], *v = map->item[i];
        char name[160];
        snprintf(name, sizeof name, "%s%s%.*s", prefix, *prefix ? "." : "", (int)(key->text.n < 80 ? key->text.n : 80), key->text.p ? key->text.p : "");
        const int at = config_key_index(name, strlen(name));
        if (at < 0) {
            if (!(r->flags & CONFIG_LENIENT)) unknown_key(r, name, key);
        } else if (CONFIG_KEYS[at].type != KEY_SECTION) {
            read_value(r, at, v);
        } else if (v->kind == YAML_MAP) {
            walk(r, v, name);
        } else if (v->kind != YAML_NULL) {
            complain(r, v, "%s: a section with keys below it is expected", name);
        }
    }
}

/* Only early files have required keys; a section that lacks all of them counts once. */
static void required(struct reader *r)
{
    const char *done = "";
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        char section[32];
        if (!(k->flags & KEY_REQUIRED) || r->c->value[i].node) continue;
        const int n = (int)(strchr(k->name, '.') - k->name);
        snprintf(section, sizeof section, "%.*s", n, k->name);
        const struct yaml_node *s = yaml_get(r->c->root, section);
        if (s) complain(r, NULL, "missing %s->%s: field required", section, k->name + n + 1);
        else if (strncmp(done, k->name, (size_t)n + 1)) complain(r, NULL, "missing %s: field required", section);
        done = s ? done : k->name;
    }
}

/* A value that InstructLab wrote by itself counts as not chosen where its default teaches next to nothing. */
static void drop_placeholders(struct config *c)
{
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        const char *theirs = c->late ? k->late : k->early;
        double a, b;
        if (!(k->flags & KEY_PLACEHOLDER) || !theirs || !c->value[i].set || c->value[i].from != FROM_CONFIG) continue;
        const int same = !strcmp(theirs, c->value[i].text) || (!parse_f64(theirs, -1e300, 1e300, &a) && !parse_f64(c->value[i].text, -1e300, 1e300, &b) && a == b);
        if (same) c->value[i].set = 0;
    }
}

int config_parse(struct config **out, struct sv text, const char *name, unsigned flags, struct sb *found, int *n_found, ilab_err *e)
{
    struct config *c = mem_calloc(1, sizeof *c);
    *n_found = 0;
    *out = NULL;
    if (!c) return err_set(e, ILAB_E_NOMEM, "no memory for '%s'", name);
    arena_init(&c->mem, (size_t)64 << 20);
    struct reader r = { c, name, flags, found, 0, 0 };
    const char *copy = arena_strndup(&c->mem, text.p, text.n);
    c->path = arena_strndup(&c->mem, name, strlen(name));
    int rc = copy && c->path ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for '%s'", name);
    if (!rc) rc = yaml_parse((struct sv){ copy, text.n }, name, &c->mem, &c->root, e);
    if (!rc && c->root->kind != YAML_MAP && !((flags & CONFIG_PARTIAL) && c->root->kind == YAML_NULL))
        rc = err_set(e, ILAB_E_FORMAT, "%s:1:1: sections such as `general:` are expected: `ilab init` writes a new file", name);
    if (rc) {
        config_free(c);
        return rc;
    }
    c->late = yaml_get(c->root, "version") != NULL;
    if (c->root->kind == YAML_MAP) walk(&r, c->root, "");
    const int v = config_key_index("version", 7), d = config_key_index("general.defaults", 16);
    if (c->late && c->value[v].set && strncmp(c->value[v].text, "1.", 2))
        complain(&r, c->value[v].node, "version: '%s' is not known: this program reads 1.0.0", c->value[v].text);
    if (!c->late && !(flags & CONFIG_PARTIAL)) required(&r);
    c->foreign = !c->value[d].set || strcmp(c->value[d].text, "ilab") != 0;
    if (c->foreign) drop_placeholders(c);
    if (r.no_memory || found->failed) {
        config_free(c);
        return err_set(e, ILAB_E_NOMEM, "no memory for '%s' or for what is wrong in it", name);
    }
    *n_found = r.n;
    *out = c;
    return 0;
}

int config_read_environment(struct config *c, struct sb *found, int *n_found)
{
    struct reader r = { c, "environment", 0, found, 0, 0 };
    char env[160];
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        if (k->type >= KEY_LIST) continue;
        config_key_env(k, env, sizeof env);
        const char *v = getenv(env);
        if (!v || (!*v && k->type != KEY_STR && k->type != KEY_PATH)) continue;
        const char *copy = arena_strndup(&c->mem, v, strlen(v));
        if (copy && !check(&r, k, copy, NULL, env)) set_value(&r, i, copy, NULL, FROM_ENVIRONMENT);
    }
    *n_found += r.n;
    return r.n;
}

static int read_file(struct config **out, const char *path, unsigned flags, struct sb *found, int *n, ilab_err *e)
{
    char *text = NULL;
    size_t n_text = 0;
    int rc = file_read(path, CONFIG_MAX_FILE, &text, &n_text, e);
    if (!rc) rc = config_parse(out, (struct sv){ text, n_text }, path, flags, found, n, e);
    if (rc == ILAB_E_FORMAT && e && !strstr(e->msg, "ilab init"))
        err_set(e, rc, "%s: correct it, or write a new file with `ilab init` (the old one is kept as %s.bak)", e->msg, path);
    mem_free(text);
    return rc;
}

int config_load(struct config **out, const char *path, int late, int compat, ilab_err *e)
{
    struct config *c = NULL;
    struct sb found;
    int n = 0, rc = 0;
    *out = NULL;
    sb_init(&found, CONFIG_MAX_FILE);
    if (path) {
        rc = read_file(&c, path, (compat ? CONFIG_LENIENT : 0) | (compat == 26 ? CONFIG_PARTIAL : 0), &found, &n, e);
    } else if ((c = mem_calloc(1, sizeof *c)) != NULL) {
        arena_init(&c->mem, (size_t)64 << 20);
        c->late = late;
    } else {
        rc = err_set(e, ILAB_E_NOMEM, "no memory for the configuration");
    }
    if (!rc) config_read_environment(c, &found, &n);
    if (!rc && n) {
        fprintf(stderr, tr("%d errors in %s:\n"), n, path ? path : tr("the environment"));
        fputs(found.p, stderr);
        rc = path ? err_set(e, ILAB_E_FORMAT, "Correct what is listed, or write a new file with `ilab init` (the old one is kept as %s.bak)", path)
                  : err_set(e, ILAB_E_FORMAT, "Correct these environment variables");
    }
    sb_release(&found);
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

/* The value of a row, or of the row of the same meaning; NULL: neither is set. */
static const struct config_value *value_of(const struct config *c, const char *key)
{
    const int at = config_key_index(key, strlen(key));
    if (at < 0) return NULL;
    if (c->value[at].set) return &c->value[at];
    for (int i = 0; i < N_CONFIG_KEYS; i++)
        if ((CONFIG_KEYS[i].flags & KEY_TWIN) && !strcmp(CONFIG_KEYS[i].same_as, key) && c->value[i].set) return &c->value[i];
    return CONFIG_KEYS[at].same_as ? value_of(c, CONFIG_KEYS[at].same_as) : NULL;
}

/* serve.host_port out of the late layout's two keys. */
static const char *host_port(const struct config *c)
{
    const struct config_value *host = value_of(c, "serve.server.host"), *port = value_of(c, "serve.server.port");
    struct sb b;
    if (!host && !port) return NULL;
    const char *h = host ? host->text : "127.0.0.1";
    const int v6 = strchr(h, ':') && *h != '[';
    sb_init(&b, 1 << 17);
    sb_addf(&b, "%s%s%s:%s", v6 ? "[" : "", h, v6 ? "]" : "", port ? port->text : "8000");
    const char *out = arena_strndup((struct arena *)(uintptr_t)&c->mem, b.p, b.n);
    sb_release(&b);
    return out;
}

const char *config_get(const struct config *c, const char *key)
{
    if (!c) return NULL;
    const struct config_value *v = value_of(c, key);
    if (v) return v->text;
    if (!strcmp(key, "serve.host_port")) return host_port(c);
    const int at = config_key_index(key, strlen(key));
    if (!c->late || at < 0 || CONFIG_KEYS[at].type != KEY_PATH) return NULL;
    struct arena *a = (struct arena *)(uintptr_t)&c->mem;
    const struct config_paths with = config_standard_paths(1, a);
    const char *text = config_key_default(&CONFIG_KEYS[at], 1, 0, &with, a);
    return strcmp(text, "null") ? text : NULL;
}

enum opt_source config_source(const struct config *c, const char *key)
{
    const struct config_value *v = c ? value_of(c, key) : NULL;
    return v ? (enum opt_source)v->from : FROM_CONFIG;
}
