/* standalone.c — runs a fuzz target without libFuzzer, so that every compiler can.
 *
 *   fuzz_x [-seconds N] [-seed S] [-max_len L] FILE|FOLDER…
 *
 * Replays all files; with -seconds it then runs mutations of them (bits, bytes, interesting numbers of 1 to 8 bytes,
 * cuts, copies, splices) for that long. Blind mutation, no coverage feedback: libFuzzer (FUZZER=1) looks deeper.
 * The same seed and corpus give the same inputs. An input that crashes, or runs for longer than INPUT_SECONDS, is left
 * as crash-<hash> in the current folder. SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

enum { INPUT_SECONDS = 20, MAX_CORPUS = 1 << 24, DEFAULT_MAX_LEN = 1 << 17 };

struct input { uint8_t *p; size_t n; };
struct corpus { struct input *v; size_t n, cap; };

static struct input current; /* what the signal handler saves */

/* Only async-signal-safe calls. */
static void save_current(void) {
    static const char hex[] = "0123456789abcdef";
    char name[] = "crash-0000000000000000";
    uint64_t h = hash64(current.p, current.n, 0);
    for (int i = 0; i < 16; i++)
        name[6 + i] = hex[h >> (60 - 4 * i) & 15];
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, current.p, current.n) != (ssize_t)current.n)
        return;
    close(fd);
    static const char text[] = "\ninput saved as ";
    if (write(2, text, sizeof text - 1) < 0 || write(2, name, sizeof name - 1) < 0 || write(2, "\n", 1) < 0)
        return;
}

static void on_signal(int sig) {
    save_current();
    signal(sig == SIGALRM ? SIGABRT : sig, SIG_DFL);
    raise(sig == SIGALRM ? SIGABRT : sig);
}

/* Runs one input in a heap block of exactly its size, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *p, size_t n) {
    current = (struct input){ mem_alloc(n ? n : 1), n };
    if (!current.p)
        return;
    memcpy(current.p, p, n);
    alarm(INPUT_SECONDS);
    LLVMFuzzerTestOneInput(current.p, n);
    alarm(0);
    mem_free(current.p);
    current = (struct input){ 0 };
}

static int add_path(struct corpus *c, const char *path, ilab_err *e) {
    int rc, kind = file_exists(path);
    if (kind == 2) {
        char **names;
        size_t n;
        if ((rc = dir_list(path, &names, &n, e)))
            return rc;
        for (size_t i = 0; !rc && i < n; i++) {
            char *sub = path_join(path, names[i]);
            rc = add_path(c, sub, e);
            mem_free(sub);
        }
        dir_list_free(names, n);
        return rc;
    }
    struct input in = { 0 };
    if ((rc = file_read(path, MAX_CORPUS, (char **)&in.p, &in.n, e)))
        return rc;
    if (mem_grow((void **)&c->v, &c->cap, c->n + 1, sizeof *c->v))
        return err_set(e, ILAB_E_NOMEM, "no memory");
    c->v[c->n++] = in;
    return 0;
}

static const uint64_t INTERESTING[] = {
    0, 1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 100, 127, 128, 255, 256, 1024, 4096, 32767, 32768, 65535, 65536, 0x7fffffff,
        0x80000000,
    0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffffe, 0xffffffffffffffff,
};

/* A place in 0..n, more often near the start, where formats keep their structure. */
static size_t place(struct rng *r, size_t n) {
    size_t limit = rng_below(r, 2) && n > 256 ? 256 : n;
    return limit ? rng_below(r, (uint32_t)limit) : 0;
}

