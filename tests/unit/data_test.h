/* data_test.h — temporary folders, files and repositories for the tests of src/data and src/eval.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_TEST_H
#define DATA_TEST_H

#include "data/fact.h"
#include "data/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SHARED "../shared/data/taxonomy/"

static char test_dir[64];

static inline void run_in(const char *dir, const char *const *argv)
{
    char *err = NULL;
    int status = 0;
    ilab_err e = { 0 };
    if (child_run(argv, dir, 1 << 20, NULL, NULL, &err, &status, &e) || status) fail_msg("%s %s: %s%s", argv[0], argv[1], e.msg, err ? err : "");
    mem_free(err);
}
#define RUN(dir, ...) run_in(dir, (const char *const[]){ __VA_ARGS__, NULL })
#define GIT(dir, ...) RUN(dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false", __VA_ARGS__)

static inline int dir_setup(void **state)
{
    (void)state;
    memcpy(test_dir, "/tmp/ilab-test-XXXXXX", 22);
    return mkdtemp(test_dir) ? 0 : 1;
}

static inline int dir_teardown(void **state)
{
    (void)state;
    int status;
    return child_run((const char *const[]){ "rm", "-rf", "--", test_dir, NULL }, NULL, 1 << 20, NULL, NULL, NULL, &status, NULL);
}

/* The path of a file below the temporary folder; good for the next three calls. */
static inline const char *at(const char *name)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", test_dir, name);
    return path[turn];
}

static inline void put_n(const char *name, const char *text, size_t n)
{
    ilab_err e = { 0 };
    const char *path = at(name);
    char *dir = xstrdup(path);
    *strrchr(dir, '/') = 0;
    if (dir_make(dir, &e) || file_write(path, text, n, &e)) fail_msg("%s", e.msg);
    mem_free(dir);
}
static inline void put(const char *name, const char *text) { put_n(name, text, strlen(text)); }

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' is missing in: %s", part, text);
}

static inline void assert_sv(struct sv got, const char *want)
{
    if (!sv_eq_c(got, want)) fail_msg("got '%.*s', want '%s'", SV_ARG(got), want);
}

#endif
