/* lint_config.c — settings of the style rules: the configurations `default` and `relaxed`, files in yamllint's format
 * (extends, rules, levels, options, ignore), and patterns as in .gitignore.
 *
 * A file is laid over what it extends: a rule given as a mapping keeps the options that it does not name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/lint.h"

#include <regex.h>
#include <string.h>

enum { MAX_CONFIG = 1 << 20, MAX_EXTENDS = 8 };

/* ---- ignore patterns ---- */

/* A pattern against a whole path; `*` and `?` stop at '/', `**` does not. Steps are counted: patterns are input. */
static int glob(const char *p, const char *s, int *steps)
{
    for (; *p; p++, s++) {
        if (--*steps < 0) return 0;
        if (p[0] == '*' && p[1] == '*') {
            while (*p == '*') p++;
            const int slash = *p == '/';
            if (slash && glob(p + 1, s, steps)) return 1; /* no folder between */
            for (;; s++) {
                if (glob(p, s, steps)) return 1;
                if (!*s) return 0;
            }
        }
        if (*p == '*') {
            for (p++;; s++) {
                if (glob(p, s, steps)) return 1;
                if (!*s || *s == '/') return 0;
            }
        }
        if (!*s) return 0;
        if (*p == '?' && *s != '/') continue;
        if (*p == '[' && *s != '/') {
            const char *q = p + 1;
            const int not = *q == '!' || *q == '^';
            int in = 0;
            q += not;
            for (const char *first = q; *q && (*q != ']' || q == first); q++) {
                if (q[1] == '-' && q[2] && q[2] != ']') in |= *s >= q[0] && *s <= q[2], q += 2;
                else in |= *q == *s;
            }
            if (*q) {
                if (in == not) return 0;
                p = q;
                continue;
            }
        }
        if (*p == '\\' && p[1]) p++;
        if (*p != *s) return 0;
    }
    return !*s;
}

/* One pattern against a path or any folder on the way to it. */
static int pattern_matches(const char *pattern, const char *path)
{
    char p[1024], part[4096];
    int steps = 20000;
    size_t n = strlen(pattern);
    if (n + 4 > sizeof p || strlen(path) >= sizeof part) return 0;
    const int only_folder = n && pattern[n - 1] == '/';
    const char *slash = strchr(pattern, '/');
    const int anchored = slash && slash != pattern + n - 1;
    snprintf(p, sizeof p, "%s%.*s", anchored ? "" : "**/", (int)(n - (size_t)only_folder), pattern);
    const char *from = p[0] == '/' ? p + 1 : p;
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] && path[i] != '/') continue;
        if (!path[i] && only_folder) continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (glob(from, part, &steps)) return 1;
    }
    return 0;
}

int lint_ignored(const struct lint_texts *t, const char *path)
{
    int ignored = 0;
    while (path && path[0] == '.' && path[1] == '/') path += 2;
    while (path && *path == '/') path++;
    for (int i = 0; path && i < t->n; i++) {
        const int back = t->v[i][0] == '!';
        if (pattern_matches(t->v[i] + back, path)) ignored = !back;
    }
    return ignored;
}

/* ---- settings ---- */

static void enable(struct lint_conf *c, int rule, int level)
{
    *c = (struct lint_conf){ .on = 1, .level = level };
    for (int i = 0; i < LINT_MAX_OPTIONS; i++) c->opt[i] = LINT_RULE[rule].option[i].standard;
    if (!strcmp(LINT_RULE[rule].id, "truthy")) c->texts[0] = (struct lint_texts){ { "true", "false" }, 2 };
}

static int by_id(const char *id)
{
    for (int i = 0; i < LINT_RULES; i++)
        if (!strcmp(id, LINT_RULE[i].id)) return i;
    return -1;
}

static void set_option(struct lint_config *c, const char *id, const char *option, int value)
{
    const int r = by_id(id);
    for (int i = 0; i < LINT_MAX_OPTIONS; i++)
        if (LINT_RULE[r].option[i].name && !strcmp(LINT_RULE[r].option[i].name, option)) c->rule[r].opt[i] = value;
}

