/* test_gguf.c — reading and writing GGUF: real files, round trips, and files that are wrong in one way each.
 *
 * The wrong files are also the seeds of the fuzz target. To write them anew:
 *   GGUF_CORPUS=tests/fuzz/corpus/gguf build/unit/test_gguf
 * Real files are those below ../shared/data (skipped when absent).  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tmp_dir.h"

#define SHARED "../shared/data"

/* ---- files put together by hand, so that they can be wrong ---- */

struct bytes { uint8_t p[4096]; size_t n; };

static void put(struct bytes *b, const void *p, size_t n) {
    assert_true(b->n + n <= sizeof b->p);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void u32(struct bytes *b, uint32_t v) {
    put(b, &v, 4);
}

static void u64(struct bytes *b, uint64_t v) {
    put(b, &v, 8);
}

static void str(struct bytes *b, const char *s) {
    u64(b, strlen(s));
    put(b, s, strlen(s));
}

static void head(struct bytes *b, uint32_t version, uint64_t n_tensor, uint64_t n_kv) {
    put(b, "GGUF", 4);
    u32(b, version);
    u64(b, n_tensor);
    u64(b, n_kv);
}

static void pair(struct bytes *b, const char *key, uint32_t kind) {
    str(b, key);
    u32(b, kind);
}

static void info(struct bytes *b, const char *name, uint32_t n_dim, const uint64_t *dim, uint32_t type, uint64_t offset) {
    str(b, name);
    u32(b, n_dim);
    for (uint32_t i = 0; i < n_dim && i < 8; i++)
        u64(b, dim[i]);
    u32(b, type);
    u64(b, offset);
}

static void data(struct bytes *b, size_t n) {
    while (b->n % 32)
        put(b, "", 1);
    for (size_t i = 0; i < n; i++)
        put(b, "\x11", 1);
}

#define DIM(...) (const uint64_t[]){ __VA_ARGS__ }

/* One tensor in an otherwise sound file with n bytes of data. */
static void one(struct bytes *b, const char *name, uint32_t n_dim, const uint64_t *dim, uint32_t type, uint64_t offset, size_t n) {
    head(b, 3, 1, 0);
    info(b, name, n_dim, dim, type, offset);
    data(b, n);
}

static void bad_empty(struct bytes *b) { b->n = 0; }
static void bad_magic(struct bytes *b) { put(b, "GGML\3\0\0\0", 8); }
static void bad_version(struct bytes *b) { head(b, 1, 0, 0); }
static void bad_endian(struct bytes *b) { head(b, 0x03000000, 0, 0); }
static void bad_n_tensor(struct bytes *b) { head(b, 3, 1u << 20, 0); }
static void bad_n_tensor_room(struct bytes *b) { head(b, 3, 1000, 0); }
static void bad_n_kv(struct bytes *b) { head(b, 3, 0, UINT64_MAX); }
static void bad_n_kv_room(struct bytes *b) { head(b, 3, 0, 60000); }
static void bad_key_empty(struct bytes *b) { head(b, 3, 0, 1); pair(b, "", GGUF_U32); u32(b, 7); }
static void bad_key_long(struct bytes *b) { head(b, 3, 0, 1); u64(b, 65536); data(b, 32); }
static void bad_key_twice(struct bytes *b) {
    head(b, 3, 0, 2);
    for (int i = 0; i < 2; i++)
        pair(b, "general.name", GGUF_U32), u32(b, 7);
}
static void bad_kind(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", 13); u64(b, 7); }
static void bad_bool(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_BOOL); put(b, "\2", 1); }
static void bad_str(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_STR); u64(b, UINT64_MAX - 7); }
static void bad_str_room(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_STR); u64(b, 9); put(b, "12345678", 8); }
static void bad_array(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_ARR); u32(b, GGUF_U64); u64(b, 1ull << 61); }
static void bad_array_room(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_ARR); u32(b, GGUF_U16); u64(b, 5); u64(b, 0); }
static void bad_array_bool(struct bytes *b) {
    head(b, 3, 0, 1);
    pair(b, "a.b", GGUF_ARR);
    u32(b, GGUF_BOOL);
    u64(b, 3);
    put(b, "\0\1\3", 3);
}
static void bad_array_nested(struct bytes *b) { head(b, 3, 0, 1); pair(b, "a.b", GGUF_ARR); u32(b, GGUF_ARR); u64(b, 0); }
static void bad_array_str(struct bytes *b) {
    head(b, 3, 0, 1);
    pair(b, "a.b", GGUF_ARR);
    u32(b, GGUF_STR);
    u64(b, 2);
    str(b, "first");
    u64(b, 100);
}
static void bad_align_kind(struct bytes *b) { head(b, 3, 0, 1); pair(b, "general.alignment", GGUF_U64); u64(b, 32); }
static void bad_align_zero(struct bytes *b) { head(b, 3, 0, 1); pair(b, "general.alignment", GGUF_U32); u32(b, 0); }
static void bad_align_odd(struct bytes *b) { head(b, 3, 0, 1); pair(b, "general.alignment", GGUF_U32); u32(b, 48); }
static void bad_align_huge(struct bytes *b) { head(b, 3, 0, 1); pair(b, "general.alignment", GGUF_U32); u32(b, 1u << 31); }
static void bad_name_empty(struct bytes *b) { one(b, "", 1, DIM(4), QT_F32, 0, 16); }
static void bad_name_long(struct bytes *b) {
    char name[129];
    memset(name, 'x', 128);
    name[128] = 0;
    one(b, name, 1, DIM(4), QT_F32, 0, 16);
}
static void bad_name_nul(struct bytes *b) {
    one(b, "token_embd", 1, DIM(4), QT_F32, 0, 16);
    b->p[24 + 8 + 5] = 0;
}
static void bad_name_twice(struct bytes *b) {
    head(b, 3, 2, 0);
    info(b, "w", 1, DIM(4), QT_F32, 0);
    info(b, "w", 1, DIM(4), QT_F32, 0);
    data(b, 32);
}
static void bad_n_dim(struct bytes *b) { one(b, "w", 5, DIM(1, 1, 1, 1, 1), QT_F32, 0, 32); }
static void bad_n_dim_zero(struct bytes *b) { one(b, "w", 0, NULL, QT_F32, 0, 32); }
static void bad_dim_zero(struct bytes *b) { one(b, "w", 2, DIM(4, 0), QT_F32, 0, 32); }
static void bad_dim_negative(struct bytes *b) { one(b, "w", 2, DIM(4, UINT64_MAX), QT_F32, 0, 32); }
static void bad_dim_product(struct bytes *b) { one(b, "w", 3, DIM(4, 1ull << 32, 1ull << 32), QT_F32, 0, 32); }
static void bad_dim_bytes(struct bytes *b) { one(b, "w", 2, DIM(1ull << 31, 1ull << 31), QT_F32, 0, 32); }
static void bad_dim_row(struct bytes *b) { one(b, "w", 1, DIM(INT64_MAX), QT_F32, 0, 32); }
static void bad_type(struct bytes *b) { one(b, "w", 1, DIM(256), 16, 0, 176); }
static void bad_type_unknown(struct bytes *b) { one(b, "w", 1, DIM(256), 0xfffffff0, 0, 176); }
static void bad_block(struct bytes *b) { one(b, "w", 2, DIM(48, 2), QT_Q8_0, 0, 102); }
static void bad_offset(struct bytes *b) { one(b, "w", 1, DIM(4), QT_F32, 16, 64); }
static void bad_offset_far(struct bytes *b) { one(b, "w", 1, DIM(4), QT_F32, UINT64_MAX - 31, 64); }
static void bad_data_short(struct bytes *b) { one(b, "w", 1, DIM(256), QT_Q4_K, 32, 32 + 143); }
static void bad_overlap(struct bytes *b) {
    head(b, 3, 3, 0);
    info(b, "a", 1, DIM(16), QT_F32, 32);
    info(b, "b", 1, DIM(8), QT_F32, 0);
    info(b, "c", 1, DIM(1), QT_F32, 64);
    data(b, 96);
}
static void bad_data_none(struct bytes *b) { head(b, 3, 1, 0); info(b, "w", 1, DIM(4), QT_F32, 0); }

