/* safetensors.c — reading safetensors files, single or in shards, as views into maps of the files.
 *
 *   file   = u64:n_header header data          (little-endian; header: JSON, may end in spaces)
 *   header = { name: { "dtype": text, "shape": [outermost … innermost], "data_offsets": [begin, end] }, …,
 *              "__metadata__": { text: text } }                                   (offsets into data)
 *
 * Invariants after a successful open: every tensor's bytes are shape × element size and lie inside its file; in each file
 * they follow one another without gap or overlap, to the last byte, as the format demands; names are unique over all shards.
 * Tensors keep the order of files and offsets, so that walking them reads the disk forwards.
 *
 * A sharded folder has model.safetensors.index.json, whose weight_map tells each tensor's file. Files of other folders are
 * refused. Nothing is executed or converted here; element types without a row in the type table are kept by name.
 * Format: https://github.com/huggingface/safetensors#format.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/name_index.h"
#include "tensor/tensor.h"
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

static const struct { const char *name; int bytes, type; } DTYPES[] = {
    { "F32", 4, QT_F32 }, { "F16", 2, QT_F16 }, { "BF16", 2, QT_BF16 }, { "F64", 8, -1 },    { "I64", 8, -1 },
    { "I32", 4, -1 },     { "I16", 2, -1 },     { "I8", 1, -1 },        { "U64", 8, -1 },    { "U32", 4, -1 },
    { "U16", 2, -1 },     { "U8", 1, -1 },      { "BOOL", 1, -1 },      { "C64", 8, -1 },    { "F8_E4M3", 1, -1 },
    { "F8_E5M2", 1, -1 }, { "F8_E8M0", 1, -1 },
};

struct shard { char *file; struct file_map map; };
struct safetensors {
    struct shard *shard;
    size_t n_shard, cap_shard;
    struct safetensor *tensor;
    size_t n_tensor, cap_tensor;
    struct name_index index;
    struct arena names;
};

/* ---- one header ---- */

static int take_int(const json_t *v, uint64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) return ILAB_E_FORMAT;
    *out = (uint64_t)json_integer_value(v);
    return 0;
}

