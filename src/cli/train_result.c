/* train_result.c — what `ilab train` does with a finished run: the merged model, what rounding cost, answers before and after,
 * the manifest, and what to do next.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/train_result.h"
#include "cli/messages.h"
#include "infer/infer.h"
#include "lm/lm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MEASURED_TOKENS = 4096, MAX_TEST = 200 };
static const double ANSWER_BYTES_A_SECOND = 2e10 /* of weights, read for each token of an answer */, WORTH_MEASURING = 5e11, SMALL_FLOPS = 1e11, SHARE_OF_PEAK = 0.75;

int terminal_is_utf8(void)
{
    static const char *const VARIABLE[] = { "LC_ALL", "LC_CTYPE", "LANG" };
    for (size_t i = 0; i < ARRAY_LEN(VARIABLE); i++) {
        const char *v = getenv(VARIABLE[i]);
        if (v && *v) return strstr(v, "UTF-8") || strstr(v, "utf8") || strstr(v, "UTF8") || strstr(v, "utf-8");
    }
    return 0;
}

/* The seed questions as the base and the taught model answer them. */
static int before_after(const struct train_result *o, json_t **answers, ilab_err *e)
{
    enum { MAX_TOKENS = 48 };
    struct engine *en[2] = { NULL, NULL };
    struct lm *lm[2] = { NULL, NULL };
    json_t *rows = json_array();
    char *text = NULL;
    size_t n_text = 0;
    *answers = json_array();
    int rc = file_read(o->test, (size_t)64 << 20, &text, &n_text, e);
    struct sv rest = { text, n_text }, line;
    while (!rc && sv_split(&rest, '\n', &line) && json_array_size(rows) < MAX_TEST) {
        json_t *v = line.n ? json_parse(line, o->test, NULL) : NULL;
        if (v) json_array_append_new(rows, v);
    }
    for (int i = 0; !rc && i < 2; i++) {
        rc = engine_wrap(&en[i], o->g, o->m, o->t, i ? o->ad : NULL, e);
        if (!rc) rc = lm_local_new(&lm[i], en[i], 0, e);
    }
    printf("\n");
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *user = json_str(row, "user"), *system = json_str(row, "system"), *want = json_str(row, "assistant");
        struct lm_message msg[2] = { { "system", sv_of(system ? system : "") }, { "user", sv_of(user ? user : "") } };
        const int skip = !system || !*system;
        const struct lm_request q = { .message = msg + skip, .n_message = 2 - skip, .max_tokens = MAX_TOKENS, .top_p = 1 };
        struct lm_result r[2] = { { 0 }, { 0 } };
        for (int k = 0; !rc && k < 2; k++) rc = lm_complete(lm[k], &q, 1, &r[k], e);
        if (!rc)
            printf("===\ntest %zu\n===\nuser:               %s\nassistant_old:      %s\nassistant_new:      %s\nassistant_expected: %s\n\n", i, user ? user : "", r[0].text, r[1].text, want ? want : "");
        if (!rc)
            json_array_append_new(*answers, json_pack("{s:s,s:s,s:s,s:s}", "user", user ? user : "", "before", r[0].text, "after", r[1].text, "expected", want ? want : ""));
        for (int k = 0; k < 2; k++) lm_result_release(&r[k]);
        if (rc) break;
    }
    for (int k = 0; k < 2; k++) {
        lm_close(lm[k]);
        engine_free(en[k]);
    }
    json_decref(rows);
    mem_free(text);
    return rc;
}

/* A base that is a directory has no tokenizer keys to copy. */
static void put_tokenizer(void *t, struct gguf_writer *w) { tokenizer_to_gguf(t, w, NULL); }

static const char *merged_type(const struct train_result *o) { return mix_name(o->mix); }
static int is_rounded(const struct train_result *o) { return qtype_info(mix_base_type(o->mix))->elems > 1; }

static int merge(const struct train_result *o, ilab_err *e)
{
    const char *slash = strrchr(o->save, '/');
    char *dir = mem_strndup(o->save, slash ? (size_t)(slash - o->save) : 0);
    int rc = dir && *dir ? dir_make(dir, e) : 0;
    mem_free(dir);
    if (!rc && !o->json) log_info("writing the merged model (%s) to '%s'", merged_type(o), o->save);
    return rc ? rc : model_write_mix(o->m, o->ad, o->mix, gemm_pool(o->g), o->save, o->m->gguf && !gguf_is_file(o->m->gguf) ? put_tokenizer : NULL, o->t, e);
}

