/* constrain.c — what the next bytes may be: a small nondeterministic automaton over bytes.
 *
 * The text so far is a set of states (a place in a part of the skeleton each). A byte moves every state on or
 * kills it; where a part may end, the start of the next one joins the set at once.
 *
 * Invariants:
 *  (1) The set is never empty before the end: every state has a next byte, and every such byte is a token of its
 *      own (skeleton.c checks that). So there is no dead end, whatever tokens were excluded.
 *  (2) A token is allowed exactly when its bytes leave the set not empty: it may cross any number of borders.
 *
 * The mask walks the vocabulary in lexicographic order and keeps the sets of the current prefix on a stack, so
 * each edge of the token trie costs one step; dead branches are skipped, and tokens of plain text are let
 * through at once in free text.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/constrain.h"

#include <math.h>
#include <string.h>

/* UTF-8 states (Unicode 15, table 3-7): which range the next byte must have and what follows it. */
enum { U8_START, U8_1, U8_2, U8_3, U8_E0, U8_ED, U8_F0, U8_F4, U8_MASK = 7, NOT_BLANK = 8 };
static const struct { uint8_t lo, hi, next; } UTF8_TAIL[] = {
    [U8_1] = { 0x80, 0xBF, U8_START }, [U8_2] = { 0x80, 0xBF, U8_1 }, [U8_3] = { 0x80, 0xBF, U8_2 }, [U8_E0] = { 0xA0, 0xBF, U8_1 },
    [U8_ED] = { 0x80, 0x9F, U8_1 },    [U8_F0] = { 0x90, 0xBF, U8_2 }, [U8_F4] = { 0x80, 0x8F, U8_2 },
};
static const struct { uint8_t lo, hi, next, n_more; } UTF8_LEAD[] = {
    { 0x20, 0x7E, U8_START, 0 }, { 0xC2, 0xDF, U8_1, 1 }, { 0xE0, 0xE0, U8_E0, 2 }, { 0xE1, 0xEC, U8_2, 2 }, { 0xED, 0xED, U8_ED, 2 },
    { 0xEE, 0xEF, U8_2, 2 },     { 0xF0, 0xF0, U8_F0, 3 }, { 0xF1, 0xF3, U8_3, 3 }, { 0xF4, 0xF4, U8_F4, 3 },
};
/* Phases of a number: 1969, 24,255, -3.5. In NUM_INT and NUM_FRACTION pos counts digits, from NUM_COMMA to NUM_G3 groups. */
enum { NUM_START, NUM_SIGN, NUM_INT, NUM_COMMA, NUM_G1, NUM_G2, NUM_G3, NUM_POINT, NUM_FRACTION };
enum { NUM_MAX_DIGITS = 15, NUM_MAX_GROUPS = 5, NUM_MAX_FRACTION = 6 };
enum { SUB_TAIL = 1 /* of PART_END: behind the newline that ended a last line */, SUB_LEAD = 0xFFFF /* of part 0: an optional space */ };

struct constraint {
    struct program *program;
    struct state *set; int n_set; size_t cap_set;
    struct state *stack; size_t cap_stack; /* sets along a token's bytes */
    int finished, failed, n_tail;
};

static void *grow_states(struct state **v, size_t *cap, size_t n) { return mem_grow((void **)v, cap, n, sizeof **v) ? NULL : *v; }

/* Appends the states at the start of part i. Returns the new count or -1. */
static ptrdiff_t add_start(const struct program *g, int i, struct state **v, size_t *cap, size_t n) {
    const struct part *p = &g->part[i];
    size_t need = n + 1 + (size_t)(p->kind == PART_CHOICE ? p->n_alt : 0);
    if (!grow_states(v, cap, need)) return -1;
    if (p->kind == PART_CHOICE) {
        for (int a = 0; a < p->n_alt; a++) (*v)[n++] = (struct state){ (uint16_t)i, (uint16_t)a, 0 };
    } else if (p->kind == PART_SPAN) {
        for (uint32_t at = 0; at < g->n_source; at++) {
            if (!(g->edge[at] & EDGE_START)) continue;
            if (!grow_states(v, cap, n + 1)) return -1;
            (*v)[n++] = (struct state){ (uint16_t)i, 0, at };
        }
    } else {
        (*v)[n++] = (struct state){ (uint16_t)i, 0, 0 };
    }
    return (ptrdiff_t)n;
}

