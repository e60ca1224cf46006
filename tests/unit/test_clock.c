/* test_clock.c — the time that is left, on a simulated machine: steps' seconds are made up here, and what is really left is their sum.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "train/plan.h"

#include <math.h>

/* A run on a machine: what a step of so much work takes. */
struct machine {
    int epochs, batches;               /* of each epoch; the last one is `part` of a batch */
    double part, below, keeps;         /* share of the work below the lowest adapted layer; whether it is computed once */
    double first, noise;               /* the first step takes so many times as long; ± */
    int hit_every; double hit;         /* each so many-th step takes so many times as long */
    int slow_from; double slow;        /* from this step on */
    double validation, save, save_every;
    int n_val;                         /* evenly, behind the last step too */
};
enum { MOST = 4096 };
struct seen { double ratio[MOST]; int n; };   /* said / true after step i */

static double step_seconds(const struct machine *m, int i, double work, double *below, int epoch)
{
    double s = 1.0 + m->noise * noise(7, (uint32_t)i);
    if (i == 0) s *= m->first > 0 ? m->first : 1;
    if (m->hit_every && i % m->hit_every == m->hit_every - 1) s *= m->hit;
    if (m->slow_from && i >= m->slow_from) s *= m->slow;
    /* The layers below run faster for their operations: twice. */
    *below = m->keeps > 0 && epoch > 0 ? 0 : work * m->below * 0.5 * s;
    return *below + work * (1 - m->below) * s;
}

static void drive(const struct machine *m, struct seen *out)
{
    struct clock c = CLOCK_INIT;
    const int n = m->epochs * m->batches;
    const double epoch = m->batches - 1 + (m->part > 0 ? m->part : 1);
    static double at[MOST], said[MOST];
    double now = 0, saved = 0;
    assert_true(n < MOST);
    c.epoch_work = epoch;
    c.epoch_below = epoch * m->below;
    c.keeps_states = m->keeps > 0;
    c.save_every = m->save_every;
    c.save_seconds = m->save;
    assert_true(clock_left(&c, m->epochs, m->epochs, n, 0) == 0); /* nothing is known */
    if (m->n_val) {
        c.val_work = m->validation;
        clock_validated(&c, 2 * m->validation); /* cold */
    }
    for (int i = 0; i < n; i++) {
        const int e = i / m->batches, k = i % m->batches;
        const double work = k == m->batches - 1 && m->part > 0 ? m->part : 1;
        double below, s = step_seconds(m, i, work, &below, e);
        clock_step(&c, (struct pace){ work * (m->keeps > 0 && e > 0 ? 1 - m->below : 1), s }, (struct pace){ m->keeps > 0 && e > 0 ? 0 : work * m->below, below });
        now += s;
        const int every = m->n_val ? n / m->n_val : 0;
        if (m->n_val && (i + 1) % every == 0) {
            now += m->validation;
            clock_validated(&c, m->validation);
        }
        const double done = k == m->batches - 1 ? epoch : k + 1, left = m->epochs - e - done / epoch, computed = m->keeps <= 0 ? left : e > 0 ? 0 : 1 - done / epoch;
        said[i] = clock_left(&c, left, computed, n - 1 - i, m->n_val ? m->n_val - (i + 1) / every : 0);
        at[i] = now;
        if (m->save_every > 0 && now - saved >= clock_saves_every(m->save_every, m->save)) saved = now += m->save;
    }
    now += m->save;
    for (int i = 0; i < n; i++) out->ratio[i] = said[i] / (now - at[i]);
    out->n = n;
}

static void check_within(const struct machine *m, double first_share, double most)
{
    static struct seen s;
    drive(m, &s);
    const int begin = (int)(first_share * s.n) > 2 ? (int)(first_share * s.n) : 2, end = s.n - (s.n / 50 + 2); /* of the last seconds, nobody asks */
    for (int i = begin; i < end; i++)
        if (!(fabs(s.ratio[i] - 1) <= most)) fail_msg("after step %d of %d: %.3f of what was left", i + 1, s.n, s.ratio[i]);
}

/* From the third step, or 3 % of the run, on. */
static void steady_machine(void **state)
{
    (void)state;
    const struct machine M[] = {
        { .epochs = 1, .batches = 8, .noise = 0.02 },
        { .epochs = 4, .batches = 30, .first = 5, .noise = 0.08 },
        { .epochs = 3, .batches = 4, .part = 0.2, .first = 3, .noise = 0.02 },
        { .epochs = 12, .batches = 200, .first = 2, .noise = 0.2 },
        { .epochs = 6, .batches = 20, .below = 0.5, .keeps = 1, .first = 4, .noise = 0.05 },
        { .epochs = 6, .batches = 20, .below = 0.9, .keeps = 0, .first = 2, .noise = 0.05 },
        { .epochs = 4, .batches = 50, .first = 2, .noise = 0.05, .n_val = 4, .validation = 5 },
        { .epochs = 4, .batches = 50, .noise = 0.05, .save = 0.5, .save_every = 7 },
        { .epochs = 2, .batches = 40, .noise = 0.05, .save = 0.2, .save_every = 0.5 },   /* after each step */
    };
    for (size_t i = 0; i < ARRAY_LEN(M); i++) check_within(&M[i], 0.03, 0.1);
}

/* A machine that does something else now and then: no jump. */
static void disturbed_machine(void **state)
{
    (void)state;
    static struct seen s;
    const struct machine m = { .epochs = 4, .batches = 50, .first = 2, .noise = 0.05, .hit_every = 17, .hit = 4 };
    drive(&m, &s);
    for (int i = 3; i < s.n - 20; i++)
        if (fabs(s.ratio[i] / s.ratio[i - 1] - 1) > 0.1 || s.ratio[i] < 0.75 || s.ratio[i] > 1.1) fail_msg("after step %d: %.3f, before %.3f", i + 1, s.ratio[i], s.ratio[i - 1]);
}

/* A machine that becomes slower for good is noticed. */
static void slower_machine(void **state)
{
    (void)state;
    static struct seen s;
    const struct machine m = { .epochs = 4, .batches = 100, .noise = 0.05, .slow_from = 100, .slow = 2 };
    drive(&m, &s);
    for (int i = 200; i < s.n - 10; i++)
        if (fabs(s.ratio[i] - 1) > 0.1) fail_msg("after step %d: %.3f", i + 1, s.ratio[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(steady_machine), cmocka_unit_test(disturbed_machine), cmocka_unit_test(slower_machine) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