/* `room`: bytes of data that the file has. */
static int read_tensor(struct safetensor *t, const json_t *v, uint64_t room, const uint8_t *data, const char *file, ilab_err *e)
{
    const char *dtype = json_str(v, "dtype");
    const json_t *shape = json_object_get(v, "shape"), *offsets = json_object_get(v, "data_offsets");
    uint64_t begin, end, n = 1;
    if (!dtype || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' needs \"dtype\", \"shape\" and two \"data_offsets\"", file, t->name);
    size_t k = 0;
    while (k < ARRAY_LEN(DTYPES) && strcmp(DTYPES[k].name, dtype)) k++;
    if (k == ARRAY_LEN(DTYPES)) return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' has the unknown element type '%.40s'", file, t->name, dtype);
    t->dtype = DTYPES[k].name;
    t->type = DTYPES[k].type;
    if (json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return err_set(e, ILAB_E_LIMIT, "'%s': tensor '%s' has %zu dimensions, at most %d are allowed", file, t->name, json_array_size(shape), SAFETENSORS_MAX_DIMS);
    t->n_dim = (int)json_array_size(shape);
    for (int i = 0; i < t->n_dim; i++) {
        uint64_t d;
        if (take_int(json_array_get(shape, (size_t)i), &d)) return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s': dimension %d is no size", file, t->name, i);
        t->dim[i] = (int64_t)d;
        if (MUL_OVERFLOWS(n, d, &n) || n > INT64_MAX / 8)
            return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' is too big: dimension %d is %lld", file, t->name, i, (long long)t->dim[i]);
    }
    if (take_int(json_array_get(offsets, 0), &begin) || take_int(json_array_get(offsets, 1), &end) || begin > end)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s': its data_offsets are no range", file, t->name);
    if (end > room)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' ends at byte %llu of the data, the file has %llu: is the download complete?", file, t->name,
                       (unsigned long long)end, (unsigned long long)room);
    if (end - begin != n * (uint64_t)DTYPES[k].bytes)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' has %llu bytes, its shape and type need %llu", file, t->name, (unsigned long long)(end - begin),
                       (unsigned long long)(n * (uint64_t)DTYPES[k].bytes));
    t->data = data + begin;
    t->n_bytes = (size_t)(end - begin);
    t->file = file;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    const uint8_t *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* No gap, no overlap, nothing behind. */
static int check_places(const struct safetensors *s, size_t first, const uint8_t *data, uint64_t room, const char *file, ilab_err *e)
{
    uint64_t at = 0;
    const size_t n = s->n_tensor - first;
    struct safetensor *t = n ? s->tensor + first : NULL;
    if (n) qsort(t, n, sizeof *t, by_place);
    for (size_t i = 0; i < n; i++) {
        const uint64_t begin = (uint64_t)((const uint8_t *)t[i].data - data);
        if (begin < at) return err_set(e, ILAB_E_FORMAT, "'%s': the tensors '%s' and '%s' overlap", file, t[i - 1].name, t[i].name);
        if (begin > at) return err_set(e, ILAB_E_FORMAT, "'%s': bytes %llu to %llu of the data belong to no tensor", file, (unsigned long long)at, (unsigned long long)begin);
        at = begin + t[i].n_bytes;
    }
    if (at != room) return err_set(e, ILAB_E_FORMAT, "'%s': the last %llu bytes belong to no tensor", file, (unsigned long long)(room - at));
    return 0;
}

static int read_header(struct safetensors *s, const uint8_t *p, size_t n, const char *file, ilab_err *e)
{
    uint64_t n_header;
    static const char LFS[] = "version https://git-lfs";
    if (n >= sizeof LFS - 1 && !memcmp(p, LFS, sizeof LFS - 1))
        return err_set(e, ILAB_E_FORMAT, "'%s' is only a pointer of Git LFS, not the weights: run `git lfs pull` there, or download the file itself", file);
    if (n < 8 + 2) return err_set(e, ILAB_E_FORMAT, "'%s' has only %zu bytes: no safetensors file, or an interrupted download", file, n);
    memcpy(&n_header, p, 8);
    if (n_header > SAFETENSORS_MAX_HEADER)
        return err_set(e, ILAB_E_FORMAT, "'%s': a header of %llu bytes (at most %d): no safetensors file", file, (unsigned long long)n_header, SAFETENSORS_MAX_HEADER);
    if (n_header > n - 8) return err_set(e, ILAB_E_FORMAT, "'%s': the header needs %llu bytes, the file has %zu: is the download complete?", file, (unsigned long long)n_header, n);
    const uint8_t *data = p + 8 + n_header;
    const uint64_t room = n - 8 - n_header;
    const size_t first = s->n_tensor;
    int rc = 0;
    json_t *header = json_parse_unique((struct sv){ (const char *)p + 8, (size_t)n_header }, file, e), *v;
    const char *name;
    if (!header) return e ? e->code : ILAB_E_FORMAT;
    if (!json_is_object(header)) rc = err_set(e, ILAB_E_FORMAT, "'%s': the header is no JSON object", file);
    json_object_foreach(header, name, v) {
        if (rc) break;
        if (!strcmp(name, "__metadata__")) continue;
        struct safetensor t = { 0 };
        const size_t n_name = strlen(name);
        if (!n_name || n_name > SAFETENSORS_MAX_NAME) {
            rc = err_set(e, ILAB_E_FORMAT, "'%s': a tensor's name has %zu bytes, 1 to %d are allowed", file, n_name, SAFETENSORS_MAX_NAME);
            break;
        }
        if (s->n_tensor >= SAFETENSORS_MAX_TENSORS) {
            rc = err_set(e, ILAB_E_LIMIT, "'%s': more than %d tensors", file, SAFETENSORS_MAX_TENSORS);
            break;
        }
        t.name = arena_strndup(&s->names, name, n_name);
        if (!t.name || mem_grow((void **)&s->tensor, &s->cap_tensor, s->n_tensor + 1, sizeof *s->tensor)) {
            rc = err_set(e, ILAB_E_NOMEM, "'%s': no memory for its list of tensors", file);
            break;
        }
        rc = read_tensor(&t, v, room, data, file, e);
        if (!rc) s->tensor[s->n_tensor++] = t;
    }
    json_decref(header);
    return rc ? rc : check_places(s, first, data, room, file, e);
}

/* Names of all shards into the index; the message tells both files. */
static int index_names(struct safetensors *s, ilab_err *e)
{
    for (size_t i = 0; i < s->n_tensor; i++) {
        const int rc = name_index_add(&s->index, sv_of(s->tensor[i].name), (int32_t)i);
        if (rc == ILAB_E_NOMEM) return err_set(e, rc, "'%s': no memory for its list of tensors", s->tensor[i].file);
        if (rc) {
            const int32_t k = name_index_find(&s->index, sv_of(s->tensor[i].name));
            return err_set(e, ILAB_E_FORMAT, "the tensor '%s' is in two files: '%s' and '%s'", s->tensor[i].name, s->tensor[k].file, s->tensor[i].file);
        }
    }
    return 0;
}

/* ---- files ---- */

static struct safetensors *new_reader(ilab_err *e)
{
    struct safetensors *s = mem_calloc(1, sizeof *s);
    if (!s) err_set(e, ILAB_E_NOMEM, "no memory to open safetensors");
    else arena_init(&s->names, SIZE_MAX);
    return s;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_shard; i++) {
        if (s->shard[i].map.p) file_map_close(&s->shard[i].map);
        mem_free(s->shard[i].file);
    }
    mem_free(s->shard);
    mem_free(s->tensor);
    name_index_release(&s->index);
    arena_release(&s->names);
    mem_free(s);
}