/* The two configurations that yamllint brings along: rules that they switch on, '!' in front: as warnings. */
static void standard(struct lint_config *c, int relaxed)
{
    static const char *const DEFAULT[] = { "braces", "brackets", "colons", "commas", "!comments", "!comments-indentation", "!document-start", "empty-lines", "hyphens", "indentation",
                                           "key-duplicates", "line-length", "new-line-at-end-of-file", "new-lines", "trailing-spaces", "!truthy" };
    static const char *const RELAXED[] = { "!braces", "!brackets", "!colons", "!commas", "!empty-lines", "!hyphens", "!indentation", "key-duplicates", "!line-length",
                                           "new-line-at-end-of-file", "new-lines", "trailing-spaces" };
    const char *const *v = relaxed ? RELAXED : DEFAULT;
    for (int i = 0; i < LINT_RULES; i++) c->rule[i] = (struct lint_conf){ 0 };
    for (size_t i = 0; i < (relaxed ? ARRAY_LEN(RELAXED) : ARRAY_LEN(DEFAULT)); i++) {
        const int warning = v[i][0] == '!', r = by_id(v[i] + warning);
        enable(&c->rule[r], r, warning ? 1 : 2);
    }
    if (!relaxed) return;
    set_option(c, "braces", "max-spaces-inside", 1);
    set_option(c, "brackets", "max-spaces-inside", 1);
    set_option(c, "indentation", "indent-sequences", WORD_BASE + 1);
    set_option(c, "line-length", "allow-non-breakable-inline-mappings", 1);
}

static struct lint_config *new_config(void)
{
    struct lint_config *c = xcalloc(1, sizeof *c);
    arena_init(&c->mem, (size_t)16 << 20);
    return c;
}

struct lint_config *lint_config_relaxed(int max_line)
{
    struct lint_config *c = new_config();
    standard(c, 1);
    set_option(c, "line-length", "max", max_line);
    if (!max_line) c->rule[by_id("line-length")].on = 0;
    return c;
}

void lint_config_free(struct lint_config *c)
{
    if (!c) return;
    arena_release(&c->mem);
    mem_free(c);
}

/* ---- a file ---- */

struct reading { struct lint_config *c; const char *file; int depth; ilab_err *e; };

static int bad(struct reading *r, const struct yaml_node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(struct reading *r, const struct yaml_node *at, const char *fmt, ...)
{
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, ILAB_E_FORMAT, "%.200s:%d:%d: invalid config: %s", r->file, at ? at->line : 1, at ? at->col : 1, text);
}

static int add_text(struct reading *r, const struct yaml_node *at, struct lint_texts *t, struct sv s)
{
    if (t->n >= LINT_MAX_TEXTS) return bad(r, at, "more than %d entries", (int)LINT_MAX_TEXTS);
    const char *copy = arena_strndup(&r->c->mem, s.p, s.n);
    if (!copy) return err_set(r->e, ILAB_E_NOMEM, "no memory for the rules of '%s'", r->file);
    t->v[t->n++] = copy;
    return 0;
}

/* Lines of patterns; comments and blank lines are left out. */
static int add_patterns(struct reading *r, const struct yaml_node *at, struct lint_texts *t, struct sv lines)
{
    struct sv line;
    int rc = 0;
    while (!rc && sv_split(&lines, '\n', &line)) {
        line = sv_trim(line);
        if (line.n && line.p[0] != '#') rc = add_text(r, at, t, line);
    }
    return rc;
}

static int all_texts(const struct yaml_node *v)
{
    for (int i = 0; i < v->n; i++)
        if (v->item[i]->kind != YAML_STR) return 0;
    return v->kind == YAML_SEQ;
}

static int read_ignore(struct reading *r, const struct yaml_node *v, struct lint_texts *t)
{
    *t = (struct lint_texts){ .n = 0 };
    if (v->kind == YAML_STR) return add_patterns(r, v, t, v->text);
    if (!all_texts(v)) return bad(r, v, "ignore should contain file patterns");
    int rc = 0;
    for (int i = 0; !rc && i < v->n; i++) rc = add_patterns(r, v, t, v->item[i]->text);
    return rc;
}

static int read_ignore_file(struct reading *r, const struct yaml_node *v, struct lint_texts *t)
{
    const int one = v->kind == YAML_STR;
    int rc = 0;
    if (!one && !all_texts(v)) return bad(r, v, "ignore-from-file should contain filename(s), either as a list or string");
    *t = (struct lint_texts){ .n = 0 };
    for (int i = 0; !rc && i < (one ? 1 : v->n); i++) {
        char *text = NULL;
        size_t n = 0;
        rc = file_read((one ? v : v->item[i])->text.p, MAX_CONFIG, &text, &n, r->e);
        if (!rc) rc = add_patterns(r, v, t, (struct sv){ text, n });
        mem_free(text);
    }
    return rc;
}

/* An expression of Python as one of POSIX: \d is the only sign that differs among those in use. */
static int add_expression(struct reading *r, const struct yaml_node *at, struct lint_texts *t, struct sv s)
{
    struct sb b;
    regex_t re;
    sb_init(&b, s.n * 4 + 16);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'd') sb_addc(&b, "[0-9]"), i++;
        else sb_addch(&b, s.p[i]);
    }
    int rc = b.failed || regcomp(&re, b.p ? b.p : "", REG_EXTENDED | REG_NOSUB);
    if (rc) rc = bad(r, at, "'%.80s' is no regular expression that can be read here", s.p);
    else regfree(&re), rc = add_text(r, at, t, (struct sv){ b.p ? b.p : "", b.n });
    sb_release(&b);
    return rc;
}

