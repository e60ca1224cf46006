/* skeleton.c — parses a skeleton into parts and folds its source text.
 *
 * Refuses what could run into a dead end later: a byte that no token spells alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/constrain.h"

#include <string.h>

static const char *const FIELD_NAME[] = { [PART_LITERAL] = NULL, [PART_LINE] = "line", [PART_SPAN] = "span",
                                          [PART_NUMBER] = "number", [PART_CHOICE] = "choice", [PART_TEXT] = "text" };

void program_free(struct program *g) {
    if (!g || atomic_fetch_sub(&g->n_ref, 1) > 1) return;
    token_table_free(g->table);
    mem_free(g->part);
    mem_free(g->skeleton);
    mem_free(g->source);
    mem_free(g->edge);
    mem_free(g);
}

/* ---- source ---- */
enum { CLASS_SPACE, CLASS_WORD, CLASS_PUNCT };
static int class_of(int32_t cp) {
    if (cp <= ' ' || cp == 0xA0 || cp == 0x3000) return CLASS_SPACE;
    if (cp < 0x80) return (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z') ? CLASS_WORD : CLASS_PUNCT;
    return (cp >= 0x2000 && cp <= 0x206F) || (cp >= 0x3001 && cp <= 0x303F) || cp == 0xAB || cp == 0xBB ? CLASS_PUNCT : CLASS_WORD;
}

/* White space becomes one space, an empty line one '\n', which no span crosses. */
static void fold_source(struct program *g, struct sv s) {
    size_t i = 0;
    uint32_t n = 0;
    int n_newline = 0, gap = 0;
    while (i < s.n) {
        size_t at = i;
        int32_t cp = utf8_next(s, &i);
        if (cp < 0 || class_of(cp) == CLASS_SPACE) {
            gap = 1;
            n_newline += cp == '\n';
            continue;
        }
        if (gap && n) g->source[n++] = n_newline > 1 ? '\n' : ' ';
        gap = n_newline = 0;
        memcpy(g->source + n, s.p + at, i - at);
        n += (uint32_t)(i - at);
    }
    g->n_source = n;
}

static int class_at(const struct program *g, size_t at, size_t *next) {
    struct sv s = { g->source, g->n_source };
    *next = at;
    return at < s.n ? class_of(utf8_next(s, next)) : CLASS_SPACE;
}

/* Starts: first character of a word, with or without the punctuation in front of it. Ends: last character of a
 * word, with or without the punctuation behind it; also before an apostrophe ("Bielefeld's"). */
static void mark_edges(struct program *g) {
    int before = CLASS_SPACE, in_head = 1; /* in_head: only punctuation since the last space */
    for (size_t at = 0, next; at < g->n_source; at = next) {
        int c = class_at(g, at, &next);
        if (c != CLASS_SPACE && (before == CLASS_SPACE || (in_head && c == CLASS_WORD))) g->edge[at] |= EDGE_START;
        in_head = c == CLASS_SPACE || (in_head && c == CLASS_PUNCT);
        before = c;
    }
    for (size_t at = 0, next, after; at < g->n_source; at = next) {
        int c = class_at(g, at, &next), follow = class_at(g, next, &after), beyond = class_at(g, after, &(size_t){ 0 });
        int apostrophe = follow == CLASS_PUNCT && (g->source[next] == '\'' || (after - next == 3 && !memcmp(g->source + next, "\xE2\x80\x99", 3)));
        if (c == CLASS_WORD && follow == CLASS_PUNCT && (beyond != CLASS_WORD || apostrophe)) g->edge[next] |= EDGE_END;
        if (c != CLASS_SPACE && follow == CLASS_SPACE) g->edge[next] |= EDGE_END;
    }
}

/* ---- parser ---- */
static int parse_choice(struct part *p, struct sv arg, size_t at, ilab_err *e) {
    struct sv one;
    struct sv rest = arg;
    while (sv_split(&rest, '|', &one)) {
        if (!one.n || p->n_alt == CHOICE_MAX)
            return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: {choice:…} takes 1 to %d alternatives, none of them empty", at, CHOICE_MAX);
        p->alt[p->n_alt++] = one;
    }
    if (!p->n_alt) return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: {choice:…} without an alternative", at);
    return 0;
}

static int parse_field(struct part *p, struct sv body, size_t at, ilab_err *e) {
    struct sv arg = body, name;
    int has_arg = sv_find(body, SV(":"), 0) >= 0;
    char number[16] = "";
    int64_t limit = 0;
    if (!sv_split(&arg, ':', &name)) name = SV("");
    int kind = 0;
    for (int k = 1; k < (int)ARRAY_LEN(FIELD_NAME); k++)
        if (sv_eq_c(name, FIELD_NAME[k])) kind = k;
    p->kind = (enum part_kind)kind;
    if (!kind || has_arg != (kind == PART_CHOICE || kind == PART_TEXT))
        return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: '{%.*s}' is no field ({line} {span} {number} {choice:a|b} {text:N})", at, SV_ARG(body));
    if (kind == PART_CHOICE) return parse_choice(p, arg, at, e);
    if (kind == PART_TEXT) {
        if (arg.n < sizeof number) memcpy(number, arg.p, arg.n);
        if (parse_i64(number, 1, CONSTRAINT_MAX_SKELETON, &limit))
            return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: {text:N} needs a number from 1 to %d", at, CONSTRAINT_MAX_SKELETON);
        p->limit = (uint32_t)limit;
    }
    return 0;
}

static int parse(struct program *g, struct sv s, ilab_err *e) {
    char *w = g->skeleton; /* unescaped text is never longer than s */
    struct part *literal = NULL;
    for (size_t i = 0; i < s.n;) {
        char c = s.p[i];
        int brace = c == '{' || c == '}', doubled = brace && i + 1 < s.n && s.p[i + 1] == c;
        if (brace && !doubled && c == '}') return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: '}' without '{' (double it to mean itself)", i);
        if (g->n_part == CONSTRAINT_MAX_PARTS) return err_set(e, ILAB_E_LIMIT, "skeleton has more than %d parts", CONSTRAINT_MAX_PARTS);
        if (brace && !doubled) {
            ptrdiff_t end = sv_find(s, SV("}"), i);
            if (end < 0) return err_set(e, ILAB_E_INVALID, "skeleton: byte %zu: '{' without '}'", i);
            struct sv body = { w, (size_t)end - i - 1 };
            memcpy(w, s.p + i + 1, body.n);
            w += body.n;
            int rc = parse_field(&g->part[g->n_part++], body, i, e);
            if (rc) return rc;
            literal = NULL;
            i = (size_t)end + 1;
            continue;
        }
        if (!literal) {
            literal = &g->part[g->n_part++];
            literal->text.p = w;
        }
        *w++ = c;
        literal->text.n++;
        i += doubled ? 2 : 1;
    }
    if (!g->n_part) return err_set(e, ILAB_E_INVALID, "empty skeleton");
    g->part[g->n_part].kind = PART_END;
    return 0;
}

/* ---- dead ends ---- */
static int check_bytes(const struct program *g, struct sv s, ilab_err *e) {
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] != '\n' || s.p != g->source) && !g->table->single[(unsigned char)s.p[i]]) /* no span crosses '\n' */
            return err_set(e, ILAB_E_INVALID, "skeleton: the tokenizer has no token for the single byte 0x%02x of '%.*s'", (unsigned char)s.p[i],
                           (int)(s.n < 60 ? s.n : 60), s.p);
    return 0;
}

