/* json.c — reading JSON and JSON lines with jansson, with caps and positions.
 *
 * jansson takes its memory from base, so that tests can make it fail; whether it did fail is remembered
 * per thread, because jansson does not always report it as such.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

#include <string.h>

static _Thread_local int out_of_memory;

static void *json_alloc(size_t n) {
    void *p = mem_alloc(n);
    if (!p) out_of_memory = 1;
    return p;
}

/* jansson's allocator is process-wide: set before main, when no other thread can be inside jansson. */
__attribute__((constructor)) static void use_base_memory(void) { json_set_alloc_funcs(json_alloc, mem_free); }

static json_t *parse(struct sv text, const char *name, int first_line, size_t flags, ilab_err *e) {
    json_error_t err;
    int skipped = sv_starts(text, "\xEF\xBB\xBF") ? 3 : 0;
    out_of_memory = 0;
    json_t *v = json_loadb(text.n ? text.p + skipped : "", text.n - (size_t)skipped, flags | JSON_DECODE_ANY, &err);
    if (v && !out_of_memory) return v;
    json_decref(v);
    if (out_of_memory || json_error_code(&err) == json_error_out_of_memory)
        err_set(e, ILAB_E_NOMEM, "%s: no memory for its JSON", name);
    else {
        int line = err.line > 0 ? err.line : 1, col = err.column > 0 ? err.column : 1;
        err_set(e, ILAB_E_FORMAT, "%s:%d:%d: %s", name, first_line + line - 1, col, err.text);
    }
    return NULL;
}

json_t *json_parse(struct sv text, const char *name, ilab_err *e) { return parse(text, name, 1, 0, e); }

json_t *json_read_file(const char *path, size_t max, ilab_err *e) {
    char *text;
    size_t n;
    if (file_read(path, max, &text, &n, e)) return NULL;
    json_t *v = parse((struct sv){ text, n }, path, 1, JSON_REJECT_DUPLICATES, e);
    mem_free(text);
    return v;
}

int json_read_lines(const char *path, size_t max, json_line_fn *fn, void *ud, ilab_err *e) {
    char *text;
    size_t n;
    int rc = file_read(path, max, &text, &n, e);
    if (rc) return rc;
    struct sv rest = { text, n }, line;
    if (sv_starts(rest, "\xEF\xBB\xBF")) rest.p += 3, rest.n -= 3;
    ilab_err local;
    for (int number = 1; rc == 0 && sv_split(&rest, '\n', &line); number++) {
        if (sv_trim(line).n == 0) continue;
        local.code = 0;
        json_t *v = parse(line, path, number, JSON_REJECT_DUPLICATES, &local);
        if (!v) rc = err_set(e, local.code, "%s", local.msg);
        else rc = fn(ud, number, v, e);
        json_decref(v);
    }
    mem_free(text);
    return rc;
}

const char *json_str(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

double json_num(const json_t *o, const char *key, double fallback) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

int64_t json_int(const json_t *o, const char *key, int64_t fallback) {
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}
