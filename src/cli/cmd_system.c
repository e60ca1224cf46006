/* cmd_system.c — `ilab system info | bench`: the machine, its limits, and a model's rates against them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "infer/infer.h"

#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

/* ---- info ---- */
struct sysinfo_args { int json; };
static const struct sysinfo_args SYSINFO_DEFAULTS = { 0 };
static const struct opt SYSINFO_OPTS[] = { { "json", 0, NULL, OPT_FLAG, offsetof(struct sysinfo_args, json), 0, 0, NULL, NULL, "as JSON" }, { 0 } };

/* NAME="value" of /etc/os-release; "" when it is not there. */
static void os_release(const char *name, char *out, size_t cap)
{
    char *text = NULL;
    size_t n = 0;
    out[0] = 0;
    if (file_read("/etc/os-release", 1 << 16, &text, &n, NULL)) return;
    struct sv rest = { text, n }, line;
    while (sv_split(&rest, '\n', &line)) {
        const size_t len = strlen(name);
        if (!sv_starts(line, name) || line.n <= len || line.p[len] != '=') continue;
        const int quotes = line.n > len + 2 && line.p[len + 1] == '"' && line.p[line.n - 1] == '"';
        snprintf(out, cap, "%.*s", (int)(line.n - len - 1 - (quotes ? 2 : 0)), line.p + len + 1 + quotes);
    }
    mem_free(text);
}

/* In the blocks and keys of release 0.26, as far as they exist without Python. */
static int sysinfo_late(const struct utsname *os, const char *isa)
{
    static const char *const RELEASE[] = { "ID", "VERSION_ID", "PRETTY_NAME", "VARIANT" };
    const double gib = 1073741824.0, total = (double)mem_total() / gib, available = (double)mem_available() / gib;
    char v[128];
    printf("Platform:\n  sys.platform: linux\n  os.name: posix\n  platform.release: %s\n  platform.machine: %s\n  platform.node: %s\n", os->release, os->machine, os->nodename);
    for (size_t i = 0; i < ARRAY_LEN(RELEASE); i++) {
        os_release(RELEASE[i], v, sizeof v);
        if (*v) printf("  os-release.%s: %s\n", RELEASE[i], v);
    }
    printf("  platform.cpu_brand: %s\n  memory.total: %.2f GB\n  memory.available: %.2f GB\n  memory.used: %.2f GB\n", cpu_name(v, sizeof v), total, available, total - available);
    printf("\nInstructLab:\n  ilab.version: %s\n  ilab.kernels: %s\n", ILAB_VERSION, isa);
    return EXIT_DONE;
}

static int sysinfo_run(struct cli *c, void *args)
{
    const struct sysinfo_args *a = args;
    char cpu[128];
    struct utsname os;
    struct statvfs disk;
    const double free_disk = statvfs(".", &disk) ? 0 : (double)disk.f_bavail * (double)disk.f_frsize;
    const unsigned has = cpu_detect();
    json_t *v = json_pack("{s:s,s:s,s:i,s:s,s:b,s:b,s:I,s:I,s:I}", "version", ILAB_VERSION, "cpu", cpu_name(cpu, sizeof cpu), "cores", cpu_count(), "kernels",
                          kern_get(has)->isa, "avx512_vnni", (has & CPU_AVX512_VNNI) != 0, "avx_vnni", (has & CPU_AVX_VNNI) != 0, "memory_bytes",
                          (json_int_t)mem_total(), "memory_free_bytes", (json_int_t)mem_available(), "disk_free_bytes", (json_int_t)free_disk);
    if (uname(&os)) os = (struct utsname){ 0 };
    else json_object_set_new(v, "system", json_sprintf("%s %s %s", os.sysname, os.release, os.machine));
    if (a->json) return print_json(v);
    if (c->compat == 26) {
        json_decref(v);
        return sysinfo_late(&os, kern_get(has)->isa);
    }
    char total[32], avail[32], room[32];
    format_bytes(total, sizeof total, (double)mem_total());
    format_bytes(avail, sizeof avail, (double)mem_available());
    format_bytes(room, sizeof room, free_disk);
    printf("ilab       %s\nsystem     %s\nprocessor  %s, %d cores\nkernels    %s%s%s\nmemory     %s, %s free\ndisk here  %s free\n", ILAB_VERSION,
           json_string_value(json_object_get(v, "system")), cpu, cpu_count(), kern_get(has)->isa, has & CPU_AVX512_VNNI ? " with 8-bit products (VNNI)" : "",
           has & CPU_AVX_VNNI ? ", AVX-VNNI" : "", total, avail, room);
    json_decref(v);
    return EXIT_DONE;
}

const struct cmd CMD_SYSTEM_INFO = {
    .name = "system info", .args_bytes = sizeof(struct sysinfo_args), .defaults = &SYSINFO_DEFAULTS, .opts = SYSINFO_OPTS, .run = sysinfo_run, .needs_config = -1,
    .summary = "This machine as the program sees it: processor, kernels, memory, disk.",
    .help = "ILAB_CPU=ref|avx2|avx512|neon forces a level of kernels.\n\nExample:\n  ilab system info --json\n",
};

