/* tmp_dir.h — a temporary folder for a whole test program: tmp_setup makes it, tmp_path names a file in it, tmp_teardown empties and removes it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TMP_DIR_H
#define TMP_DIR_H

#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tmp_dir[64];

/* Good until the eighth call from here. */
static const char *tmp_path(const char *name)
{
    static char path[8][160];
    static unsigned turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", tmp_dir, name);
    return p;
}

static int tmp_setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(tmp_dir, sizeof tmp_dir, "%s/ilab-test-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    return mkdtemp(tmp_dir) ? 0 : -1;
}

static int tmp_teardown(void **state)
{
    char **names;
    size_t n;
    (void)state;
    if (dir_list(tmp_dir, &names, &n, NULL)) return -1;
    for (size_t i = 0; i < n; i++) unlink(tmp_path(names[i]));
    dir_list_free(names, n);
    return rmdir(tmp_dir);
}

#endif
