/* mem.c — the only place that calls malloc and free.
 *
 * Tests make the n-th allocation fail through mem_fail_at, which counts down to 0 and stays there.
 * The x… functions do not take part: they promise never to return NULL.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

long mem_fail_at = -1;

static int fails_now(void) {
    long v = __atomic_load_n(&mem_fail_at, __ATOMIC_RELAXED);
    while (v > 0)
        if (__atomic_compare_exchange_n(&mem_fail_at, &v, v - 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return v == 1;
    return 0;
}

/* malloc(0) may return NULL, which callers would take for a failure. */
static size_t at_least_1(size_t n) { return n ? n : 1; }

void *mem_alloc(size_t n) { return fails_now() ? NULL : malloc(at_least_1(n)); }

void *mem_calloc(size_t n, size_t size) {
    return fails_now() ? NULL : calloc(at_least_1(n), at_least_1(size));
}

void *mem_realloc(void *p, size_t n) { return fails_now() ? NULL : realloc(p, at_least_1(n)); }

void *mem_aligned(size_t n) {
    size_t padded;
    if (fails_now() || ADD_OVERFLOWS(at_least_1(n), (size_t)63, &padded)) return NULL;
    padded &= ~(size_t)63;
    void *p = aligned_alloc(64, padded);
    if (p) memset(p, 0, padded);
    return p;
}

char *mem_strndup(const char *p, size_t n) {
    size_t bytes;
    if (ADD_OVERFLOWS(n, (size_t)1, &bytes)) return NULL;
    char *s = mem_alloc(bytes);
    if (!s) return NULL;
    if (n) memcpy(s, p, n);
    s[n] = 0;
    return s;
}

void mem_free(void *p) { free(p); }

static void *or_end(void *p) {
    if (p) return p;
    fputs("ilab: out of memory\n", stderr);
    abort();
}

void *xalloc(size_t n) { return or_end(malloc(at_least_1(n))); }
void *xcalloc(size_t n, size_t size) { return or_end(calloc(at_least_1(n), at_least_1(size))); }

char *xstrdup(const char *s) {
    size_t n = strlen(s) + 1;
    return memcpy(xalloc(n), s, n);
}

int mem_grow(void **array, size_t *cap, size_t need, size_t elem_bytes) {
    if (need <= *cap) return 0;
    size_t more = *cap < 8 ? 8 : *cap, bytes;
    while (more < need)
        if (MUL_OVERFLOWS(more, (size_t)2, &more)) return ILAB_E_NOMEM;
    if (more == *cap && MUL_OVERFLOWS(more, (size_t)2, &more)) return ILAB_E_NOMEM;
    if (MUL_OVERFLOWS(more, elem_bytes, &bytes)) return ILAB_E_NOMEM;
    void *p = mem_realloc(*array, bytes);
    if (!p) return ILAB_E_NOMEM;
    *array = p;
    *cap = more;
    return 0;
}

size_t mem_peak_rss(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) ? 0 : (size_t)u.ru_maxrss * 1024;
}

/* The number behind `key` in a file of "key number" lines (key NULL: the first number); fallback if absent. */
static uint64_t number_in(const char *path, const char *key, uint64_t fallback) {
    FILE *f = fopen(path, "re");
    if (!f) return fallback;
    char line[256];
    uint64_t v = fallback;
    size_t k = key ? strlen(key) : 0;
    while (fgets(line, sizeof line, f)) {
        if (key && strncmp(line, key, k) != 0) continue;
        char *end;
        unsigned long long x = strtoull(line + k, &end, 10);
        if (end != line + k) v = x;
        break;
    }
    fclose(f);
    return v;
}

/* Where the two versions of control groups keep what we ask.  Source: kernel, Documentation/admin-guide/cgroup-v2 and -v1/memory. */
struct cgroup_files { const char *mark, *root, *max, *current, *inactive, *active; };
static const struct cgroup_files CGROUP[] = {
    { "0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ", "active_file " },
    { ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ", "total_active_file " },
};

/* What the group at `path` may still take: the page cache counts as used, but can be given back. */
static uint64_t group_left(const struct cgroup_files *v, const char *path) {
    char file[768];
    snprintf(file, sizeof file, "%s/%s", path, v->max);
    uint64_t max = number_in(file, NULL, UINT64_MAX);
    if (max == UINT64_MAX) return max;
    snprintf(file, sizeof file, "%s/%s", path, v->current);
    uint64_t used = number_in(file, NULL, 0);
    snprintf(file, sizeof file, "%s/memory.stat", path);
    uint64_t cache = number_in(file, v->inactive, 0) + number_in(file, v->active, 0);
    used -= cache < used ? cache : used;
    return max > used ? max - used : 0;
}

/* What the control groups of this process leave, at every level up to the root. */
static uint64_t cgroup_left(void) {
    uint64_t left = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(CGROUP); i++) {
        char line[512] = "", path[640];
        const char *group = NULL;
        FILE *f = fopen("/proc/self/cgroup", "re");
        if (!f) return left;
        while (!group && fgets(line, sizeof line, f)) {
            group = strstr(line, CGROUP[i].mark);
            if (group) group += strlen(CGROUP[i].mark);
        }
        fclose(f);
        if (!group) continue;
        snprintf(path, sizeof path, "%s%.*s", CGROUP[i].root, (int)strcspn(group, "\n"), group);
        for (char *slash; strlen(path) >= strlen(CGROUP[i].root) && (slash = strrchr(path, '/')); *slash = 0) {
            uint64_t here = group_left(&CGROUP[i], path);
            if (here < left) left = here;
        }
    }
    return left;
}

size_t mem_limit(void) {
    const char *s = getenv("ILAB_MEMORY");
    size_t n = 0;
    return s && *s && !parse_bytes(s, &n) ? n : 0;
}

size_t mem_available(void) {
    uint64_t kb = number_in("/proc/meminfo", "MemAvailable:", 0), group = cgroup_left();
    uint64_t bytes = kb * 1024, limit = mem_limit();
    if (limit && limit < group) group = limit;
    return (size_t)(group < bytes ? group : bytes);
}

size_t mem_total(void) { return (size_t)number_in("/proc/meminfo", "MemTotal:", 0) * 1024; }
