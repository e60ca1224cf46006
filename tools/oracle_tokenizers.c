/* oracle_tokenizers.c — our ids beside those of other programs, over many lines of real and mutated text.
 *
 *   oracle_tokenizers -n LINES [-seed S] [-text FILE]… [-llama FOLDER] [-spm MODEL] VOCABULARY…
 *
 * A vocabulary is a GGUF file, a Hugging Face folder, or a folder with Ollama's encoder.json and vocab.bpe. With -llama each one is
 * encoded by llama.cpp, too (libllama.so in FOLDER; a folder's vocabulary goes there through a GGUF file that we write), every second
 * line with special tokens read. With -spm the lines go through spm_encode as well, and must be what the vocabularies that follow make of them
 * (unigram: or as good by the sum of scores).
 * Lines are pieces of the texts, two of three mutated: other characters put in, taken out, repeated, cased. All are valid UTF-8:
 * other programs replace what is not. Exit code 1 when one line differs; the first ones are shown.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include "token/token_internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXTS = 16, MAX_LINE = 400, MAX_IDS = 4096, BATCH = 20000, SHOW = 3 };
#define MARK "\xe2\x96\x81" /* ▁ */

/* ---- llama.cpp's C interface, as far as it is needed (include/llama.h) ---- */

/* Passed by value; longer than llama.cpp's own, which reads its part. vocab_only is its first flag, at byte 72 (llama.cpp of August 2026). */
struct llama_params { uint8_t bytes[512]; };
enum { VOCAB_ONLY = 72 };

struct llama {
    struct llama_params (*defaults)(void);
    void *(*load)(const char *path, struct llama_params p);
    const void *(*vocab)(const void *model);
    int32_t (*tokenize)(const void *vocab, const char *text, int32_t n, int32_t *id, int32_t max, _Bool add_special, _Bool parse_special);
    void (*close)(void *model);
    void (*log)(void (*fn)(int, const char *, void *), void *);
    void (*init)(void);
};

static void quiet(int level, const char *text, void *ud)
{
    (void)ud;
    if (level >= 4)
        fputs(text, stderr);
}

static int llama_open(struct llama *l, const char *folder)
{
    const struct { const char *name; void *to; } row[] = {
        { "llama_model_default_params", &l->defaults }, { "llama_model_load_from_file", &l->load }, { "llama_model_get_vocab", &l->vocab },
        { "llama_tokenize", &l->tokenize }, { "llama_model_free", &l->close }, { "llama_log_set", &l->log }, { "llama_backend_init", &l->init } };
    char **names;
    size_t n;
    void *lib = NULL;

    if (dir_list(folder, &names, &n, NULL))
        return -1;
    for (int pass = 0; pass < 2 && !lib; pass++) /* the libraries that libllama needs first; then itself */
        for (size_t k = 0; k < n; k++) {
            char *path = path_join(folder, names[k]);
            int main_part = !strncmp(names[k], "libllama.", 9);
            if (pass == main_part && (main_part || !strncmp(names[k], "libggml-base", 12) || !strncmp(names[k], "libggml.", 8)))
                lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL) && !main_part ? NULL : main_part ? dlopen(path, RTLD_NOW) : NULL;
            mem_free(path);
        }
    dir_list_free(names, n);
    for (size_t k = 0; lib && k < ARRAY_LEN(row); k++) {
        void *f = dlsym(lib, row[k].name);
        if (!f)
            return -1;
        memcpy(row[k].to, &f, sizeof f);
    }
    void *load = dlsym(RTLD_DEFAULT, "ggml_backend_load_all_from_path");
    void (*load_all)(const char *folder);
    if (!lib || !load)
        return -1;
    memcpy(&load_all, &load, sizeof load_all);
    l->log(quiet, NULL);
    load_all(folder);
    l->init();
    return 0;
}

/* ---- lines ---- */

struct lines { struct sv text[MAX_TEXTS]; int n_text; struct rng r; };

