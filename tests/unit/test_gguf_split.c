/* test_gguf_split.c — split models, files that shrink while they are mapped, and writing a file anew with other types.
 *
 * Files are made here; the seeds of fuzz_gguf that hold two files are written by
 *   GGUF_CORPUS=tests/fuzz/corpus/gguf build/unit/test_gguf_split
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tmp_dir.h"

static void u16(struct gguf_writer *w, const char *key, uint16_t v) {
    gguf_put_kv(w, &(struct gguf_kv){ .key = sv_of(key), .kind = GGUF_U16, .v.u = v });
}

/* File `no` of `count` with a tensor "t<no>" of eight numbers no·100 …; total -1: the key is left out. */
struct part { const char *file; int no, count, total; const char *tensor; };

static void write_part(const struct part *p) {
    struct gguf_writer *w = gguf_writer_new();
    float x[8];
    ilab_err e;
    for (int i = 0; i < 8; i++)
        x[i] = (float)(p->no * 100 + i);
    if (p->no == 0)
        gguf_put_str(w, "general.architecture", SV("none"));
    gguf_put_str(w, "general.name", p->no ? SV("later") : SV("first"));
    u16(w, "split.no", (uint16_t)p->no);
    u16(w, "split.count", (uint16_t)p->count);
    if (p->total >= 0)
        gguf_put_kv(w, &(struct gguf_kv){ .key = SV("split.tensors.count"), .kind = GGUF_I32, .v.i = p->total });
    assert_int_equal(gguf_add_tensor(w, p->tensor, QT_F32, 1, (const int64_t[]){ 8 }, x, NULL, NULL, &e), 0);
    if (gguf_write(w, tmp_path(p->file), &e))
        fail_msg("%s", e.msg);
    gguf_writer_free(w);
}

#define FILE_1 "m-00001-of-00003.gguf"
#define FILE_2 "m-00002-of-00003.gguf"
#define FILE_3 "m-00003-of-00003.gguf"
static const struct part SOUND[] = { { FILE_1, 0, 3, 3, "t0" }, { FILE_2, 1, 3, 3, "t1" }, { FILE_3, 2, 3, -1, "t2" } };

static void write_sound(void) {
    for (size_t i = 0; i < ARRAY_LEN(SOUND); i++)
        write_part(&SOUND[i]);
}

static void test_split_model_opens_as_one(void **state) {
    (void)state;
    struct gguf *g = NULL;
    ilab_err e;
    struct sv name;
    write_sound();
    if (gguf_open(&g, tmp_path(FILE_1), &e))
        fail_msg("%s", e.msg);
    assert_int_equal(gguf_n_shard(g), 3);
    assert_int_equal(gguf_n_tensor(g), 3);
    assert_int_equal(gguf_get_str(g, "general.name", &name, &e), 0);
    assert_true(sv_eq_c(name, "first"));
    size_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        char want[16];
        snprintf(want, sizeof want, "t%d", i);
        const struct tensor *t = gguf_tensor(g, want);
        const struct file_map *map = gguf_shard_map(g, i);
        float y[8];
        assert_true(t && t == gguf_tensor_at(g, i) && t->shard == i);
        assert_true((const uint8_t *)t->data > map->p && (const uint8_t *)t->data + t->n_bytes <= map->p + map->n);
        assert_string_equal(gguf_shard_path(g, i), tmp_path(SOUND[i].file));
        tensor_row_f32(t, 0, y);
        assert_true(y[7] == (float)(i * 100 + 7));
        bytes += map->n;
    }
    assert_int_equal(gguf_file_bytes(g), bytes);
    assert_int_equal(gguf_check(g, &e), 0);
    gguf_close(g);
}

static void expect_refusal(const char *file, int code, const char *msg) {
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    int rc = gguf_open(&g, tmp_path(file), &e);
    if (rc != code || g || !strstr(e.msg, msg))
        fail_msg("got %d '%s', wanted %d '%s'", rc, e.msg, code, msg);
}

