/* base.h — front header of layer 0: errors, memory, strings, files, threads, random numbers, signals.
 *
 * Everything here is usable from any thread unless a line says otherwise.  The only globals of the
 * program live in this folder: the log sink, the interrupt flag, the allocation-failure counter.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_BASE_H
#define ILAB_BASE_H

#include "ilab_err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MUL_OVERFLOWS(a, b, out) __builtin_mul_overflow((a), (b), (out))
#define ADD_OVERFLOWS(a, b, out) __builtin_add_overflow((a), (b), (out))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* ---- errors (err.c) ---------------------------------------------------------------------------- */
/* Fills *e (NULL is fine) and returns `code`, so that callers write `return err_set(…)`. Arguments may point
 * into *e; control characters are replaced, so that the message stays one printable line. */
int err_set(ilab_err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Like err_set with ": <strerror(errnum)>" appended; code is ILAB_E_IO. */
int err_errno(ilab_err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts text in front of the message that is already there. Returns e's code (e NULL: ILAB_E_INVALID). */
int err_prefix(ilab_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int err_name_file(ilab_err *e, const char *path);            /* "'path': " before a message that does not name it; returns the code */

/* ---- memory (mem.c) ---------------------------------------------------------------------------- */
/* All heap memory comes from here. mem_alloc/calloc/realloc return NULL on failure (sizes that depend on
 * input use these); xalloc/xcalloc/xstrdup are for small fixed sizes and end the program when the system
 * has no memory left. mem_aligned: 64-byte aligned, zeroed, released with mem_free too. */
extern long mem_fail_at; /* n: the n-th allocation from now fails (tests); -1: never */
void *mem_alloc(size_t n);
void *mem_calloc(size_t n, size_t size);
void *mem_realloc(void *p, size_t n);
void *mem_aligned(size_t n);
char *mem_strndup(const char *p, size_t n);
void mem_free(void *p);
void *xalloc(size_t n);
void *xcalloc(size_t n, size_t size);
char *xstrdup(const char *s);
/* Makes room for one more element in a growing array (doubling); 0 or ILAB_E_NOMEM.
 *   if (mem_grow((void **)&v, &cap, n + 1, sizeof *v)) … */
int mem_grow(void **array, size_t *cap, size_t need, size_t elem_bytes);
size_t mem_peak_rss(void);      /* bytes, high-water mark of this process  */
size_t mem_total(void);         /* bytes of the machine's memory */
size_t mem_available(void);     /* bytes that the machine could still give; not more than ILAB_MEMORY */
size_t mem_limit(void);         /* ILAB_MEMORY=6G in bytes; 0: not set */
/* Bytes of this process that are in memory now; *of_file (NULL allowed): of them, the maps of `file` (NULL: 0). */
size_t mem_rss(const char *file, size_t *of_file);
/* Other processes that hold at least so many bytes of their own, or map `file` (NULL: none); most first. Returns their number. */
struct mem_holder { int pid, maps_file; size_t own_bytes; char name[96]; /* command line, cut */ };
int mem_holders(const char *file, size_t at_least, struct mem_holder *v, int max);

/* Arena: memory of one lifetime. Grows by blocks up to max_bytes; rewinding keeps the memory.
 * A counting arena (arena_init_counting) hands out no memory and only adds up: run a planner on it
 * first, then on a real one, and the two figures cannot drift apart. */
struct arena_block;
struct arena {
    struct arena_block *head, *cur;
    size_t used, peak, max_bytes;
    int counting;
};
void arena_init(struct arena *a, size_t max_bytes);
void arena_init_counting(struct arena *a);
void *arena_alloc(struct arena *a, size_t n, size_t align); /* NULL when over the cap; zeroed; counting: NULL */
char *arena_strndup(struct arena *a, const char *p, size_t n);
void arena_reset(struct arena *a);                          /* forget contents, keep memory */
void arena_release(struct arena *a);

/* ---- strings (str.c) --------------------------------------------------------------------------- */
struct sv { const char *p; size_t n; };                      /* borrowed, not NUL-terminated */
struct sb { char *p; size_t n, cap, max; int failed; };      /* owned, always NUL-terminated */
#define SV(lit) ((struct sv){ (lit), sizeof(lit) - 1 })
#define SV_ARG(s) (int)(s).n, (s).p                          /* for "%.*s" */
struct sv sv_of(const char *cstr);
int sv_eq(struct sv a, struct sv b);
int sv_eq_c(struct sv a, const char *b);
int sv_starts(struct sv s, const char *prefix);
int sv_ends(struct sv s, const char *suffix);
struct sv sv_trim(struct sv s);                              /* ASCII white space, both ends */
ptrdiff_t sv_find(struct sv hay, struct sv needle, size_t from); /* -1: absent */
/* Splits off the part before `sep` (which is consumed) from *rest. 0 when *rest was empty. */
int sv_split(struct sv *rest, char sep, struct sv *part);
void sb_init(struct sb *b, size_t max);
void sb_add(struct sb *b, struct sv s);                      /* past max or no memory: sets failed */
void sb_addc(struct sb *b, const char *cstr);
void sb_addch(struct sb *b, char c);
void sb_addf(struct sb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_reset(struct sb *b);
char *sb_take(struct sb *b, size_t *n);                      /* caller mem_frees; b is empty again; NULL: it had failed */
void sb_release(struct sb *b);
/* Strict numbers: the whole of s, within [lo, hi]; 0 or ILAB_E_INVALID. */
int parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out);
int parse_f64(const char *s, double lo, double hi, double *out);
int parse_bytes(const char *s, size_t *out);                 /* 6G, 1.5 GB, 800M, 4096: powers of 1000; more than 0 */
/* Index of the row of names[0..n) nearest to `word` by edit distance, or -1 when none is near. */
int nearest_name(const char *word, const char *const *names, int n);

/* ---- log and progress (log.c, progress.c) ------------------------------------------------------- */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
typedef void log_sink_fn(void *ud, enum log_level level, const char *file, int line, const char *msg);
void log_to(log_sink_fn *sink, void *ud);                    /* NULL: the default, stderr in the reference's format */
void log_set_level(enum log_level level);
void log_at(enum log_level level, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define log_debug(...) log_at(LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARNING, __FILE__, __LINE__, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
/* One line on stderr that is rewritten on a terminal (at most 10 times a second) and, elsewhere, printed
 * as a plain line every `plain_seconds`. Shows done/total, the caller's text, elapsed and remaining time.
 * progress_start fills every field (plain_seconds 10): set plain_seconds, after and quiet after it. total 0: unknown. */
struct progress {
    const char *label;
    double start, last;
    int64_t total, first, done, shown;
    double plain_seconds;
    double left;                 /* seconds that remain, where the caller knows better than the share that is done; 0: it does not */
    double after;                /* nothing is drawn in the first seconds: what ends sooner needs no line */
    int quiet, tty, width;
    char text[160];
};
/* Labels and words of all progress lines in another language; NULL: as they are. Once, before threads. */
void progress_words(const char *(*words)(const char *english));
void progress_start(struct progress *p, const char *label, int64_t total, int64_t already_done);
void progress_at(struct progress *p, int64_t done, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void progress_end(struct progress *p);                       /* leaves the last state as a finished line */
void progress_clear(struct progress *p);                     /* instead of progress_end: the line disappears from a terminal */
int format_duration(char *out, size_t cap, double seconds);  /* 42 s, 3 min 20 s, 2 h 05 min */
int format_bytes(char *out, size_t cap, double bytes);       /* 512 B, 4.2 MB, 1.3 GB (powers of 1000) */

/* Joules that all processor packages have used since some moment in the past; ILAB_E_NOTFOUND: this machine does not tell. */
int energy_joules(double *out);

/* ---- time, random numbers, hashes (time.c, rng.c, hash.c) ---------------------------------------- */
double now_seconds(void);                                    /* monotonic */
/* strftime of the local time into out (thread-safe); returns its length. */
size_t time_local(char *out, size_t cap, const char *fmt);
size_t time_local_after(char *out, size_t cap, const char *fmt, double seconds); /* of the time in so many seconds */
struct rng { uint64_t s[4]; };                               /* xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64 */
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);               /* uniform in [0, n), unbiased */
double rng_unit(struct rng *r);                              /* [0, 1)  */
double rng_normal(struct rng *r);                            /* mean 0, variance 1; uses two draws, keeps no state */
uint64_t hash64(const void *p, size_t n, uint64_t seed);     /* not cryptographic */
struct sha256 { uint32_t h[8]; uint64_t n_bytes; uint8_t buf[64]; };
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_hex(struct sha256 *s, char out[65]);
int sha256_file(const char *path, char out[65], ilab_err *e);
/* The same, remembered in $XDG_CACHE_HOME/ilab (or ~/.cache/ilab) for files of at least min_bytes until they change (hash_cache.c). */
int sha256_file_cached(const char *path, uint64_t min_bytes, char out[65], ilab_err *e);

/* ---- files (file.c, dir.c) ------------------------------------------------------------------------ */
/* Reads a whole file of at most max bytes; *out is NUL-terminated beyond *n; caller mem_frees. */
int file_read(const char *path, size_t max, char **out, size_t *n, ilab_err *e);
/* Atomic write: temp file beside `path`, fsync, rename. Nothing half-written ever has the final name. */
struct file_out { FILE *f; char *path, *tmp; int failed; };
int file_create(struct file_out *o, const char *path, ilab_err *e);
int file_put(struct file_out *o, const void *p, size_t n);   /* failure is sticky and reported by commit */
int file_putf(struct file_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int file_commit(struct file_out *o, ilab_err *e);            /* always releases o */
void file_abandon(struct file_out *o);                       /* removes the temp file; fine after commit */
int file_write(const char *path, const void *p, size_t n, ilab_err *e); /* the three above in one */
struct file_map { const uint8_t *p; size_t n; void *base; int guard; };
int file_map_open(struct file_map *m, const char *path, ilab_err *e);   /* read-only mmap; empty file: p NULL, n 0 */
void file_map_close(struct file_map *m);
/* A map whose file becomes shorter reads as zeros from there on instead of ending the program; from then on this is
 * ILAB_E_IO. A few nanoseconds; path is for the message. */
int file_map_check(const struct file_map *m, const char *path, ilab_err *e);
void file_map_drop(const struct file_map *m, const void *p, size_t n);  /* whole pages of this range leave memory; they can be read again */
int file_exists(const char *path);                           /* 1 file, 2 folder, 0 nothing */
int64_t file_size(const char *path);                         /* -1: none */
int dir_make(const char *path, ilab_err *e);                 /* with parents; existing is fine */
uint64_t disk_free(const char *path);                        /* bytes for an ordinary user at path or its nearest existing parent */
/* Sorted names in a folder (no . and ..); caller frees with dir_list_free. */
int dir_list(const char *path, char ***names, size_t *n, ilab_err *e);
void dir_list_free(char **names, size_t n);
/* Takes path/.lock (flock) so that two runs refuse to share a folder; *fd closes it. ILAB_E_LIMIT: taken. */
int dir_lock(const char *path, int *fd, ilab_err *e);
void dir_unlock(int fd);
char *path_join(const char *a, const char *b);               /* caller mem_frees */
const char *path_base(const char *path);                     /* part after the last '/' */

/* ---- threads (pool.c) ------------------------------------------------------------------------------ */
struct pool;
/* A task gets its index and the number of the thread that runs it (0 … pool_threads-1, for scratch memory).
 * Results must not depend on which thread runs a task. */
typedef void pool_task_fn(void *ud, int i_task, int i_thread);
struct pool *pool_new(int n_threads);                        /* ≤0: one a core that this process may use; NULL: no memory */
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);
void pool_run(struct pool *p, pool_task_fn *fn, void *ud, int n_tasks); /* returns when all are done; one caller at a time */
/* What thread i_thread brings into its cache while it has nothing to do after the next run, until there is work again. A guess may be wrong and the
 * memory may be gone by then: it is only fetched, never read. NULL: nothing. */
void pool_fetch_after(struct pool *p, int i_thread, const void *at, size_t bytes);

/* ---- CPU, signals, child processes (cpu.c, signal.c, child.c) --------------------------------------- */
enum { CPU_AVX2 = 1u << 0 /* with FMA, F16C */, CPU_AVX512 = 1u << 1 /* F BW DQ VL */, CPU_AVX512_VNNI = 1u << 2,
       CPU_AVX_VNNI = 1u << 3, CPU_NEON = 1u << 4 /* with dot products of bytes */ };
unsigned cpu_detect(void);                                   /* CPUID and XGETBV, or HWCAP; masked by ILAB_CPU=ref|avx2|avx512|neon */
const char *cpu_name(char *out, size_t cap);
int cpu_count(void);                                         /* cores this process may use */
void signal_install(void);                                   /* SIGINT, SIGTERM set the flag; a second SIGINT ends at once; SIGPIPE ignored */
int signal_pending(void);                                    /* 0, SIGINT or SIGTERM */
void signal_clear(void);
/* Runs argv (NULL-ended, no shell) with stdin from /dev/null; collects stdout and stderr up to max bytes each.
 * *status is the exit code (128 + signal). out/err_out may be NULL. Caller mem_frees. cwd may be NULL. */
int child_run(const char *const *argv, const char *cwd, size_t max, char **out, size_t *n_out, char **err_out, int *status, ilab_err *e);

/* A child with more to say. Zero fields: as child_run. */
struct child_opts {
    const char *cwd;
    int in_fd;                       /* its standard input; 0: /dev/null */
    size_t max;                      /* bytes of each of its two outputs */
    double seconds;                  /* it is killed after so long (ILAB_E_LIMIT); 0: no limit */
    const char *const *env;          /* "NAME=value" …, NULL-ended: set on top of this process's own; NULL: nothing */
};
int child_run_with(const char *const *argv, const struct child_opts *o, char **out, size_t *n_out, char **err_out, int *status, ilab_err *e);

/* ---- libraries on demand (dynlib.c) ---------------------------------------------------- */
struct dynlib_symbol { const char *name; void *at; /* address of a function pointer */ };
/* Opens the first of the NULL-ended sonames that exists and fills every symbol. The library stays open. `package` is
 * what a message tells the user to install. */
int dynlib_load(const char *const *soname, const char *package, const struct dynlib_symbol *symbol, int n_symbol, ilab_err *e);

#endif