static void put_cp(struct sb *b, int32_t cp)
{
    char u[4];
    sb_add(b, (struct sv){ u, (size_t)utf8_put(u, cp) });
}

/* A code point of a block that tokenizers have rules about; what is unassigned in Unicode 14 is left out: others' tables differ there. */
static int32_t random_cp(struct rng *r)
{
    static const struct { int32_t lo, hi; } block[] = {
        { 0x20, 0x7e }, { 0x20, 0x7e }, { '0', '9' }, { 0x1, 0x1f }, { 0x7f, 0xa0 }, { 0xa1, 0x17f }, { 0x180, 0x24f }, { 0x300, 0x36f }, { 0x370, 0x3ff },
        { 0x400, 0x52f }, { 0x531, 0x58f }, { 0x5d0, 0x5ea }, { 0x600, 0x6ff }, { 0x900, 0x97f }, { 0xe01, 0xe5b }, { 0x1780, 0x17e9 }, { 0x2000, 0x206f },
        { 0x2070, 0x20bf }, { 0x2150, 0x218b }, { 0x2190, 0x23ff }, { 0x2581, 0x2581 }, { 0x3000, 0x30ff }, { 0x4e00, 0x9fa5 }, { 0xac00, 0xd7a3 },
        { 0xff01, 0xffdc }, { 0x1d400, 0x1d7ff }, { 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x2a6d6 }, { 0, 0x10ffff } };
    for (;;) {
        uint32_t k = rng_below(r, ARRAY_LEN(block));
        int32_t cp = block[k].lo + (int32_t)rng_below(r, (uint32_t)(block[k].hi - block[k].lo + 1));
        if (cp > 0 && (cp < 0xd800 || cp > 0xdfff) && cp != 0x180e && strcmp(utf8_category(cp), "Cn"))
            return cp;
    }
}

static void put_strange(struct sb *b, struct rng *r)
{
    static const char *const piece[] = {
        "'s", "'RE", "'ll", "'", "<|endoftext|>", "<s>", "</s>", "<unk>", "<0x0A>", "<|user|>", "<|assistant|>", "<|end|>", "<|", "|>", "\n\n", "\r\n", "\t", "...",
        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd", "e\xcc\x81", "\xc2\xa0", "\xe3\x80\x80", "\xe2\x96\x81",
        "\xe2\x80\x99s", "1234567", "3.14", "0x1F", "-1", "\xc2\xbd", "\xe0\xa5\xa7\xe0\xa5\xa8", "!!!!", "\xe2\x80\xa6", "://", "</p>", "\xef\xbb\xbf" };
    int times = rng_below(r, 6) ? 1 : 2 + (int)rng_below(r, 20);
    uint32_t kind = rng_below(r, 4);
    int32_t cp = random_cp(r);

    for (; times > 0; times--)
        if (kind == 0)
            sb_addc(b, piece[rng_below(r, ARRAY_LEN(piece))]);
        else if (kind == 1)
            sb_addch(b, rng_below(r, 3) ? ' ' : '\n');
        else
            put_cp(b, kind == 2 ? cp : random_cp(r));
}

/* A piece of a text from a random place, mutated in two cases of three. */
static void make_line(struct lines *l, struct sb *b)
{
    struct rng *r = &l->r;
    struct sv text = l->text[rng_below(r, (uint32_t)l->n_text)];
    size_t i = rng_below(r, (uint32_t)text.n), n = 1 + rng_below(r, rng_below(r, 4) ? 120 : MAX_LINE), end;
    uint32_t rate = rng_below(r, 3) ? 3 + rng_below(r, 40) : 0;

    while (i && ((uint8_t)text.p[i] & 0xc0) == 0x80)
        i--;
    sb_reset(b);
    for (end = i + n < text.n ? i + n : text.n; i < end;) {
        size_t start = i;
        int32_t cp = utf8_next(text, &i);
        uint32_t what = rate && rng_below(r, rate) == 0 ? 1 + rng_below(r, 4) : 0;
        if (cp <= 0 || what == 1)
            continue;
        if (what == 2 || what == 3)
            put_strange(b, r);
        if (what == 4 && cp < 128 && ((cp | 32) >= 'a' && (cp | 32) <= 'z'))
            sb_addch(b, (char)(cp ^ 32));
        else
            sb_add(b, (struct sv){ text.p + start, i - start });
    }
}

