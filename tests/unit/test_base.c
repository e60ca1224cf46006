/* test_base.c — errors, memory, strings, numbers, files, folders, hashes, children.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "tests/oom/oom.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64]; /* removed by the group's teardown */

static void test_err_prefix_and_cut(void **state) {
    (void)state;
    ilab_err e = { 0 };
    assert_int_equal(err_set(&e, ILAB_E_FORMAT, "bad \"%s\"", "x\ny\x1b"), ILAB_E_FORMAT);
    assert_string_equal(e.msg, "bad \"x y?\"");
    assert_int_equal(err_prefix(&e, "file %d: ", 7), ILAB_E_FORMAT);
    assert_string_equal(e.msg, "file 7: bad \"x y?\"");
    err_set(&e, ILAB_E_INVALID, "again: %s", e.msg); /* an argument inside *e */
    assert_string_equal(e.msg, "again: file 7: bad \"x y?\"");
    assert_int_equal(err_set(NULL, ILAB_E_IO, "x"), ILAB_E_IO);
    char longer[3000] = "";
    for (int i = 0; i < 999; i++) memcpy(longer + 3 * i, "€", 4);
    err_set(&e, ILAB_E_INVALID, "a%s", longer);
    size_t n = strlen(e.msg);
    assert_true(n < sizeof e.msg && n % 3 == 1); /* no half character at the end */
    err_errno(&e, 2, "cannot open \"%s\"", "f");
    assert_string_equal(e.msg, "cannot open \"f\": No such file or directory");
}

static void test_mem_fails_when_told(void **state) {
    (void)state;
    mem_fail_at = 2;
    void *a = mem_alloc(1), *b = mem_alloc(1), *c = mem_alloc(1);
    assert_true(a && !b && c);
    assert_int_equal(mem_fail_at, 0);
    mem_fail_at = -1;
    mem_free(a);
    mem_free(c);
    uint8_t *v = mem_aligned(100);
    assert_true((uintptr_t)v % 64 == 0 && v[0] == 0 && v[99] == 0);
    mem_free(v);
    assert_null(mem_aligned(SIZE_MAX - 3));
    int *grown = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(mem_grow((void **)&grown, &cap, i + 1, sizeof *grown), 0);
        grown[i] = (int)i;
    }
    assert_true(cap >= 1000 && cap < 2100 && grown[999] == 999);
    assert_int_equal(mem_grow((void **)&grown, &cap, SIZE_MAX / 2, sizeof *grown), ILAB_E_NOMEM);
    mem_free(grown);
    assert_true(mem_peak_rss() > 0 && mem_available() > 0);
}

static void test_arena_counts_as_it_allocates(void **state) {
    (void)state;
    struct arena real, plan;
    struct rng r;
    arena_init(&real, 64 << 20);
    arena_init_counting(&plan);
    for (int round = 0; round < 3; round++) {
        rng_seed(&r, 1);
        for (int i = 0; i < 2000; i++) {
            size_t n = rng_below(&r, 5000), align = (size_t)1 << rng_below(&r, 8);
            uint8_t *p = arena_alloc(&real, n, align);
            assert_non_null(p);
            assert_null(arena_alloc(&plan, n, align));
            assert_int_equal((uintptr_t)p % align, 0);
            for (size_t k = 0; k < n; k += 97) assert_int_equal(p[k], 0);
            memset(p, 0xAA, n);
        }
        assert_int_equal(real.used, plan.used);
        assert_int_equal(real.peak, plan.peak);
        arena_reset(&real);
        arena_reset(&plan);
    }
    assert_null(arena_alloc(&real, 65 << 20, 8)); /* over the cap */
    assert_null(arena_alloc(&real, SIZE_MAX, 64));
    assert_string_equal(arena_strndup(&real, "abc", 2), "ab");
    arena_release(&real);
    arena_release(&plan);
}