static void test_split_model_says_which_file_is_wrong(void **state) {
    (void)state;
    write_sound();
    expect_refusal(FILE_2, ILAB_E_INVALID, "is file 2 of 3 of a split model; open the first one, '");
    unlink(tmp_path(FILE_3));
    expect_refusal(FILE_1, ILAB_E_NOTFOUND, "m-00003-of-00003.gguf' is missing: the model is split into 3 files, and this is number 3");
    assert_int_equal(symlink(FILE_1, tmp_path(FILE_3)), 0); /* a circle */
    expect_refusal(FILE_1, ILAB_E_FORMAT, "m-00003-of-00003.gguf' should be file 3 of 3 of the split model, but says that it is 1 of 3");
    unlink(tmp_path(FILE_3));
    write_part(&(struct part){ FILE_3, 2, 4, 3, "t2" });
    expect_refusal(FILE_1, ILAB_E_FORMAT, "says that it is 3 of 4");
    write_part(&(struct part){ FILE_3, 2, 3, 3, "t1" });
    expect_refusal(FILE_1, ILAB_E_FORMAT, "m-00003-of-00003.gguf': tensor 't1' is also in an earlier file");
    write_sound();
    write_part(&(struct part){ FILE_1, 0, 3, 5, "t0" });
    expect_refusal(FILE_1, ILAB_E_FORMAT, "the 3 files of the split model hold 3 tensors, not 5");
    write_part(&(struct part){ FILE_1, 3, 3, 3, "t0" });
    expect_refusal(FILE_1, ILAB_E_FORMAT, "key 'split.no' is 3, outside 0 to 2");
    write_part(&(struct part){ FILE_1, 0, 4, 3, "t0" });
    expect_refusal(FILE_1, ILAB_E_FORMAT, "is file 1 of 4 of a split model; their names must end in -00001-of-00004.gguf");
    write_part(&(struct part){ FILE_1, 0, 60000, 3, "t0" });
    expect_refusal(FILE_1, ILAB_E_LIMIT, "60000 files; at most 1024");
    write_part(&(struct part){ "m.gguf", 0, 3, 3, "t0" });
    expect_refusal("m.gguf", ILAB_E_FORMAT, "names must end in -00001-of-00003.gguf");
    write_part(&(struct part){ FILE_2, 0, 3, 3, "t0" });
    expect_refusal(FILE_2, ILAB_E_FORMAT, "says that it is file 1 of 3 of a split model, which should be '");
    assert_int_equal(file_write(tmp_path(FILE_1), "", 0, NULL), 0);
    expect_refusal(FILE_1, ILAB_E_FORMAT, "not a GGUF file");
}

static void test_split_of_one_is_whole(void **state) {
    (void)state;
    struct gguf *g = NULL;
    ilab_err e;
    for (int count = 0; count < 2; count++) {
        write_part(&(struct part){ "one.gguf", 0, count, 1, "t0" });
        if (gguf_open(&g, tmp_path("one.gguf"), &e))
            fail_msg("%s", e.msg);
        assert_int_equal(gguf_n_shard(g), 1);
        gguf_close(g);
    }
}

static void test_split_model_survives_failing_allocations(void **state) {
    (void)state;
    ilab_err e;
    struct gguf *g = NULL;
    write_sound();
    const char *path = tmp_path(FILE_1);
    for (long n = 1, ran_through = 0; !ran_through; n++) {
        mem_fail_at = n;
        int rc = gguf_open(&g, path, &e);
        ran_through = mem_fail_at > 0;
        mem_fail_at = -1;
        assert_int_equal(rc, ran_through ? 0 : ILAB_E_NOMEM);
        gguf_close(g);
    }
}

/* Bytes in memory: as many parts as the first says, no more, no fewer. The fuzz target splits its input by a number. */
static void test_split_parts_in_memory(void **state) {
    (void)state;
    write_part(&(struct part){ "a", 0, 2, 2, "t0" });
    write_part(&(struct part){ "b", 1, 2, -1, "t1" });
    struct sv part[3] = { { 0 } };
    struct gguf *g = NULL;
    ilab_err e;
    char *p[2];
    const char *corpus = getenv("GGUF_CORPUS");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_read(tmp_path(i ? "b" : "a"), 1 << 16, &p[i], &part[i].n, &e), 0);
        part[i].p = p[i];
    }
    part[2] = part[1];
    if (gguf_open_parts(&g, part, 2, "parts", &e))
        fail_msg("%s", e.msg);
    assert_int_equal(gguf_n_tensor(g), 2);
    gguf_close(g);
    assert_int_equal(gguf_open_parts(&g, part, 3, "parts", &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "split into 2 files; 3 are given"));
    assert_int_equal(gguf_open_memory(&g, part[0].p, part[0].n, "parts", &e), ILAB_E_FORMAT);
    assert_int_equal(gguf_open_parts(&g, part, 0, "parts", &e), ILAB_E_INVALID);
    if (corpus) { /* "SPLIT" and the length of the first part, 8 bytes together; see fuzz_gguf.c */
        char out[512], *both = mem_calloc(8 + part[0].n + part[1].n, 1);
        memcpy(both, "SPLIT", 5);
        both[5] = (char)(part[0].n / 8 % 256);
        both[6] = (char)(part[0].n / 8 / 256);
        memcpy(both + 8, part[0].p, part[0].n);
        memcpy(both + 8 + part[0].n, part[1].p, part[1].n);
        snprintf(out, sizeof out, "%s/split.bin", corpus);
        assert_int_equal(file_write(out, both, 8 + part[0].n + part[1].n, &e), 0);
        mem_free(both);
    }
    mem_free(p[0]);
    mem_free(p[1]);
}