/* ---- bench ---- */
static double share(double value, double limit) { return limit > 0 ? value / limit : 0; } /* 0: unknown */
struct bench_args { const char *model, *kv_type; int prompt, gen, batch, threads, rounds, json; };
static const struct bench_args BENCH_DEFAULTS = { .prompt = 512, .gen = 64, .rounds = 3 };
#define O(field) offsetof(struct bench_args, field)
static const struct opt BENCH_OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", NULL, "GGUF file, or a name below models/; none: only the machine's limits" },
    { "n-prompt", 'p', NULL, OPT_INT, O(prompt), 0, 1 << 20, "N", NULL, "tokens of the prompt; 0: leave it out" },
    { "n-gen", 'n', NULL, OPT_INT, O(gen), 0, 1 << 20, "N", NULL, "tokens to generate; 0: leave it out" },
    { "batch", 'b', NULL, OPT_INT, O(batch), 0, BATCH_MAX_SEQ, "N", NULL, "also N sequences generated together" },
    { "num-threads", 't', NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "kv-type", 0, NULL, OPT_STR, O(kv_type), 0, 0, "TYPE", NULL, "keys and values as f32, f16, q8_0 or q4_0; auto: f16 when they are many" },
    { "rounds", 'r', NULL, OPT_INT, O(rounds), 1, BENCH_MAX_ROUNDS, "N", NULL, "repetitions; the median is told" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "as JSON" },
    { 0 },
};
#undef O

struct bench_row { const char *key, *what; double value; const char *unit; double of; const char *of_what; };

static int bench_run(struct cli *c, void *args)
{
    (void)c;
    const struct bench_args *a = args;
    ilab_err e = { 0 };
    struct machine_limits lim = { 0 };
    struct bench_result r = { 0 };
    double load = 0, bytes = 0, weights = 0;
    int kv;
    if (kv_type_arg(a->kv_type, &kv)) return EXIT_USAGE;
    char *path = a->model ? model_find(a->model) : NULL;
    if (a->model) {
        struct engine *en = NULL;
        if (!path) return EXIT_FAILED;
        const double t0 = now_seconds();
        int rc = engine_open(&en, path, NULL, a->threads, &e);
        load = now_seconds() - t0;
        if (!rc) {
            en->kv_type = kv;
            en->watch = 1;
            engine_token_work(en, &bytes, &weights);
            rc = engine_bench(en, &(struct bench_opts){ a->prompt, a->gen, a->batch, a->rounds }, &r, &e);
        }
        engine_free(en);
        mem_free(path);
        if (rc) return fail(&e, "Benchmark failed: ");
    }
    const size_t peak = mem_peak_rss(); /* the model's: the machine's limits want a buffer of their own */
    struct pool *pool = pool_new(a->threads);
    const int n_thread = pool_threads(pool);
    if (limits_measure(kern_get(cpu_detect()), pool, &lim)) fprintf(stderr, "not enough memory to measure the machine's limits\n");
    pool_free(pool);
    const double peak_ops = lim.int8_gops > lim.fp32_gflops ? lim.int8_gops : lim.fp32_gflops;
    const struct bench_row row[] = {
        { "read_gb_per_s", "memory read", lim.read_gb_per_s, "GB/s", 0, NULL },
        { "fp32_gflops", "FP32 multiply-add", lim.fp32_gflops, "GFLOP/s", 0, NULL },
        { "int8_gops", "8-bit products", lim.int8_gops, "GOP/s", 0, NULL },
        { "load_seconds", "load", load, "s", 0, NULL },
        { "prompt_tokens_per_s", "prompt", r.prompt_tokens_per_s, "tokens/s", share(2e-9 * weights * r.prompt_tokens_per_s, peak_ops), "of the arithmetic" },
        { "generation_tokens_per_s", "generation", r.generation_tokens_per_s, "tokens/s", share(1e-9 * bytes * r.generation_tokens_per_s, lim.read_gb_per_s), "of memory read" },
        { "batch_tokens_per_s", "batch, all together", r.batch_tokens_per_s, "tokens/s", share(r.batch_tokens_per_s, r.prompt_tokens_per_s), "of the prompt rate" },
    };
    if (a->json) {
        json_t *v = json_pack("{s:i,s:s,s:I}", "threads", n_thread, "kernels", kern_get(cpu_detect())->isa, "peak_rss_bytes", (json_int_t)peak);
        for (size_t i = 0; i < ARRAY_LEN(row); i++) json_object_set_new(v, row[i].key, json_real(row[i].value));
        json_object_set_new(v, "prompt_share_of_arithmetic", json_real(row[4].of));
        json_object_set_new(v, "generation_share_of_read", json_real(row[5].of));
        return print_json(v);
    }
    printf("%d threads, %s kernels\n", n_thread, kern_get(cpu_detect())->isa);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        if (!(row[i].value > 0)) continue;
        printf("  %-22s %10.2f %s", row[i].what, row[i].value, row[i].unit);
        if (row[i].of > 0) printf("  (%.0f %% %s)", 100 * row[i].of, row[i].of_what);
        printf("\n");
    }
    char human[32];
    format_bytes(human, sizeof human, (double)peak);
    printf("  %-22s %s\n", "peak memory", human);
    return EXIT_DONE;
}

const struct cmd CMD_SYSTEM_BENCH = {
    .name = "system bench", .args_bytes = sizeof(struct bench_args), .defaults = &BENCH_DEFAULTS, .opts = BENCH_OPTS, .run = bench_run, .needs_config = -1,
    .summary = "The machine's limits, and how near a model comes to them.",
    .help = "Memory read, FP32 and 8-bit arithmetic are measured by loops that do nothing else. Generation reads all weights in use once a\n"
            "token, so memory is its limit; a prompt uses each weight for many tokens, so arithmetic is.\n\n"
            "Examples:\n  ilab system bench\n  ilab system bench -m models/starter.gguf -p 512 -n 64 -t 2 --batch 8 --json\n",
};
