/* test_text_yaml.c — the tree and its marks, refusals, and PyYAML as the oracle of scalar resolution.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/oom/oom.h"
#include "text/internal.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct arena arena;
static ilab_err err;

static const struct yaml_node *parse(const char *text) {
    struct yaml_node *root = NULL;
    arena_reset(&arena);
    err.msg[0] = 0;
    int rc = yaml_parse(sv_of(text), "f", &arena, &root, &err);
    assert_true((rc == 0) == (root != NULL));
    return root;
}

static void test_yaml_tree_and_marks(void **state) {
    (void)state;
    const struct yaml_node *r = parse("\xEF\xBB\xBFversion: 2\nseed_examples:\n  - question: Was ist é?\n    answer: Yes\n  - \"quoted: 1\"\nempty:\ntext: |\n  two\n  lines\n");
    assert_non_null(r);
    assert_true(r->kind == YAML_MAP && r->n == 4 && r->line == 1 && r->col == 1);
    const struct yaml_node *list = yaml_get(r, "seed_examples"), *answer = yaml_get(list->item[0], "answer");
    assert_true(list->kind == YAML_SEQ && list->n == 2);
    assert_true(answer->kind == YAML_BOOL && answer->plain && answer->line == 4 && answer->col == 13);
    assert_true(list->item[1]->kind == YAML_STR && !list->item[1]->plain);
    assert_int_equal(yaml_get(r, "empty")->kind, YAML_NULL);
    assert_string_equal(yaml_get(r, "text")->text.p, "two\nlines\n");
    assert_null(yaml_get(r, "absent"));
    assert_null(yaml_get(list, "x"));
    assert_string_equal(yaml_kind_name(answer->kind), "boolean");
    int64_t v;
    assert_true(yaml_int(yaml_get(r, "version"), &v) == 0 && v == 2);
    static const char *const EMPTY[] = { "", "# only a comment\n", "---\n...\n", "\xEF\xBB\xBF" };
    for (size_t i = 0; i < ARRAY_LEN(EMPTY); i++) assert_true((r = parse(EMPTY[i])) != NULL && r->kind == YAML_NULL);
}

static void test_yaml_anchors_merges_tags(void **state) {
    (void)state;
    const struct yaml_node *r = parse("a: &x {k: 1, l: 2}\nb: *x\nc:\n  <<: [*x, {m: 3, k: 9}]\n  l: own\nd: !!str 12\ne: !!float 3\nf: ! 7\n");
    if (!r) fail_msg("%s", err.msg);
    const struct yaml_node *b = yaml_get(r, "b"), *c = yaml_get(r, "c");
    assert_true(b->kind == YAML_MAP && b->line == 2 && b->col == 4 && sv_eq_c(yaml_get(b, "l")->text, "2"));
    assert_int_equal(c->n, 3);
    assert_true(sv_eq_c(yaml_get(c, "l")->text, "own") && sv_eq_c(yaml_get(c, "k")->text, "1") && sv_eq_c(yaml_get(c, "m")->text, "3"));
    assert_true(yaml_get(r, "d")->kind == YAML_STR && yaml_get(r, "e")->kind == YAML_FLOAT && yaml_get(r, "f")->kind == YAML_INT); /* `!` alone changes nothing, as in PyYAML */
}

static void test_yaml_refusals(void **state) {
    (void)state;
    static const struct { const char *text, *msg; } ROWS[] = {
        { "a: 1\nb: 2\na: 3\n", "f:3:1: duplication of key \"a\" in mapping (first at 1:1)" },
        { "x:\n  ab: é\xff\n", "f:2:8: not UTF-8 (byte 0xFF)" },
        { "a: *b\n", "f:1:4: found undefined alias 'b'" },
        { "a: &b [*b]\n", "f:1:8: anchor 'b' contains itself" },
        { "a: b: c\n", "f:1:5: mapping values are not allowed here" },
        { "seed_examples:xx\n  - a: 1\n", "f:2:6: mapping values are not allowed here" },
        { "k: v\nseed\nx: 1\n", "f:3:1: could not find expected ':' (while scanning a simple key that starts at 2:1)" },
        { "a: !foo 1\n", "f:1:4: could not determine a constructor for the tag '!foo'" },
        { "a: !!int x\n", "f:1:4: this is not of the type that its tag" },
        { "[a]: 1\n", "f:1:1: found unhashable key" },
        { "a: 1\n---\nb: 2\n", "f:2:1: but found another document (expected a single document in the stream that starts at 1:1)" },
        { "a: [1, 2\n", "f:2:1: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence that starts at 1:4)" },
        { "a: \"x\001\"\n", "f:1:6: unacceptable character #x0001: special characters are not allowed" },
        { "<<: 1\n", "f:1:5: expected a mapping or list of mappings for merging, but found integer" },
        { "a:\n\tb: 1\n", "f:2:1: found character '\\t' that cannot start any token" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        assert_null(parse(ROWS[i].text));
        if (!strstr(err.msg, ROWS[i].msg) || err.code != ILAB_E_FORMAT) fail_msg("'%s' gave '%s'", ROWS[i].text, err.msg);
    }
}

static void test_yaml_bombs(void **state) {
    (void)state;
    struct sb b;
    sb_init(&b, 1 << 20);
    sb_addc(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        sb_addf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++) sb_addf(&b, "*a%d, ", i - 1);
        sb_addc(&b, "]\n");
    }
    assert_null(parse(b.p)); /* a billion laughs */
    assert_int_equal(err.code, ILAB_E_LIMIT);
    sb_reset(&b);
    sb_addc(&b, "- &a0 [x]\n");
    for (int i = 1; i < 200; i++) sb_addf(&b, "- &a%d [*a%d]\n", i, i - 1);
    assert_null(parse(b.p)); /* deep by aliases alone */
    assert_non_null(strstr(err.msg, "nested deeper than 64 levels"));
    sb_reset(&b);
    for (int i = 0; i < 64; i++) sb_addch(&b, '[');
    for (int i = 0; i < 64; i++) sb_addch(&b, ']');
    assert_non_null(parse(b.p));
    char *deeper = xcalloc(1, 20001);
    memset(deeper, '[', 20000);
    assert_null(parse(deeper));
    mem_free(deeper);
    sb_reset(&b);
    for (int i = 0; i < 30000; i++) sb_addf(&b, "key%d: %d\n", i, i);
    double start = now_seconds();
    assert_non_null(parse(b.p));
    assert_true(now_seconds() - start < 5);
    sb_addc(&b, "key0: again\n");
    assert_null(parse(b.p));
    sb_release(&b);
}

