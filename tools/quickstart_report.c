/* quickstart_report.c — from the JSON files of a quickstart to its table, quickstart-report.json and the verdict.
 *
 *   quickstart_report DIR OUT.json
 *
 * DIR holds eval-base.json, eval-taught-N.json, eval-control-N.json (ilab model evaluate -o), loss-*.json (model perplexity
 * --json) and seconds.txt ("name seconds" lines), rss.txt, files.txt ("bytes path"). Exit code 1 when a floor is missed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 3, MAX_FILE = 64 << 20 };
struct figures { int n; double recall, ordinary, reserved, unknown_name, unknown_attribute, abstention, retention, false_refusals, loss; };

static double share(const json_t *report, const char *kind) { return json_num(json_object_get(report, kind), "share", 0); }

static json_t *load(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    json_t *v = path && file_exists(path) ? json_read_file(path, MAX_FILE, NULL) : NULL;
    mem_free(path);
    return v;
}

/* Mean over the seeds that were run. */
static struct figures read_figures(const char *dir, const char *who)
{
    struct figures f = { 0 };
    char name[64];
    for (int s = 0; s <= SEEDS; s++) {
        if (s) snprintf(name, sizeof name, "eval-%s-%d.json", who, s);
        else snprintf(name, sizeof name, "eval-%s.json", who);
        json_t *v = load(dir, name);
        if (!v) continue;
        f.n++;
        f.recall += share(v, "recall");
        f.ordinary += share(v, "ordinary");
        f.reserved += share(v, "reserved");
        f.abstention += share(v, "unknown");
        f.unknown_name += share(v, "unknown_name");
        f.unknown_attribute += share(v, "unknown_attribute");
        f.retention += share(v, "retention");
        f.false_refusals += json_num(v, "false_refusals", 0);
        json_decref(v);
        memcpy(name, "loss", 4);
        v = load(dir, name);
        f.loss += json_num(v, "nll_mean", 0);
        json_decref(v);
    }
    double *x[] = { &f.recall, &f.ordinary, &f.reserved, &f.unknown_name, &f.unknown_attribute, &f.abstention, &f.retention, &f.false_refusals, &f.loss };
    for (size_t i = 0; f.n && i < ARRAY_LEN(x); i++) *x[i] /= f.n;
    return f;
}

static json_t *figures_json(const struct figures *f)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:i}", "recall", f->recall, "recall_ordinary", f->ordinary, "recall_reserved", f->reserved,
                     "abstention", f->abstention, "abstention_unknown_name", f->unknown_name, "abstention_unknown_attribute", f->unknown_attribute,
                     "retention", f->retention, "false_refusals", f->false_refusals, "loss", f->loss, "seeds", f->n);
}

/* Reads "name number" lines into an object. */
static json_t *pairs(const char *dir, const char *file)
{
    char *path = path_join(dir, file), *text = NULL;
    size_t n = 0;
    json_t *o = json_object();
    if (path && !file_read(path, MAX_FILE, &text, &n, NULL)) {
        struct sv rest = { text, n }, line;
        while (sv_split(&rest, '\n', &line)) {
            const char *space = memchr(line.p, ' ', line.n);
            char key[512];
            if (!space) continue;
            snprintf(key, sizeof key, "%.*s", (int)(space - line.p), line.p);
            json_object_set_new(o, key, json_real(strtod(space + 1, NULL)));
        }
    }
    mem_free(text);
    mem_free(path);
    return o;
}

struct floor { const char *what; double value; int at_least; double limit; };

static int verdict(const struct figures *b, const struct figures *t, const struct figures *c, double loop, double total)
{
    const struct floor FLOOR[] = {
        { "recall before", b->recall, 0, 0.05 },
        { "recall after, ordinary wordings", t->ordinary, 1, 0.90 },
        { "recall after, reserved wordings", t->reserved, 1, 0.75 },
        { "abstention on unknown names", t->unknown_name, 1, 0.90 },
        { "abstention on unknown attributes", t->unknown_attribute, 1, 0.70 },
        { "false refusals", t->false_refusals, 0, 0.05 },
        { "retention lost", b->retention - t->retention, 0, 0.02 },
        { "control: right answers", c->recall, 0, 0.10 },
        { "seconds of the loop", loop, 0, 300 },
        { "seconds in all", total, 0, 720 },
    };
    int missed = 0;
    printf("\n  %-36s %10s   floor\n", "", "measured");
    for (size_t i = 0; i < ARRAY_LEN(FLOOR); i++) {
        const struct floor *f = &FLOOR[i];
        const int ok = f->at_least ? f->value >= f->limit : f->value <= f->limit;
        const int seconds = f->limit > 1;
        missed += !ok;
        printf("  %-36s %9.1f%s   %s %.0f%s  %s\n", f->what, seconds ? f->value : 100 * f->value, seconds ? "s" : "%", f->at_least ? ">=" : "<=",
               seconds ? f->limit : 100 * f->limit, seconds ? "s" : "%", ok ? "ok" : "MISSED");
    }
    return missed;
}

static void row(const char *name, const struct figures *f)
{
    printf("  %-18s %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.4f\n", name, 100 * f->ordinary, 100 * f->reserved, 100 * f->unknown_name,
           100 * f->unknown_attribute, 100 * f->retention, 100 * f->false_refusals, f->loss);
}

int main(int argc, char **argv)
{
    ilab_err e = { 0 };
    if (argc != 3) {
        fprintf(stderr, "usage: quickstart_report DIR OUT.json\n");
        return 2;
    }
    const struct figures base = read_figures(argv[1], "base"), taught = read_figures(argv[1], "taught"), control = read_figures(argv[1], "control");
    if (!base.n || !taught.n) {
        fprintf(stderr, "quickstart_report: '%s' holds no results\n", argv[1]);
        return 1;
    }
    json_t *seconds = pairs(argv[1], "seconds.txt"), *rss = pairs(argv[1], "rss.txt"), *files = pairs(argv[1], "files.txt");
    double peak = 0;
    const char *key;
    json_t *v;
    json_object_foreach(rss, key, v) peak = json_real_value(v) > peak ? json_real_value(v) : peak;
    printf("\n  %-18s %19s %19s %9s %9s %9s\n  %-18s %9s %9s %9s %9s %9s %9s %9s\n", "", "recall %", "don't know %", "", "false", "", "", "ordinary", "reserved", "names",
           "attribs", "retained", "refusals", "loss");
    row("before", &base);
    row("taught", &taught);
    if (control.n) row("control", &control);
    const int missed = verdict(&base, &taught, &control, json_num(seconds, "loop", 0), json_num(seconds, "total", 0));
    json_t *report = json_pack("{s:o,s:o,s:o,s:o,s:f,s:o,s:s,s:i}", "base", figures_json(&base), "taught", figures_json(&taught), "control", figures_json(&control),
                               "seconds", seconds, "peak_rss_bytes", peak, "files", files, "version", ILAB_VERSION, "floors_missed", missed);
    struct sb b;
    sb_init(&b, MAX_FILE);
    sb_add_json_py(&b, report, 2);
    sb_addch(&b, '\n');
    if (file_write(argv[2], b.p ? b.p : "", b.n, &e)) {
        fprintf(stderr, "quickstart_report: %s\n", e.msg);
        return 1;
    }
    printf("\nReport: %s\n", argv[2]);
    sb_release(&b);
    json_decref(report);
    json_decref(rss);
    return missed ? 1 : 0;
}