static const struct bad_file { const char *name; void (*make)(struct bytes *b); int code; const char *msg; } BAD[] = {
    { "empty", bad_empty, ILAB_E_FORMAT, "'bad.gguf': byte 0: header: not a GGUF file" },
    { "magic", bad_magic, ILAB_E_FORMAT, "not a GGUF file" },
    { "version", bad_version, ILAB_E_FORMAT, "GGUF version 1; 2 and 3 are supported" },
    { "endian", bad_endian, ILAB_E_FORMAT, "big-endian" },
    { "n_tensor", bad_n_tensor, ILAB_E_LIMIT, "1048576 tensors; at most 131072" },
    { "n_tensor_room", bad_n_tensor_room, ILAB_E_FORMAT, "1000 tensors do not fit into the 8 bytes left" },
    { "n_kv", bad_n_kv, ILAB_E_LIMIT, "18446744073709551615 keys; at most 65536" },
    { "n_kv_room", bad_n_kv_room, ILAB_E_FORMAT, "60000 keys do not fit" },
    { "key_empty", bad_key_empty, ILAB_E_FORMAT, "empty name" },
    { "key_long", bad_key_long, ILAB_E_LIMIT, "byte 32: key: string of 65536 bytes; at most 65535" },
    { "key_twice", bad_key_twice, ILAB_E_FORMAT, "byte 52: key 'general.name': occurs twice" },
    { "kind", bad_kind, ILAB_E_FORMAT, "byte 39: key 'a.b': unknown value type 13" },
    { "bool", bad_bool, ILAB_E_FORMAT, "key 'a.b': 2 is no bool" },
    { "str", bad_str, ILAB_E_LIMIT, "key 'a.b': string of 18446744073709551608 bytes" },
    { "str_room", bad_str_room, ILAB_E_FORMAT, "key 'a.b': the file ends here: 9 bytes needed, 8 left" },
    { "array", bad_array, ILAB_E_LIMIT, "array elements; at most 16777216" },
    { "array_room", bad_array_room, ILAB_E_FORMAT, "5 array elements do not fit into the 8 bytes left" },
    { "array_bool", bad_array_bool, ILAB_E_FORMAT, "element 2 is no bool" },
    { "array_nested", bad_array_nested, ILAB_E_FORMAT, "arrays of arrays" },
    { "array_str", bad_array_str, ILAB_E_FORMAT, "the file ends here: 100 bytes needed, 0 left" },
    { "align_kind", bad_align_kind, ILAB_E_FORMAT, "key 'general.alignment': holds a value of type u64, not u32" },
    { "align_zero", bad_align_zero, ILAB_E_FORMAT, "0 is no power of two" },
    { "align_odd", bad_align_odd, ILAB_E_FORMAT, "48 is no power of two" },
    { "align_huge", bad_align_huge, ILAB_E_FORMAT, "2147483648 is no power of two from 8 to 65536" },
    { "name_empty", bad_name_empty, ILAB_E_FORMAT, "the name is empty" },
    { "name_long", bad_name_long, ILAB_E_LIMIT, "tensor: string of 128 bytes; at most 127" },
    { "name_nul", bad_name_nul, ILAB_E_FORMAT, "tensor 'token?embd': the name is empty or holds a NUL" },
    { "name_twice", bad_name_twice, ILAB_E_FORMAT, "byte 57: tensor 'w': occurs twice" },
    { "n_dim", bad_n_dim, ILAB_E_FORMAT, "tensor 'w': 5 dimensions" },
    { "n_dim_zero", bad_n_dim_zero, ILAB_E_FORMAT, "tensor 'w': 0 dimensions" },
    { "dim_zero", bad_dim_zero, ILAB_E_FORMAT, "dimension 1 is 0" },
    { "dim_negative", bad_dim_negative, ILAB_E_FORMAT, "dimension 1 is 18446744073709551615" },
    { "dim_product", bad_dim_product, ILAB_E_FORMAT, "dimension 2 is 4294967296" },
    { "dim_bytes", bad_dim_bytes, ILAB_E_FORMAT, "more than the file holds" },
    { "dim_row", bad_dim_row, ILAB_E_FORMAT, "more than the file holds" },
    { "type", bad_type, ILAB_E_FORMAT, "element type 16 (IQ2_XXS) is not supported" },
    { "type_unknown", bad_type_unknown, ILAB_E_FORMAT, "element type 4294967280 (?) is not supported" },
    { "block", bad_block, ILAB_E_FORMAT, "rows of 48 elements are no whole blocks of Q8_0 (32)" },
    { "offset", bad_offset, ILAB_E_FORMAT, "offset 16 is not a multiple of 32" },
    { "offset_far", bad_offset_far, ILAB_E_FORMAT, "end beyond the file" },
    { "data_short", bad_data_short, ILAB_E_FORMAT, "its 144 bytes at offset 32 end beyond the file" },
    { "overlap", bad_overlap, ILAB_E_FORMAT, "tensor 'c': its bytes at offset 64 are also those of tensor 'a'" },
    { "data_none", bad_data_none, ILAB_E_FORMAT, "its 16 bytes at offset 0 end beyond the file" },
};

