/* test_text_json.c — positions of errors, duplicates, layouts (Python's own json as oracle), memory failures.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/oom/oom.h"
#include "text/internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static void write_file(const char *text) { assert_int_equal(file_write(path, text, strlen(text), NULL), 0); }

/* stdout of a Python script, or NULL when there is no Python. */
static char *python(const char *script, const char *argument) {
    const char *const argv[] = { "python3", "-c", script, argument, NULL };
    char *out = NULL, *err = NULL;
    size_t n;
    int status;
    if (child_run(argv, NULL, 16 << 20, &out, &n, &err, &status, NULL)) return NULL;
    if (status) print_error("%s", err), mem_free(out), out = NULL;
    mem_free(err);
    return out;
}

static void skip_without_python(void) {
    print_message("SKIP: python3 is not installed\n");
    skip();
}

static void test_json_errors_have_positions(void **state) {
    (void)state;
    static const struct { const char *text, *msg; } ROWS[] = {
        { "{\"a\": 1,\n \"b\": }", "f:2:7: unexpected token near '}'" },
        { "", "f:1:1: '[' or '{' expected near end of file" },
        { "[1] x", "f:1:5: end of file expected near 'x'" },
        { "[\"\xff\"]", "f:1:" },
    };
    ilab_err e;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        assert_null(json_parse(sv_of(ROWS[i].text), "f", &e));
        assert_int_equal(e.code, ILAB_E_FORMAT);
        if (i == 1) assert_memory_equal(e.msg, "f:1:1: ", 7);
        else assert_memory_equal(e.msg, ROWS[i].msg, strlen(ROWS[i].msg));
    }
    json_t *v = json_parse(SV("\xEF\xBB\xBF{\"s\": \"x\", \"n\": 2.5, \"i\": 7, \"i\": 8}"), "f", &e);
    assert_string_equal(json_str(v, "s"), "x");
    assert_null(json_str(v, "i"));
    assert_true(json_num(v, "n", 0) == 2.5 && json_num(v, "i", 0) == 8 && json_num(v, "s", -1) == -1);
    assert_true(json_int(v, "i", 0) == 8 && json_int(v, "n", -1) == -1 && json_int(NULL, "n", -2) == -2);
    json_decref(v);
}

static int collect(void *ud, int line, const json_t *value, ilab_err *e) {
    struct sb *b = ud;
    sb_addf(b, "%d:", line);
    sb_add_json(b, value);
    sb_addch(b, ';');
    return json_is_integer(value) ? err_set(e, ILAB_E_INVALID, "enough") : 0;
}

static void test_json_lines(void **state) {
    (void)state;
    struct sb b;
    ilab_err e;
    sb_init(&b, 1000);
    write_file("{\"a\":1}\r\n\n  \n[2]\n\"x\"");
    assert_int_equal(json_read_lines(path, 1000, collect, &b, &e), 0);
    assert_string_equal(b.p, "1:{\"a\":1};4:[2];5:\"x\";");
    write_file("[1]\n[2,\n");
    assert_int_equal(json_read_lines(path, 1000, collect, &b, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, ":2:"));
    write_file("{\"a\":1,\"a\":2}\n");
    assert_int_equal(json_read_lines(path, 1000, collect, &b, &e), ILAB_E_FORMAT);
    assert_null(json_read_file(path, 1000, &e));
    assert_non_null(strstr(e.msg, "duplicate"));
    write_file("1\n2\n");
    sb_reset(&b);
    assert_int_equal(json_read_lines(path, 1000, collect, &b, &e), ILAB_E_INVALID);
    assert_string_equal(b.p, "1:1;");
    assert_int_equal(json_read_lines(path, 2, collect, &b, &e), ILAB_E_LIMIT);
    sb_release(&b);
}

static const char SAMPLE[] = "{\"z\": [], \"a\": {}, \"deep\": [1, [2, {\"k\": null}]], \"t\": true, \"f\": false, "
                             "\"s\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f é € 😀\", \"r\": [0.1, 1.0, -0.0, 1e16, 1e15, 1e-5, 1e-4, 123456789.125, 5e-324, 1.7976931348623157e308]}";

