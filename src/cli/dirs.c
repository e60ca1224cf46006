/* dirs.c — the user's directories by the XDG Base Directory Specification, below `instructlab` as the reference has them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <stdlib.h>
#include <string.h>

char *user_dir(const char *which, const char *below, ilab_err *e)
{
    static const struct { const char *which, *env, *home; } DIRS[] = {
        { "config", "XDG_CONFIG_HOME", ".config" }, { "data", "XDG_DATA_HOME", ".local/share" }, { "cache", "XDG_CACHE_HOME", ".cache" },
    };
    struct sb b;
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(DIRS) && strcmp(DIRS[i].which, which)) i++;
    const char *base = getenv(DIRS[i].env), *home = getenv("HOME");
    sb_init(&b, 1 << 16);
    if (base && *base == '/') sb_addc(&b, base); /* the specification: relative ones are ignored */
    else if (home && *home) sb_addf(&b, "%s/%s", home, DIRS[i].home);
    else {
        err_set(e, ILAB_E_NOTFOUND, "neither HOME nor %s is set: set one of them", DIRS[i].env);
        return NULL;
    }
    sb_addf(&b, "/instructlab%s%s", below && *below ? "/" : "", below ? below : "");
    char *path = sb_take(&b, NULL);
    if (!path) err_set(e, ILAB_E_NOMEM, "no memory for a path");
    return path;
}