/* Opens a copy of exactly n bytes, so that a sanitizer sees reads beyond them. */
static int open_copy(struct gguf **g, void **copy, const void *p, size_t n, ilab_err *e) {
    *copy = mem_alloc(n ? n : 1);
    memcpy(*copy, p, n);
    return gguf_open_memory(g, *copy, n, "bad.gguf", e);
}

static void test_gguf_says_what_is_wrong_and_where(void **state) {
    (void)state;
    const char *corpus = getenv("GGUF_CORPUS");
    static struct bytes b;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        struct gguf *g = NULL;
        void *copy;
        ilab_err e = { 0 };
        b.n = 0;
        BAD[i].make(&b);
        int rc = open_copy(&g, &copy, b.p, b.n, &e);
        if (rc != BAD[i].code || rc != e.code || g || !strstr(e.msg, BAD[i].msg) || strncmp(e.msg, "'bad.gguf': byte ", 17) != 0)
            fail_msg("%s: got %d '%s', wanted %d '%s'", BAD[i].name, rc, e.msg, BAD[i].code, BAD[i].msg);
        mem_free(copy);
        if (corpus) {
            char path[512];
            snprintf(path, sizeof path, "%s/bad_%s.gguf", corpus, BAD[i].name);
            assert_int_equal(file_write(path, b.p, b.n, &e), 0);
        }
    }
}

