/* gguf_format.h — what reader and writer share about the file format. Private to this folder.
 *
 *   file     = "GGUF" u32:version u64:n_tensor u64:n_kv pair* info* padding data
 *   pair     = string:key u32:kind value
 *   info     = string:name u32:n_dim u64:dim* u32:type u64:offset      (offset into data, aligned)
 *   value    = scalar | string | u32:kind u64:n element*
 *   string   = u64:n_bytes byte*                                       (UTF-8, no terminator)
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_GGUF_FORMAT_H
#define ILAB_GGUF_FORMAT_H

#include "tensor/name_index.h"
#include "tensor/tensor.h"

#include <string.h>

enum {
    GGUF_DEFAULT_ALIGN = 32,
    GGUF_MIN_ALIGN = 8,
    GGUF_MAX_ALIGN = 1 << 16,
    GGUF_MAX_KEY = 65535,       /* bytes of a key: the specification's limit */
    GGUF_MAX_NAME = 127,        /* bytes of a tensor name: struct tensor holds it; the specification allows 64 */
    GGUF_N_KIND = GGUF_F64 + 1
};
#define GGUF_KEY_ALIGN "general.alignment"

/* A file that is open: the first one of a split model, which holds the tensors of all. */
struct gguf {
    struct file_map map; /* empty when the bytes are the caller's */
    const uint8_t *p;
    size_t n;
    char *name;          /* for messages */
    int version;
    int n_kv, n_tensor;  /* how many are there already while the file is read */
    struct gguf_kv *kv;
    struct tensor *tensor;
    struct name_index kv_index, tensor_index;
    struct gguf **more;  /* the other files of a split model; their tensors are in `tensor`, too */
    int n_more;
    const void *const *lent; /* gguf_open_head: where the data of each tensor lies; then g->p holds the head only */
    uint8_t *head;           /* … and is owned */
    void *owner;
    void (*release)(void *owner);
    int (*check)(void *owner, ilab_err *e);
};

/* Reads head and tensors of g->p[0..g->n); name and bytes are set, all else is zero. */
int gguf_read(struct gguf *g, ilab_err *e);

/* Bytes of a scalar; 0 for strings and arrays. */
static const uint8_t GGUF_KIND_BYTES[GGUF_N_KIND] = {
    [GGUF_U8] = 1, [GGUF_I8] = 1, [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4,
    [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

/* Next multiple of `align`, a power of two; the sizes here are far from wrapping (file sizes and sums of them). */
static inline uint64_t gguf_align(uint64_t n, uint64_t align) {
    return (n + align - 1) & ~(align - 1);
}

/* Opens a file of which only the head is there (n bytes); the data of tensor i lies at data[i]. Owns the head on success. */
int gguf_open_head(struct gguf **out, uint8_t *head, size_t n, const void *const *data, const char *name, ilab_err *e);

#endif