static void test_sv_basics(void **state) {
    (void)state;
    struct sv rest = SV("a,,b"), part;
    assert_true(sv_split(&rest, ',', &part) && sv_eq_c(part, "a"));
    assert_true(sv_split(&rest, ',', &part) && sv_eq_c(part, ""));
    assert_true(sv_split(&rest, ',', &part) && sv_eq_c(part, "b"));
    assert_false(sv_split(&rest, ',', &part));
    assert_true(sv_eq_c(sv_trim(SV(" \t x y\r\n")), "x y"));
    assert_true(sv_starts(SV("abc"), "ab") && !sv_starts(SV("a"), "ab") && sv_ends(SV("abc"), "bc") && sv_starts(SV("x"), ""));
    assert_int_equal(sv_find(SV("abcabc"), SV("bc"), 2), 4);
    assert_int_equal(sv_find(SV("abc"), SV("bcd"), 0), -1);
    assert_int_equal(sv_find(SV("abc"), SV(""), 3), 3);
    assert_int_equal(sv_find(SV("abc"), SV("a"), 9), -1);
}

static void test_sb_refuses_to_grow_past_its_cap(void **state) {
    (void)state;
    struct sb b;
    sb_init(&b, 8);
    assert_string_equal(b.p, "");
    sb_addf(&b, "%s", "0123456789");
    assert_true(b.failed);
    assert_string_equal(b.p, "");
    assert_null(sb_take(&b, NULL));
    sb_init(&b, 100000);
    for (int i = 0; i < 1000; i++) sb_addf(&b, "%d,", i);
    char big[600];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    sb_addf(&b, "%s!", big); /* longer than the small buffer inside */
    assert_false(b.failed);
    size_t n;
    char *p = sb_take(&b, &n);
    assert_int_equal(n, 10 + 2 * 90 + 3 * 900 + 1000 + 600);
    assert_int_equal(p[n - 1], '!');
    assert_int_equal(p[n], 0);
    mem_free(p);
    p = sb_take(&b, &n); /* empty text is memory, too */
    assert_true(p && n == 0);
    mem_free(p);
    mem_fail_at = 1;
    sb_addc(&b, "x");
    mem_fail_at = -1;
    assert_true(b.failed);
    sb_reset(&b);
    sb_addch(&b, 'y');
    assert_string_equal(b.p, "y");
    sb_release(&b);
}

static void test_numbers_are_strict(void **state) {
    (void)state;
    static const struct { const char *s; int ok; int64_t v; } INTS[] = {
        { "0", 1, 0 }, { "-12", 1, -12 }, { "+7", 1, 7 }, { "9223372036854775807", 1, INT64_MAX }, { "-9223372036854775808", 1, INT64_MIN },
        { "9223372036854775808", 0, 0 }, { "", 0, 0 }, { " 1", 0, 0 }, { "1 ", 0, 0 }, { "two", 0, 0 }, { "1.0", 0, 0 }, { "--1", 0, 0 }, { "0x10", 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(INTS); i++) {
        int64_t v = 0;
        assert_int_equal(parse_i64(INTS[i].s, INT64_MIN, INT64_MAX, &v), INTS[i].ok ? 0 : ILAB_E_INVALID);
        assert_true(v == INTS[i].v);
    }
    int64_t v;
    double d;
    assert_int_equal(parse_i64("11", 0, 10, &v), ILAB_E_INVALID);
    assert_true(parse_f64("-1.5e-3", -1, 1, &d) == 0 && d == -1.5e-3);
    static const char *const BAD[] = { "", " 1", "1 ", "nan", "inf", "0x1p3", "1e999", "abc", "1e", "." };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) assert_int_equal(parse_f64(BAD[i], -1e300, 1e300, &d), ILAB_E_INVALID);
}

