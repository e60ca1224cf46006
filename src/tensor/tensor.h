/* tensor.h — front header of layer 1 `tensor`: element types as one table, GGUF files.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 3, little-endian).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TENSOR_H
#define ILAB_TENSOR_H

#include "base/base.h"
#include "tensor/qblocks.h"

/* ---- element types (qtype.c: the table; qblocks.h: on-disk structs; quantize*.c, dequantize.c) ---- */
enum qtype { QT_F32 = 0, QT_F16 = 1, QT_Q4_0 = 2, QT_Q4_1 = 3, QT_Q5_0 = 6, QT_Q5_1 = 7, QT_Q8_0 = 8, QT_Q2_K = 10, QT_Q3_K = 11,
             QT_Q4_K = 12, QT_Q5_K = 13, QT_Q6_K = 14, QT_IQ4_NL = 20, QT_IQ4_XS = 23, QT_I8 = 24, QT_I16 = 25, QT_I32 = 26,
             QT_I64 = 27, QT_F64 = 28, QT_BF16 = 30, QT_TQ1_0 = 34, QT_TQ2_0 = 35, QT_MXFP4 = 39, QT_COUNT = 64 };
struct qtype_info {
    const char *name;             /* "Q4_K" */
    int elems, bytes;             /* of one block */
    void (*dequantize)(float *y, const void *x, int64_t n);              /* n elements, a multiple of elems */
    void (*quantize)(void *y, const float *x, int64_t n);                /* NULL: plain numbers (I8 … F64) */
};
/* Types that the program computes with; NULL for all others, plain numbers (I8 I16 I32 I64 F64) included. */
const struct qtype_info *qtype_info(int type);
/* The same and the plain numbers: what a file may hold. They convert to F32, but no matrix product takes them. */
const struct qtype_info *qtype_known(int type);
const char *qtype_name(uint32_t type);                                     /* ggml's name, also of types not read here; "?" */
int qtype_by_name(const char *name);                                       /* a type that can be written; -1: none */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);                                              /* round to nearest even */
/* Looks at scales (blocks) or values (F32, F16, BF16, F64) of n elements: the first element of the first block with a NaN or an
 * infinity there, -1 when all are finite. */
int64_t qtype_check_rows(int type, const void *x, int64_t n);

struct tensor {
    const void *data;       /* inside the file map or an arena; never owned */
    int type;               /* enum qtype */
    int n_dim;
    int64_t dim[4];         /* dim[0] is contiguous, as in GGUF: a weight [out, in] has dim = {in, out} */
    size_t row_bytes;       /* bytes of one row of dim[0] elements */
    size_t n_bytes;
    int shard;              /* which file of a split model: gguf_shard_map */
    char name[128];
};
int64_t tensor_elems(const struct tensor *t);
int64_t tensor_rows(const struct tensor *t);                               /* product of dim[1..] */
/* Row `r` as F32 into y[dim[0]]. */
void tensor_row_f32(const struct tensor *t, int64_t r, float *y);
/* qtype_check_rows over the whole tensor, on the pool (NULL: alone); ILAB_E_FORMAT names tensor, row and element. */
int tensor_check_values(const struct tensor *t, struct pool *pool, ilab_err *e);

/* ---- GGUF reading (gguf.c) ---- */
enum { GGUF_MAX_DIMS = 4, GGUF_MAX_STR = 1 << 24, GGUF_MAX_TENSORS = 1 << 17, GGUF_MAX_KV = 1 << 16, GGUF_MAX_ARRAY = 1 << 24 };
enum gguf_kind { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR, GGUF_ARR,
                 GGUF_U64, GGUF_I64, GGUF_F64 };
