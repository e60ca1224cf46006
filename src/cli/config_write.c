/* config_write.c — prints configurations by the table of keys, and replaces a file without losing the old one.
 *
 * Sections and keys are sorted, each key behind its text, values and default: the form of the reference's late file, for
 * both layouts. A configuration of one layout can be printed in the other: values keep their meaning, and defaults of the
 * layout that it came from are written out, so that nothing moves.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void config_add_scalar(struct sb *b, const char *s)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-:";
    static const char *const WORDS[] = { "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No", "NO",
                                         "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N" };
    int dots = 0, plain = *s && !strchr("-.+:", *s) && !s[strspn(s, PLAIN)] && s[strlen(s) - 1] != ':';
    for (const char *p = s; *p; p++) dots += *p == '.';
    if (strchr("0123456789", *s) && dots < 2 && !s[strspn(s, "0123456789_:+-.eExXabcdefABCDEF")]) plain = 0; /* a number or date to YAML */
    for (size_t i = 0; plain && i < ARRAY_LEN(WORDS); i++) plain = strcmp(WORDS[i], s) != 0;
    int simple = 1; /* single quotes will do */
    for (const char *p = s; *p; p++) simple &= (unsigned char)*p >= 32 && *p != 127 && *p != '\'' && (unsigned char)*p < 128;
    if (plain) sb_addc(b, s);
    else if (simple) sb_addf(b, "'%s'", s);
    else sb_add_json_str(b, sv_of(s));
}

/* '.' before every other character, so that a section's keys stand together. */
static int order(const char *a, const char *b)
{
    for (;; a++, b++) {
        const int x = *a == '.' ? 1 : (unsigned char)*a, y = *b == '.' ? 1 : (unsigned char)*b;
        if (x != y || !x) return x - y;
    }
}

static int by_name(const void *a, const void *b) { return order(CONFIG_KEYS[*(const int *)a].name, CONFIG_KEYS[*(const int *)b].name); }

static void comment(struct sb *b, int indent, const char *text)
{
    enum { WIDTH = 82 };
    struct sv rest = sv_of(text), word;
    int at = 0;
    while (sv_split(&rest, ' ', &word)) {
        const int w = utf8_width(word);
        if (at && at + 1 + w > WIDTH - indent) {
            sb_addch(b, '\n');
            at = 0;
        }
        if (!at) {
            sb_addf(b, "%*s#", indent, "");
            at = 1;
        }
        sb_addf(b, " %.*s", SV_ARG(word));
        at += 1 + w;
    }
    if (at) sb_addch(b, '\n');
}

/* A list or mapping in one line, as JSON, which is YAML. */
static void flow(struct sb *b, const struct yaml_node *v)
{
    if (v->kind == YAML_SEQ || v->kind == YAML_MAP) {
        sb_addch(b, v->kind == YAML_SEQ ? '[' : '{');
        for (int i = 0; i < v->n; i++) {
            if (i) sb_addc(b, ", ");
            if (v->kind == YAML_MAP) flow(b, v->key[i]), sb_addc(b, ": ");
            flow(b, v->item[i]);
        }
        sb_addch(b, v->kind == YAML_SEQ ? ']' : '}');
    } else if (v->kind == YAML_NULL) {
        sb_addc(b, "null");
    } else if (v->kind == YAML_BOOL || v->kind == YAML_INT || v->kind == YAML_FLOAT) {
        sb_add(b, v->text);
    } else {
        sb_add_json_str(b, v->text);
    }
}

/* The value that c has for k under either of its names; NULL: its default. */
static const char *value_for(const struct config *c, const struct config_key *k, char *buf, size_t cap)
{
    const char *v = NULL, *colon;
    if (!strcmp(k->name, "chat.temperature")) {
        v = config_get(c, "chat.greedy_mode");
        if (v && !strcmp(v, "true")) return "0";
    }
    const int at = config_key_index(k->name, strlen(k->name));
    if (c->value[at].set) return c->value[at].text;
    if (k->flags & KEY_TWIN) return config_get(c, k->same_as);
    const int host = !strcmp(k->name, "serve.server.host"), port = !strcmp(k->name, "serve.server.port");
    if (host || port) {
        v = config_get(c, "serve.host_port");
        colon = v ? strrchr(v, ':') : NULL;
        if (!colon) return NULL;
        const int bracket = *v == '[' && colon > v && colon[-1] == ']';
        if (host) snprintf(buf, cap, "%.*s", (int)(colon - v) - 2 * bracket, v + bracket);
        else snprintf(buf, cap, "%s", colon + 1);
        return buf;
    }
    if (!strcmp(k->name, "serve.host_port") || !strcmp(k->name, "serve.max_ctx_size") || !strcmp(k->name, "serve.gpu_layers")) return config_get(c, k->name);
    return NULL;
}