/* ---- files that shrink ---- */

enum { BIG = 1 << 20 };

static void read_all(void *ud, int i_task, int i_thread) {
    const struct tensor *t = ud;
    double sum = 0;
    (void)i_thread;
    for (int64_t i = i_task; i < t->dim[0]; i += 64)
        sum += ((const float *)t->data)[i];
    assert_true(sum >= 0); /* zeros and ones */
}

#ifdef __SANITIZE_THREAD__ /* takes the zero pages that one thread maps for a write that races with the others' reads */
enum { READERS = 1 };
#else
enum { READERS = 3 };
#endif

static void test_gguf_file_that_shrinks_is_an_error_not_a_crash(void **state) {
    (void)state;
    ilab_err e;
    struct gguf *g = NULL, *other = NULL;
    struct pool *pool = pool_new(READERS);
    float *x = mem_alloc(BIG * sizeof *x);
    for (int i = 0; i < BIG; i++)
        x[i] = 1;
    struct gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", SV("none"));
    assert_int_equal(gguf_add_tensor(w, "big", QT_F32, 1, (const int64_t[]){ BIG }, x, NULL, NULL, &e), 0);
    assert_int_equal(gguf_write(w, tmp_path("big.gguf"), &e), 0);
    assert_int_equal(gguf_write(w, tmp_path("other.gguf"), &e), 0);
    gguf_writer_free(w);
    for (int again = 0; again < 2; again++) { /* closing takes the mark away */
        if (gguf_open(&g, tmp_path("big.gguf"), &e) || gguf_open(&other, tmp_path("other.gguf"), &e))
            fail_msg("%s", e.msg);
        const struct tensor *t = gguf_tensor(g, "big");
        assert_int_equal(truncate(tmp_path("big.gguf"), 100000), 0);
        assert_int_equal(gguf_check(g, &e), 0); /* nobody has looked yet */
        pool_run(pool, read_all, (void *)t, 64);
        assert_true(((const float *)t->data)[BIG - 1] == 0);
        assert_int_equal(gguf_check(g, &e), ILAB_E_IO);
        assert_non_null(strstr(e.msg, "big.gguf\" changed while it was in use"));
        assert_int_equal(gguf_check(other, &e), 0);
        gguf_close(g);
        gguf_close(other);
        assert_true(gguf_open(&g, tmp_path("big.gguf"), &e) == ILAB_E_FORMAT); /* short now, and said so */
        assert_int_equal(file_write(tmp_path("big.gguf"), "", 0, &e), 0);
        FILE *from = fopen(tmp_path("other.gguf"), "rb"), *to = fopen(tmp_path("big.gguf"), "wb");
        for (size_t n; (n = fread(x, 1, BIG, from)) > 0;)
            assert_int_equal(fwrite(x, 1, n, to), n);
        fclose(from);
        fclose(to);
    }
    mem_free(x);
    pool_free(pool);
}

/* ---- writing anew ---- */

static float value_at(int64_t i) {
    return 0.05f * sinf((float)i * 0.7f) + 0.03f * cosf((float)i * 1.3f);
}