static int check(const struct program *g, ilab_err *e) {
    int rc = 0;
    for (int i = 0; i < g->n_part && !rc; i++) {
        const struct part *p = &g->part[i];
        struct ids ids = { 0 };
        int n_start = 0;
        switch (p->kind) {
        case PART_LITERAL: rc = encode_continuation(g->tokenizer, p->text, &ids, e); /* a literal may be forced from its first byte … */
            if (!rc && i) rc = check_bytes(g, p->text, e);                            /* … or be walked into by the field before */
            break;
        case PART_SPAN:
            for (uint32_t at = 0; at < g->n_source; at++) n_start |= g->edge[at] & EDGE_START;
            rc = n_start ? check_bytes(g, (struct sv){ g->source, g->n_source }, e) : err_set(e, ILAB_E_INVALID, "skeleton has {span} but the source holds no words");
            break;
        case PART_NUMBER: rc = check_bytes(g, SV("0123456789-,."), e); break;
        case PART_CHOICE:
            for (int a = 0; a < p->n_alt && !rc; a++) rc = check_bytes(g, p->alt[a], e);
            break;
        case PART_LINE: case PART_TEXT:
            if (!g->table->n_plain || !g->table->single['a']) rc = err_set(e, ILAB_E_INVALID, "skeleton: the tokenizer has no tokens for free text");
            break;
        case PART_END: break;
        }
        ids_release(&ids);
    }
    return rc;
}

int program_new(struct program **out, const char *skeleton, struct sv source, const struct tokenizer *t,
                struct token_table *tt, ilab_err *e) {
    struct sv s = sv_of(skeleton);
    if (s.n > CONSTRAINT_MAX_SKELETON) return err_set(e, ILAB_E_LIMIT, "skeleton of %zu bytes (at most %d)", s.n, CONSTRAINT_MAX_SKELETON);
    if (source.n > CONSTRAINT_MAX_SOURCE) return err_set(e, ILAB_E_LIMIT, "source of %zu bytes (at most %d)", source.n, CONSTRAINT_MAX_SOURCE);
    struct program *g = mem_calloc(1, sizeof *g);
    if (!g) return err_set(e, ILAB_E_NOMEM, "not enough memory for a skeleton");
    atomic_init(&g->n_ref, 1);
    g->table = token_table_ref(tt);
    g->tokenizer = t;
    g->part = mem_calloc(CONSTRAINT_MAX_PARTS + 1, sizeof *g->part);
    g->skeleton = mem_calloc(s.n + 1, 1);
    g->source = mem_calloc(source.n + 1, 1);
    g->edge = mem_calloc(source.n + 1, 1);
    int rc = g->part && g->skeleton && g->source && g->edge ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a skeleton");
    if (!rc) {
        fold_source(g, source);
        mark_edges(g);
        rc = parse(g, s, e);
    }
    if (!rc) rc = check(g, e);
    if (rc) program_free(g);
    else *out = g;
    return rc;
}
