/* test_safetensors.c — reading and writing safetensors: files that are wrong in one way each, shards, round trips.
 *
 * The wrong files are also the seeds of the fuzz target. To write them anew:
 *   SAFETENSORS_CORPUS=tests/fuzz/corpus/safetensors build/unit/test_safetensors
 * A real file is below ../shared/data (skipped when absent).  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"
#include "tests/oom/oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tmp_dir.h"

#define REAL "../shared/data/weights/tinystories-656k/model.safetensors"

/* header length, header, n_data bytes 0, 1, 2 … */
static size_t image(uint8_t *p, const char *header, size_t n_data)
{
    const uint64_t n = strlen(header);
    memcpy(p, &n, 8);
    memcpy(p + 8, header, n);
    for (size_t i = 0; i < n_data; i++) p[8 + n + i] = (uint8_t)i;
    return 8 + n + n_data;
}

static void write_file(const char *path, const void *p, size_t n)
{
    ilab_err e;
    if (file_write(path, p, n, &e)) fail_msg("%s", e.msg);
}

#define T(name, dtype, shape, a, b) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" a "," b "]}"

/* ---- good ---- */

#define GOOD "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "BF16", "[2,3]", "8", "20") "," T("a", "F32", "[2]", "0", "8") "," T("none", "F16", "[0,7]", "20", "20") "," \
             T("one", "I64", "[]", "20", "28") "}  "

static void test_reads_what_is_there(void **state)
{
    uint8_t p[1024];
    struct safetensors *s;
    ilab_err e = { 0 };
    (void)state;
    const size_t n = image(p, GOOD, 28);
    if (safetensors_open_memory(&s, p, n, "x", &e)) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_count(s), 4);
    assert_string_equal(safetensors_at(s, 0)->name, "a"); /* order of places, not of the header */
    const struct safetensor *b = safetensors_find(s, "b"), *one = safetensors_find(s, "one"), *none = safetensors_find(s, "none");
    assert_true(b && one && none && !safetensors_find(s, "__metadata__") && !safetensors_at(s, 4) && !safetensors_at(s, -1));
    assert_true(b->n_dim == 2 && b->dim[0] == 2 && b->dim[1] == 3 && b->type == QT_BF16 && b->n_bytes == 12 && *(const uint8_t *)b->data == 8);
    assert_true(one->n_dim == 0 && one->type == -1 && !strcmp(one->dtype, "I64") && none->n_bytes == 0 && none->dim[0] == 0);
    safetensors_close(s);
}

/* ---- bad ---- */