/* ---- vocabularies ---- */

static struct tokenizer *load_ollama(const char *folder, ilab_err *e)
{
    char *encoder = path_join(folder, "encoder.json"), *bpe = path_join(folder, "vocab.bpe"), *merges = NULL;
    json_t *vocab = json_read_file(encoder, (size_t)1 << 28, e), *value;
    struct tokenizer *t = NULL;
    const char *key;
    size_t n_bytes = 0, n = json_object_size(vocab), n_merge = 0;

    if (vocab && !file_read(bpe, (size_t)1 << 28, &merges, &n_bytes, e)) {
        struct sv *token = mem_calloc(n, sizeof *token), *merge = mem_calloc(n_bytes, sizeof *merge), rest = { merges, n_bytes }, line;
        json_object_foreach(vocab, key, value)
            token[(size_t)json_integer_value(value) % n] = sv_of(key);
        while (sv_split(&rest, '\n', &line))
            if (line.n && !sv_starts(line, "#version"))
                merge[n_merge++] = line;
        tokenizer_new_bpe(&t, token, NULL, (int)n, merge, (int)n_merge, "llama-bpe", -1, -1, e);
        mem_free(token);
        mem_free(merge);
    }
    json_decref(vocab);
    mem_free(merges);
    mem_free(encoder);
    mem_free(bpe);
    return t;
}

static struct tokenizer *load(const char *path, ilab_err *e)
{
    struct tokenizer *t = NULL;
    struct gguf *g = NULL;

    if (file_exists(path) == 2) {
        char *encoder = path_join(path, "encoder.json");
        if (file_exists(encoder) == 1)
            t = load_ollama(path, e);
        else
            tokenizer_open_hf(&t, path, e);
        mem_free(encoder);
        return t;
    }
    if (!gguf_open(&g, path, e))
        tokenizer_from_gguf(&t, g, e);
    gguf_close(g);
    return t;
}

/* A file that llama.cpp reads: the given one, or one that we write. */
static int as_gguf(const struct tokenizer *t, const char *path, char *out, size_t cap, ilab_err *e)
{
    if (file_exists(path) != 2) {
        snprintf(out, cap, "%s", path);
        return 0;
    }
    struct gguf_writer *w = gguf_writer_new();
    snprintf(out, cap, "/tmp/oracle-tokenizers-%d.gguf", (int)getpid());
    gguf_put_str(w, "general.architecture", SV("llama"));
    int rc = tokenizer_to_gguf(t, w, e);
    if (!rc)
        rc = gguf_write(w, out, e);
    gguf_writer_free(w);
    return rc;
}

static void show(const char *name, const char *who, struct sv line, int special, const int32_t *theirs, size_t n_theirs, const struct ids *ours)
{
    fprintf(stderr, "%s: %s differs, special %d\n  text  ", name, who, special);
    struct sb b;
    sb_init(&b, 1 << 20);
    sb_add_json_str(&b, line);
    fprintf(stderr, "%s\n  theirs", b.p);
    for (size_t i = 0; i < n_theirs; i++)
        fprintf(stderr, " %d", theirs[i]);
    fprintf(stderr, "\n  ours  ");
    for (size_t i = 0; i < ours->n; i++)
        fprintf(stderr, " %d", ours->v[i]);
    fprintf(stderr, "\n");
    sb_release(&b);
}