static size_t mutate(uint8_t *p, size_t n, size_t max, const struct corpus *c, struct rng *r) {
    size_t at = place(r, n), len = 1 + rng_below(r, 64), width = (size_t)1 << rng_below(r, 4);
    uint64_t v;
    switch (rng_below(r, 8)) {
    case 0: /* flip a bit */
        if (n)
            p[at] ^= (uint8_t)(1u << rng_below(r, 8));
        break;
    case 1: /* any byte */
        if (n)
            p[at] = (uint8_t)rng_u64(r);
        break;
    case 2: /* an interesting number */
        v = INTERESTING[rng_below(r, ARRAY_LEN(INTERESTING))];
        if (at + width <= n)
            memcpy(p + at, &v, width);
        break;
    case 3: /* a little more or less */
        v = 0;
        if (at + width <= n) {
            memcpy(&v, p + at, width);
            v += rng_below(r, 33) - 16ull;
            memcpy(p + at, &v, width);
        }
        break;
    case 4: /* cut the end off */
        if (rng_below(r, 4) == 0)
            n = at;
        break;
    case 5: /* take bytes out */
        len = len < n - at ? len : n - at;
        memmove(p + at, p + at + len, n - at - len);
        n -= len;
        break;
    case 6: /* repeat bytes in place */
        len = len < n - at ? len : n - at;
        if (n + len <= max) {
            memmove(p + at + len, p + at, n - at);
            n += len;
        }
        break;
    default: { /* bytes of another input */
        const struct input *o = &c->v[rng_below(r, (uint32_t)c->n)];
        size_t from = place(r, o->n);
        len = len < o->n - from ? len : o->n - from;
        len = len < max - at ? len : max - at;
        memcpy(p + at, o->p + from, len);
        n = at + len > n ? at + len : n;
        break;
    }
    }
    return n;
}

static long fuzz(const struct corpus *c, double seconds, uint64_t seed, size_t max) {
    struct rng r;
    rng_seed(&r, seed);
    uint8_t *p = mem_alloc(max);
    long n_run = 0;
    for (double end = now_seconds() + seconds; p && now_seconds() < end; n_run++) {
        const struct input *in = &c->v[rng_below(&r, (uint32_t)c->n)];
        size_t n = in->n < max ? in->n : max;
        memcpy(p, in->p, n);
        for (uint32_t k = 1 + rng_below(&r, 6); k > 0; k--)
            n = mutate(p, n, max, c, &r);
        run(p, n);
    }
    mem_free(p);
    return n_run;
}

int main(int argc, char **argv) {
    int64_t seconds = 0, seed = 1, max_len = DEFAULT_MAX_LEN;
    struct corpus c = { 0 };
    ilab_err e = { 0 };
    const struct { const char *name; int64_t lo, hi, *value; } options[] = {
        { "-seconds", 0, 1000000, &seconds }, { "-seed", 0, INT64_MAX, &seed }, { "-max_len", 1, MAX_CORPUS, &max_len },
    };
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(options) && strcmp(argv[i], options[k].name) != 0)
            k++;
        if (k < ARRAY_LEN(options)) {
            if (++i >= argc || parse_i64(argv[i], options[k].lo, options[k].hi, options[k].value)) {
                fprintf(stderr, "%s needs a number\n", options[k].name);
                return 2;
            }
        } else if (add_path(&c, argv[i], &e)) {
            fprintf(stderr, "%s\n", e.msg);
            return 2;
        }
    }
    if (!c.n) {
        fprintf(stderr, "usage: %s [-seconds N] [-seed S] [-max_len L] FILE|FOLDER...\n", path_base(argv[0]));
        return 2;
    }
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(save_current);
    for (size_t i = __sanitizer_set_death_callback ? ARRAY_LEN(fatal) - 1 : 0; i < ARRAY_LEN(fatal); i++)
        signal(fatal[i], on_signal);
    for (size_t i = 0; i < c.n; i++)
        run(c.v[i].p, c.v[i].n);
    long n_run = seconds ? fuzz(&c, (double)seconds, (uint64_t)seed, (size_t)max_len) : 0;
    printf("%s: %zu files replayed, %ld mutations in %lld s, seed %lld\n", path_base(argv[0]), c.n, n_run, (long long)seconds,
           (long long)seed);
    for (size_t i = 0; i < c.n; i++)
        mem_free(c.v[i].p);
    mem_free(c.v);
    return 0;
}