static const struct { const char *name, *header; size_t n_data; const char *msg; } BAD[] = {
    { "not_json", "{\"a\":", 4, "1:" },
    { "not_object", "[1]  ", 0, "no JSON object" },
    { "twice", "{" T("a", "U8", "[2]", "0", "2") "," T("a", "U8", "[2]", "2", "4") "}", 4, "duplicate" },
    { "no_shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "needs \"dtype\"" },
    { "offsets_three", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 8, "needs \"dtype\"" },
    { "dtype", "{" T("a", "F31", "[1]", "0", "4") "}", 4, "unknown element type 'F31'" },
    { "dim_negative", "{" T("a", "F32", "[-1]", "0", "4") "}", 4, "dimension 0 is no size" },
    { "dim_text", "{" T("a", "F32", "[\"1\"]", "0", "4") "}", 4, "dimension 0 is no size" },
    { "dim_2_63", "{" T("a", "F32", "[9223372036854775808]", "0", "4") "}", 4, "too big" },
    { "dim_2_62", "{" T("a", "F32", "[4611686018427387904]", "0", "4") "}", 4, "too big" },
    { "dim_product", "{" T("a", "F32", "[4294967296,4294967296]", "0", "4") "}", 4, "too big" },
    { "dims_nine", "{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, "9 dimensions" },
    { "range", "{" T("a", "F32", "[1]", "4", "0") "}", 4, "no range" },
    { "range_negative", "{" T("a", "F32", "[1]", "-4", "0") "}", 4, "no range" },
    { "beyond", "{" T("a", "F32", "[2]", "0", "8") "}", 4, "is the download complete" },
    { "beyond_far", "{" T("a", "F32", "[1]", "9223372036854775800", "9223372036854775804") "}", 4, "is the download complete" },
    { "size", "{" T("a", "F32", "[3]", "0", "8") "}", 8, "its shape and type need 12" },
    { "overlap", "{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "3", "7") "}", 7, "'a' and 'b' overlap" },
    { "same_place", "{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "0", "4") "}", 4, "'a' and 'b' overlap" },
    { "gap", "{" T("a", "U8", "[2]", "0", "2") "," T("b", "U8", "[2]", "3", "5") "}", 5, "bytes 2 to 3" },
    { "trailing", "{" T("a", "U8", "[2]", "0", "2") "}", 5, "the last 3 bytes" },
    { "name_empty", "{" T("", "U8", "[2]", "0", "2") "}", 2, "name has 0 bytes" },
};

static void expect_bad(const char *name, const void *p, size_t n, const char *msg)
{
    struct safetensors *s = NULL;
    ilab_err e = { 0 };
    const char *corpus = getenv("SAFETENSORS_CORPUS");
    const int rc = safetensors_open_memory(&s, p, n, "bad.safetensors", &e);
    if (!rc || rc != e.code || s || !strstr(e.msg, msg) || !strstr(e.msg, "bad.safetensors")) fail_msg("%s: %d '%s', wanted '%s'", name, rc, e.msg, msg);
    if (!corpus) return;
    char file[96];
    snprintf(file, sizeof file, "bad_%s", name);
    char *path = path_join(corpus, file);
    write_file(path, p, n);
    mem_free(path);
}

static void test_names_what_is_wrong(void **state)
{
    static uint8_t p[2048];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) expect_bad(BAD[i].name, p, image(p, BAD[i].header, BAD[i].n_data), BAD[i].msg);
    expect_bad("empty", p, 0, "only 0 bytes");
    expect_bad("short", p, 9, "only 9 bytes");
    size_t n = image(p, "{}", 0);
    p[0] = 3;
    expect_bad("header_beyond", p, n, "header needs 3 bytes");
    memset(p, 255, 8);
    expect_bad("header_huge", p, n, "no safetensors file");
    const char *lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    expect_bad("lfs", lfs, strlen(lfs), "git lfs pull");
    const char *corpus = getenv("SAFETENSORS_CORPUS");
    if (corpus) {
        char *path = path_join(corpus, "good");
        write_file(path, p, image(p, GOOD, 28));
        mem_free(path);
    }
}

static void test_every_prefix_is_refused(void **state)
{
    uint8_t p[1024];
    (void)state;
    const size_t n = image(p, GOOD, 28);
    for (size_t k = 0; k < n; k++) {
        struct safetensors *s = NULL;
        ilab_err e = { 0 };
        uint8_t *copy = mem_alloc(k + 1); /* its own block, so that a sanitizer sees a step too far */
        memcpy(copy, p, k);
        assert_true(safetensors_open_memory(&s, copy, k, "x", &e) < 0 && !s && e.msg[0]);
        mem_free(copy);
    }
}

static int open_job(void *ud, ilab_err *e)
{
    struct safetensors *s;
    uint8_t *p = ud;
    uint64_t n;
    memcpy(&n, p, 8);
    const int rc = safetensors_open_memory(&s, p, 8 + n + 28, "x", e);
    if (!rc) safetensors_close(s);
    return rc;
}

static void test_memory_that_runs_out(void **state)
{
    uint8_t p[1024];
    ilab_err e = { 0 };
    (void)state;
    image(p, GOOD, 28);
    if (oom_loop(open_job, p, &e)) fail_msg("%s", e.msg);
}

/* ---- folders ---- */

static void fresh(void)
{
    static const char *const FILES[] = { "model.safetensors", "model.safetensors.index.json", "one.safetensors", "two.safetensors", "pytorch_model.bin" };
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) unlink(tmp_path(FILES[i]));
}

