/* test_qtype_mix.c — mixes: which element type each tensor gets.
 *
 * Oracle: what llama.cpp gives six models of different shape in twenty mixes (tests/golden/mix_types.txt).
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/mix_types.txt"

enum { MAX_ROLES = 32 };
struct role { char name[64]; int n_dim, type; int64_t dim[4]; };

static void check_role(int mix, const struct mix_model *m, const struct role *r, struct sv line, const char *model) {
    struct sv part;
    int layer = 0;
    while (sv_split(&line, ' ', &part)) {
        char text[32], name[96];
        snprintf(text, sizeof text, "%.*s", SV_ARG(part));
        char *times = r->name[0] == '*' ? strrchr(text, 'x') : NULL;
        long n = times ? strtol(times + 1, NULL, 10) : 1;
        if (times)
            *times = 0;
        for (; n > 0; n--, layer++) {
            if (r->name[0] == '*')
                snprintf(name, sizeof name, "blk.%d.%s", layer, r->name + 1);
            else
                snprintf(name, sizeof name, "%s", r->name);
            const char *ours = qtype_name((uint32_t)mix_type(mix, 0, m, name, r->type, r->n_dim, r->dim));
            if (strcmp(ours, text) != 0)
                fail_msg("%s, %s: %s is %s, not %s", model, mix_name(mix), name, ours, text);
        }
    }
}

static void test_mix_gives_the_types_of_llama_cpp(void **state) {
    (void)state;
    static struct role role[MAX_ROLES];
    struct mix_model m = { 0 };
    char *p, model[32] = "", type[16];
    size_t n, n_checked = 0;
    int n_role = 0, mix = -1, at = 0;
    ilab_err e;
    if (file_read(GOLDEN, 1 << 20, &p, &n, &e))
        fail_msg("%s", e.msg);
    struct sv rest = { p, n }, line;
    while (sv_split(&rest, '\n', &line)) {
        char text[256];
        long long d[3];
        snprintf(text, sizeof text, "%.*s", SV_ARG(line));
        if (text[0] == '#')
            continue;
        if (sscanf(text, "model %31s %d %d %d %d", model, &m.n_layer, &m.n_expert, &m.n_gqa, &m.has_output) == 5) {
            n_role = 0;
        } else if (sscanf(text, "tensor %63s %d %lld %lld %lld %15s", role[n_role].name, &role[n_role].n_dim, &d[0], &d[1], &d[2], type) == 6) {
            role[n_role].type = qtype_by_name(type);
            for (int i = 0; i < 4; i++)
                role[n_role].dim[i] = i < 3 ? d[i] : 1;
            n_role++;
        } else if (sscanf(text, "mix %15s", type) == 1) {
            mix = mix_by_name(type);
            assert_true(mix >= 0);
            at = 0;
        } else {
            assert_true(at < n_role);
            check_role(mix, &m, &role[at++], line, model);
            n_checked++;
        }
        assert_true(n_role < MAX_ROLES);
    }
    assert_true(n_checked > 1000);
    mem_free(p);
}

static void test_mix_knows_names_and_numbers(void **state) {
    (void)state;
    int n = 0;
    for (; mix_name(n); n++) {
        assert_int_equal(mix_by_name(mix_name(n)), n);
        assert_int_equal(mix_of_file_type(mix_file_type(n)), n);
        assert_non_null(qtype_info(mix_base_type(n)));
    }
    assert_true(n >= 20);
    assert_string_equal(mix_name(mix_by_name("q4_k")), "Q4_K_M");
    assert_int_equal(mix_file_type(mix_by_name("Q4_K_M")), 15);
    assert_int_equal(mix_by_name("Q4_K_X"), -1);
    assert_int_equal(mix_by_name(""), -1);
    assert_int_equal(mix_base_type(-1), -1);
}

/* Vectors, routers, unknown things stay; pure gives one type; awkward rows fall back. */
static void test_mix_leaves_alone_what_must_not_be_rounded(void **state) {
    (void)state;
    const int q4 = mix_by_name("Q4_K_M"), q6 = mix_by_name("Q6_K"), tq = mix_by_name("TQ2_0");
    const struct mix_model m = { .n_layer = 32, .n_expert = 8, .n_gqa = 4, .has_output = 1 };
    static const struct { const char *name; int mix, pure, type, n_dim; int64_t dim[4]; int wanted; } CASE[] = {
        { "blk.0.attn_norm.weight", 0, 0, QT_F32, 1, { 4096, 1, 1, 1 }, QT_F32 },
        { "blk.0.attn_norm.weight", 0, 0, QT_F16, 1, { 4096, 1, 1, 1 }, QT_F32 },
        { "blk.0.attn_norm.weight", 0, 0, QT_BF16, 2, { 4096, 1, 1, 1 }, QT_F32 },
        { "blk.0.ffn_gate_inp.weight", 0, 0, QT_F32, 2, { 4096, 8, 1, 1 }, QT_F32 },
        { "blk.0.ffn_gate_inp.weight", 0, 1, QT_F16, 2, { 4096, 8, 1, 1 }, QT_F16 },
        { "position_embd.weight", 0, 0, QT_F32, 2, { 768, 1024, 1, 1 }, QT_F32 },
        { "blk.3.attn_q.bias", 0, 0, QT_F32, 2, { 768, 2, 1, 1 }, QT_F32 },
        { "blk.3.table", 0, 0, QT_I32, 2, { 768, 2, 1, 1 }, QT_I32 },
        { "blk.4.attn_v.weight", 0, 0, QT_F32, 2, { 4096, 1024, 1, 1 }, QT_Q8_0 },
        { "blk.4.attn_v.weight", 0, 1, QT_F32, 2, { 4096, 1024, 1, 1 }, QT_Q4_K },
        { "output.weight", 0, 1, QT_F32, 2, { 4096, 32000, 1, 1 }, QT_Q4_K },
        { "blk.9.ffn_down.7.weight", 0, 0, QT_F32, 2, { 14336, 4096, 1, 1 }, QT_Q6_K }, /* one tensor an expert: old files */
        { "blk.9.ffn_up.weight", 0, 0, QT_F32, 2, { 96, 64, 1, 1 }, QT_Q5_0 },
        { "blk.9.ffn_up.weight", 0, 0, QT_F32, 2, { 97, 64, 1, 1 }, QT_F16 },
        { "blk.9.ffn_up.weight", 1, 0, QT_F32, 2, { 96, 64, 1, 1 }, QT_Q8_0 },
        { "blk.9.ffn_up.weight", 2, 0, QT_F32, 2, { 96, 64, 1, 1 }, QT_Q4_0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASE); i++) {
        const int mix = (const int[]){ q4, q6, tq }[CASE[i].mix];
        int t = mix_type(mix, CASE[i].pure, &m, CASE[i].name, CASE[i].type, CASE[i].n_dim, CASE[i].dim);
        if (t != CASE[i].wanted)
            fail_msg("case %zu, %s: %s, not %s", i, CASE[i].name, qtype_name((uint32_t)t), qtype_name((uint32_t)CASE[i].wanted));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mix_gives_the_types_of_llama_cpp),
        cmocka_unit_test(test_mix_knows_names_and_numbers),
        cmocka_unit_test(test_mix_leaves_alone_what_must_not_be_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
