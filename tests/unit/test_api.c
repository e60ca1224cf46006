/* test_api.c — the public header compiles alone, and opens, asks and closes.  SPDX-License-Identifier: Apache-2.0 */
#include "ilab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int count(void *ud, const char *piece, size_t n)
{
    (void)piece;
    *(size_t *)ud += n;
    return 0;
}

static void test_answer_is_streamed_and_returned(void **state)
{
    (void)state;
    ilab_engine *en = NULL;
    ilab_err e = { 0 };
    char *text = NULL;
    size_t streamed = 0;
    const struct ilab_engine_opts o = { .model = "models/starter.gguf" };
    if (ilab_engine_open(&en, &o, &e)) {
        print_message("SKIP: %s\n", e.msg);
        skip();
    }
    struct ilab_answer_opts a = ILAB_ANSWER_OPTS_INIT;
    a.on_text = count, a.ud = &streamed, a.max_tokens = 24;
    const struct ilab_message m = { "user", "Who are you?" };
    assert_int_equal(ilab_answer(en, &m, 1, &a, &text, &e), 0);
    assert_non_null(text);
    assert_true(strlen(text) > 0 && streamed >= strlen(text));
    ilab_free(text);
    assert_int_equal(ilab_answer(en, &m, 0, &a, &text, &e), ILAB_E_INVALID);
    ilab_engine_close(en);
}

static void test_missing_model_is_an_error(void **state)
{
    (void)state;
    ilab_engine *en = NULL;
    ilab_err e = { 0 };
    const struct ilab_engine_opts o = { .model = "no/such.gguf" };
    assert_int_equal(ilab_engine_open(&en, &o, &e), ILAB_E_NOTFOUND);
    assert_null(en);
    assert_non_null(strstr(e.msg, "no/such.gguf"));
    ilab_engine_close(NULL);
}

int main(void)
{
    const struct CMUnitTest t[] = { cmocka_unit_test(test_answer_is_streamed_and_returned), cmocka_unit_test(test_missing_model_is_an_error) };
    return cmocka_run_group_tests(t, NULL, NULL);
}
