/* run_plot.c — the curves of a run, read back from metrics.jsonl: as SVG and as text for a terminal.
 *
 * Every step counts: with more steps than columns, a column shows their mean (the light line of the SVG the single values).
 * No script, no font and no picture from elsewhere is in the SVG.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include "text/text.h"

#include <math.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 16, MAX_DRAWN = 1200, MAX_TICKS = 8 };
#define METRICS_MAX_BYTES ((size_t)4 << 30)

static int push(struct train_curve *c, json_t *v, const char *key, int *is_step) {
    const json_t *x = json_object_get(v, key);
    *is_step = json_is_number(x);
    if (!*is_step)
        return 0;
    if (mem_grow((void **)&c->v, &c->cap, c->n + 1, sizeof *c->v))
        return ILAB_E_NOMEM;
    c->v[c->n++] = (struct train_point){ json_num(v, "step", 0), json_number_value(x), json_num(v, "lr", 0) };
    return 0;
}

int train_curve_read(struct train_curve *c, const char *run_dir, ilab_err *e) {
    struct file_map map;
    char *path = path_join(run_dir, "metrics.jsonl");
    *c = (struct train_curve){ 0 };
    if (!path)
        return err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (file_exists(path) != 1) {
        int rc = err_set(e, ILAB_E_NOTFOUND, "there is no '%s': name the folder of a training run, as `ilab train --ckpt-output-dir` had it", path);
        mem_free(path);
        return rc;
    }
    int rc = file_map_open(&map, path, e), is_open = !rc;
    struct sv rest = { NULL, 0 }, line;
    if (!rc && map.n > METRICS_MAX_BYTES)
        rc = err_set(e, ILAB_E_LIMIT, "'%s' is too large", path);
    else if (!rc)
        rest = (struct sv){ (const char *)map.p, map.n };
    for (int64_t n = 1; !rc && sv_split(&rest, '\n', &line); n++) {
        if (!line.n)
            continue;
        ilab_err why = { 0 };
        json_t *v = line.n <= LINE_MAX_BYTES ? json_parse(line, path, &why) : NULL;
        int is_step = 0, is_val = 0;
        if (!json_is_object(v)) {
            if (rest.n)                                        /* the last line may be one that a kill cut off */
                rc = err_set(e, ILAB_E_FORMAT, "%s:%lld: no metrics", path, (long long)n);
        } else if (push(c, v, "loss", &is_step)) {
            rc = err_set(e, ILAB_E_NOMEM, "no memory for '%s'", path);
        } else if (!is_step) {
            const json_t *x = json_object_get(v, "val_loss");
            is_val = json_is_number(x);
            if (is_val && mem_grow((void **)&c->val, &c->cap_val, c->n_val + 1, sizeof *c->val))
                rc = err_set(e, ILAB_E_NOMEM, "no memory for '%s'", path);
            else if (is_val)
                c->val[c->n_val++] = (struct train_point){ json_num(v, "step", 0), json_number_value(x), 0 };
        }
        json_decref(v);
    }
    if (is_open)
        file_map_close(&map);
    if (!rc && !c->n)
        rc = err_set(e, ILAB_E_NOTFOUND, "'%s' holds no step yet", path);
    mem_free(path);
    if (rc)
        train_curve_release(c);
    return rc;
}

void train_curve_release(struct train_curve *c) {
    mem_free(c->v);
    mem_free(c->val);
    *c = (struct train_curve){ 0 };
}

/* ---- scales ---- */

struct scale { double lo, hi, tick; };

/* A range with round ends and a tick of 1, 2 or 5 times a power of ten. */
static struct scale scale_for(double lo, double hi, int n_ticks) {
    if (!(hi > lo))
        hi = lo + (fabs(lo) > 0 ? fabs(lo) * 0.1 : 1);
    double raw = (hi - lo) / n_ticks, power = pow(10, floor(log10(raw))), f = raw / power;
    struct scale s = { .tick = power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10) };
    s.lo = floor(lo / s.tick + 1e-9) * s.tick;
    s.hi = ceil(hi / s.tick - 1e-9) * s.tick;
    return s;
}

static void loss_range(const struct train_curve *c, double *lo, double *hi) {
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t i = 0; i < c->n; i++) {
        *lo = fmin(*lo, c->v[i].y);
        *hi = fmax(*hi, c->v[i].y);
    }
    for (size_t i = 0; i < c->n_val; i++) {
        *lo = fmin(*lo, c->val[i].y);
        *hi = fmax(*hi, c->val[i].y);
    }
    if (*lo > 0 && *lo < *hi * 0.5)
        *lo = 0;
}