/* ---- scalars against PyYAML ---- */

static const char *const HAND[] = {
    "y", "n", "Y", "N", "yes", "Yes", "YES", "yEs", "no", "No", "NO", "true", "True", "TRUE", "tRUE", "false", "on", "On", "ON", "off", "Off", "OFF",
    "~", "null", "Null", "NULL", "nULL", "", "0", "00", "010", "-010", "08", "0o7", "0b101", "0b", "0b_", "0x1F", "-0xff", "0x", "0x_", "1_000", "_1", "1_", "+12",
    "1:30", "-1:30", "190:20:30", "1:60", "1:5", "0:30", "190:20:30.15", "1:30.", "00:30.5", "1.5", "1.", ".5", "-.5", "+.5", "._5", "1e3", "1.0e3", "1.0e+3", "1.5E-3", "1_0.2_5",
    ".inf", "-.inf", "+.Inf", ".INF", "-.nan", ".nan", ".NaN", ".NAN", ".Nan", "inf", "nan", "2001-12-14", "2001-1-1", "2001-12-14t21:59:43.10-05:00",
    "2001-12-14 21:59:43.10 -5", "2001-12-15 2:59:43.10", "2001-12-15T02:59:43Z", "2001-12-15 02:59", "24,255", "24.255", "1.2.3", "<<", "=", "-", "+", ".", "..", "1 2",
    "9223372036854775807", "-9223372036854775808", "0.1", "685_230.15", "685.230_15e+03", "1e", "1.e+1", "0.", "-0", "+0", "0_7", "-0b1", "1969", "Yes ", "ON1", "12:30:45",
};

static const char SCRIPT[] =
    "import json, sys\n"
    "try: import yaml\n"
    "except ImportError: sys.exit(77)\n"
    "loader = yaml.SafeLoader('')\n"
    "for text in json.load(open(sys.argv[1])):\n"
    "    tag = loader.resolve(yaml.ScalarNode, text, (True, False))\n"
    "    kind = tag.rsplit(':', 1)[1]\n"
    "    kind = {'merge': 'str', 'value': 'str'}.get(kind, kind)\n"
    "    value = '-'\n"
    "    if kind in ('bool', 'int', 'float'):\n"
    "        try: value = loader.construct_object(yaml.ScalarNode(tag, text))\n"
    "        except ValueError: value = '-'\n"
    "        if kind == 'bool': value = int(value)\n"
    "        if kind == 'int' and value != '-' and not -2**63 <= value < 2**63: value = '-'\n"
    "        if kind == 'float': value = float.hex(value) if value == value else 'nan'\n"
    "    print(kind, value)\n";

static void describe(struct sb *b, const char *text) {
    static const char *const NAMES[] = { "null", "bool", "int", "float", "timestamp", "str", "seq", "map" };
    struct yaml_node node = { .kind = yaml_resolve(sv_of(text)), .text = sv_of(text), .plain = 1 };
    int truth;
    int64_t i;
    double d;
    sb_addf(b, "%s ", NAMES[node.kind]);
    if (node.kind == YAML_BOOL && yaml_bool(&node, &truth) == 0) sb_addf(b, "%d", truth);
    else if (node.kind == YAML_INT && yaml_int(&node, &i) == 0) sb_addf(b, "%" PRId64, i);
    else if (node.kind == YAML_FLOAT && yaml_float(&node, &d) == 0) {
        if (isnan(d)) sb_addc(b, "nan");
        else sb_addf(b, "%a", d);
    } else sb_addch(b, '-');
    sb_addch(b, '\n');
}