static long compare_llama(const struct llama *l, const char *path, const struct tokenizer *t, struct lines *lines, long n, double *bytes)
{
    static int32_t id[MAX_IDS];
    char file[512];
    ilab_err e = { 0 };
    struct llama_params p = l->defaults();
    long bad = 0;

    if (as_gguf(t, path, file, sizeof file, &e)) {
        fprintf(stderr, "%s: %s\n", path, e.msg);
        return -1;
    }
    p.bytes[VOCAB_ONLY] = 1;
    void *model = l->load(file, p);
    if (file_exists(path) == 2)
        unlink(file);
    if (!model) {
        fprintf(stderr, "%s: llama.cpp cannot load it\n", path);
        return -1;
    }
    const void *vocab = l->vocab(model);
    struct sb b;
    struct ids ours = { 0 };
    sb_init(&b, 1 << 20);
    for (long k = 0; k < n; k++) {
        make_line(lines, &b);
        *bytes += (double)b.n;
        int special = k & 1, n_id = l->tokenize(vocab, b.p, (int32_t)b.n, id, MAX_IDS, 0, special);
        ours.n = 0;
        tokenizer_encode(t, (struct sv){ b.p, b.n }, special ? TOKEN_PARSE_SPECIAL : 0, &ours, NULL);
        if (n_id >= 0 && (size_t)n_id == ours.n && !memcmp(id, ours.v, ours.n * sizeof *id))
            continue;
        if (bad++ < SHOW)
            show(path, "llama.cpp", (struct sv){ b.p, b.n }, special, id, n_id > 0 ? (size_t)n_id : 0, &ours);
    }
    sb_release(&b);
    ids_release(&ours);
    l->close(model);
    return bad;
}

/* Unigram: sentencepiece adds scores as floats, so which of two equally good segmentations it takes is a matter of rounding. */
static int as_good(const struct tokenizer *t, struct sv want, const struct ids *l)
{
    double sum = 0;
    struct sv word;

    if (t->model != VOCAB_UNIGRAM)
        return 0;
    for (size_t i = 0; i < l->n; i++)
        sum += (double)t->score[l->v[i]];
    while (sv_split(&want, ' ', &word)) {
        int64_t id = 0;
        for (size_t i = 0; i < word.n; i++)
            id = 10 * id + (word.p[i] - '0');
        sum -= id >= 0 && id < t->n ? (double)t->score[id] : 1e9;
    }
    return sum < 1e-3 && sum > -1e-3;
}

/* One batch through spm_encode: it works on lines, so line feeds become spaces. A model that strips spaces also strips a ▁ that the text
 * itself holds at its end, which tokenizer.json and llama.cpp keep, as we do: such ends are left out. */
static long compare_batch(const char *model, const char *path, const struct tokenizer *t, struct lines *lines, long n)
{
    char file[64], option[512], *out = NULL;
    struct sb all, b;
    ilab_err e = { 0 };
    int status = -1;
    long bad = 0;
    struct ids ours = { 0 };

    sb_init(&all, 1 << 28);
    sb_init(&b, 1 << 20);
    for (long k = 0; k < n; k++) {
        make_line(lines, &b);
        for (size_t i = 0; i < b.n; i++)
            b.p[i] = b.p[i] == '\n' || b.p[i] == '\r' ? ' ' : b.p[i];
        while (t->removes_spaces && b.n && (b.p[b.n - 1] == ' ' || sv_ends((struct sv){ b.p, b.n }, MARK)))
            b.n -= b.p[b.n - 1] == ' ' ? 1 : sizeof MARK - 1;
        sb_add(&all, (struct sv){ b.p, b.n });
        sb_addch(&all, '\n');
    }
    snprintf(file, sizeof file, "/tmp/oracle-tokenizers-%d.txt", (int)getpid());
    snprintf(option, sizeof option, "--model=%s", model);
    const char *const argv[] = { "spm_encode", option, "--output_format=id", file, NULL };
    if (file_write(file, all.p, all.n, &e) || child_run(argv, NULL, (size_t)1 << 30, &out, NULL, NULL, &status, &e) || status) {
        fprintf(stderr, "spm_encode does not run: %s\n", e.msg);
        bad = -1;
    }
    unlink(file);
    struct sv rest = { all.p, all.n }, theirs = sv_of(out ? out : ""), line, want;
    while (bad >= 0 && sv_split(&rest, '\n', &line) && sv_split(&theirs, '\n', &want)) {
        ours.n = 0;
        tokenizer_encode(t, line, 0, &ours, NULL);
        sb_reset(&b);
        for (size_t i = 0; i < ours.n; i++)
            sb_addf(&b, i ? " %d" : "%d", ours.v[i]);
        if (!sv_eq((struct sv){ b.p, b.n }, want) && !as_good(t, want, &ours) && bad++ < SHOW) {
            show(path, "spm_encode", line, 0, NULL, 0, &ours);
            fprintf(stderr, "  want   %.*s\n", SV_ARG(want));
        }
    }
    mem_free(out);
    sb_release(&all);
    sb_release(&b);
    ids_release(&ours);
    return bad;
}