/* Loss on the same samples with the exact sum of base and adapter, and with the rounded file. */
static int rounding_loss(const struct train_result *o, double loss[2], ilab_err *e)
{
    const struct dataset *d = o->val->n ? o->val : o->d;
    const struct qtype_info *q = qtype_info(mix_base_type(o->mix));
    struct model *merged = NULL;
    const size_t memory = o->report->tokens_per_s > 0 ? o->report->peak_rss_bytes : 0; /* no more than the run took, if there was one */
    int rc = train_mean_loss(o->g, o->m, o->ad, d, MEASURED_TOKENS, memory, &loss[0], e);
    model_let_go(o->m);
    if (!rc) rc = model_open(&merged, o->save, 0, o->g, e);
    if (!rc) rc = train_mean_loss(o->g, merged, NULL, d, MEASURED_TOKENS, memory, &loss[1], e);
    model_free(merged);
    if (rc) return rc;
    const double change = loss[0] > 0 ? 100 * (loss[1] / loss[0] - 1) : 0;
    const char *what = o->val->n ? "the test questions" : "the training data (there are no test questions)";
    if (q->bytes * 8 < q->elems * 6)
        log_warn("merging into %s rounds away a part of what was learnt: loss on %s %.4f -> %.4f (%+.1f %%); F16 or Q8_0 keep more, and the adapter beside the base keeps all",
                 merged_type(o), what, loss[0], loss[1], change);
    else log_info("rounding to %s: loss on %s %.4f -> %.4f (%+.1f %%)", merged_type(o), what, loss[0], loss[1], change);
    return 0;
}

static int complete_manifest(const struct train_result *o, const double loss[2], json_t *answers, ilab_err *e)
{
    int rc = train_manifest_put(o->out, "files", json_pack("{s:s,s:s,s:s*}", "base", o->base, "data", o->data, "test", o->test), e);
    if (!rc && o->save) {
        json_t *v = json_pack("{s:s,s:s,s:I}", "path", o->save, "type", merged_type(o), "bytes", (json_int_t)file_size(o->save));
        if (is_rounded(o)) json_object_set_new(v, "loss", json_pack("{s:f,s:f}", "exact", loss[0], "rounded", loss[1]));
        rc = train_manifest_put(o->out, "merged", v, e);
    }
    if (!rc && answers) rc = train_manifest_put(o->out, "answers", json_incref(answers), e);
    return rc;
}

static void show_curve(const struct train_result *o)
{
    struct winsize size = { 0 };
    struct train_curve c;
    struct sb b;
    if (!isatty(STDOUT_FILENO) || o->report->steps < 2 || train_curve_read(&c, o->out, NULL)) return;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    sb_init(&b, 1 << 20);
    train_curve_text(&c, &b, size.ws_col > 20 && size.ws_col < 90 ? size.ws_col : 80, 12, terminal_is_utf8());
    if (b.p && !b.failed) printf("\n%s\n", b.p);
    sb_release(&b);
    train_curve_release(&c);
}

static void show_end(const struct train_result *o, const char *adapter)
{
    const struct train_report *r = o->report;
    char time[32];
    format_duration(time, sizeof time, r->seconds);
    if (r->tokens_per_s > 0) printf(tr("Trained %lld steps in %s (%.0f tokens/s)"), (long long)r->steps, time, r->tokens_per_s);
    else printf(tr("This run was complete already: %lld steps in %s"), (long long)r->steps, time); /* no step was left */
    printf(tr("; loss %.3f -> %.3f"), r->first_loss, r->last_loss);
    if (o->val->n) printf(tr("; on the test questions %.3f -> %.3f"), r->val_first, r->val_loss);
    printf("\n");
    if (!o->quiet) show_curve(o);
    if (o->ad) printf(tr("Adapter: %s  (use it with --adapter)\n"), adapter);
    if (o->save) printf(tr("Save trained model to %s\n"), o->save);
    printf(tr("\nWhat to do next:\n"));
    if (o->save)
        printf(tr("  ilab chat --model %s                 ask it\n  ilab serve --model-path %s           let other programs ask it\n"), o->save, o->save);
    else
        printf(tr("  ilab chat --model %s --adapter %s    ask it\n"), o->base, adapter);
    printf(tr("  ilab model evaluate --benchmark quiz --model %s%s%s --input-questions FILE   count right answers\n"), o->save ? o->save : o->base, o->save ? "" : " --adapter ", o->save ? "" : adapter);
    printf(tr("  ilab model plot %s                   the curves (also %s/loss.svg)\n"), o->out, o->out);
    if (r->val_first > 0 && r->val_loss > r->val_first)
        printf(tr("The loss on the test questions rose: try fewer --num-epochs or a lower --learning-rate.\n"));
}