/* Means of at most n equal parts of the steps; returns their number. lr: the learning rate instead of the loss. */
static int means(const struct train_curve *c, int n, int lr, struct train_point *out) {
    size_t parts = c->n < (size_t)n ? c->n : (size_t)n;
    for (size_t i = 0; i < parts; i++) {
        size_t from = i * c->n / parts, to = (i + 1) * c->n / parts;
        double x = 0, y = 0;
        for (size_t k = from; k < to; k++) {
            x += c->v[k].step;
            y += lr ? c->v[k].lr : c->v[k].y;
        }
        out[i] = (struct train_point){ x / (double)(to - from), y / (double)(to - from), 0 };
    }
    return (int)parts;
}

/* ---- SVG ---- */

struct panel { double x, y, w, h; struct scale sx, sy; };
static double px(const struct panel *p, double x) { return p->x + (x - p->sx.lo) / (p->sx.hi - p->sx.lo) * p->w; }
static double py(const struct panel *p, double y) { return p->y + p->h - (y - p->sy.lo) / (p->sy.hi - p->sy.lo) * p->h; }

static void axes(struct sb *b, const struct panel *p, const char *title) {
    sb_addf(b, "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n", p->x, p->y - 10, title);
    for (double y = p->sy.lo; y <= p->sy.hi + p->sy.tick * 0.01; y += p->sy.tick)
        sb_addf(b, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", p->x, py(p, y), p->w,
                p->x - 8, py(p, y) + 4, fabs(y) < p->sy.tick * 1e-6 ? 0.0 : y);
    for (double x = p->sx.lo; x <= p->sx.hi + p->sx.tick * 0.01; x += p->sx.tick)
        sb_addf(b, "<path d=\"M%.1f %.1fv%.1f\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", px(p, x), p->y, p->h,
                px(p, x), p->y + p->h + 16, x);
}

static void polyline(struct sb *b, const struct panel *p, const struct train_point *v, int n, const char *style) {
    sb_addc(b, "<polyline fill=\"none\" ");
    sb_addf(b, "%s points=\"", style);
    for (int i = 0; i < n; i++)
        sb_addf(b, "%s%.1f,%.1f", i ? " " : "", px(p, v[i].step), py(p, v[i].y));
    sb_addc(b, "\"/>\n");
}

int train_curve_svg(const struct train_curve *c, const char *path, const char *title, ilab_err *e) {
    struct train_point *v = mem_alloc(MAX_DRAWN * sizeof *v);
    struct panel loss = { .x = 70, .y = 60, .w = 800, .h = 300 }, lr = { .x = 70, .y = 420, .w = 800, .h = 110 };
    struct sb b;
    double lo, hi, top = 0;
    if (!v)
        return err_set(e, ILAB_E_NOMEM, "no memory for '%s'", path);
    loss_range(c, &lo, &hi);
    for (size_t i = 0; i < c->n; i++)
        top = fmax(top, c->v[i].lr);
    loss.sx = lr.sx = scale_for(0, c->v[c->n - 1].step, MAX_TICKS);
    lr.sx.hi = loss.sx.hi = fmax(c->v[c->n - 1].step, 1);
    loss.sy = scale_for(lo, hi, 6);
    lr.sy = scale_for(0, top, 3);
    sb_init(&b, 4 << 20);
    sb_addc(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 570\" width=\"900\" height=\"570\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n"
                "<rect width=\"900\" height=\"570\" fill=\"#fff\"/>\n<title>");
    for (const char *s = title; *s; s++)
        if (*s == '<' || *s == '&' || *s == '>')
            sb_addf(&b, "&#%d;", *s);
        else
            sb_addch(&b, *s);
    sb_addc(&b, "</title>\n");
    sb_addf(&b, "<text x=\"70\" y=\"26\" font-size=\"15\">Training: %zu steps, loss %.3f to %.3f%s</text>\n", c->n, c->v[0].y, c->v[c->n - 1].y,
            c->n_val ? " (circles: validation)" : "");
    axes(&b, &loss, "loss");
    axes(&b, &lr, "learning rate");
    int n = means(c, MAX_DRAWN, 0, v);
    polyline(&b, &loss, v, n, "stroke=\"#9ec5e8\" stroke-width=\"1\"");
    if (n > 60)
        polyline(&b, &loss, v, means(c, 60, 0, v), "stroke=\"#1f5fa8\" stroke-width=\"2\"");
    for (size_t i = 0, skip = c->n_val / MAX_DRAWN + 1; i < c->n_val; i += skip)
        sb_addf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"none\" stroke=\"#c0392b\" stroke-width=\"2\"/>\n", px(&loss, c->val[i].step), py(&loss, c->val[i].y));
    polyline(&b, &lr, v, means(c, MAX_DRAWN, 1, v), "stroke=\"#2e7d32\" stroke-width=\"2\"");
    sb_addc(&b, "<text x=\"470\" y=\"562\" text-anchor=\"middle\">step</text>\n</svg>\n");
    mem_free(v);
    int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory for '%s'", path) : file_write(path, b.p, b.n, e);
    sb_release(&b);
    return rc;
}