/* Python writes 0x1.8000000000000p+0 and %a writes 0x1.8p+0: compared as numbers. */
static int same_line(struct sv a, struct sv b) {
    if (sv_eq(a, b)) return 1;
    if (!sv_starts(a, "float ") || !sv_starts(b, "float ")) return 0;
    char x[80], y[80];
    snprintf(x, sizeof x, "%.*s", SV_ARG(a));
    snprintf(y, sizeof y, "%.*s", SV_ARG(b));
    char *end;
    double v = strtod(x + 6, &end), w = strtod(y + 6, NULL);
    return end != x + 6 && v == w && signbit(v) == signbit(w);
}

static void test_yaml_scalars_equal_pyyaml(void **state) {
    (void)state;
    static const char ALPHABET[] = "00112233445566778899001122334455..-+_:eExbaZ ~y";
    static const char *const WORDS[] = { "0x", "0b", "2001-01-02", "T12:30:45", " 12:30:45", ".inf", ".nan", "e+3", ":30", "1:20", "0", "_", "Yes", "ON", "+", "Z", " -05:00" };
    char path[64], text[64];
    snprintf(path, sizeof path, "/tmp/ilab-test-yaml.%ld", (long)getpid());
    struct sb table, ours;
    struct rng r;
    json_t *list = json_array();
    sb_init(&table, 1 << 22);
    sb_init(&ours, 1 << 22);
    rng_seed(&r, 42);
    for (size_t i = 0; i < 20000; i++) {
        if (i < ARRAY_LEN(HAND)) snprintf(text, sizeof text, "%s", HAND[i]);
        else {
            text[0] = 0;
            int parts = 1 + (int)rng_below(&r, 6);
            for (int k = 0; k < parts; k++) {
                size_t n = strlen(text);
                if (rng_below(&r, 3) == 0) snprintf(text + n, sizeof text - n, "%s", WORDS[rng_below(&r, ARRAY_LEN(WORDS))]);
                else snprintf(text + n, sizeof text - n, "%c", ALPHABET[rng_below(&r, sizeof ALPHABET - 1)]);
            }
        }
        json_array_append_new(list, json_string(text));
        describe(&ours, text);
    }
    sb_add_json(&table, list);
    assert_int_equal(file_write(path, table.p, table.n, NULL), 0);
    const char *const argv[] = { "python3", "-c", SCRIPT, path, NULL };
    char *out = NULL, *messages = NULL;
    size_t n;
    int status = 77, rc = child_run(argv, NULL, 1 << 24, &out, &n, &messages, &status, &err);
    unlink(path);
    int missing = rc != 0 || status == 77;
    if (!missing && status) fail_msg("%s", messages);
    struct sv a = { ours.p, ours.n }, b = { out, n }, la, lb;
    size_t i = 0, kinds = 0;
    for (; !missing && sv_split(&a, '\n', &la) && sv_split(&b, '\n', &lb); i++) {
        kinds += !sv_starts(la, "str");
        if (!same_line(la, lb))
            fail_msg("'%s': we say '%.*s', PyYAML '%.*s'", json_string_value(json_array_get(list, i)), SV_ARG(la), SV_ARG(lb));
    }
    json_decref(list);
    mem_free(out);
    mem_free(messages);
    sb_release(&table);
    sb_release(&ours);
    if (missing) {
        print_message("SKIP: python3-yaml is not installed\n");
        skip();
    }
    assert_int_equal(i, 20000);
    assert_true(kinds > 2000);
    print_message("          20000 scalars, %zu of them no strings\n", kinds);
}

static int parse_job(void *ud, ilab_err *e) {
    (void)ud;
    struct arena a;
    struct yaml_node *root;
    arena_init(&a, 1 << 20);
    int rc = yaml_parse(SV("a: &x {k: 1, l: [1, 2, 3, 4, 5, 6, 7, 8, 9]}\nb: *x\nc: {<<: *x, l: own}\nd: \"text\"\n"), "f", &a, &root, e);
    arena_release(&a);
    return rc;
}

static void test_yaml_survives_every_memory_failure(void **state) {
    (void)state;
    if (oom_loop(parse_job, NULL, &err)) fail_msg("%s", err.msg);
    struct arena small;
    struct yaml_node *root;
    arena_init(&small, 500);
    assert_int_equal(yaml_parse(SV("[1,2,3,4,5,6,7,8]"), "f", &small, &root, &err), ILAB_E_NOMEM);
    arena_release(&small);
}

static int make_arena(void **state) {
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}
static int release_arena(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_tree_and_marks),
        cmocka_unit_test(test_yaml_anchors_merges_tags),
        cmocka_unit_test(test_yaml_refusals),
        cmocka_unit_test(test_yaml_bombs),
        cmocka_unit_test(test_yaml_scalars_equal_pyyaml),
        cmocka_unit_test(test_yaml_survives_every_memory_failure),
    };
    return cmocka_run_group_tests(tests, make_arena, release_arena);
}
