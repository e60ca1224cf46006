/* test_states.c — hidden states that are kept: in memory and in a file, of another run, damaged, on a full disk's behalf.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "train/states.h"

enum { C = 8, N = 5 };

static void make(struct dataset *d, float *x, size_t *n_float)
{
    *d = (struct dataset){ 0 };
    *n_float = 0;
    for (int i = 0; i < N; i++) {
        const int32_t id[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
        const uint8_t mask[8] = { 0, 1, 1, 1, 1, 1, 1, 1 };
        assert_int_equal(dataset_add_ids(d, id, mask, 3 + i, 1, NULL), 0);
        *n_float += (size_t)(2 + i) * C;
    }
    for (size_t i = 0; i < *n_float; i++) x[i] = (float)noise(1, (uint32_t)i);
}
static size_t block(int i) { size_t at = 0; for (int k = 0; k < i; k++) at += (size_t)(2 + k) * C; return at; }

static void test_what_was_put_comes_back(void **state)
{
    (void)state;
    float x[C * 40], got[C * 8];
    size_t n;
    struct dataset d;
    struct states *s;
    ilab_err e = { 0 };
    char path[] = "/tmp/ilab-states-XXXXXX";
    close(mkstemp(path));
    make(&d, x, &n);
    for (int disk = 0; disk < 2; disk++) {
        ok(states_new(&s, &d, NULL, C, disk ? path : NULL, "base=a", &e), &e);
        for (uint32_t i = 0; i < N; i++) assert_false(states_get(s, i, got));
        for (uint32_t i = 0; i < N; i += 2) states_put(s, i, x + block((int)i));
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(states_get(s, i, got), i % 2 == 0);
            if (i % 2 == 0) assert_memory_equal(got, x + block((int)i), (2 + i) * C * sizeof(float));
        }
        states_free(s);
    }
    /* Another run with the same key finds them; a block that changed is not believed, the others are. */
    char *text;
    size_t n_text;
    ok(file_read(path, 1 << 20, &text, &n_text, &e), &e);
    text[n_text - 3] ^= 1;
    ok(file_write(path, text, n_text, &e), &e);
    mem_free(text);
    ok(states_new(&s, &d, NULL, C, path, "base=a", &e), &e);
    assert_true(states_get(s, 0, got) && states_get(s, 2, got) && !states_get(s, 4, got));
    assert_memory_equal(x + block(0), (states_get(s, 0, got), got), 2 * C * sizeof(float));
    states_free(s);
    /* Another key: nothing of it counts. */
    ok(states_new(&s, &d, &d, C, path, "base=b", &e), &e);
    for (uint32_t i = 0; i < 2 * N; i++) assert_false(states_get(s, i, got));
    states_put(s, N + 1, x);
    assert_true(states_get(s, N + 1, got) && !states_get(s, 1, got));
    states_free(s);
    unlink(path);
    dataset_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_was_put_comes_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