int safetensors_check(const struct safetensors *s, ilab_err *e)
{
    for (size_t i = 0; i < s->n_shard; i++) {
        const int rc = s->shard[i].map.p ? file_map_check(&s->shard[i].map, s->shard[i].file, e) : 0;
        if (rc) return rc;
    }
    return 0;
}

static int open_shard(struct safetensors *s, const char *path, ilab_err *e)
{
    if (s->n_shard >= SAFETENSORS_MAX_SHARDS) return err_set(e, ILAB_E_LIMIT, "more than %d safetensors files", SAFETENSORS_MAX_SHARDS);
    if (mem_grow((void **)&s->shard, &s->cap_shard, s->n_shard + 1, sizeof *s->shard)) return err_set(e, ILAB_E_NOMEM, "no memory to open '%s'", path);
    struct shard *h = &s->shard[s->n_shard];
    *h = (struct shard){ .file = mem_strndup(path, strlen(path)) };
    if (!h->file) return err_set(e, ILAB_E_NOMEM, "no memory to open '%s'", path);
    s->n_shard++;
    int rc = file_map_open(&h->map, path, e);
    if (rc) {
        h->map = (struct file_map){ 0 };
        return rc;
    }
    return read_header(s, h->map.p, h->map.n, h->file, e);
}

static int finish(struct safetensors **out, struct safetensors *s, int rc, ilab_err *e)
{
    if (!rc) rc = index_names(s, e);
    if (rc) safetensors_close(s);
    else *out = s;
    return rc;
}

int safetensors_open_memory(struct safetensors **out, const void *p, size_t n, const char *name, ilab_err *e)
{
    *out = NULL;
    struct safetensors *s = new_reader(e);
    if (!s) return ILAB_E_NOMEM;
    const char *kept = arena_strndup(&s->names, name, strlen(name));
    return finish(out, s, kept ? read_header(s, p, n, kept, e) : err_set(e, ILAB_E_NOMEM, "no memory to open '%s'", name), e);
}

int safetensors_open(struct safetensors **out, const char *path, ilab_err *e)
{
    *out = NULL;
    struct safetensors *s = new_reader(e);
    return s ? finish(out, s, open_shard(s, path, e), e) : ILAB_E_NOMEM;
}

/* ---- shards ---- */

/* A shard is a file of the same folder that holds weights: neither a path nor the index itself. */
static int check_shard_name(const char *index, const char *tensor, const char *file, ilab_err *e)
{
    if (!file) return err_set(e, ILAB_E_FORMAT, "'%s': the place of the tensor '%.100s' is no file name", index, tensor);
    if (strchr(file, '/') || strchr(file, '\\') || file[0] == '.')
        return err_set(e, ILAB_E_FORMAT, "'%s': the shard '%.100s' of the tensor '%.100s' lies in another folder", index, file, tensor);
    if (!sv_ends(sv_of(file), ".safetensors"))
        return err_set(e, ILAB_E_FORMAT, "'%s': the shard '%.100s' of the tensor '%.100s' is no .safetensors file", index, file, tensor);
    return 0;
}