static void shard(const char *file, const char *header, size_t n_data)
{
    uint8_t p[1024];
    write_file(tmp_path(file), p, image(p, header, n_data));
}

static void test_shards(void **state)
{
    static const struct { const char *index, *msg; } ROW[] = {
        { "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}", NULL },
        { "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"three.safetensors\"}}", "names the shard 'three.safetensors', which is missing" },
        { "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"folder.safetensors\"}}", "which is a folder" },
        { "{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "another folder" },
        { "{\"weight_map\":{\"a\":\"/etc/one.safetensors\"}}", "another folder" },
        { "{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", "is no .safetensors file" },
        { "{\"weight_map\":{\"a\":7}}", "no file name" },
        { "{\"weight_map\":{}}", "no \"weight_map\"" },
        { "{\"weight_map\":[]}", "no \"weight_map\"" },
        { "{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}", "into 'two.safetensors', but it is in 'one.safetensors'" },
        { "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", "which does not hold it" },
        { "{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"}}", "duplicate" },
        { "{", "1:" },
    };
    (void)state;
    fresh();
    shard("one.safetensors", "{" T("a", "U8", "[4]", "0", "4") "}", 4);
    shard("two.safetensors", "{" T("b", "U8", "[3]", "0", "3") "}", 3);
    ilab_err e = { 0 };
    assert_int_equal(dir_make(tmp_path("folder.safetensors"), &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(ROW); i++) {
        struct safetensors *s = NULL;
        write_file(tmp_path("model.safetensors.index.json"), ROW[i].index, strlen(ROW[i].index));
        const int rc = safetensors_open_dir(&s, tmp_dir, &e);
        if ((rc == 0) != (ROW[i].msg == NULL) || (rc && !strstr(e.msg, ROW[i].msg))) fail_msg("%s: %d '%s'", ROW[i].index, rc, e.msg);
        if (!rc) assert_true(safetensors_n_shard(s) == 2 && safetensors_count(s) == 2 && sv_ends(sv_of(safetensors_find(s, "b")->file), "two.safetensors"));
        safetensors_close(s);
    }
    struct safetensors *s;
    shard("two.safetensors", "{" T("a", "U8", "[3]", "0", "3") "}", 3);
    write_file(tmp_path("model.safetensors.index.json"), ROW[0].index, strlen(ROW[0].index));
    assert_int_equal(safetensors_open_dir(&s, tmp_dir, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "in two files"));
    fresh();
    assert_int_equal(safetensors_open_dir(&s, tmp_dir, &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "neither model.safetensors nor"));
    write_file(tmp_path("pytorch_model.bin"), "x", 1);
    assert_int_equal(safetensors_open_dir(&s, tmp_dir, &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "can run programs"));
    rmdir(tmp_path("folder.safetensors"));
    assert_true(safetensors_open(&s, tmp_dir, &e) < 0 && !s); /* a folder instead of a file */
}

static void test_file_that_shrinks(void **state)
{
    struct safetensors *s;
    ilab_err e = { 0 };
    static char header[64];
    (void)state;
    fresh();
    snprintf(header, sizeof header, "{" T("a", "U8", "[%d]", "0", "%d") "}", 100000, 100000);
    uint8_t *p = mem_calloc(1, 101000);
    write_file(tmp_path("one.safetensors"), p, image(p, header, 100000));
    mem_free(p);
    if (safetensors_open(&s, tmp_path("one.safetensors"), &e)) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_check(s, &e), 0);
    assert_int_equal(truncate(tmp_path("one.safetensors"), 4096), 0);
    unsigned sum = 0;
    for (size_t i = 0; i < 100000; i += 512) sum += ((const uint8_t *)safetensors_at(s, 0)->data)[i]; /* no SIGBUS */
    assert_true(sum < 100000 && safetensors_check(s, &e) == ILAB_E_IO && strstr(e.msg, "one.safetensors"));
    safetensors_close(s);
}

/* ---- writing ---- */

