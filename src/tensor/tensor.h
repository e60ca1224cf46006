/* tensor.h — front header of layer 1 `tensor`: element types as one table, GGUF files.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 3, little-endian).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TENSOR_H
#define ILAB_TENSOR_H

#include "base/base.h"

/* ---- element types (qtype.c: the table; qblocks.h: on-disk structs; quantize.c, dequantize.c) ---- */
enum qtype { QT_F32 = 0, QT_F16 = 1, QT_Q4_0 = 2, QT_Q4_1 = 3, QT_Q5_0 = 6, QT_Q8_0 = 8, QT_Q4_K = 12,
             QT_Q6_K = 14, QT_BF16 = 30, QT_COUNT = 64 };
struct qtype_info {
    const char *name;             /* "Q4_K"; NULL: this number is not supported */
    int elems, bytes;             /* of one block */
    void (*dequantize)(float *y, const void *x, int64_t n);              /* n elements, a multiple of elems */
    void (*quantize)(void *y, const float *x, int64_t n);
};
const struct qtype_info *qtype_info(int type);                             /* NULL when unknown or unsupported */
int qtype_by_name(const char *name);                                       /* -1: none */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);                                              /* round to nearest even */

struct tensor {
    const void *data;       /* inside the file map or an arena; never owned */
    int type;               /* enum qtype */
    int n_dim;
    int64_t dim[4];         /* dim[0] is contiguous, as in GGUF: a weight [out, in] has dim = {in, out} */
    size_t row_bytes;       /* bytes of one row of dim[0] elements */
    size_t n_bytes;
    char name[128];
};
int64_t tensor_elems(const struct tensor *t);
int64_t tensor_rows(const struct tensor *t);                               /* product of dim[1..] */
/* Row `r` as F32 into y[dim[0]]. */
void tensor_row_f32(const struct tensor *t, int64_t r, float *y);

/* ---- GGUF reading (gguf.c) ---- */
enum { GGUF_MAX_DIMS = 4, GGUF_MAX_STR = 1 << 24, GGUF_MAX_TENSORS = 1 << 17, GGUF_MAX_KV = 1 << 16, GGUF_MAX_ARRAY = 1 << 24 };
enum gguf_kind { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR, GGUF_ARR,
                 GGUF_U64, GGUF_I64, GGUF_F64 };
struct gguf;
struct gguf_array { enum gguf_kind kind; uint64_t n; const uint8_t *p; struct sv *str; /* views, when kind is GGUF_STR */ };
struct gguf_kv { struct sv key; enum gguf_kind kind; union { uint64_t u; int64_t i; double f; } v; struct sv s; struct gguf_array arr; };
/* Maps and checks the whole file (v2 and v3): every count against its cap, every offset inside the file.
 * The file stays mapped until gguf_close. */
int gguf_open(struct gguf **out, const char *path, ilab_err *e);
/* The same over bytes that the caller keeps alive (fuzzing, an embedded model); p must be aligned to 8, and to 32
 * or more where tensor data shall be. */
int gguf_open_memory(struct gguf **out, const void *p, size_t n, const char *name, ilab_err *e);
void gguf_close(struct gguf *g);
int gguf_version(const struct gguf *g);
size_t gguf_file_bytes(const struct gguf *g);
int gguf_n_kv(const struct gguf *g);
const struct gguf_kv *gguf_kv_at(const struct gguf *g, int i);
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);    /* NULL: absent */
/* 0 when the key is there with a fitting type and range, else ILAB_E_NOTFOUND or ILAB_E_FORMAT with a message. */
int gguf_get_int(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out, ilab_err *e);
int gguf_get_f32(const struct gguf *g, const char *key, float *out, ilab_err *e);
int gguf_get_str(const struct gguf *g, const char *key, struct sv *out, ilab_err *e);
int64_t gguf_array_int(const struct gguf_array *a, uint64_t i);            /* element i of any integer kind */
double gguf_array_num(const struct gguf_array *a, uint64_t i);             /* both: 0 beyond the end or of another kind */
int gguf_n_tensor(const struct gguf *g);
const struct tensor *gguf_tensor_at(const struct gguf *g, int i);
const struct tensor *gguf_tensor(const struct gguf *g, const char *name);  /* NULL: absent */

/* ---- GGUF writing (gguf_write.c) ---- */
/* Collect metadata and tensor headers, then gguf_write streams the file: temp + fsync + rename.
 * Putting a key again replaces its value. The first failure of a put is reported by gguf_write. general.alignment (32)
 * is the writer's own: gguf_put_kv skips it. Keys and strings are copied; tensor data must live until gguf_write. */
struct gguf_writer;
struct gguf_writer *gguf_writer_new(void);                                 /* never NULL */
void gguf_writer_free(struct gguf_writer *w);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, int v);
void gguf_put_str(struct gguf_writer *w, const char *key, struct sv v);
void gguf_put_str_array(struct gguf_writer *w, const char *key, const struct sv *v, uint64_t n);
void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, uint64_t n);
void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, uint64_t n);
void gguf_put_kv(struct gguf_writer *w, const struct gguf_kv *kv);         /* copies a pair of another file */
/* Adds a tensor. `fill` (may be NULL when data is given) is called when its turn to be written comes and must put
 * n_bytes into buf: tensors are made one at a time. */
typedef int gguf_fill_fn(void *ud, void *buf, size_t n_bytes, ilab_err *e);
int gguf_add_tensor(struct gguf_writer *w, const char *name, int type, int n_dim, const int64_t *dim,
                    const void *data, gguf_fill_fn *fill, void *ud, ilab_err *e);
uint64_t gguf_writer_bytes(const struct gguf_writer *w);                   /* size the file will have */
int gguf_write(struct gguf_writer *w, const char *path, ilab_err *e);

#endif