static int step_free(struct state *s, const struct part *p, unsigned char b) {
    int at = s->sub & U8_MASK;
    uint32_t left = p->kind == PART_TEXT ? p->limit - s->pos : 4;
    if (!left) return 0;
    if (p->kind == PART_TEXT) s->pos++;
    if (at != U8_START) {
        if (b < UTF8_TAIL[at].lo || b > UTF8_TAIL[at].hi) return 0;
        s->sub = (uint16_t)(UTF8_TAIL[at].next | NOT_BLANK);
        return 1;
    }
    if (p->kind == PART_TEXT && (b == '\n' || b == '\t')) return 1;
    for (size_t i = 0; i < ARRAY_LEN(UTF8_LEAD); i++) {
        if (b < UTF8_LEAD[i].lo || b > UTF8_LEAD[i].hi) continue;
        s->sub = (uint16_t)(UTF8_LEAD[i].next | (s->sub & NOT_BLANK) | (b != ' ' ? NOT_BLANK : 0));
        return left > UTF8_LEAD[i].n_more;
    }
    return 0;
}

static int step_number(struct state *s, unsigned char b) {
    static const uint8_t ON_DIGIT[] = { [NUM_START] = NUM_INT, [NUM_SIGN] = NUM_INT, [NUM_INT] = NUM_INT, [NUM_COMMA] = NUM_G1, [NUM_G1] = NUM_G2,
                                        [NUM_G2] = NUM_G3, [NUM_G3] = 0, [NUM_POINT] = NUM_FRACTION, [NUM_FRACTION] = NUM_FRACTION };
    int at = s->sub, whole = at == NUM_INT || at == NUM_G3;
    if (b >= '0' && b <= '9') {
        s->sub = ON_DIGIT[at];
        s->pos += s->sub == NUM_INT || s->sub == NUM_FRACTION || s->sub == NUM_G3;
        return s->sub && s->pos <= (s->sub == NUM_FRACTION ? NUM_MAX_FRACTION : NUM_MAX_DIGITS);
    }
    if (b == '-' && at == NUM_START) {
        s->sub = NUM_SIGN;
    } else if (b == ',' && whole && s->pos < (at == NUM_INT ? 4 : NUM_MAX_GROUPS)) {
        if (at == NUM_INT) s->pos = 0;
        s->sub = NUM_COMMA;
    } else if (b == '.' && whole) {
        s->sub = NUM_POINT;
        s->pos = 0;
    } else {
        return 0;
    }
    return 1;
}

/* Moves s over byte b; 0: dead. */
static int step_state(const struct program *g, struct state *s, unsigned char b) {
    const struct part *p = &g->part[s->part];
    struct sv t = p->text;
    switch (p->kind) {
    case PART_CHOICE: t = p->alt[s->sub]; /* fall through */
    case PART_LITERAL: return s->pos < t.n && (unsigned char)t.p[s->pos++] == b;
    case PART_LINE:
        if (b == '\n' && s->part + 1 == g->n_part && s->sub == (U8_START | NOT_BLANK)) {
            *s = (struct state){ (uint16_t)g->n_part, SUB_TAIL, 0 };
            return 1;
        } /* fall through */
    case PART_TEXT: return step_free(s, p, b);
    case PART_NUMBER: return step_number(s, b);
    case PART_SPAN: return s->pos < g->n_source && b != '\n' && (unsigned char)g->source[s->pos++] == b;
    case PART_END: return s->sub == SUB_TAIL && (b == '\n' || b == ' ');
    }
    return 0;
}

/* May the part end here? *only: it must (nothing of it can follow). */
static int may_end(const struct program *g, const struct state *s, int *only) {
    const struct part *p = &g->part[s->part];
    *only = 0;
    switch (p->kind) {
    case PART_LITERAL: return *only = s->pos == p->text.n;
    case PART_CHOICE: return *only = s->pos == p->alt[s->sub].n;
    case PART_LINE: return s->sub == (U8_START | NOT_BLANK);
    case PART_TEXT: *only = s->pos == p->limit; return (s->sub & U8_MASK) == U8_START;
    case PART_NUMBER: *only = s->sub == NUM_FRACTION && s->pos == NUM_MAX_FRACTION; return s->sub == NUM_INT || s->sub == NUM_FRACTION || s->sub == NUM_G3;
    case PART_SPAN: *only = s->pos == g->n_source || g->source[s->pos] == '\n'; return g->edge[s->pos] & EDGE_END;
    case PART_END: return 0;
    }
    return 0;
}

/* Different ways into the same place are one state. Only kinds with few states can meet themselves. */
static int known(const struct state *v, size_t from, size_t n, struct state s) {
    for (size_t i = from; i < n; i++)
        if (v[i].part == s.part && v[i].sub == s.sub && v[i].pos == s.pos) return 1;
    return 0;
}

