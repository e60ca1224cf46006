/* bench_tokenizer.c — encoding speed on one core.
 *
 *   bench_tokenizer -text FILE VOCABULARY.gguf|FOLDER…
 *
 * A vocabulary is a GGUF file or a Hugging Face folder. For each: MB/s of CPU time of the first pass over the text (empty word cache), the best of
 * five further passes, and seconds for inputs that quadratic algorithms choke on, 1 MB each.  SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"

#include <string.h>
#include <time.h>

/* CPU time, so that other work on the machine does not count. */
static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double encode_seconds(const struct tokenizer *t, struct sv text, size_t *n_id)
{
    struct ids l = { 0 };
    ilab_err e = { 0 };
    double start = cpu_seconds();

    if (tokenizer_encode(t, text, 0, &l, &e))
        fprintf(stderr, "%s\n", e.msg);
    *n_id = l.n;
    ids_release(&l);
    return cpu_seconds() - start;
}

static struct tokenizer *load(const char *path, ilab_err *e)
{
    struct tokenizer *t = NULL;
    struct gguf *g = NULL;

    if (file_exists(path) == 2) {
        tokenizer_open_hf(&t, path, e);
        return t;
    }
    if (!gguf_open(&g, path, e))
        tokenizer_from_gguf(&t, g, e);
    gguf_close(g);
    return t;
}

static void bench_hard(const struct tokenizer *t)
{
    enum { N = 1000000 };
    static const char *const unit[] = { "a", " ", "\n", "1", "ab", " a", "\xe4\xb8\xad", "!", "'", "A" };
    struct sb b;
    size_t n_id;

    sb_init(&b, 2 * N);
    printf("  1 MB of");
    for (size_t k = 0; k < ARRAY_LEN(unit); k++) {
        sb_reset(&b);
        while (b.n < N)
            sb_addc(&b, unit[k]);
        printf(" '%s' %.2f s,", unit[k][0] == '\n' ? "\\n" : unit[k], encode_seconds(t, (struct sv){ b.p, b.n }, &n_id));
        fflush(stdout);
    }
    printf("\n");
    sb_release(&b);
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t n = 0, n_id = 0;
    ilab_err e = { 0 };

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-text") && i + 1 < argc) {
            mem_free(text);
            if (file_read(argv[++i], (size_t)1 << 30, &text, &n, &e)) {
                fprintf(stderr, "%s\n", e.msg);
                return 2;
            }
            continue;
        }
        double opened = now_seconds(), best = 1e9;
        struct tokenizer *t = load(argv[i], &e);
        if (!t || !n) {
            fprintf(stderr, "%s: %s\n", argv[i], t ? "-text FILE comes first" : e.msg);
            return 2;
        }
        opened = now_seconds() - opened;
        double first = encode_seconds(t, (struct sv){ text, n }, &n_id);
        for (int k = 0; k < 5; k++) {
            double s = encode_seconds(t, (struct sv){ text, n }, &n_id);
            best = s < best ? s : best;
        }
        double mb = (double)n * 1e-6;
        printf("%s: %d tokens, opened in %.2f s; first pass %.1f MB/s, then %.1f MB/s; %.2f bytes a token\n", path_base(argv[i]), tokenizer_size(t), opened,
               mb / first, mb / best, (double)n / (double)n_id);
        bench_hard(t);
        tokenizer_free(t);
    }
    mem_free(text);
    return 0;
}
