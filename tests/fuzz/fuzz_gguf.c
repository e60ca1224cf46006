/* fuzz_gguf.c — any bytes as a GGUF file: opening and using everything that it then promises must be safe.
 *
 * Input that starts with "SPLIT", a length in units of 8 (two bytes) and a byte that does not matter is a split model of two
 * files, cut at that length. The seeds in corpus/gguf are written by tests/unit/test_gguf.c and test_gguf_split.c (see there).
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { MAX_WORK = 1 << 18 }; /* elements per input, so that tensors which share their bytes do not take for ever */

static volatile double sink; /* so that the compiler leaves no read out */

static void expect(int condition) {
    if (!condition)
        abort();
}

/* Reads every byte of a view. */
static unsigned touch(const void *p, size_t n) {
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
    return sum;
}

static double walk_pair(const struct gguf *g, const struct gguf_kv *kv) {
    const struct gguf_array *a = &kv->arr;
    double sum = touch(kv->key.p, kv->key.n);
    ilab_err e = { 0 };
    int64_t i64 = 0;
    float f = 0;
    struct sv s = { 0 };
    char *key = mem_strndup(kv->key.p, kv->key.n);
    if (key && !memchr(key, 0, kv->key.n)) {
        expect(gguf_find(g, key) == kv);
        gguf_get_int(g, key, -5, 1000, &i64, &e);
        gguf_get_f32(g, key, &f, &e);
        if (!gguf_get_str(g, key, &s, &e))
            sum += touch(s.p, s.n);
        expect(i64 >= -5 && i64 <= 1000 && f - f == 0.0f);
    }
    mem_free(key);
    if (kv->kind == GGUF_STR)
        sum += touch(kv->s.p, kv->s.n);
    for (uint64_t i = 0; kv->kind == GGUF_ARR && i <= a->n; i++) { /* one past the end gives 0 */
        if (a->kind == GGUF_STR && i < a->n)
            sum += touch(a->str[i].p, a->str[i].n);
        sum += (double)gguf_array_int(a, i) + gguf_array_num(a, i);
    }
    return sum;
}

static double walk_tensor(const struct gguf *g, const struct tensor *t, int64_t *work) {
    double sum = 0;
    const int64_t bad = tensor_elems(t) <= *work ? qtype_check_rows(t->type, t->data, tensor_elems(t)) : 0;
    const struct mix_model m = { .n_layer = 4, .n_expert = 8, .n_gqa = 4 };
    expect(bad >= -1 && bad < tensor_elems(t));
    expect(qtype_known(mix_type((int)(t->n_bytes % 24), 0, &m, t->name, t->type, t->n_dim, t->dim)) != NULL);
    expect(gguf_tensor(g, t->name) == t);
    expect(t->n_bytes == t->row_bytes * (size_t)tensor_rows(t));
    float *y = t->dim[0] <= *work ? mem_alloc((size_t)t->dim[0] * sizeof *y) : NULL;
    for (int64_t r = 0; y && r < tensor_rows(t) && *work >= t->dim[0]; r++, *work -= t->dim[0]) {
        tensor_row_f32(t, r, y);
        sum += y[t->dim[0] - 1];
    }
    if (y) { /* the last byte is what a wrong bound would miss */
        tensor_row_f32(t, tensor_rows(t) - 1, y);
        sum += y[0];
    }
    mem_free(y);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    double sum = 0;
    int64_t work = MAX_WORK;
    struct sv part[2] = { { (const char *)p, n }, { NULL, 0 } };
    int is_split = n >= 8 && memcmp(p, "SPLIT", 5) == 0;
    if (is_split) {
        size_t cut = ((size_t)p[5] | (size_t)p[6] << 8) * 8;
        cut = cut < n - 8 ? cut : (n - 8) / 8 * 8;
        part[0] = (struct sv){ (const char *)p + 8, cut };
        part[1] = (struct sv){ (const char *)p + 8 + cut, n - 8 - cut };
    }
    int rc = gguf_open_parts(&g, part, 1 + is_split, "input", &e);
    expect(rc ? rc < 0 && rc == e.code && e.msg[0] && !g : g != NULL);
    if (rc)
        return 0;
    for (int i = 0; i < gguf_n_kv(g); i++)
        sum += walk_pair(g, gguf_kv_at(g, i));
    for (int i = 0; i < gguf_n_tensor(g); i++)
        sum += walk_tensor(g, gguf_tensor_at(g, i), &work);
    expect(gguf_n_shard(g) <= 1 + is_split && gguf_check(g, &e) == 0);
    expect(!gguf_kv_at(g, gguf_n_kv(g)) && !gguf_tensor_at(g, -1));
    gguf_close(g);
    sink = sum;
    return 0;
}