static void test_nearest_name(void **state) {
    (void)state;
    static const char *const NAMES[] = { "generate", "train", "chat", "serve" };
    static const struct { const char *word; int want; } ROWS[] = {
        { "generat", 0 }, { "tarin", 1 }, { "TRAIN", 1 }, { "caht", 2 }, { "srve", 3 }, { "xyzzy", -1 }, { "", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) assert_int_equal(nearest_name(ROWS[i].word, NAMES, 4), ROWS[i].want);
}

static void test_formats(void **state) {
    (void)state;
    static const struct { double v; const char *text; } TIMES[] = { { 0.25, "0.2 s" }, { 42, "42 s" }, { 59.7, "1 min 00 s" }, { 200, "3 min 20 s" }, { 7500, "2 h 05 min" }, { -1, "?" } };
    static const struct { double v; const char *text; } SIZES[] = { { 0, "0 B" }, { 512, "512 B" }, { 999.7, "1.0 kB" }, { 4.2e6, "4.2 MB" }, { 999.96e6, "1.0 GB" }, { 1.3e9, "1.3 GB" } };
    char s[64];
    for (size_t i = 0; i < ARRAY_LEN(TIMES); i++) format_duration(s, sizeof s, TIMES[i].v), assert_string_equal(s, TIMES[i].text);
    for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) format_bytes(s, sizeof s, SIZES[i].v), assert_string_equal(s, SIZES[i].text);
    assert_int_equal(time_local(s, sizeof s, "%Y-%m-%dT%H_%M_%S"), 19);
}

static void keep_last(void *ud, enum log_level level, const char *file, int line, const char *msg) {
    (void)line;
    snprintf(ud, 2000, "%d %s %zu %s", (int)level, path_base(file), strlen(msg), msg);
}

static void test_log_levels_and_sink(void **state) {
    (void)state;
    char last[2000] = "", wide[1501];
    memset(wide, 'w', 1500);
    wide[1500] = 0;
    log_to(keep_last, last);
    log_debug("hidden");
    assert_string_equal(last, "");
    log_warn("n=%d", 3);
    assert_string_equal(last, "2 test_base.c 3 n=3");
    log_info("%s", wide);
    assert_memory_equal(last, "1 test_base.c 1500 www", 22);
    log_to(NULL, NULL);
}

static void test_rng_is_the_published_one(void **state) {
    (void)state;
    struct rng r = { { 1, 2, 3, 4 } }; /* vectors of the rand_xoshiro crate's tests, which run the authors' C code */
    static const uint64_t WANT[] = { 11520, 0, 1509978240, 1215971899390074240u, 1216172134540287360u, 607988272756665600u };
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++) assert_true(rng_u64(&r) == WANT[i]);
    rng_seed(&r, 0); /* splitmix64(0): first outputs as in Vigna's reference */
    assert_true(r.s[0] == 0xE220A8397B1DCDAFu && r.s[1] == 0x6E789E6AA1B965F4u);
    int seen[7] = { 0 };
    double sum = 0, squares = 0;
    for (int i = 0; i < 70000; i++) {
        seen[rng_below(&r, 7)]++;
        double x = rng_normal(&r), u = rng_unit(&r);
        sum += x;
        squares += x * x;
        assert_true(u >= 0 && u < 1);
    }
    for (int i = 0; i < 7; i++) assert_in_range(seen[i], 9600, 10400);
    assert_true(sum / 70000 < 0.02 && sum / 70000 > -0.02 && squares / 70000 > 0.97 && squares / 70000 < 1.03);
}