static int fill(void *ud, void *buf, size_t n, ilab_err *e)
{
    (void)e;
    memset(buf, *(const char *)ud, n);
    return 0;
}

static void test_writes_what_it_reads(void **state)
{
    static const uint64_t LIMIT[] = { 0, 100, 1, 1 << 20 };
    static const int SHARDS[] = { 1, 2, 4, 1 };
    ilab_err e = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(LIMIT); i++) {
        struct safetensors_writer *w = safetensors_writer_new();
        struct safetensors *s = NULL;
        float x[6] = { 1, 2, 3, 4, 5, 6 };
        fresh();
        int rc = safetensors_add(w, "x \"quoted\"", QT_F32, 2, (int64_t[]){ 2, 3 }, x, NULL, NULL, &e);
        if (!rc) rc = safetensors_add(w, "y", QT_F16, 1, (int64_t[]){ 37 }, NULL, fill, "7", &e);
        if (!rc) rc = safetensors_add(w, "z", QT_BF16, 3, (int64_t[]){ 5, 1, 5 }, NULL, fill, "8", &e);
        if (!rc) rc = safetensors_add(w, "scalar", QT_F32, 0, NULL, x + 5, NULL, NULL, &e);
        assert_int_equal(safetensors_writer_bytes(w), 24 + 74 + 50 + 4);
        if (!rc) rc = safetensors_write_dir(w, tmp_dir, LIMIT[i], &e);
        if (!rc) rc = safetensors_open_dir(&s, tmp_dir, &e);
        if (rc) fail_msg("%s", e.msg);
        assert_int_equal(safetensors_n_shard(s), SHARDS[i]);
        const struct safetensor *a = safetensors_find(s, "x \"quoted\""), *z = safetensors_find(s, "z"), *c = safetensors_find(s, "scalar");
        assert_true(a->n_dim == 2 && a->dim[1] == 3 && !memcmp(a->data, x, sizeof x) && (uintptr_t)a->data % 8 == 0);
        assert_true(z->type == QT_BF16 && z->dim[0] == 5 && ((const char *)z->data)[49] == '8' && c->n_dim == 0 && !memcmp(c->data, x + 5, 4));
        safetensors_close(s);
        safetensors_writer_free(w);
        for (int k = 0; k < SHARDS[i]; k++) {
            char name[64];
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", k + 1, SHARDS[i]);
            unlink(tmp_path(name));
        }
    }
    fresh();
    struct safetensors_writer *w = safetensors_writer_new();
    assert_true(safetensors_add(w, "a", QT_Q8_0, 1, (int64_t[]){ 32 }, "", NULL, NULL, &e) < 0 && strstr(e.msg, "F32, F16 or BF16"));
    assert_true(safetensors_add(w, "a", QT_F32, 2, (int64_t[]){ INT64_MAX, 9 }, "", NULL, NULL, &e) < 0 && strstr(e.msg, "too big"));
    assert_true(safetensors_add(w, "", QT_F32, 1, (int64_t[]){ 1 }, "", NULL, NULL, &e) < 0);
    safetensors_writer_free(w);
}

static void test_real_file(void **state)
{
    struct safetensors *s;
    ilab_err e = { 0 };
    (void)state;
    if (file_exists(REAL) != 1) {
        print_message("skipped: '%s' is missing\n", REAL);
        skip();
    }
    if (safetensors_open(&s, REAL, &e)) fail_msg("%s", e.msg);
    const struct safetensor *t = safetensors_find(s, "model.layers.1.mlp.down_proj.weight");
    assert_true(safetensors_count(s) == 20 && t && t->dim[0] == 128 && t->dim[1] == 384 && t->type == QT_F32);
    safetensors_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_there), cmocka_unit_test(test_names_what_is_wrong), cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_memory_that_runs_out), cmocka_unit_test(test_shards), cmocka_unit_test(test_file_that_shrinks),
        cmocka_unit_test(test_writes_what_it_reads), cmocka_unit_test(test_real_file),
    };
    return cmocka_run_group_tests(tests, tmp_setup, tmp_teardown);
}
