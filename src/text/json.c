/* json.c — reading JSON and JSON lines with jansson, with caps and positions.
 *
 * jansson takes its memory from base, so that tests can make it fail.  Its lexer ignores a failure to grow its
 * token buffer and would then run past the end of it (github.com/akheron/jansson issue 362).  So each parse holds
 * a spare block that is as large as that buffer can become: the first request that fails gets it, and the input
 * ends at the next byte, before anything else can go wrong.  What was parsed until then is dropped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

#include <string.h>

struct reader { struct sv text; size_t at; void *spare; size_t spare_bytes; int out_of_memory; };
static _Thread_local struct reader *current; /* NULL outside of parse() */

static void *json_alloc(size_t n) {
    void *p = mem_alloc(n);
    struct reader *r = current;
    if (p || !r) return p;
    if (!r->out_of_memory && n <= r->spare_bytes) p = r->spare;
    r->out_of_memory = 1;
    return p;
}

static void json_release(void *p) {
    if (!current || p != current->spare) mem_free(p);
}

/* jansson's allocator is process-wide: set before main, when no other thread can be inside jansson. */
__attribute__((constructor)) static void use_base_memory(void) { json_set_alloc_funcs(json_alloc, json_release); }

/* One byte a call, so that nothing is read ahead when memory fails. */
static size_t next_byte(void *buffer, size_t buffer_bytes, void *ud) {
    struct reader *r = ud;
    if (r->at >= r->text.n || r->out_of_memory || buffer_bytes == 0) return 0;
    *(char *)buffer = r->text.p[r->at++];
    return 1;
}

static json_t *parse(struct sv text, const char *name, int first_line, size_t flags, ilab_err *e) {
    json_error_t err;
    struct reader r = { .text = text, .at = sv_starts(text, "\xEF\xBB\xBF") ? 3 : 0 };
    json_t *v = NULL;
    /* The buffer starts with 16 bytes and doubles when the token and its terminator do not fit. */
    int too_long = MUL_OVERFLOWS(text.n + 16, (size_t)2, &r.spare_bytes);
    if (!too_long && (r.spare = mem_alloc(r.spare_bytes)) != NULL) {
        current = &r;
        v = json_load_callback(next_byte, &r, flags | JSON_DECODE_ANY, &err);
        if (r.out_of_memory) {
            json_decref(v);
            v = NULL;
        }
        current = NULL;
    } else r.out_of_memory = 1;
    mem_free(r.spare);
    if (v) return v;
    if (r.out_of_memory) err_set(e, ILAB_E_NOMEM, "%s: no memory for its JSON", name);
    else {
        int line = err.line > 0 ? err.line : 1, col = err.column > 0 ? err.column : 1;
        err_set(e, ILAB_E_FORMAT, "%s:%d:%d: %s", name, first_line + line - 1, col, err.text);
    }
    return NULL;
}

json_t *json_parse(struct sv text, const char *name, ilab_err *e) { return parse(text, name, 1, 0, e); }

json_t *json_parse_unique(struct sv text, const char *name, ilab_err *e) { return parse(text, name, 1, JSON_REJECT_DUPLICATES, e); }

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