/* A small model with a matrix of each role, F16 vectors, a router, whole numbers, and a row that 256 does not divide. */
static void write_model(const char *path) {
    static const struct { const char *name; int type, n_dim; int64_t dim[3]; } T[] = {
        { "token_embd.weight", QT_F16, 2, { 256, 300, 1 } }, { "output.weight", QT_F32, 2, { 256, 300, 1 } },
        { "blk.0.attn_norm.weight", QT_F16, 1, { 256, 1, 1 } }, { "blk.0.attn_v.weight", QT_BF16, 2, { 256, 64, 1 } },
        { "blk.0.ffn_up.weight", QT_F32, 2, { 256, 512, 1 } }, { "blk.0.ffn_down.weight", QT_Q8_0, 2, { 512, 256, 1 } },
        { "blk.1.ffn_down_exps.weight", QT_F32, 3, { 512, 33, 3 } }, { "blk.1.ffn_gate_inp.weight", QT_F32, 2, { 256, 3, 1 } },
        { "blk.1.odd.weight", QT_F32, 2, { 96, 7, 1 } }, { "blk.1.odder.weight", QT_F32, 2, { 7, 9, 1 } },
        { "table", QT_F32, 2, { 16, 2, 1 } },
    };
    struct gguf_writer *w = gguf_writer_new();
    uint8_t *data[ARRAY_LEN(T)];
    ilab_err e;
    gguf_put_str(w, "general.architecture", SV("llama"));
    gguf_put_u32(w, "llama.block_count", 2);
    gguf_put_u32(w, "general.file_type", 1);
    u16(w, "split.count", 1);
    for (size_t i = 0; i < ARRAY_LEN(T); i++) {
        int64_t n = T[i].dim[0] * T[i].dim[1] * T[i].dim[2];
        float *x = mem_alloc((size_t)n * sizeof *x);
        for (int64_t k = 0; k < n; k++)
            x[k] = value_at(k);
        data[i] = mem_aligned((size_t)n * 4);
        qtype_info(T[i].type)->quantize(data[i], x, n);
        mem_free(x);
        assert_int_equal(gguf_add_tensor(w, T[i].name, T[i].type, T[i].n_dim, T[i].dim, data[i], NULL, NULL, &e), 0);
    }
    if (gguf_write(w, path, &e))
        fail_msg("%s", e.msg);
    gguf_writer_free(w);
    for (size_t i = 0; i < ARRAY_LEN(T); i++)
        mem_free(data[i]);
}

static int count_calls(void *ud, const char *tensor, int64_t done, int64_t total) {
    int64_t *calls = ud;
    assert_true(tensor[0] && done > 0 && done <= total);
    calls[0]++;
    calls[1] = done == total;
    return calls[2] && calls[0] >= calls[2];
}

static void test_requantize_writes_every_mix(void **state) {
    (void)state;
    ilab_err e;
    write_model(tmp_path("model.gguf"));
    for (int mix = 0; mix_name(mix); mix++) {
        const struct qtype_info *q = qtype_info(mix_base_type(mix));
        char hash[2][65];
        for (int n_thread = 1; n_thread <= 2; n_thread++) {
            int64_t calls[3] = { 0 };
            struct gguf *a = NULL, *b = NULL;
            struct pool *pool = pool_new(n_thread);
            struct requantize how = { .mix = mix_name(mix), .pool = pool, .progress = count_calls, .ud = calls };
            struct mix_model m;
            int64_t v;
            if (gguf_requantize(tmp_path("model.gguf"), tmp_path("out.gguf"), &how, &e) || gguf_open(&a, tmp_path("model.gguf"), &e) ||
                gguf_open(&b, tmp_path("out.gguf"), &e))
                fail_msg("%s", e.msg);
            assert_true(calls[0] == gguf_n_tensor(a) && calls[1]);
            mix_model_of(&m, a);
            assert_true(m.n_layer == 2 && m.has_output && m.n_gqa == 1);
            assert_true(!gguf_find(b, "split.count") && gguf_get_int(b, "general.file_type", 0, 99, &v, &e) == 0);
            assert_int_equal(v, mix_file_type(mix));
            uint64_t bytes = 0;
            for (int i = 0; i < gguf_n_tensor(a); i++) {
                const struct tensor *t = gguf_tensor_at(a, i), *u = gguf_tensor_at(b, i);
                float x[512], y[512];
                assert_string_equal(t->name, u->name);
                assert_int_equal(u->type, mix_type(mix, 0, &m, t->name, t->type, t->n_dim, t->dim));
                if (u->type == t->type)
                    assert_memory_equal(u->data, t->data, t->n_bytes);
                tensor_row_f32(t, tensor_rows(t) - 1, x);
                tensor_row_f32(u, tensor_rows(t) - 1, y);
                for (int k = 0; k < t->dim[0]; k++)
                    assert_true(fabsf(x[k] - y[k]) <= (q->bytes * 2 < q->elems ? 0.06f : 0.02f)); /* below 4 bits, or more */
                bytes += u->n_bytes;
            }
            assert_int_equal(how.bytes_out, bytes);
            assert_int_equal(how.n_lossy_source, mix_base_type(mix) != QT_Q8_0 && !(strcmp(mix_name(mix), "MXFP4_MOE") == 0));
            gguf_close(a);
            gguf_close(b);
            pool_free(pool);
            assert_int_equal(sha256_file(tmp_path("out.gguf"), hash[n_thread - 1], &e), 0);
        }
        assert_string_equal(hash[0], hash[1]);
    }
}