struct gguf;
struct gguf_array { enum gguf_kind kind; uint64_t n; const uint8_t *p; struct sv *str; /* views, when kind is GGUF_STR */ };
struct gguf_kv { struct sv key; enum gguf_kind kind; union { uint64_t u; int64_t i; double f; } v; struct sv s; struct gguf_array arr; };
/* Maps and checks the whole file (v2 and v3): every count against its cap, every offset inside the file, no tensor on the
 * bytes of another. The first file of a split model (name-00001-of-00003.gguf) opens all of them; keys are the first one's.
 * All stay mapped until gguf_close. */
int gguf_open(struct gguf **out, const char *path, ilab_err *e);
/* The same over bytes that the caller keeps alive (fuzzing, an embedded model); p must be aligned to 8, and to 32
 * or more where tensor data shall be. */
int gguf_open_memory(struct gguf **out, const void *p, size_t n, const char *name, ilab_err *e);
int gguf_open_parts(struct gguf **out, const struct sv *part, int n_part, const char *name, ilab_err *e);
void gguf_close(struct gguf *g);
int gguf_version(const struct gguf *g);
size_t gguf_file_bytes(const struct gguf *g);                              /* of all files together */
/* ILAB_E_IO once a mapped file has become shorter or unreadable: what was computed since then is void. A few nanoseconds:
 * ask after each step, before a result is used. */
int gguf_check(const struct gguf *g, ilab_err *e);
int gguf_n_shard(const struct gguf *g);                                    /* 1: not split */
const struct file_map *gguf_shard_map(const struct gguf *g, int i);        /* p NULL: the caller's bytes */
const char *gguf_shard_path(const struct gguf *g, int i);
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
/* The same by rows: `rows` is called for one range after the other and must put the bytes of rows row … row + n - 1 into buf.
 * At most GGUF_WRITE_BYTES (or one row) are asked for at once, so that a tensor need not fit into memory. */
enum { GGUF_WRITE_BYTES = 32 << 20 };
typedef int gguf_rows_fn(void *ud, void *buf, int64_t row, int64_t n, ilab_err *e);
int gguf_add_tensor_rows(struct gguf_writer *w, const char *name, int type, int n_dim, const int64_t *dim, gguf_rows_fn *rows,
                         void *ud, ilab_err *e);
uint64_t gguf_writer_bytes(const struct gguf_writer *w);                   /* size the file will have */
int gguf_write(struct gguf_writer *w, const char *path, ilab_err *e);

/* ---- mixes: which type each tensor of a file gets (mix.c), and rewriting a file (requantize.c) ---- */
/* Names are those of llama.cpp's file types ("Q4_K_M", "Q8_0", "F16" …, any case; "Q4_K" means "Q4_K_M"). */
int mix_by_name(const char *name);                                         /* -1: none */
const char *mix_name(int mix);                                             /* NULL beyond the last: for lists */
int mix_base_type(int mix);                                                /* what most matrices get */
uint32_t mix_file_type(int mix);                                           /* value of general.file_type */
int mix_of_file_type(uint32_t file_type);                                  /* -1: none */
/* What the rules look at besides the tensor. n_gqa: query heads a KV head. */
struct mix_model { int n_layer, n_expert, n_gqa, has_output; };
void mix_model_of(struct mix_model *m, const struct gguf *g);              /* from a file's keys and tensors */
/* Type for a tensor: by its role (from the name; the layer is N of "blk.N."), else the base type; rows that are no whole blocks
 * fall back to a type of smaller blocks. `type` is what it has: vectors, routers and position tables keep theirs (F16 and
 * BF16 vectors become F32). pure: the base type for every matrix. */
int mix_type(int mix, int pure, const struct mix_model *m, const char *name, int type, int n_dim, const int64_t *dim);

struct requantize {
    const char *mix;                                                       /* name */
    int pure;                                                              /* no mixing: one type for all matrices */
    struct pool *pool;                                                     /* NULL: one thread */
    int (*progress)(void *ud, const char *tensor, int64_t done, int64_t total); /* in elements; not 0 stops with ILAB_E_CANCEL; may be NULL */
    void *ud;
    /* results */
    uint64_t bytes_in, bytes_out;                                          /* tensor data */
    int n_tensor, n_changed, n_lossy_source;                               /* lossy: made from quantised weights of another type */
};
/* Writes `in` (all files of it) anew as one file with the types of a mix: keys kept, tensors streamed in ranges of rows,
 * temp file and rename. `in` and `out` may be the same. */
