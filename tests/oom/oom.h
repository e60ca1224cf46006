/* oom.h — makes every allocation of a job fail in turn.
 *
 *     assert_int_equal(oom_loop(job, ud, &e), 0);
 * The job must return ILAB_E_NOMEM for each and leave nothing behind (the address sanitizer decides); what
 * it returns once nothing fails any more is the result.  A job that swallows a failure gives ILAB_E_INVALID.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_OOM_H
#define ILAB_OOM_H

#include "base/base.h"

static inline int oom_loop(int (*job)(void *ud, ilab_err *e), void *ud, ilab_err *e) {
    for (long n = 1;; n++) {
        mem_fail_at = n;
        int rc = job(ud, e);
        int ran_through = mem_fail_at > 0;
        mem_fail_at = -1;
        if (ran_through) return rc;
        if (rc != ILAB_E_NOMEM) return err_set(e, ILAB_E_INVALID, "allocation %ld failed and the job returned %d", n, rc);
    }
}

#endif
