/* ilab_err.h — the one error type of the public and the internal interfaces.
 *
 * Functions that can fail return 0 or one of the negative codes and, where `e` is not NULL, leave one
 * line in e->msg: lower case, no full stop, what failed first, the subject quoted, `file:line:col:`
 * in front when something was parsed.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_ERR_H
#define ILAB_ERR_H

enum {
    ILAB_OK = 0,
    ILAB_E_INVALID = -1,  /* the request makes no sense (wrong argument, wrong shape)   */
    ILAB_E_NOTFOUND = -2, /* a named thing does not exist                               */
    ILAB_E_FORMAT = -3,   /* input that does not follow its format                      */
    ILAB_E_NOMEM = -4,
    ILAB_E_IO = -5,
    ILAB_E_CANCEL = -6,   /* the user interrupted; state was saved                      */
    ILAB_E_LIMIT = -7     /* a named cap or a full queue                                */
};

typedef struct ilab_err {
    int code;
    char msg[1024];
} ilab_err;

#endif