int gguf_requantize(const char *in, const char *out, struct requantize *how, ilab_err *e);
int gguf_requantize_from(const struct gguf *g, const char *out, struct requantize *how, ilab_err *e);
/* What gguf_open would give for the written file, without a file: every tensor must have been added with data, which lives
 * longer than the result. The writer can be freed. gguf_own: release(owner) is called by gguf_close, check(owner) by gguf_check.
 * gguf_is_file: 0 for such a view; its keys and tensors are then no views into one block of gguf_file_bytes. */
int gguf_from_writer(struct gguf **out, struct gguf_writer *w, const char *name, ilab_err *e);
void gguf_own(struct gguf *g, void *owner, void (*release)(void *owner), int (*check)(void *owner, ilab_err *e));
int gguf_is_file(const struct gguf *g);

/* ---- safetensors (safetensors.c, safetensors_write.c): https://github.com/huggingface/safetensors#format ---- */
enum { SAFETENSORS_MAX_HEADER = 64 << 20, SAFETENSORS_MAX_TENSORS = 1 << 18, SAFETENSORS_MAX_SHARDS = 4096, SAFETENSORS_MAX_DIMS = 8,
       SAFETENSORS_MAX_NAME = 512 };
struct safetensor {
    const char *name, *dtype;   /* "BF16" … as the file says */
    int type;                   /* enum qtype; -1: an element type that is only known by name */
    int n_dim;
    int64_t dim[SAFETENSORS_MAX_DIMS]; /* outermost first, as in the file: the reverse of struct tensor; may be 0 */
    const void *data;           /* inside the file map; as aligned as the file has it */
    size_t n_bytes;
    const char *file;
};
struct safetensors;
/* A file; bytes that the caller keeps alive; a folder with model.safetensors or with shards and model.safetensors.index.json.
 * Everything is checked (see safetensors.c); the files stay mapped until safetensors_close. */
int safetensors_open(struct safetensors **out, const char *path, ilab_err *e);
int safetensors_open_memory(struct safetensors **out, const void *p, size_t n, const char *name, ilab_err *e);
int safetensors_open_dir(struct safetensors **out, const char *dir, ilab_err *e);
void safetensors_close(struct safetensors *s);
int safetensors_check(const struct safetensors *s, ilab_err *e);                           /* as gguf_check */
int safetensors_count(const struct safetensors *s);
const struct safetensor *safetensors_at(const struct safetensors *s, int i);              /* in order of files and offsets */
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL: absent */
int safetensors_n_shard(const struct safetensors *s);
const char *safetensors_shard(const struct safetensors *s, int i);                        /* path; NULL beyond the last */
/* Writing: describe all tensors (dimensions outermost first; F32, F16 or BF16), then write. `data` or `fill` as for
 * gguf_add_tensor. One file, or shards of about shard_bytes (0: one file) with an index; the folder is made. */
struct safetensors_writer;
struct safetensors_writer *safetensors_writer_new(void);                                  /* never NULL */
void safetensors_writer_free(struct safetensors_writer *w);
int safetensors_add(struct safetensors_writer *w, const char *name, int type, int n_dim, const int64_t *dim, const void *data,
                    gguf_fill_fn *fill, void *ud, ilab_err *e);
uint64_t safetensors_writer_bytes(const struct safetensors_writer *w);                    /* of all tensors */
int safetensors_write(struct safetensors_writer *w, const char *path, ilab_err *e);       /* one file */
int safetensors_write_dir(struct safetensors_writer *w, const char *dir, uint64_t shard_bytes, ilab_err *e);

#endif