static void add_number(struct sb *b, const char *key, double v) /* JSON has no NaN: a loss that was not measured is null */
{
    sb_addf(b, "\"%s\": ", key);
    if (isfinite(v)) sb_addf(b, "%.10g, ", v);
    else sb_addc(b, "null, ");
}

void train_report_json(const struct train_report *r, const char *adapter, const char *merged, double seconds_total)
{
    struct sb b;
    sb_init(&b, 1 << 20);
    sb_addc(&b, "{");
    add_number(&b, "steps", (double)r->steps);
    add_number(&b, "tokens", (double)r->tokens);
    add_number(&b, "first_loss", r->first_loss);
    add_number(&b, "last_loss", r->last_loss);
    add_number(&b, "val_first", r->val_first > 0 ? r->val_first : NAN); /* NAN: no test questions */
    add_number(&b, "val_loss", r->val_first > 0 ? r->val_loss : NAN);
    add_number(&b, "seconds", r->seconds);
    add_number(&b, "seconds_total", seconds_total);
    add_number(&b, "tokens_per_s", r->tokens_per_s);
    add_number(&b, "gflops", r->gflops);
    add_number(&b, "peak_rss_bytes", (double)r->peak_rss_bytes);
    sb_addc(&b, "\"adapter\": ");
    sb_add_json_str(&b, sv_of(adapter ? adapter : ""));
    sb_addc(&b, ", \"merged\": ");
    sb_add_json_str(&b, sv_of(merged ? merged : ""));
    printf("%s}\n", b.p);
    sb_release(&b);
}

/* The work of train_result, for the time that is left. */
void train_result_work(const struct train_result *o, int rank, struct train_opts *out)
{
    const struct dataset *d = o->val->n ? o->val : o->d;
    struct machine_limits limits;
    double forward = 0, bytes = 0;
    if (o->save) out->after.seconds = train_merge_seconds(o->m, o->mix, o->g, rank, &out->after.bytes);
    out->after.measures = o->save && is_rounded(o);
    if (out->after.measures) forward += 2 * train_forward_work(o->m, d, MEASURED_TOKENS);
    if (!o->quiet && !o->json && o->test && o->val->n && rank) {
        /* Both models read the questions, and say about as much as is expected. */
        const double share = o->val->n < MAX_TEST ? 1 : (double)MAX_TEST / (double)o->val->n;
        forward += 2 * share * train_forward_work(o->m, o->val, INT64_MAX);
        bytes = 2 * share * (double)o->val->n_targets * (double)gguf_file_bytes(o->m->gguf);
    }
    const int small = forward < WORTH_MEASURING || limits_measure(gemm_kern(o->g), gemm_pool(o->g), &limits);
    out->after.seconds += forward / (small ? SMALL_FLOPS : SHARE_OF_PEAK * 1e9 * limits.fp32_gflops) + bytes / ANSWER_BYTES_A_SECOND;
}

int train_result(const struct train_result *o, ilab_err *e)
{
    double loss[2] = { 0 };
    json_t *answers = NULL;
    char *adapter = path_join(o->out, "adapter.gguf");
    int rc = adapter ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && o->save) rc = merge(o, e);
    if (!rc && o->save && is_rounded(o)) rc = rounding_loss(o, loss, e);
    if (!rc && !o->quiet && !o->json && o->test && o->ad) rc = before_after(o, &answers, e);
    if (!rc) rc = complete_manifest(o, loss, answers, e);
    const size_t peak = mem_peak_rss();
    o->report->peak_rss_bytes = peak > o->report->peak_rss_bytes ? peak : o->report->peak_rss_bytes;
    if (!rc && o->json) train_report_json(o->report, o->ad ? adapter : NULL, o->save, now_seconds() - o->begin);
    else if (!rc) show_end(o, adapter);
    json_decref(answers);
    mem_free(adapter);
    return rc;
}
