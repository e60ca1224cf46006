/* holders.c — who holds the machine's memory: this process, in parts, and the others, by name.
 *
 * Read from /proc alone; what another user's process does not show is left out. Memory that several processes share (maps of a
 * file) is counted as nobody's own. Source: proc(5).  SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The start of a small file, without its end of line; zeros between words become spaces. */
static size_t read_start(const char *path, char *out, size_t cap) {
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, cap - 1, f) : 0;
    if (f) fclose(f);
    for (size_t i = 0; i < n; i++)
        if (!out[i] || out[i] == '\n') out[i] = ' ';
    while (n && out[n - 1] == ' ') n--;
    out[n] = 0;
    return n;
}

/* Bytes of `file` that the maps of process `pid` have in memory; one_is_enough: stops at the first map. -1: not mapped. */
static int64_t mapped_bytes(const char *pid, const char *file, int one_is_enough) {
    char path[64], line[1024];
    struct stat want;
    int64_t sum = -1;
    int in_file = 0;
    if (stat(file, &want)) return -1;
    snprintf(path, sizeof path, "/proc/%s/%s", pid, one_is_enough ? "maps" : "smaps");
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        unsigned major, minor;
        unsigned long long inode, kb;
        if (sscanf(line, "%*x-%*x %*s %*x %x:%x %llu", &major, &minor, &inode) == 3) {
            in_file = inode && inode == (unsigned long long)want.st_ino;
            if (in_file && sum < 0) sum = 0;
            if (in_file && one_is_enough) break;
        } else if (in_file && sscanf(line, "Rss: %llu kB", &kb) == 1)
            sum += (int64_t)kb * 1024;
    }
    if (f) fclose(f);
    return sum;
}

/* Resident bytes and, of them, those that nobody shares; 0 when there is no such process. */
static size_t resident(const char *pid, size_t *own) {
    char path[64], text[128];
    unsigned long long all = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%s/statm", pid);
    read_start(path, text, sizeof text);
    if (sscanf(text, "%*u %llu %llu", &all, &shared) != 2) all = shared = 0;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *own = (size_t)(all > shared ? all - shared : 0) * page;
    return (size_t)all * page;
}

size_t mem_rss(const char *file, size_t *of_file) {
    size_t own, all = resident("self", &own);
    int64_t n = file ? mapped_bytes("self", file, 0) : 0;
    if (of_file) *of_file = n > 0 ? (size_t)n : 0;
    return all;
}

static int larger_first(const void *a, const void *b) {
    const struct mem_holder *x = a, *y = b;
    return x->own_bytes < y->own_bytes ? 1 : x->own_bytes > y->own_bytes ? -1 : 0;
}

int mem_holders(const char *file, size_t at_least, struct mem_holder *v, int max) {
    DIR *d = opendir("/proc");
    int n = 0;
    for (struct dirent *x; d && (x = readdir(d));) {
        int64_t pid;
        struct mem_holder h = { 0 };
        char path[64];
        if (parse_i64(x->d_name, 1, INT32_MAX, &pid) || pid == getpid() || !resident(x->d_name, &h.own_bytes)) continue;
        h.pid = (int)pid;
        h.maps_file = file && mapped_bytes(x->d_name, file, 1) >= 0;
        if (!h.maps_file && h.own_bytes < at_least) continue;
        snprintf(path, sizeof path, "/proc/%d/cmdline", h.pid);
        if (!read_start(path, h.name, sizeof h.name)) {
            snprintf(path, sizeof path, "/proc/%d/comm", h.pid);
            read_start(path, h.name, sizeof h.name);
        }
        if (n < max) v[n++] = h;
        else if (max && larger_first(&v[max - 1], &h) > 0) v[max - 1] = h;
        qsort(v, (size_t)n, sizeof *v, larger_first);
    }
    if (d) closedir(d);
    return n;
}