/* A note is used until the file changes, and a spoilt one is not. */
static void test_sha256_remembered(void **state) {
    (void)state;
    char dir[] = "/tmp/ilab-hash-XXXXXX", hex[65], again[65];
    assert_non_null(mkdtemp(dir));
    char *old = getenv("XDG_CACHE_HOME") ? path_join(getenv("XDG_CACHE_HOME"), "") : NULL;
    setenv("XDG_CACHE_HOME", dir, 1);
    char *path = path_join(dir, "file"), *notes = path_join(dir, "ilab/sha256"), **name;
    size_t n;
    ilab_err e = { 0 };
    assert_int_equal(file_write(path, "abc", 3, &e), 0);
    assert_int_equal(sha256_file_cached(path, 4, hex, &e), 0);
    assert_int_equal(file_exists(notes), 0); /* too small to be worth it */
    assert_int_equal(sha256_file_cached(path, 1, hex, &e), 0);
    assert_int_equal(dir_list(notes, &name, &n, &e), 0);
    assert_int_equal(n, 1);
    char *note = path_join(notes, name[0]);
    const char forged[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_int_equal(file_write(note, forged, 64, &e), 0);
    assert_int_equal(sha256_file_cached(path, 1, again, &e), 0);
    assert_string_equal(again, forged);
    assert_int_equal(file_write(note, "rubbish", 7, &e), 0);
    assert_int_equal(sha256_file_cached(path, 1, again, &e), 0);
    assert_string_equal(again, hex);
    assert_int_equal(file_write(path, "abd", 3, &e), 0); /* same size, another file */
    assert_int_equal(sha256_file_cached(path, 1, again, &e), 0);
    assert_string_not_equal(again, hex);
    if (old) setenv("XDG_CACHE_HOME", old, 1);
    else unsetenv("XDG_CACHE_HOME");
    dir_list_free(name, n);
    mem_free(old), mem_free(note), mem_free(notes), mem_free(path);
}

static void test_sha256_vectors(void **state) {
    (void)state;
    static const struct { const char *text; int repeat; const char *hex; } ROWS[] = { /* FIPS 180-4 examples, NIST CAVP */
        { "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
    };
    char hex[65];
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct sha256 s;
        sha256_init(&s);
        for (int k = 0; k < ROWS[i].repeat; k++) sha256_add(&s, ROWS[i].text, strlen(ROWS[i].text));
        sha256_hex(&s, hex);
        assert_string_equal(hex, ROWS[i].hex);
    }
    ilab_err e;
    assert_int_equal(sha256_file("/nonexistent/x", hex, &e), ILAB_E_NOTFOUND);
    uint64_t h = hash64("abc", 3, 0);
    assert_true(h != hash64("abd", 3, 0) && h != hash64("abc", 3, 1) && h != hash64("abc\0", 4, 0) && h == hash64("abc", 3, 0));
}

static void test_file_is_written_whole_or_not_at_all(void **state) {
    (void)state;
    ilab_err e = { 0 };
    char *path = path_join(folder, "f.txt"), *text, **names;
    size_t n, n_names;
    assert_int_equal(file_write(path, "one", 3, &e), 0);
    assert_int_equal(chmod(path, 0640), 0);
    struct file_out o;
    assert_int_equal(file_create(&o, path, &e), 0);
    file_putf(&o, "%d", 22);
    assert_int_equal(file_read(path, 100, &text, &n, &e), 0);
    assert_string_equal(text, "one"); /* not visible yet */
    mem_free(text);
    assert_int_equal(file_commit(&o, &e), 0);
    file_abandon(&o); /* fine after commit */
    assert_int_equal(file_read(path, 2, &text, &n, &e), 0);
    assert_true(n == 2 && strcmp(text, "22") == 0);
    mem_free(text);
    struct stat st;
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640); /* replaced with its permissions */
    assert_int_equal(file_read(path, 1, &text, &n, &e), ILAB_E_LIMIT);
    assert_non_null(strstr(e.msg, "f.txt"));
    assert_int_equal(file_create(&o, path, &e), 0);
    file_put(&o, "xxx", 3);
    file_abandon(&o);
    assert_int_equal(file_size(path), 2);
    assert_int_equal(dir_list(folder, &names, &n_names, &e), 0);
    assert_int_equal(n_names, 1); /* no temp files left */
    dir_list_free(names, n_names);
    unlink(path);
    mem_free(path);
}

