/* err.c — filling in ilab_err.
 *
 * The message is built in a local buffer first, so that a caller may pass e->msg as an argument.
 * It always stays one line of printable text: input that is quoted in it may hold control
 * characters, and these would otherwise reach the user's terminal.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

static void one_line(char *s, size_t cap, int wanted) {
    if (wanted >= 0 && (size_t)wanted >= cap) { /* cut: never in the middle of a UTF-8 sequence */
        size_t n = cap - 1;
        while (n > 0 && ((unsigned char)s[n - 1] & 0xC0) == 0x80) n--;
        if (n > 0 && (unsigned char)s[n - 1] >= 0xC0) n--;
        s[n] = 0;
    }
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == '\r')) s[--n] = 0;
    for (; *s; s++)
        if (*s == '\n' || *s == '\t' || *s == '\r') *s = ' ';
        else if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

static void store(ilab_err *e, int code, const char *msg) {
    e->code = code;
    memcpy(e->msg, msg, strlen(msg) + 1);
}

int err_set(ilab_err *e, int code, const char *fmt, ...) {
    if (!e) return code;
    char buf[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    one_line(buf, sizeof buf, n);
    store(e, code, buf);
    return code;
}

int err_errno(ilab_err *e, int errnum, const char *fmt, ...) {
    if (!e) return ILAB_E_IO;
    char buf[sizeof e->msg], why[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf - sizeof why, fmt, ap);
    va_end(ap);
    one_line(buf, sizeof buf - sizeof why, n);
    return err_set(e, ILAB_E_IO, "%s: %s", buf, strerror_r(errnum, why, sizeof why));
}

int err_prefix(ilab_err *e, const char *fmt, ...) {
    if (!e) return ILAB_E_INVALID;
    char buf[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    one_line(buf, sizeof buf, n);
    size_t used = strlen(buf), left = sizeof buf - used;
    int m = snprintf(buf + used, left, "%s", e->msg);
    one_line(buf, sizeof buf, (size_t)m >= left ? (int)sizeof buf : 0);
    store(e, e->code, buf);
    return e->code;
}

int err_name_file(ilab_err *e, const char *path) {
    return e && !strstr(e->msg, path) ? err_prefix(e, "'%s': ", path) : e ? e->code : ILAB_E_INVALID;
}