static void test_json_layouts_equal_python(void **state) {
    (void)state;
    json_t *v = json_parse(SV(SAMPLE), "sample", NULL);
    assert_non_null(v);
    static const struct { int indent; const char *dump; } ROWS[] = {
        { -1, "import json,sys; sys.stdout.buffer.write(json.dumps(json.loads(sys.argv[1]), ensure_ascii=False, separators=(',',':')).encode())" },
        { 0, "import json,sys; print(json.dumps(json.loads(sys.argv[1])), end='')" },
        { 4, "import json,sys; print(json.dumps(json.loads(sys.argv[1]), indent=4), end='')" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        char *want = python(ROWS[i].dump, SAMPLE);
        if (!want) skip_without_python();
        struct sb b;
        sb_init(&b, 10000);
        if (ROWS[i].indent < 0) sb_add_json(&b, v);
        else sb_add_json_py(&b, v, ROWS[i].indent);
        assert_false(b.failed);
        assert_string_equal(b.p, want);
        sb_release(&b);
        mem_free(want);
    }
    json_decref(v);
}

static void test_json_doubles_equal_python_repr(void **state) {
    (void)state;
    struct sb ours;
    struct rng r;
    char text[32], number[40];
    rng_seed(&r, 7);
    sb_init(&ours, 1 << 20);
    struct file_out o;
    assert_int_equal(file_create(&o, path, NULL), 0);
    for (int i = 0; i < 6000; i++) {
        double v;
        uint64_t bits = rng_u64(&r);
        memcpy(&v, &bits, sizeof v);
        if (i % 3 == 1) v = ldexp(i % 2 ? 1 : -1, (int)rng_below(&r, 2000) - 1000);
        if (i % 3 == 2) v = (double)rng_below(&r, 100000) / 1000;
        if (!isfinite(v)) continue;
        snprintf(number, sizeof number, "%a", v);
        file_putf(&o, "%s\n", number);
        format_double(text, v);
        assert_true(strtod(text, NULL) == v);
        sb_addf(&ours, "%s\n", text);
    }
    assert_int_equal(file_commit(&o, NULL), 0);
    char *want = python("import sys\nfor l in open(sys.argv[1]): print(repr(float.fromhex(l)))", path);
    if (!want) skip_without_python();
    assert_string_equal(ours.p, want);
    mem_free(want);
    sb_release(&ours);
}

static void test_json_string_of_malformed_bytes(void **state) {
    (void)state;
    struct sb b;
    sb_init(&b, 100);
    sb_add_json_str(&b, SV("a\xff\"\x01\xe2\x82"));
    assert_string_equal(b.p, "\"a\xEF\xBF\xBD\\\"\\u0001\xEF\xBF\xBD\xEF\xBF\xBD\"");
    sb_release(&b);
}

static int parse_job(void *ud, ilab_err *e) {
    e->code = 0;
    json_t *v = json_parse(sv_of(ud), "sample", e);
    json_decref(v);
    return v ? 0 : e->code;
}

static int file_job(void *ud, ilab_err *e) {
    (void)ud;
    e->code = 0;
    json_t *v = json_read_file(path, 10000, e);
    json_decref(v);
    return v ? 0 : e->code;
}

static void test_json_survives_every_memory_failure(void **state) {
    (void)state;
    ilab_err e = { 0 };
    write_file(SAMPLE);
    char text[300];
    for (int n = 1; n < 80; n += n < 40 ? 1 : 13) { /* every length at which the library's token buffer grows */
        snprintf(text, sizeof text, "[1.%0*d,\"%0*d€\",\"\\u20ac%0*d\"]", n, 5, n, 6, n, 7);
        if (oom_loop(parse_job, text, &e)) fail_msg("%s", e.msg);
    }
    snprintf(text, sizeof text, "%s", "[1234567890123456]");
    if (oom_loop(parse_job, text, &e)) fail_msg("%s", e.msg);
    char *sample = xstrdup(SAMPLE);
    if (oom_loop(parse_job, sample, &e)) fail_msg("%s", e.msg);
    mem_free(sample);
    if (oom_loop(file_job, NULL, &e)) fail_msg("%s", e.msg);
}

static int make_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/ilab-test-json.%ld", (long)getpid());
    return 0;
}
static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_errors_have_positions),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_json_layouts_equal_python),
        cmocka_unit_test(test_json_doubles_equal_python_repr),
        cmocka_unit_test(test_json_string_of_malformed_bytes),
        cmocka_unit_test(test_json_survives_every_memory_failure),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