/* Unusual but right: another alignment, no padding at the end, tensors out of order, plain numbers, spare bytes. */
static void test_gguf_accepts_unusual_layouts(void **state) {
    (void)state;
    static struct bytes b;
    const char *corpus = getenv("GGUF_CORPUS");
    struct gguf *g = NULL;
    void *copy;
    ilab_err e = { 0 };
    b.n = 0;
    head(&b, 2, 3, 2);
    pair(&b, "general.alignment", GGUF_U32);
    u32(&b, 128);
    pair(&b, "general.name", GGUF_STR);
    str(&b, "\xe2\x82\xac");
    info(&b, "second", 2, DIM(3, 1), QT_F32, 256);
    info(&b, "first", 1, DIM(32), QT_Q8_0, 0);
    info(&b, "whole", 2, DIM(1, 4), QT_I32, 128);
    while (b.n % 128)
        put(&b, "", 1);
    size_t start = b.n;
    for (int i = 0; i < 256 + 12; i++)
        put(&b, (uint8_t[]){ (uint8_t)i }, 1);
    for (int spare = 0; spare < 2; spare++) {
        if (open_copy(&g, &copy, b.p, b.n, &e)) fail_msg("%s", e.msg);
        const uint8_t *from = (uint8_t *)copy + start;
        assert_int_equal(gguf_version(g), 2);
        assert_ptr_equal(gguf_tensor(g, "first")->data, from);
        assert_ptr_equal(gguf_tensor(g, "second")->data, from + 256);
        float whole;
        tensor_row_f32(gguf_tensor(g, "whole"), 3, &whole); /* known, converted, but nothing to compute with */
        assert_true(whole == (float)(int32_t)0x8f8e8d8c && !qtype_info(QT_I32) && strcmp(qtype_known(QT_I32)->name, "I32") == 0);
        assert_string_equal(gguf_tensor_at(g, 0)->name, "second");
        gguf_close(g);
        mem_free(copy);
        if (corpus && !spare) {
            char path[512];
            snprintf(path, sizeof path, "%s/unusual.gguf", corpus);
            assert_int_equal(file_write(path, b.p, b.n, &e), 0);
        }
        put(&b, "spare", 5);
    }
}

/* ---- writing ---- */

#define X(NAME, suffix, elems, bytes) QT_##NAME,
static const int TYPES[] = { QTYPES(X) };
#undef X

static int fill_ones(void *ud, void *buf, size_t n, ilab_err *e) {
    (void)e;
    memset(buf, *(int *)ud, n);
    return 0;
}

static int fill_fails(void *ud, void *buf, size_t n, ilab_err *e) {
    (void)ud, (void)buf, (void)n;
    return err_set(e, ILAB_E_CANCEL, "stopped");
}