static void test_file_errors_name_path_and_remedy(void **state) {
    (void)state;
    ilab_err e = { 0 };
    char *text;
    size_t n;
    struct file_map m;
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(file_write("/dev/full", "x", 1, &e), ILAB_E_IO);
        assert_true(strstr(e.msg, "\"/dev/full\": No space left on device") && strstr(e.msg, "free some space"));
    }
    assert_int_equal(file_read("/no/such/place", 10, &text, &n, &e), ILAB_E_NOTFOUND);
    assert_string_equal(e.msg, "cannot open \"/no/such/place\": No such file or directory");
    assert_int_equal(file_read(folder, 10, &text, &n, &e), ILAB_E_IO);
    assert_int_equal(file_write(folder, "", 0, &e), ILAB_E_IO);
    assert_int_equal(file_write("/nonexistent/x", "", 0, &e), ILAB_E_NOTFOUND);
    assert_int_equal(file_map_open(&m, folder, &e), ILAB_E_IO);
    assert_int_equal(file_read("/proc/self/status", 1 << 20, &text, &n, &e), 0); /* a size of 0 that is none */
    assert_true(n > 100 && strlen(text) == n);
    mem_free(text);
    assert_int_equal(file_read("/proc/self/status", 50, &text, &n, &e), ILAB_E_LIMIT);
    char *path = path_join(folder, "empty");
    assert_int_equal(file_write(path, "", 0, &e), 0);
    assert_int_equal(file_map_open(&m, path, &e), 0);
    assert_true(m.p == NULL && m.n == 0);
    file_map_close(&m);
    unlink(path);
    mem_free(path);
}

static void test_folders(void **state) {
    (void)state;
    ilab_err e = { 0 };
    char *deep = path_join(folder, "a/b//c/"), *file = path_join(folder, "a/file"), *below = path_join(folder, "a/file/x"), *top = path_join(folder, "a");
    assert_int_equal(dir_make(deep, &e), 0);
    assert_int_equal(dir_make(deep, &e), 0);
    assert_int_equal(file_exists(deep), 2);
    assert_int_equal(file_write(file, "x", 1, &e), 0);
    assert_int_equal(file_exists(file), 1);
    assert_int_equal(dir_make(below, &e), ILAB_E_IO);
    assert_true(disk_free(below) > 0 && disk_free("no/such/folder") > 0);
    char **names;
    size_t n;
    assert_int_equal(dir_list(top, &names, &n, &e), 0);
    assert_true(n == 2 && strcmp(names[0], "b") == 0 && strcmp(names[1], "file") == 0);
    dir_list_free(names, n);
    assert_int_equal(dir_list("/no/such/place", &names, &n, &e), ILAB_E_NOTFOUND);
    int fd, fd2;
    assert_int_equal(dir_lock(top, &fd, &e), 0);
    assert_int_equal(dir_lock(top, &fd2, &e), ILAB_E_LIMIT);
    assert_non_null(strstr(e.msg, "another run, process"));
    dir_unlock(fd);
    assert_int_equal(dir_lock(top, &fd, &e), 0);
    dir_unlock(fd);
    char *p = path_join("a/", "/b");
    assert_string_equal(p, "/b");
    mem_free(p);
    p = path_join("a/", "b");
    assert_string_equal(p, "a/b");
    mem_free(p);
    assert_string_equal(path_base("a/b.c"), "b.c");
    mem_free(deep), mem_free(file), mem_free(below), mem_free(top);
}

static void test_child_output_and_status(void **state) {
    (void)state;
    ilab_err e = { 0 };
    char *out, *err;
    size_t n;
    int status;
    const char *const both[] = { "sh", "-c", "pwd; echo oops >&2; cat; exit 3", NULL };
    assert_int_equal(child_run(both, "/", 1000, &out, &n, &err, &status, &e), 0);
    assert_string_equal(out, "/\n");
    assert_string_equal(err, "oops\n");
    assert_int_equal(status, 3);
    mem_free(out);
    mem_free(err);
    const char *const endless[] = { "yes", NULL };
    assert_int_equal(child_run(endless, NULL, 100000, &out, &n, NULL, &status, &e), ILAB_E_LIMIT);
    assert_int_equal(status, 128 + 9);
    const char *const nobody[] = { "no-such-program-anywhere", NULL };
    assert_int_equal(child_run(nobody, NULL, 10, &out, &n, &err, &status, &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "no-such-program-anywhere"));
    const char *const ok[] = { "true", NULL };
    assert_int_equal(child_run(ok, "/no/such/place", 10, NULL, NULL, NULL, &status, &e), ILAB_E_NOTFOUND);
    assert_int_equal(child_run(ok, NULL, 10, NULL, NULL, NULL, &status, &e), 0);
    assert_int_equal(status, 0);
}