static void test_requantize_stops_and_refuses(void **state) {
    (void)state;
    ilab_err e;
    int64_t calls[3] = { 0, 0, 4 };
    struct requantize how = { .mix = "Q4_K_M", .progress = count_calls, .ud = calls };
    write_model(tmp_path("model.gguf"));
    unlink(tmp_path("out.gguf"));
    assert_int_equal(gguf_requantize(tmp_path("model.gguf"), tmp_path("out.gguf"), &how, &e), ILAB_E_CANCEL);
    assert_int_equal(file_exists(tmp_path("out.gguf")), 0);
    how = (struct requantize){ .mix = "Q4_K_Z" };
    assert_int_equal(gguf_requantize(tmp_path("model.gguf"), tmp_path("out.gguf"), &how, &e), ILAB_E_INVALID);
    how = (struct requantize){ .mix = "Q4_K_M" };
    assert_int_equal(gguf_requantize(tmp_path("absent.gguf"), tmp_path("out.gguf"), &how, &e), ILAB_E_NOTFOUND);

    how = (struct requantize){ .mix = "Q8_0", .pure = 1 }; /* onto itself */
    assert_int_equal(gguf_requantize(tmp_path("model.gguf"), tmp_path("model.gguf"), &how, &e), 0);
    assert_true(how.bytes_out < how.bytes_in);

    struct gguf_writer *w = gguf_writer_new(); /* NaN in the source */
    float x[512] = { 0 };
    x[300] = NAN;
    assert_int_equal(gguf_add_tensor(w, "w.weight", QT_F32, 2, (const int64_t[]){ 256, 2 }, x, NULL, NULL, &e), 0);
    assert_int_equal(gguf_write(w, tmp_path("nan.gguf"), &e), 0);
    gguf_writer_free(w);
    how = (struct requantize){ .mix = "Q4_K_M" };
    assert_int_equal(gguf_requantize(tmp_path("nan.gguf"), tmp_path("out.gguf"), &how, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "tensor 'w.weight' (F32) holds NaN or infinity: row 1, from element 44"));
    assert_int_equal(file_exists(tmp_path("out.gguf")), 0);
}

/* A tensor larger than one request of the writer comes in ranges that fit together. */
static int rows_made(void *ud, void *buf, int64_t row, int64_t n, ilab_err *e) {
    int64_t *next = ud;
    (void)e;
    assert_true(row == *next && n > 0 && n * 3 * 4096 <= GGUF_WRITE_BYTES);
    for (int64_t i = 0; i < n; i++)
        memset((uint8_t *)buf + i * 3 * 4096, (int)((row + i) % 251), 3 * 4096);
    *next += n;
    return 0;
}

static void test_gguf_writer_streams_rows(void **state) {
    (void)state;
    enum { ROWS = 6001 };
    ilab_err e;
    struct gguf *g = NULL;
    int64_t next = 0;
    struct gguf_writer *w = gguf_writer_new();
    assert_int_equal(gguf_add_tensor_rows(w, "long", QT_F32, 2, (const int64_t[]){ 3072, ROWS }, rows_made, &next, &e), 0);
    assert_int_equal(gguf_add_tensor_rows(w, "none", QT_F32, 2, (const int64_t[]){ 3072, ROWS }, NULL, NULL, &e), ILAB_E_INVALID);
    if (gguf_write(w, tmp_path("long.gguf"), &e) || gguf_open(&g, tmp_path("long.gguf"), &e))
        fail_msg("%s", e.msg);
    assert_int_equal(next, ROWS);
    const uint8_t *p = gguf_tensor(g, "long")->data;
    for (int64_t i = 0; i < ROWS; i++)
        assert_true(p[i * 3 * 4096] == i % 251 && p[(i + 1) * 3 * 4096 - 1] == i % 251);
    gguf_close(g);
    gguf_writer_free(w);
    unlink(tmp_path("long.gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_model_opens_as_one),
        cmocka_unit_test(test_split_model_says_which_file_is_wrong),
        cmocka_unit_test(test_split_of_one_is_whole),
        cmocka_unit_test(test_split_model_survives_failing_allocations),
        cmocka_unit_test(test_split_parts_in_memory),
        cmocka_unit_test(test_gguf_file_that_shrinks_is_an_error_not_a_crash),
        cmocka_unit_test(test_requantize_writes_every_mix),
        cmocka_unit_test(test_requantize_stops_and_refuses),
        cmocka_unit_test(test_gguf_writer_streams_rows),
    };
    return cmocka_run_group_tests(tests, tmp_setup, tmp_teardown);
}
