/* test_learnt.c — samples that rest: when, how long, what a checkpoint must hold, and what an epoch then is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "train/learnt.h"
#include "train/tape.h"

/* One sample of two targets is seen in `epoch` with these losses. */
static void see(struct learnt *l, uint32_t sample, int epoch, float a, float b)
{
    struct tape t = { 0 };
    const int32_t row[2] = { 1, 2 }, label[2] = { 0, 0 };
    const struct segment seg = { 0, 3, 0, NULL };
    learnt_before(l, &t);
    t.tell[0] = a, t.tell[1] = b;
    learnt_after(l, &(struct batch){ .n_row = 3, .n_seg = 1, .seg = &seg }, &(struct targets){ 2, row, label, NULL, NULL }, &sample, epoch);
}

static void test_rests_longer_each_time_and_begins_anew_when_lost(void **state)
{
    (void)state;
    const int rest[] = { 1, 2, 4, 4 };
    struct learnt *l;
    ok(learnt_new(&l, 3, 8, 0.05f, NULL), NULL);
    int epoch = 0;
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        see(l, 1, epoch, 0.01f, 0.05f);
        assert_int_equal(learnt_resting(l, epoch + 1), 0); /* not before the step is done */
        learnt_apply(l);
        assert_false(learnt_rests(l, 1, epoch));           /* this epoch's batches stay as they are */
        for (int k = 1; k <= rest[i]; k++) assert_true(learnt_rests(l, 1, epoch + k) && learnt_resting(l, epoch + k) == 1);
        epoch += rest[i] + 1;
        assert_false(learnt_rests(l, 1, epoch));
    }
    see(l, 1, epoch, 0.01f, -1.0f);                        /* another token was likelier */
    see(l, 2, epoch, 0.01f, 0.06f);                        /* not sure enough */
    learnt_apply(l);
    assert_int_equal(learnt_resting(l, epoch + 1), 0);
    see(l, 1, ++epoch, 0, 0);
    see(l, 0, epoch, 0, 0);
    learnt_drop(l);                                        /* a step that did not happen */
    learnt_apply(l);
    assert_int_equal(learnt_resting(l, epoch + 1), 0);
    see(l, 1, epoch, 0, 0);
    learnt_apply(l);
    assert_true(learnt_rests(l, 1, epoch + 1) && !learnt_rests(l, 1, epoch + 2));
    /* What the checkpoint holds is all that is needed. */
    struct learnt *again;
    ok(learnt_new(&again, 3, 8, 0.05f, NULL), NULL);
    struct param from = learnt_param(l), to = learnt_param(again);
    memcpy(to.w, from.w, from.n * sizeof(float));
    for (int e = 0; e < epoch + 6; e++)
        for (uint32_t i = 0; i < 3; i++) assert_int_equal(learnt_rests(l, i, e), learnt_rests(again, i, e));
    learnt_free(again);
    learnt_free(l);
}

static int rests_odd(void *ud, uint32_t sample, int epoch) { (void)ud; return epoch == 1 ? sample % 2 == 1 : epoch == 2; }

static void test_an_epoch_without_those_that_rest(void **state)
{
    (void)state;
    struct dataset d = { 0 };
    struct packing *p;
    ilab_err e = { 0 };
    const int32_t id[4] = { 1, 2, 3, 4 };
    const uint8_t mask[4] = { 0, 1, 1, 1 };
    for (int i = 0; i < 20; i++) ok(dataset_add_ids(&d, id, mask, 4, 1, &e), &e);
    ok(packing_new(&p, &d, 9, 9, 5, &e), &e);
    uint32_t order[20];
    for (int i = 0, n = packing_n_batches(p, 1), at = 0; i < n; i++)
        for (const uint32_t *s = packing_micro_samples(p, 1, i, 0); at < 20 && at < 3 * (i + 1); at++) order[at] = s[at - 3 * i];
    packing_leave_out(p, rests_odd, NULL);
    int n_seen = 0, at = 0;
    assert_int_equal(packing_n_batches(p, 0), 7);
    assert_int_equal(packing_n_batches(p, 1), 4);
    assert_int_equal(packing_n_batches(p, 2), 0);
    for (int i = 0; i < 4; i++) {
        struct batch b;
        struct targets y;
        packing_micro(p, 1, i, 0, &b, &y);
        const uint32_t *s = packing_micro_samples(p, 1, i, 0);
        for (int k = 0; k < b.n_seg; k++, n_seen++) {      /* the others keep their order */
            while (order[at] % 2) at++;
            assert_int_equal(s[k], order[at++]);
        }
    }
    assert_int_equal(n_seen, 10);
    packing_free(p);
    dataset_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rests_longer_each_time_and_begins_anew_when_lost), cmocka_unit_test(test_an_epoch_without_those_that_rest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