static int read_texts(struct reading *r, int rule, const struct lint_option *o, const struct yaml_node *v, struct lint_texts *t)
{
    static const char *const TRUTHY[] = { "YES", "Yes", "yes", "NO", "No", "no", "TRUE", "True", "true", "FALSE", "False", "false", "ON", "On", "on", "OFF", "Off", "off" };
    const int truthy = !strcmp(LINT_RULE[rule].id, "truthy");
    int rc = 0;
    *t = (struct lint_texts){ .n = 0 };
    if (!all_texts(v)) return bad(r, v, "option \"%s\" of \"%s\" should only contain values in %s", o->name, LINT_RULE[rule].id, truthy ? "a list of YES, Yes, yes, NO … in quotes" : "a list of texts");
    for (int i = 0; !rc && i < v->n; i++) {
        int known = !truthy;
        for (size_t k = 0; k < ARRAY_LEN(TRUTHY); k++) known |= sv_eq_c(v->item[i]->text, TRUTHY[k]);
        if (!known) rc = bad(r, v->item[i], "option \"%s\" of \"truthy\" should only contain values in ['YES', 'Yes', 'yes', 'NO', …], not '%.40s'", o->name, v->item[i]->text.p);
        else rc = truthy ? add_text(r, v, t, v->item[i]->text) : add_expression(r, v, t, v->item[i]->text);
    }
    return rc;
}

static int read_option(struct reading *r, int rule, int i_option, const struct yaml_node *v)
{
    const struct lint_option *o = &LINT_RULE[rule].option[i_option];
    struct lint_conf *c = &r->c->rule[rule];
    int64_t n;
    int truth, i_texts = 0;
    if (o->takes & TAKES_TEXTS) {
        for (int i = 0; i < i_option; i++) i_texts += (LINT_RULE[rule].option[i].takes & TAKES_TEXTS) != 0;
        return read_texts(r, rule, o, v, &c->texts[i_texts]);
    }
    if ((o->takes & (TAKES_BOOL | TAKES_INT)) && !yaml_bool(v, &truth) && (o->takes != (TAKES_INT | TAKES_WORD))) return c->opt[i_option] = truth, 0;
    if ((o->takes & TAKES_INT) && !yaml_int(v, &n)) {
        if (n < -1 || n > 1000000000) return bad(r, v, "option \"%s\" of \"%s\" is not between -1 and 1000000000", o->name, LINT_RULE[rule].id);
        return c->opt[i_option] = (int)n, 0;
    }
    for (int i = 0; v->kind == YAML_STR && o->words && o->words[i]; i++)
        if (sv_eq_c(v->text, o->words[i])) return c->opt[i_option] = WORD_BASE + i, 0;
    if (o->takes == TAKES_INT || o->takes == TAKES_BOOL) return bad(r, v, "option \"%s\" of \"%s\" should be %s", o->name, LINT_RULE[rule].id, o->takes == TAKES_INT ? "int" : "bool");
    char allowed[200];
    size_t len = (size_t)snprintf(allowed, sizeof allowed, "%s", o->takes & TAKES_BOOL ? "true, false" : o->takes & TAKES_INT ? "a number" : "");
    for (int i = 0; o->words[i] && len < sizeof allowed; i++) len += (size_t)snprintf(allowed + len, sizeof allowed - len, "%s%s", len ? ", " : "", o->words[i]);
    return bad(r, v, "option \"%s\" of \"%s\" should be in (%s)", o->name, LINT_RULE[rule].id, allowed);
}