static void print_value(struct sb *b, const struct config *c, const struct config_key *k, const struct config_print *how, struct arena *a)
{
    char buf[512];
    const int at = (int)(k - CONFIG_KEYS);
    if (!strcmp(k->name, "general.defaults") && (!c || how->rewrite)) {
        sb_addc(b, "ilab");
        return;
    }
    if (!strcmp(k->name, "version") && (!c || !c->value[at].set)) {
        sb_addc(b, "1.0.0");
        return;
    }
    if (c && (k->type == KEY_LIST || k->type == KEY_MAP) && c->value[at].node) {
        flow(b, c->value[at].node);
        return;
    }
    const char *v = c ? value_for(c, k, buf, sizeof buf) : NULL;
    if (!v) sb_addc(b, config_key_default(k, c ? c->late : how->late, how->reference, &how->with, a));
    else if (k->type == KEY_STR || k->type == KEY_PATH) config_add_scalar(b, v);
    else sb_addc(b, v);
}

static void key_comment(struct sb *b, const struct config_key *k, const struct config_print *how, int indent, struct arena *a)
{
    struct sb line;
    sb_init(&line, CONFIG_MAX_FILE);
    sb_addc(&line, k->doc);
    if (!how->reference && !config_key_works(k)) sb_addc(&line, " (Kept for InstructLab; no effect here.)");
    comment(b, indent, line.p);
    sb_reset(&line);
    sb_addf(&line, "Default: %s", config_key_default(k, how->late, how->reference, &how->with, a));
    if (k->lo < k->hi) sb_addf(&line, "; %.10g to %.10g", k->lo, k->hi);
    comment(b, indent, line.p);
    sb_reset(&line);
    if (k->choices) {
        sb_addf(&line, "Values: %s", k->choices);
        comment(b, indent, line.p);
    }
    sb_release(&line);
}

static int wanted(const struct config *c, int key, const struct config_print *how)
{
    const struct config_key *k = &CONFIG_KEYS[key];
    if (k->type == KEY_SECTION) return 0;
    if (how->reference) return (how->late ? k->late : k->early) != NULL;
    if (!config_key_in(k, how->late)) return 0;
    const int moves = c && c->late != how->late && k->type == KEY_PATH; /* its default would point elsewhere */
    if (how->sparse && !moves && !(c && c->value[key].set) && strcmp(k->name, "general.defaults") && ((k->flags & KEY_PLACEHOLDER) || !(how->late ? k->late : k->early))) return 0;
    return how->all || config_key_works(k) || (c && c->value[key].node && (c->value[key].set || c->value[key].node->n > 0));
}

/* Headings of the sections between the last key and this one. */
static void headings(struct sb *b, const char *last, const char *name, size_t skip, int comments)
{
    for (const char *dot = strchr(name + skip, '.'); dot; dot = strchr(dot + 1, '.')) {
        const size_t n = (size_t)(dot - name);
        if (!strncmp(last, name, n + 1)) continue;
        int depth = 0;
        const char *from = name + skip;
        for (const char *p = name + skip; p < dot; p++)
            if (*p == '.') depth++, from = p + 1;
        const int at = config_key_index(name, n);
        if (comments && at >= 0) comment(b, 2 * depth, CONFIG_KEYS[at].doc);
        sb_addf(b, "%*s%.*s:\n", 2 * depth, "", (int)(dot - from), from);
    }
}