/* A file with every kind of value and every element type; the last tensor ends at a multiple of the alignment. */
static int write_sample(const char *path, gguf_fill_fn *last_fill, ilab_err *e) {
    static const int32_t ints[] = { -1, 0, INT32_MAX };
    static const float floats[] = { 0.5f, -2.0f };
    static const struct sv words[] = { { "<s>", 3 }, { "", 0 }, { "\xc3\xa9\0x", 4 } };
    static uint8_t data_of[ARRAY_LEN(TYPES)][4 * 512];
    static const uint8_t raw[] = { 1, 255, 7, 0 };
    static int one_ = 1;
    struct gguf_writer *w = gguf_writer_new();
    gguf_put_str(w, "general.architecture", SV("none"));
    gguf_put_u32(w, "test.u32", 1);
    gguf_put_u32(w, "test.u32", 4000000000u); /* the last one counts */
    gguf_put_u64(w, "test.u64", UINT64_MAX);
    gguf_put_f32(w, "test.f32", 1e-5f);
    gguf_put_bool(w, "test.bool", 1);
    gguf_put_i32_array(w, "test.ints", ints, 3);
    gguf_put_f32_array(w, "test.floats", floats, 2);
    gguf_put_str_array(w, "test.words", words, 3);
    gguf_put_str_array(w, "test.none", NULL, 0);
    gguf_put_kv(w, &(struct gguf_kv){ .key = SV("test.i8"), .kind = GGUF_I8, .v.i = -3 });
    gguf_put_kv(w, &(struct gguf_kv){ .key = SV("test.i16"), .kind = GGUF_I16, .v.i = -300 });
    gguf_put_kv(w, &(struct gguf_kv){ .key = SV("test.f64"), .kind = GGUF_F64, .v.f = 1e300 });
    gguf_put_kv(w, &(struct gguf_kv){ .key = SV("test.u8s"), .kind = GGUF_ARR, .arr = { .kind = GGUF_U8, .n = 4, .p = raw } });
    gguf_put_kv(w, &(struct gguf_kv){ .key = SV("test.i8s"), .kind = GGUF_ARR, .arr = { .kind = GGUF_I8, .n = 4, .p = raw } });
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        int64_t dim[2] = { q->elems == 1 ? 5 : q->elems, 2 };
        float x[512];
        for (int k = 0; k < 512; k++)
            x[k] = (float)(k % 23) - 9.5f;
        q->quantize(data_of[i], x, dim[0] * dim[1]);
        rc = gguf_add_tensor(w, q->name, TYPES[i], 2, dim, data_of[i], NULL, NULL, e);
    }
    if (!rc)
        rc = gguf_add_tensor(w, "made", QT_F16, 4, (const int64_t[]){ 4, 3, 2, 2 }, NULL, last_fill, &one_, e);
    uint64_t expected = gguf_writer_bytes(w);
    if (!rc)
        rc = gguf_write(w, path, e);
    if (!rc)
        assert_int_equal(file_size(path), expected);
    gguf_writer_free(w);
    return rc;
}

static void test_gguf_reads_what_it_wrote(void **state) {
    (void)state;
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    int64_t v = 0;
    float f = 0;
    struct sv s;
    const char *path = tmp_path("sample.gguf");
    if (write_sample(path, fill_ones, &e) || gguf_open(&g, path, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_get_int(g, "general.alignment", 32, 32, &v, &e), 0);
    assert_int_equal(gguf_get_int(g, "test.u32", 0, UINT32_MAX, &v, &e), 0);
    assert_int_equal(v, 4000000000);
    assert_int_equal(gguf_get_int(g, "test.i8", -3, -3, &v, &e), 0);
    assert_int_equal(gguf_get_int(g, "test.i16", -300, -300, &v, &e), 0);
    assert_int_equal(gguf_find(g, "test.bool")->v.u, 1);
    assert_int_equal(gguf_get_f32(g, "test.f32", &f, &e), 0);
    assert_true(f == 1e-5f && gguf_find(g, "test.f64")->v.f == 1e300);
    assert_int_equal(gguf_get_str(g, "general.architecture", &s, &e), 0);
    assert_true(sv_eq_c(s, "none"));

    assert_int_equal(gguf_get_int(g, "test.u32", 0, 100, &v, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "sample.gguf': key 'test.u32' is 4000000000, outside 0 to 100"));
    assert_int_equal(gguf_get_int(g, "test.u64", INT64_MIN, INT64_MAX, &v, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "is 18446744073709551615, outside"));
    assert_int_equal(gguf_get_int(g, "test.f32", 0, 100, &v, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "key 'test.f32' holds a value of type f32, not a whole number"));
    assert_int_equal(gguf_get_f32(g, "test.f64", &f, &e), ILAB_E_FORMAT);
    assert_int_equal(gguf_get_f32(g, "test.u32", &f, &e), ILAB_E_FORMAT);
    assert_int_equal(gguf_get_str(g, "test.u32", &s, &e), ILAB_E_FORMAT);
    assert_int_equal(gguf_get_str(g, "absent", &s, &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "key 'absent' is missing"));

    const struct gguf_array *a = &gguf_find(g, "test.ints")->arr;
    assert_true(a->n == 3 && gguf_array_int(a, 0) == -1 && gguf_array_num(a, 2) == INT32_MAX && gguf_array_int(a, 3) == 0);
    a = &gguf_find(g, "test.floats")->arr;
    assert_true(gguf_array_num(a, 1) == -2.0 && gguf_array_int(a, 1) == 0);
    assert_true(gguf_array_int(&gguf_find(g, "test.u8s")->arr, 1) == 255 && gguf_array_int(&gguf_find(g, "test.i8s")->arr,
                1) == -1);
    a = &gguf_find(g, "test.words")->arr;
    assert_true(a->n == 3 && sv_eq_c(a->str[0], "<s>") && a->str[1].n == 0 && a->str[2].n == 4);
    assert_int_equal(gguf_find(g, "test.none")->arr.n, 0);

    assert_int_equal(gguf_n_tensor(g), ARRAY_LEN(TYPES) + 1);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        const struct tensor *t = gguf_tensor(g, q->name);
        float y[256];
        assert_true(t && t == gguf_tensor_at(g, (int)i) && t->type == TYPES[i] && t->dim[1] == 2 && t->dim[2] == 1);
        assert_int_equal((uintptr_t)t->data % 32, 0);
        tensor_row_f32(t, 0, y);
        float tolerance = q->elems == 1 || (q->bytes * 2 > q->elems && t->type != QT_MXFP4) ? 1.5f : 12.6f;
        for (int k = 0; k < t->dim[0]; k++)
            if (!(y[k] > k % 23 - 9.5f - tolerance && y[k] < k % 23 - 9.5f + tolerance))
                fail_msg("%s: element %d is %g", q->name, k, (double)y[k]);
    }
    const struct tensor *t = gguf_tensor(g, "made");
    assert_true(t && t->n_dim == 4 && tensor_rows(t) == 12 && t->n_bytes == 96 && ((const uint8_t *)t->data)[95] == 1);
    assert_null(gguf_tensor(g, "mad"));
    gguf_close(g);
    gguf_close(NULL);
}