/* ---- terminal ---- */

/* UTF-8 of a braille cell: bit i of dots is dot i + 1. */
static void add_braille(struct sb *b, unsigned dots) {
    unsigned u = 0x2800 + dots;
    sb_addch(b, (char)(0xe0 | u >> 12));
    sb_addch(b, (char)(0x80 | (u >> 6 & 63)));
    sb_addch(b, (char)(0x80 | (u & 63)));
}

void train_curve_text(const struct train_curve *c, struct sb *out, int width, int height, int unicode) {
    enum { LABEL = 8, MAX_W = 200, MAX_H = 60 };
    static const uint8_t DOT[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    static uint8_t const EMPTY[MAX_H][MAX_W];
    uint8_t cell[MAX_H][MAX_W];
    struct train_point v[2 * MAX_W];
    int w = width - LABEL - 1, across = unicode ? 2 : 1, up = unicode ? 4 : 1;
    w = w < 10 ? 10 : w > MAX_W ? MAX_W : w;
    int h = height < 4 ? 4 : height > MAX_H ? MAX_H : height;
    double lo, hi, last = fmax(c->v[c->n - 1].step, 1);
    memcpy(cell, EMPTY, sizeof cell);
    loss_range(c, &lo, &hi);
    struct scale s = scale_for(lo, hi, 6);
    int n = means(c, w * across, 0, v), from = 0;
    /* Every column of dots gets a value: between two points, the line between them. */
    for (int x = 0; x < w * across; x++) {
        double step = n > 1 ? v[0].step + (v[n - 1].step - v[0].step) * x / (w * across - 1) : v[0].step;
        while (from + 2 < n && v[from + 1].step < step)
            from++;
        double y = v[from].y;
        if (n > 1 && v[from + 1].step > v[from].step)
            y += (v[from + 1].y - v[from].y) * fmin(1, fmax(0, (step - v[from].step) / (v[from + 1].step - v[from].step)));
        int at = (int)lround((s.hi - y) / (s.hi - s.lo) * (h * up - 1));
        at = at < 0 ? 0 : at >= h * up ? h * up - 1 : at;
        cell[at / up][x / across] |= unicode ? DOT[at % 4][x % 2] : 1;
    }
    sb_addf(out, "%*sloss\n", LABEL - 4, "");
    for (int r = 0; r < h; r++) {
        double y = s.hi - (s.hi - s.lo) * r / (h - 1);
        if (r % 3 == 0 || r == h - 1)
            sb_addf(out, "%*.*f %s", LABEL - 2, s.tick < 0.01 ? 4 : s.tick < 1 ? 2 : 1, y, unicode ? "\xe2\x94\xa4" : "|");
        else
            sb_addf(out, "%*s %s", LABEL - 2, "", unicode ? "\xe2\x94\x82" : "|");
        for (int x = 0; x < w; x++)
            if (!cell[r][x])
                sb_addch(out, ' ');
            else if (unicode)
                add_braille(out, cell[r][x]);
            else
                sb_addch(out, '*');
        while (out->n && out->p[out->n - 1] == ' ')
            out->p[--out->n] = 0;
        sb_addch(out, '\n');
    }
    sb_addf(out, "%*s 0%*s%.0f steps\n", LABEL - 2, "", w - 8, "", last);
    sb_addf(out, "%*s ", LABEL - 2, "rate");
    n = means(c, w, 1, v);
    double top = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, v[i].y);
    for (int x = 0; x < w; x++) {
        int level = top > 0 ? (int)(v[x * n / w].y / top * 7.999) : 0;
        if (unicode) {
            sb_addc(out, "\xe2\x96");
            sb_addch(out, (char)(0x81 + level));
        } else {
            sb_addch(out, "_.,-=+*#"[level]);
        }
    }
    sb_addf(out, "\n%*s highest %.3g, last %.3g\n", LABEL - 2, "", top, c->v[c->n - 1].lr);
}