static long compare_spm(const char *model, const char *path, const struct tokenizer *t, struct lines *lines, long n)
{
    long bad = 0, one = 0;

    for (; n > 0 && one >= 0; n -= BATCH) {
        one = compare_batch(model, path, t, lines, n < BATCH ? n : BATCH);
        bad = one < 0 ? -1 : bad + one;
    }
    return bad;
}

/* A name that does not change from run to run. */
static const char *short_name(const char *path)
{
    const char *name = path_base(path);

    return strncmp(path, "/tmp/", 5) ? path : name;
}

int main(int argc, char **argv)
{
    struct lines lines = { 0 };
    struct llama llama = { 0 };
    const char *spm = NULL;
    int64_t n = 1000, seed = 1;
    int failed = 0, have_llama = 0;
    ilab_err e = { 0 };

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "-n") || !strcmp(argv[i], "-seed")) {
            if (parse_i64(value, 1, INT64_MAX, argv[i][1] == 'n' ? &n : &seed))
                return 2;
            i++;
        } else if (!strcmp(argv[i], "-text")) {
            char *p;
            size_t bytes;
            i++;
            if (lines.n_text < MAX_TEXTS && !file_read(value, (size_t)1 << 30, &p, &bytes, &e) && bytes > 1000)
                lines.text[lines.n_text++] = (struct sv){ p, bytes };
        } else if (!strcmp(argv[i], "-llama")) {
            i++;
            have_llama = !llama_open(&llama, value);
            if (!have_llama)
                fprintf(stderr, "no llama.cpp in '%s'\n", value);
        } else if (!strcmp(argv[i], "-spm")) {
            i++;
            spm = *value ? value : NULL;
        } else {
            struct tokenizer *t = load(argv[i], &e);
            if (!t || !lines.n_text) {
                fprintf(stderr, "%s: %s\n", argv[i], t ? "no -text was given" : e.msg);
                return 2;
            }
            for (int who = 0; who < 2; who++) {
                if (who ? !spm : !have_llama)
                    continue;
                if (!who && t->model == VOCAB_SPM && t->byte_id[0] < 0) {
                    printf("skip %s: llama.cpp does not survive unknown characters without byte tokens\n", short_name(argv[i]));
                    continue;
                }
                double bytes = 0, start = now_seconds();
                rng_seed(&lines.r, (uint64_t)seed);
                long bad = who ? compare_spm(spm, argv[i], t, &lines, (long)n) : compare_llama(&llama, argv[i], t, &lines, (long)n, &bytes);
                printf("%s %s: %lld lines like %s, %ld differ (%.0f s)\n", bad ? "not ok" : "ok", short_name(argv[i]), (long long)n, who ? "spm_encode" : "llama.cpp", bad,
                       now_seconds() - start);
                fflush(stdout);
                failed |= bad != 0;
            }
            tokenizer_free(t);
        }
    }
    for (int k = 0; k < lines.n_text; k++)
        mem_free((char *)lines.text[k].p);
    return failed;
}