static int read_rule(struct reading *r, const struct yaml_node *key, const struct yaml_node *v)
{
    const char *ids[LINT_RULES];
    const int rule = by_id(key->text.p);
    int truth;
    if (rule < 0) {
        for (int i = 0; i < LINT_RULES; i++) ids[i] = LINT_RULE[i].id;
        const int near = nearest_name(key->text.p, ids, LINT_RULES);
        return bad(r, key, "no such rule: \"%.80s\"%s%s%s", key->text.p, near >= 0 ? "; did you mean \"" : "", near >= 0 ? ids[near] : "", near >= 0 ? "\"?" : "");
    }
    struct lint_conf *c = &r->c->rule[rule];
    const int off = (v->kind == YAML_STR && sv_eq_c(v->text, "disable")) || (!yaml_bool(v, &truth) && !truth);
    if (off) return c->on = 0;
    if (v->kind != YAML_MAP && !(v->kind == YAML_STR && sv_eq_c(v->text, "enable"))) return bad(r, v, "rule \"%s\": should be either \"enable\", \"disable\" or a dict", LINT_RULE[rule].id);
    if (!c->on) enable(c, rule, 2);
    int rc = 0;
    for (int i = 0; !rc && v->kind == YAML_MAP && i < v->n; i++) {
        const struct yaml_node *name = v->key[i], *value = v->item[i];
        int o = 0;
        if (sv_eq_c(name->text, "ignore")) {
            rc = read_ignore(r, value, &c->ignore);
        } else if (sv_eq_c(name->text, "level")) {
            c->level = sv_eq_c(value->text, "error") ? 2 : sv_eq_c(value->text, "warning") ? 1 : 0;
            if (!c->level) rc = bad(r, value, "level should be \"error\" or \"warning\"");
        } else if (!sv_eq_c(name->text, "ignore-from-file")) {
            while (o < LINT_MAX_OPTIONS && LINT_RULE[rule].option[o].name && !sv_eq_c(name->text, LINT_RULE[rule].option[o].name)) o++;
            rc = o == LINT_MAX_OPTIONS || !LINT_RULE[rule].option[o].name ? bad(r, name, "unknown option \"%.80s\" for rule \"%s\"", name->text.p, LINT_RULE[rule].id) : read_option(r, rule, o, value);
        }
    }
    if (rc || strcmp(LINT_RULE[rule].id, "quoted-strings")) return rc;
    if (c->opt[1] == 1 && c->texts[1].n) return bad(r, v, "quoted-strings: cannot use both \"required: true\" and \"extra-allowed\"");
    if (c->opt[1] == 1 && c->texts[0].n) return bad(r, v, "quoted-strings: cannot use both \"required: true\" and \"extra-required\"");
    if (c->opt[1] == 0 && c->texts[1].n) return bad(r, v, "quoted-strings: cannot use both \"required: false\" and \"extra-allowed\"");
    return 0;
}

static int read_file(struct reading *r);

static int read_extends(struct reading *r, const struct yaml_node *v)
{
    if (v->kind != YAML_STR) return bad(r, v, "extends should name a configuration: default, relaxed, or a file");
    if (sv_eq_c(v->text, "default") || sv_eq_c(v->text, "relaxed")) {
        standard(r->c, sv_eq_c(v->text, "relaxed"));
        return 0;
    }
    if (r->depth >= MAX_EXTENDS) return bad(r, v, "more than %d files extend each other", (int)MAX_EXTENDS);
    struct reading base = { r->c, v->text.p, r->depth + 1, r->e };
    return read_file(&base);
}

static int read_root(struct reading *r, const struct yaml_node *root)
{
    if (root->kind != YAML_MAP) return bad(r, root, "not a dict");
    const struct yaml_node *extends = yaml_get(root, "extends"), *rules = yaml_get(root, "rules"), *ignore = yaml_get(root, "ignore"), *from = yaml_get(root, "ignore-from-file");
    int rc = extends ? read_extends(r, extends) : 0;
    if (!rc && ignore && from) rc = bad(r, from, "ignore and ignore-from-file keys cannot be used together");
    if (!rc && ignore) rc = read_ignore(r, ignore, &r->c->ignore);
    if (!rc && from) rc = read_ignore_file(r, from, &r->c->ignore);
    if (!rc && rules && rules->kind != YAML_MAP && rules->kind != YAML_NULL) rc = bad(r, rules, "rules should be a dict of rules");
    for (int i = 0; !rc && rules && rules->kind == YAML_MAP && i < rules->n; i++) rc = read_rule(r, rules->key[i], rules->item[i]);
    return rc;
}

static int read_text(struct reading *r, struct sv text)
{
    struct yaml_node *root = NULL;
    struct arena a;
    arena_init(&a, (size_t)64 << 20);
    int rc = yaml_parse(text, r->file, &a, &root, r->e);
    if (!rc) rc = read_root(r, root);
    arena_release(&a);
    return rc;
}

static int read_file(struct reading *r)
{
    char *text = NULL;
    size_t n = 0;
    int rc = file_read(r->file, MAX_CONFIG, &text, &n, r->e);
    if (!rc) rc = read_text(r, (struct sv){ text, n });
    mem_free(text);
    return rc;
}

int lint_config_read_text(struct sv text, const char *name, struct lint_config **out, ilab_err *e)
{
    struct reading r = { new_config(), name, 0, e };
    const int rc = read_text(&r, text);
    *out = rc ? NULL : r.c;
    if (rc) lint_config_free(r.c);
    return rc;
}

int lint_config_read(const char *file, struct lint_config **out, ilab_err *e)
{
    struct reading r = { new_config(), file, 0, e };
    const int rc = read_file(&r);
    *out = rc ? NULL : r.c;
    if (rc) lint_config_free(r.c);
    return rc;
}