/* Appends to v (which holds n states) the set that v[from..to) becomes over byte b. Returns the new count, -1: no memory. */
static ptrdiff_t step_set(const struct program *g, struct state **v, size_t *cap, size_t from, size_t to, size_t n, unsigned char b) {
    size_t begin = n;
    uint8_t next[CONSTRAINT_MAX_PARTS + 1] = { 0 };
    for (size_t i = from; i < to; i++) {
        struct state s = (*v)[i];
        int only;
        if (s.sub == SUB_LEAD) {
            if (b == ' ') next[0] = 1;
            continue;
        }
        if (!step_state(g, &s, b)) continue;
        if (may_end(g, &s, &only)) next[s.part + 1] = 1;
        if (only) continue;
        enum part_kind kind = g->part[s.part].kind;
        if ((kind == PART_LINE || kind == PART_TEXT || kind == PART_NUMBER) && known(*v, begin, n, s)) continue;
        if (!grow_states(v, cap, n + 1)) return -1;
        (*v)[n++] = s;
    }
    for (int i = 0; i <= g->n_part; i++) {
        if (!next[i]) continue;
        ptrdiff_t m = add_start(g, i, v, cap, n);
        if (m < 0) return -1;
        n = (size_t)m;
    }
    return (ptrdiff_t)n;
}

int constraint_new_with(struct constraint **out, const char *skeleton, struct sv source, const struct tokenizer *t,
                        struct token_table *tt, ilab_err *e) {
    *out = NULL;
    struct constraint *c = mem_calloc(1, sizeof *c);
    if (!c) return err_set(e, ILAB_E_NOMEM, "not enough memory for a constraint");
    int rc = program_new(&c->program, skeleton, source, t, tt, e);
    if (!rc) {
        ptrdiff_t n = add_start(c->program, 0, &c->set, &c->cap_set, 0);
        if (n >= 0 && tt->space_prefix) {
            if (!grow_states(&c->set, &c->cap_set, (size_t)n + 1)) n = -1;
            else c->set[n++] = (struct state){ 0, SUB_LEAD, 0 };
        }
        c->n_set = (int)n;
        if (n < 0) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for a constraint");
    }
    if (rc) constraint_free(c);
    else *out = c;
    return rc;
}

int constraint_new(struct constraint **out, const char *skeleton, struct sv source, const struct tokenizer *t, ilab_err *e) {
    *out = NULL;
    struct token_table *tt = token_table_new(t);
    if (!tt) return err_set(e, ILAB_E_NOMEM, "not enough memory for a token table");
    int rc = constraint_new_with(out, skeleton, source, t, tt, e);
    token_table_free(tt);
    return rc;
}

struct constraint *constraint_copy(const struct constraint *c) {
    struct constraint *d = mem_calloc(1, sizeof *d);
    if (!d) return NULL;
    *d = *c;
    d->set = d->stack = NULL;
    d->cap_set = d->cap_stack = 0;
    atomic_fetch_add(&d->program->n_ref, 1);
    if (!grow_states(&d->set, &d->cap_set, (size_t)c->n_set + 1)) {
        constraint_free(d);
        return NULL;
    }
    memcpy(d->set, c->set, (size_t)c->n_set * sizeof *c->set);
    return d;
}

void constraint_free(struct constraint *c) {
    if (!c) return;
    program_free(c->program);
    mem_free(c->set);
    mem_free(c->stack);
    mem_free(c);
}

static int can_end(const struct constraint *c) {
    int end = 0;
    for (int i = 0; i < c->n_set; i++) end |= c->set[i].part == c->program->n_part;
    return end || !c->n_set || c->finished;
}

int constraint_complete(const struct constraint *c) {
    int more = 0;
    for (int i = 0; i < c->n_set; i++) more |= c->set[i].part != c->program->n_part;
    return c->finished || !more;
}

int constraint_tail(const struct constraint *c) { return c->n_tail; }

/* Longest plain token that free text takes now. */
static size_t plain_room(const struct constraint *c) {
    size_t room = 0;
    for (int i = 0; i < c->n_set; i++) {
        const struct part *p = &c->program->part[c->set[i].part];
        if (c->set[i].sub == SUB_LEAD || (c->set[i].sub & U8_MASK) != U8_START) continue;
        size_t mine = p->kind == PART_LINE ? TOKEN_TABLE_MAX_LEN : p->kind == PART_TEXT ? p->limit - c->set[i].pos : 0;
        if (mine > room) room = mine;
    }
    return room;
}

/* 1: some state of the set is at a border of code points (or none is inside one). */
static int ends_whole(const struct program *g, const struct state *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        enum part_kind kind = g->part[v[i].part].kind;
        if ((kind != PART_LINE && kind != PART_TEXT) || v[i].sub == SUB_LEAD || (v[i].sub & U8_MASK) == U8_START) return 1;
    }
    return 0;
}

