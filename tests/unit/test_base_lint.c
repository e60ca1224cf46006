/* test_base_lint.c — every rule of tools/lint fires on a file that breaks it, and only there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64], lint_path[512];

static void put(const char *name, const char *text) {
    char path[256];
    ilab_err e;
    snprintf(path, sizeof path, "%s/%.*s", root, (int)(strrchr(name, '/') - name), name);
    assert_int_equal(dir_make(path, NULL), 0);
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (file_write(path, text, strlen(text), &e)) fail_msg("%s", e.msg);
}

static char *lint(int *status) {
    const char *const argv[] = { lint_path, root, NULL };
    char *out;
    size_t n;
    ilab_err e;
    if (child_run(argv, NULL, 1 << 20, &out, &n, NULL, status, &e)) fail_msg("%s", e.msg);
    return out;
}

#define HEAD "/* x.c — a test. SPDX-License-Identifier: Apache-2.0 */\n"

static void test_lint_rules(void **state) {
    (void)state;
    if (access(lint_path, X_OK)) {
        print_message("SKIP: tools/lint is not below the current folder\n");
        skip();
    }
    static const struct { const char *file, *text, *want; } ROWS[] = {
        { "src/tensor/a.c", HEAD "#include \"model/model.h\"\n", "src/tensor/a.c:2: layer tensor must not include model" },
        { "src/model/b.c", HEAD "#include \"text/internal.h\"\n", "src/model/b.c:2: \"text/internal.h\" is private to text" },
        { "src/model/c.c", HEAD "#include <yaml.h>\n", "src/model/c.c:2: <yaml.h> belongs to text alone" },
        { "src/model/d.c", HEAD "#include <weird.h>\n", "src/model/d.c:2: <weird.h> is not in the table" },
        { "src/model/e.c", HEAD "int f(char *a) {\n    strcpy(a, \"x\");\n}\n", "src/model/e.c:3: strcpy(): banned call" },
        { "src/model/f.c", HEAD "int f(void) { return malloc (3) != 0; }\n", "src/model/f.c:2: malloc(): memory comes from base" },
        { "src/model/g.c", HEAD "int f(void) { fprintf(stderr, \"x\"); exit(1); }\n", "src/model/g.c:2: exit(): only src/cli ends the program" },
        { "src/model/h.c", "int x;\n", "src/model/h.c:1: no SPDX" },
        { "src/kern/i.c", HEAD "#include <immintrin.h>\n", "src/kern/i.c:2: <immintrin.h> only in *_avx2.c" },
        { "src/odd/j.c", HEAD, "src/odd/j.c:1: src/odd is no layer" },
        { "tests/unit/k.c", HEAD "int f(void) { return rand(); }\n", "tests/unit/k.c:2: rand(): banned call" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) put(ROWS[i].file, ROWS[i].text);
    struct sb b;
    sb_init(&b, 100000);
    sb_addc(&b, HEAD "/* strcpy(a) in a comment */ static const char *const S = \"exit(1) /* \"; // free(x)\n"
                     "#include \"text/text.h\"\n#include <math.h>\nint my_free(int), x;\nvoid g(struct s *p) { p->free(p); my_free(1); }\n");
    put("src/model/fine.c", b.p);
    put("src/cli/fine.c", HEAD "int main(void) { printf(\"x\"); exit(1); }\n");
    put("src/lm/lm_local.c", HEAD "#include \"infer/infer.h\"\n");
    sb_reset(&b);
    sb_addc(&b, HEAD "int long_one(int a,\n             int b)\n{\n");
    for (int i = 0; i < 118; i++) sb_addc(&b, "    a += b;\n");
    sb_addc(&b, "}\n\nstatic const int TABLE[] = {\n");
    for (int i = 0; i < 700; i++) sb_addc(&b, "    1,\n");
    sb_addc(&b, "};\n");
    put("src/model/long.c", b.p);
    sb_release(&b);
    int status;
    char *out = lint(&status);
    assert_int_equal(status, 1);
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (!strstr(out, ROWS[i].want)) fail_msg("lint does not say '%s':\n%s", ROWS[i].want, out);
    assert_non_null(strstr(out, "src/model/long.c:2: function has 122 lines, at most 120"));
    assert_non_null(strstr(out, "src/model/long.c:826: file has 826 lines, at most 800"));
    assert_non_null(strstr(out, "src/model/g.c:2: only src/cli prints"));
    int lines = 0;
    for (char *p = out; *p; p++) lines += *p == '\n';
    if (strstr(out, "fine.c") || strstr(out, "lm_local") || lines != (int)ARRAY_LEN(ROWS) + 3) fail_msg("too much:\n%s", out);
    mem_free(out);
}

static int make_root(void **state) {
    (void)state;
    char here[400];
    if (!getcwd(here, sizeof here)) return -1;
    snprintf(lint_path, sizeof lint_path, "%s/tools/lint", here);
    snprintf(root, sizeof root, "/tmp/ilab-test-lint-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    const char *const rm[] = { "rm", "-rf", root, NULL };
    int status;
    return child_run(rm, NULL, 1000, NULL, NULL, NULL, &status, NULL) || status;
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lint_rules) };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