static void test_gguf_writer_rejects_and_leaves_nothing_behind(void **state) {
    (void)state;
    struct gguf_writer *w = gguf_writer_new();
    ilab_err e = { 0 };
    float x[32] = { 0 };
    char name[130];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(gguf_add_tensor(w, "w", QT_Q8_0, 1, (const int64_t[]){ 48 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, "w", 16, 1, (const int64_t[]){ 256 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 5, (const int64_t[]){ 1, 1, 1, 1, 1 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 2, (const int64_t[]){ 1, 0 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 2, (const int64_t[]){ INT64_MAX, 2 }, x, NULL, NULL, &e), ILAB_E_LIMIT);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 1, (const int64_t[]){ 1 }, NULL, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, name, QT_F32, 1, (const int64_t[]){ 1 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 1, (const int64_t[]){ 1 }, x, NULL, NULL, &e), 0);
    assert_int_equal(gguf_add_tensor(w, "w", QT_F32, 1, (const int64_t[]){ 1 }, x, NULL, NULL, &e), ILAB_E_INVALID);
    gguf_put_u32(w, "", 1);
    assert_int_equal(gguf_write(w, tmp_path("never.gguf"), &e), ILAB_E_LIMIT);
    gguf_writer_free(w);
    gguf_writer_free(NULL);

    assert_int_equal(write_sample(tmp_path("never.gguf"), fill_fails, &e), ILAB_E_CANCEL);
    assert_string_equal(e.msg, "stopped");
    assert_int_equal(write_sample(tmp_path("no/such/folder.gguf"), fill_ones, &e), ILAB_E_NOTFOUND);
    char **names;
    size_t n;
    assert_int_equal(dir_list(tmp_dir, &names, &n, &e), 0);
    for (size_t i = 0; i < n; i++)
        assert_null(strstr(names[i], "never"));
    dir_list_free(names, n);
}

/* ---- the sample, cut and starved of memory ---- */

static void test_gguf_every_prefix_is_an_error(void **state) {
    (void)state;
    char *p;
    size_t n;
    ilab_err e = { 0 };
    const char *path = tmp_path("prefix.gguf"), *corpus = getenv("GGUF_CORPUS");
    if (write_sample(path, fill_ones, &e) || file_read(path, 1 << 20, &p, &n, &e))
        fail_msg("%s", e.msg);
    for (size_t k = 0; k <= n; k++) {
        struct gguf *g;
        void *copy;
        int rc = open_copy(&g, &copy, p, k, &e);
        if (k < n && (rc != ILAB_E_FORMAT || g || !strstr(e.msg, "byte")))
            fail_msg("prefix of %zu bytes: %d '%s'", k, rc, rc ? e.msg : "");
        assert_true(k < n || rc == 0);
        gguf_close(g);
        mem_free(copy);
    }
    if (corpus) {
        char out[512];
        snprintf(out, sizeof out, "%s/sample.gguf", corpus);
        assert_int_equal(file_write(out, p, n, &e), 0);
        p[4] = 2; /* version 2 differs only here */
        snprintf(out, sizeof out, "%s/sample_v2.gguf", corpus);
        assert_int_equal(file_write(out, p, n, &e), 0);
    }
    mem_free(p);
}

/* Fails each allocation in turn. What succeeds all the same (the last one in file_commit only serves the folder's fsync)
 * must have written the whole file. */
static void test_gguf_survives_failing_allocations(void **state) {
    (void)state;
    ilab_err e = { 0 };
    struct gguf *g = NULL;
    char hex[65], whole[65];
    const char *path = tmp_path("oom.gguf");
    if (write_sample(path, fill_ones, &e) || sha256_file(path, whole, &e)) fail_msg("%s", e.msg);
    for (int job = 0; job < 2; job++)
        for (long n = 1, ran_through = 0; !ran_through; n++) {
            mem_fail_at = n;
            int rc = job ? gguf_open(&g, path, &e) : write_sample(path, fill_ones, &e);
            ran_through = mem_fail_at > 0;
            mem_fail_at = -1;
            if (ran_through || (!job && rc == 0)) {
                assert_int_equal(rc, 0);
                assert_int_equal(sha256_file(path, hex, &e), 0);
                assert_string_equal(hex, whole);
            } else {
                assert_int_equal(rc, ILAB_E_NOMEM);
            }
            if (job) gguf_close(g);
        }
}

static void test_gguf_open_refuses_what_is_no_file(void **state) {
    (void)state;
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    uint64_t words[8] = { 0 };
    assert_int_equal(gguf_open(&g, tmp_path("absent.gguf"), &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "absent.gguf"));
    assert_true(gguf_open(&g, tmp_dir, &e) < 0);
    assert_int_equal(file_write(tmp_path("empty.gguf"), "", 0, &e), 0);
    assert_int_equal(gguf_open(&g, tmp_path("empty.gguf"), &e), ILAB_E_FORMAT);
    assert_int_equal(gguf_open_memory(&g, (char *)words + 1, 40, "odd", &e), ILAB_E_INVALID);
    assert_null(g);
}

/* Five thousand tensors and keys: the hash tables grow, everything is still found. */
static void test_gguf_finds_names_among_many(void **state) {
    (void)state;
    enum { N = 5000 };
    struct gguf_writer *w = gguf_writer_new();
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    char name[32];
    static const float x[8];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        gguf_put_u32(w, name, (uint32_t)i);
        assert_int_equal(gguf_add_tensor(w, name, QT_F32, 1, (const int64_t[]){ 1 + i % 8 }, x, NULL, NULL, &e), 0);
    }
    if (gguf_write(w, tmp_path("many.gguf"), &e) || gguf_open(&g, tmp_path("many.gguf"), &e))
        fail_msg("%s", e.msg);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        assert_int_equal(gguf_find(g, name)->v.u, i);
        assert_ptr_equal(gguf_tensor(g, name), gguf_tensor_at(g, i));
    }
    assert_null(gguf_find(g, "blk.5000.weight"));
    gguf_close(g);
    gguf_writer_free(w);
}

/* ---- real files ---- */

static void assert_same_pair(const struct gguf_kv *a, const struct gguf_kv *b) {
    assert_non_null(b);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->v.u, b->v.u);
    assert_true(sv_eq(a->s, b->s));
    assert_int_equal(a->arr.kind, b->arr.kind);
    assert_int_equal(a->arr.n, b->arr.n);
    for (uint64_t i = 0; i < a->arr.n; i++) {
        if (a->arr.kind == GGUF_STR)
            assert_true(sv_eq(a->arr.str[i], b->arr.str[i]));
        else
            assert_true(gguf_array_num(&a->arr, i) == gguf_array_num(&b->arr, i) &&
                        gguf_array_int(&a->arr, i) == gguf_array_int(&b->arr, i));
    }
}

