/* cmd_model_plot.c — `ilab model plot`: the curves of a training run.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/train_result.h"

#include <sys/ioctl.h>
#include <unistd.h>

struct plot_args { const char *svg; int width, height, ascii; };
static const struct plot_args PLOT_DEFAULTS = { .height = 14 };
#define O(field) offsetof(struct plot_args, field)
static const struct opt PLOT_OPTS[] = {
    { "svg", 0, NULL, OPT_STR, O(svg), 0, 0, "FILE", NULL, "draw them into this file instead" },
    { "width", 0, NULL, OPT_INT, O(width), 0, 200, "N", NULL, "columns; 0: the terminal's, or 80" },
    { "height", 0, NULL, OPT_INT, O(height), 4, 60, "N", NULL, "lines" },
    { "ascii", 0, NULL, OPT_FLAG, O(ascii), 0, 0, NULL, NULL, "plain characters, for terminals without UTF-8" },
    { 0 },
};
#undef O

static int plot_run(struct cli *c, void *args)
{
    const struct plot_args *a = args;
    const char *out = c->config ? config_get(c->config, "train.ckpt_output_dir") : NULL, *run = c->n_word ? c->word[0] : out ? out : "training_results";
    struct winsize size = { 0 };
    struct train_found f = { 0 };
    struct train_curve curve;
    struct sb b;
    ilab_err e = { 0 };
    if (train_curve_read(&curve, run, &e)) return fail(&e, "Error: ");
    const struct train_point last = curve.v[curve.n - 1];
    if (a->svg) {
        const int rc = train_curve_svg(&curve, a->svg, run, &e);
        train_curve_release(&curve);
        return rc ? fail(&e, "Error: ") : EXIT_DONE;
    }
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    sb_init(&b, 1 << 20);
    train_curve_text(&curve, &b, a->width ? a->width : size.ws_col > 20 ? size.ws_col : 80, a->height, !a->ascii && terminal_is_utf8());
    printf("%s", b.p ? b.p : "");
    printf("%s: loss %.4f at step 1, %.4f at step %.0f", run, curve.v[0].y, last.y, last.step);
    if (curve.n_val) printf("; validation %.4f -> %.4f", curve.val[0].y, curve.val[curve.n_val - 1].y);
    if (train_find_run(run, &f) == 1) printf("; not finished (of %lld steps)", (long long)f.total_steps);
    printf("\n");
    sb_release(&b);
    train_curve_release(&curve);
    return EXIT_DONE;
}

const struct cmd CMD_PLOT = {
    .name = "model plot", .args_bytes = sizeof(struct plot_args), .defaults = &PLOT_DEFAULTS, .opts = PLOT_OPTS, .run = plot_run, .max_words = 1,
    .words = "[RUN]",
    .summary = "Show the loss and the learning rate of a training run.",
    .help = "RUN is the folder of the run (by default train.ckpt_output_dir: training_results); the run may still be going on.\n"
            "Left the loss of the training data, averaged where there are more steps than columns; below it the learning rate.\n\n"
            "Examples:\n  ilab model plot\n  ilab model plot training_results --svg loss.svg\n",
};