int config_print(struct sb *b, const struct config *c, const struct config_print *asked, ilab_err *e)
{
    struct config_print filled = *asked, *how = &filled;
    int row[CONFIG_MAX_KEYS], n = 0, printed = 0;
    struct arena a;
    const char *last = "";
    const size_t n_below = how->below ? strlen(how->below) : 0;
    arena_init(&a, (size_t)16 << 20);
    if (!how->with.model) how->with = config_standard_paths(c ? c->late : how->late, &a);
    for (int i = 0; i < N_CONFIG_KEYS; i++)
        if (wanted(c, i, how) || (n_below && !strcmp(CONFIG_KEYS[i].name, how->below) && CONFIG_KEYS[i].type != KEY_SECTION)) row[n++] = i;
    qsort(row, (size_t)n, sizeof *row, by_name);
    for (int i = 0; i < n; i++) {
        const struct config_key *k = &CONFIG_KEYS[row[i]];
        const int exact = n_below && !strcmp(k->name, how->below);
        if (n_below && !exact && (strncmp(k->name, how->below, n_below) || k->name[n_below] != '.')) continue;
        const size_t skip = n_below && !exact ? n_below + 1 : 0;
        if (exact) {
            print_value(b, c, k, how, &a);
        } else {
            int depth = 0;
            headings(b, last, k->name, skip, how->comments);
            const char *leaf = k->name + skip;
            for (const char *p = k->name + skip; *p; p++)
                if (*p == '.') depth++, leaf = p + 1;
            if (how->comments) key_comment(b, k, how, 2 * depth, &a);
            sb_addf(b, "%*s%s: ", 2 * depth, "", leaf);
            print_value(b, c, k, how, &a);
        }
        sb_addch(b, '\n');
        last = k->name;
        printed++;
    }
    arena_release(&a);
    if (b->failed) return err_set(e, ILAB_E_NOMEM, "no memory for the configuration");
    return printed || !n_below ? 0 : err_set(e, ILAB_E_NOTFOUND, "Key not found: '%s'", how->below);
}

/* The lock beside the file, as the reference's; waits a second for another writer. */
static int lock_file(const char *lock, int *fd, ilab_err *e)
{
    for (int tries = 0;; tries++) {
        struct stat now, mine;
        *fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0) return err_errno(e, errno, "cannot write beside \"%s\"; another file can be named with `ilab --config PATH`, another home of settings with XDG_CONFIG_HOME", lock);
        if (!flock(*fd, LOCK_EX | LOCK_NB)) {
            if (!fstat(*fd, &mine) && !stat(lock, &now) && mine.st_ino == now.st_ino) return 0; /* else it was removed in between */
        } else if (tries >= 20) {
            close(*fd);
            *fd = -1;
            return err_set(e, ILAB_E_LIMIT, "another program is changing the configuration (it holds \"%s\"): try again when it has ended", lock);
        }
        close(*fd);
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    }
}

int config_replace(const char *path, struct sv text, ilab_err *e)
{
    char *real = realpath(path, NULL), *old = NULL; /* a link stays a link */
    char *target = xstrdup(real ? real : path), *dir = xstrdup(target), *slash = strrchr(dir, '/');
    struct sb lock, bak;
    size_t n = 0;
    int fd = -1, rc = 0;
    free(real); /* third-party: the C library's */
    sb_init(&lock, 1 << 16);
    sb_init(&bak, 1 << 16);
    sb_addf(&lock, "%s.lock", target);
    sb_addf(&bak, "%s.bak", target);
    if (lock.failed || bak.failed) rc = err_set(e, ILAB_E_LIMIT, "the path '%s' is too long", path);
    if (slash && slash != dir) {
        *slash = 0;
        if (!rc) rc = dir_make(dir, e);
    }
    if (!rc) rc = lock_file(lock.p, &fd, e);
    if (!rc && file_exists(target)) rc = file_read(target, CONFIG_MAX_FILE, &old, &n, e);
    if (!rc && old && !sv_eq((struct sv){ old, n }, text)) {
        rc = file_write(bak.p, old, n, e);
        if (!rc) printf(tr("The old configuration is kept as `%s%s`.\n"), path, ".bak");
    }
    if (!rc) rc = file_write(target, text.p, text.n, e);
    if (fd >= 0) {
        unlink(lock.p);
        close(fd);
    }
    sb_release(&lock);
    sb_release(&bak);
    mem_free(old);
    mem_free(target);
    mem_free(dir);
    return rc;
}