static void rewrite_and_compare(const char *path) {
    struct gguf *a = NULL, *b = NULL;
    ilab_err e = { 0 };
    if (gguf_open(&a, path, &e))
        fail_msg("%s", e.msg);
    struct gguf_writer *w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(a); i++)
        gguf_put_kv(w, gguf_kv_at(a, i));
    for (int i = 0; i < gguf_n_tensor(a); i++) {
        const struct tensor *t = gguf_tensor_at(a, i);
        assert_int_equal(gguf_add_tensor(w, t->name, t->type, t->n_dim, t->dim, t->data, NULL, NULL, &e), 0);
    }
    if (gguf_write(w, tmp_path("copy.gguf"), &e) || gguf_open(&b, tmp_path("copy.gguf"), &e))
        fail_msg("%s", e.msg);
    assert_int_equal(gguf_file_bytes(b), gguf_writer_bytes(w));
    assert_int_equal(gguf_n_kv(b), gguf_n_kv(a) + !gguf_find(a, "general.alignment"));
    assert_int_equal(gguf_n_tensor(b), gguf_n_tensor(a));
    for (int i = 0; i < gguf_n_kv(a); i++) {
        char *key = mem_strndup(gguf_kv_at(a, i)->key.p, gguf_kv_at(a, i)->key.n);
        if (strcmp(key, "general.alignment") != 0)
            assert_same_pair(gguf_kv_at(a, i), gguf_find(b, key));
        mem_free(key);
    }
    for (int i = 0; i < gguf_n_tensor(a); i++) {
        const struct tensor *t = gguf_tensor_at(a, i), *u = gguf_tensor(b, t->name);
        assert_true(u && u->type == t->type && u->n_dim == t->n_dim && u->n_bytes == t->n_bytes);
        assert_memory_equal(u->dim, t->dim, sizeof t->dim);
        assert_memory_equal(u->data, t->data, t->n_bytes);
    }
    print_message("  %-40s v%d, %4d keys, %3d tensors, %zu bytes\n", path_base(path), gguf_version(a), gguf_n_kv(a),
                  gguf_n_tensor(a), gguf_file_bytes(a));
    gguf_close(a);
    gguf_close(b);
    gguf_writer_free(w);
}