static int read_job(void *ud, ilab_err *e) {
    char *text;
    size_t n;
    int rc = file_read(ud, 1 << 20, &text, &n, e);
    if (rc == 0) mem_free(text);
    return rc;
}

static int list_job(void *ud, ilab_err *e) {
    char **names;
    size_t n;
    int rc = dir_list(ud, &names, &n, e);
    if (rc == 0) dir_list_free(names, n);
    return rc;
}

static int child_job(void *ud, ilab_err *e) {
    const char *const argv[] = { "echo", ud, NULL };
    char *out, *err;
    size_t n;
    int status, rc = child_run(argv, NULL, 1000, &out, &n, &err, &status, e);
    if (rc == 0) mem_free(out), mem_free(err);
    return rc;
}

static void test_base_survives_every_memory_failure(void **state) {
    (void)state;
    ilab_err e = { 0 };
    if (oom_loop(read_job, "/proc/self/maps", &e)) fail_msg("%s", e.msg);
    if (oom_loop(list_job, "/proc/self", &e)) fail_msg("%s", e.msg);
    if (oom_loop(child_job, "x", &e)) fail_msg("%s", e.msg);
}

static void test_cpu_level_can_be_forced(void **state) {
    (void)state;
    char name[64];
    assert_true(cpu_count() >= 1 && strlen(cpu_name(name, sizeof name)) > 0);
    setenv("ILAB_CPU", "ref", 1);
    assert_int_equal(cpu_detect(), 0);
    setenv("ILAB_CPU", "avx2", 1);
    assert_int_equal(cpu_detect() & ~(unsigned)CPU_AVX2, 0);
    unsetenv("ILAB_CPU");
}

static void test_signal_sets_the_flag(void **state) {
    (void)state;
    signal_install();
    const char *const self[] = { "sh", "-c", "kill -TERM $PPID; sleep 5", NULL };
    int status;
    ilab_err e;
    assert_int_equal(child_run(self, NULL, 10, NULL, NULL, NULL, &status, &e), ILAB_E_CANCEL);
    assert_int_equal(signal_pending(), 15);
    signal_clear();
    assert_int_equal(signal_pending(), 0);
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/ilab-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    const char *const rm[] = { "rm", "-rf", folder, NULL };
    int status;
    return child_run(rm, NULL, 1000, NULL, NULL, NULL, &status, NULL) || status;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_prefix_and_cut),
        cmocka_unit_test(test_mem_fails_when_told),
        cmocka_unit_test(test_arena_counts_as_it_allocates),
        cmocka_unit_test(test_sv_basics),
        cmocka_unit_test(test_sb_refuses_to_grow_past_its_cap),
        cmocka_unit_test(test_numbers_are_strict),
        cmocka_unit_test(test_nearest_name),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_log_levels_and_sink),
        cmocka_unit_test(test_rng_is_the_published_one),
        cmocka_unit_test(test_sha256_vectors),
        cmocka_unit_test(test_sha256_remembered),
        cmocka_unit_test(test_file_is_written_whole_or_not_at_all),
        cmocka_unit_test(test_file_errors_name_path_and_remedy),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_child_output_and_status),
        cmocka_unit_test(test_base_survives_every_memory_failure),
        cmocka_unit_test(test_cpu_level_can_be_forced),
        cmocka_unit_test(test_signal_sets_the_flag),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