/* One entry for each file of the weight map, in order of first mention. */
static int open_shards(struct safetensors *s, const char *dir, const char *index, const json_t *weight_map, ilab_err *e)
{
    const char *tensor;
    json_t *v;
    struct name_index seen = { 0 };
    int rc = 0;
    json_object_foreach((json_t *)weight_map, tensor, v) {
        const char *file = json_string_value(v);
        if ((rc = check_shard_name(index, tensor, file, e))) break;
        if (name_index_find(&seen, sv_of(file)) >= 0) continue;
        if (name_index_add(&seen, sv_of(file), 0)) {
            rc = err_set(e, ILAB_E_NOMEM, "no memory to open '%s'", index);
            break;
        }
        char *path = path_join(dir, file);
        const int there = file_exists(path);
        if (there != 1)
            rc = err_set(e, ILAB_E_NOTFOUND, "'%s' names the shard '%s', which is %s: get all files of the model", index, file, there ? "a folder" : "missing");
        else rc = open_shard(s, path, e);
        mem_free(path);
        if (rc) break;
    }
    name_index_release(&seen);
    return rc;
}

/* Every tensor of the map is in the file that the map says. Files beyond the map's word are no error: their tensors count. */
static int check_weight_map(const struct safetensors *s, const char *index, const json_t *weight_map, ilab_err *e)
{
    const char *tensor;
    json_t *v;
    json_object_foreach((json_t *)weight_map, tensor, v) {
        const struct safetensor *t = safetensors_find(s, tensor);
        const char *file = json_string_value(v);
        if (!t) return err_set(e, ILAB_E_FORMAT, "'%s' places the tensor '%.100s' into '%s', which does not hold it", index, tensor, file);
        if (strcmp(path_base(t->file), file))
            return err_set(e, ILAB_E_FORMAT, "'%s' places the tensor '%.100s' into '%s', but it is in '%s'", index, tensor, file, path_base(t->file));
    }
    return 0;
}

static int open_index(struct safetensors *s, const char *dir, const char *path, ilab_err *e)
{
    json_t *index = json_read_file(path, SAFETENSORS_MAX_HEADER, e);
    if (!index) return e ? e->code : ILAB_E_FORMAT;
    const json_t *map = json_object_get(index, "weight_map");
    int rc = json_is_object(map) && json_object_size(map) ? 0 : err_set(e, ILAB_E_FORMAT, "'%s' has no \"weight_map\"", path);
    if (!rc) rc = open_shards(s, dir, path, map, e);
    if (!rc) rc = index_names(s, e);
    if (!rc) rc = check_weight_map(s, path, map, e);
    json_decref(index);
    return rc;
}

int safetensors_open_dir(struct safetensors **out, const char *dir, ilab_err *e)
{
    static const char *const PICKLE[] = { "pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth" };
    *out = NULL;
    struct safetensors *s = new_reader(e);
    if (!s) return ILAB_E_NOMEM;
    char *single = path_join(dir, SINGLE), *index = path_join(dir, INDEX);
    int rc;
    if (file_exists(single) == 1) {
        rc = open_shard(s, single, e);
        if (!rc) rc = index_names(s, e);
    } else if (file_exists(index) == 1) {
        rc = open_index(s, dir, index, e);
    } else {
        rc = err_set(e, ILAB_E_NOTFOUND, "'%s' has neither %s nor %s", dir, SINGLE, INDEX);
        for (size_t i = 0; i < ARRAY_LEN(PICKLE); i++) {
            char *p = path_join(dir, PICKLE[i]);
            if (file_exists(p) == 1)
                rc = err_set(e, ILAB_E_NOTFOUND, "'%s' holds its weights as %s, a format that can run programs and is not read here: get the safetensors files of the model",
                             dir, PICKLE[i]);
            mem_free(p);
        }
    }
    mem_free(single);
    mem_free(index);
    if (rc) safetensors_close(s);
    else *out = s;
    return rc;
}

/* ---- looking ---- */

int safetensors_count(const struct safetensors *s) { return (int)s->n_tensor; }

const struct safetensor *safetensors_at(const struct safetensors *s, int i)
{
    return i >= 0 && (size_t)i < s->n_tensor ? &s->tensor[i] : NULL;
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const int32_t i = name_index_find(&s->index, sv_of(name));
    return i < 0 ? NULL : &s->tensor[i];
}

int safetensors_n_shard(const struct safetensors *s) { return (int)s->n_shard; }

const char *safetensors_shard(const struct safetensors *s, int i) { return i >= 0 && (size_t)i < s->n_shard ? s->shard[i].file : NULL; }