static int each_gguf(const char *dir, void (*fn)(const char *path)) {
    char **names;
    size_t n;
    int count = 0;
    ilab_err e = { 0 };
    if (dir_list(dir, &names, &n, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(dir, names[i]);
        if (file_exists(path) == 2)
            count += each_gguf(path, fn);
        else if (sv_ends(sv_of(path), ".gguf"))
            count++, fn(path);
        mem_free(path);
    }
    dir_list_free(names, n);
    return count;
}

static void test_gguf_real_files_survive_rewriting(void **state) {
    (void)state;
    if (file_exists(SHARED) != 2) {
        print_message("skipped: " SHARED " is missing\n");
        skip();
    }
    assert_true(each_gguf(SHARED, rewrite_and_compare) > 0);
}

/* llama.cpp rounds only metadata and whole tensors together: the same weights in types that lose nothing are equal. */
static void test_gguf_conversions_of_one_model_agree(void **state) {
    (void)state;
    static const struct { const char *file; int type; } conversion[] = { { "F16", QT_F16 }, { "BF16", QT_BF16 } };
    struct gguf *f32 = NULL, *g = NULL;
    ilab_err e = { 0 };
    if (file_exists(SHARED) != 2) {
        print_message("skipped: " SHARED " is missing\n");
        skip();
    }
    if (gguf_open(&f32, SHARED "/weights/stories260K/stories260Ktok512.gguf", &e))
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < ARRAY_LEN(conversion); i++) {
        char path[256];
        int compared = 0;
        snprintf(path, sizeof path, SHARED "/weights/stories260K-llamacpp-quantized/stories260K.%s.gguf", conversion[i].file);
        if (gguf_open(&g, path, &e))
            fail_msg("%s", e.msg);
        for (int k = 0; k < gguf_n_tensor(g); k++) {
            const struct tensor *t = gguf_tensor_at(g, k), *u = gguf_tensor(f32, t->name);
            if (!u || u->type != QT_F32 || t->type != conversion[i].type)
                continue;
            assert_int_equal(tensor_elems(t), tensor_elems(u));
            uint8_t *mine = mem_alloc(t->n_bytes);
            qtype_info(t->type)->quantize(mine, u->data, tensor_elems(u));
            assert_memory_equal(mine, t->data, t->n_bytes);
            mem_free(mine);
            compared++;
        }
        assert_true(compared > 10);
        gguf_close(g);
    }
    gguf_close(f32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_says_what_is_wrong_and_where),
        cmocka_unit_test(test_gguf_accepts_unusual_layouts),
        cmocka_unit_test(test_gguf_reads_what_it_wrote),
        cmocka_unit_test(test_gguf_writer_rejects_and_leaves_nothing_behind),
        cmocka_unit_test(test_gguf_every_prefix_is_an_error),
        cmocka_unit_test(test_gguf_survives_failing_allocations),
        cmocka_unit_test(test_gguf_open_refuses_what_is_no_file),
        cmocka_unit_test(test_gguf_finds_names_among_many),
        cmocka_unit_test(test_gguf_real_files_survive_rewriting),
        cmocka_unit_test(test_gguf_conversions_of_one_model_agree),
    };
    return cmocka_run_group_tests(tests, tmp_setup, tmp_teardown);
}