/* Walks the sorted vocabulary; forbidden ids get -INFINITY. 0 or ILAB_E_NOMEM. */
static int mask_text(struct constraint *c, float *logits, int n_vocab) {
    const struct program *g = c->program;
    const struct token_table *tt = g->table;
    size_t end[TOKEN_TABLE_MAX_LEN + 2], valid = 0, dead = SIZE_MAX, room = plain_room(c);
    if (!grow_states(&c->stack, &c->cap_stack, (size_t)c->n_set + 1)) return ILAB_E_NOMEM;
    memcpy(c->stack, c->set, (size_t)c->n_set * sizeof *c->set);
    end[0] = (size_t)c->n_set;
    for (int i = 0; i < tt->n_order; i++) {
        int32_t id = tt->order[i];
        size_t len = tt->off[id + 1] - tt->off[id], shared = tt->lcp[i];
        if (id >= n_vocab) { /* cannot happen with a checked model; keeps the prefix right all the same */
            if (shared < valid) valid = shared;
            if (shared < dead) dead = SIZE_MAX;
            continue;
        }
        if (shared >= dead) {
            logits[id] = -INFINITY;
            continue;
        }
        dead = SIZE_MAX;
        if (shared < valid) valid = shared;
        if ((tt->flag[id] & TT_PLAIN) && len <= room) continue;
        const char *bytes = tt->bytes + tt->off[id];
        while (valid < len) {
            size_t from = valid ? end[valid - 1] : 0, to = end[valid];
            ptrdiff_t n = step_set(g, &c->stack, &c->cap_stack, from, to, to, (unsigned char)bytes[valid]);
            if (n < 0) return ILAB_E_NOMEM;
            if ((size_t)n == to) {
                dead = valid + 1;
                break;
            }
            end[++valid] = (size_t)n;
        }
        int bad = dead != SIZE_MAX;
        if (!bad && tt->whole_only) bad = !ends_whole(g, c->stack + end[len - 1], end[len] - end[len - 1]);
        if (bad) logits[id] = -INFINITY;
    }
    return 0;
}

int constraint_mask(struct constraint *c, float *logits, int n_vocab) {
    const struct token_table *tt = c->program->table;
    int complete = constraint_complete(c), end = can_end(c);
    if (c->failed) return ILAB_E_NOMEM;
    for (int id = 0; id < n_vocab; id++) {
        int flag = id < tt->n ? tt->flag[id] : 0;
        if (!((flag & TT_TEXT) && !complete) && !((flag & TT_END) && end)) logits[id] = -INFINITY;
    }
    if (!complete && mask_text(c, logits, n_vocab)) return ILAB_E_NOMEM;
    return complete;
}

void constraint_accept(struct constraint *c, int32_t id) {
    const struct token_table *tt = c->program->table;
    c->n_tail = 0;
    if (id < 0 || id >= tt->n || !(tt->flag[id] & TT_TEXT)) {
        c->finished = 1;
        return;
    }
    for (uint32_t at = tt->off[id]; at < tt->off[id + 1]; at++) {
        size_t n = (size_t)c->n_set;
        ptrdiff_t m = step_set(c->program, &c->set, &c->cap_set, 0, n, n, (unsigned char)tt->bytes[at]);
        if (m < 0) {
            c->failed = 1;
            return;
        }
        memmove(c->set, c->set + n, ((size_t)m - n) * sizeof *c->set);
        c->n_set = (int)((size_t)m - n);
        int tail = c->n_set > 0; /* while another reading of the text is alive, the newline belongs to that */
        for (int i = 0; i < c->n_set; i++) tail &= c->set[i].part == c->program->n_part && c->set[i].sub == SUB_TAIL;
        c->n_tail += tail;
    }
}

int constraint_forced(struct constraint *c, struct ids *out) {
    const struct program *g = c->program;
    const struct state *s = &c->set[0];
    if (c->failed) return ILAB_E_NOMEM;
    int alone = c->n_set == 1 || (c->n_set == 2 && c->set[1].sub == SUB_LEAD);
    if (!alone || s->sub == SUB_LEAD || g->part[s->part].kind != PART_LITERAL) return 0;
    struct sv text = g->part[s->part].text;
    struct sv rest = { text.p + s->pos, text.n - s->pos };
    int last = s->part + 1 == g->n_part, at = s->part;
    if (!last && rest.n && rest.p[rest.n - 1] == ' ') rest.n--; /* left to the field's first token */
    if (!rest.n) return 0;
    size_t before = out->n;
    if (encode_continuation(g->tokenizer, rest, out, NULL)) return ILAB_E_NOMEM;
    c->set[0].pos += (uint32_t)rest.n;
    c->n_set = 1;
    c->n_tail = 0;
    if (c->set[0].pos == text.n) {
        ptrdiff_t n = add_start(g, at + 1, &c->set, &c->cap_set, 0);
        if (n < 0) {
            c->failed = 1;
            return ILAB_E_NOMEM;
        }
        c->n_set = (int)n;
    }
    return (int)(out->n - before);
}
