/* energy.c — what the processor's packages have used, where the machine tells (RAPL through powercap).
 *
 * Often only root may read it; then there is no figure, and none is made up.  Source: Documentation/power/powercap/powercap.rst.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

int energy_joules(double *out) {
    char **names, path[256], *text;
    size_t n_names, n;
    int found = 0;
    *out = 0;
    if (dir_list("/sys/class/powercap", &names, &n_names, NULL)) return ILAB_E_NOTFOUND;
    for (size_t i = 0; i < n_names; i++) {
        const char *colon = strchr(names[i], ':');
        int64_t uj;
        if (!colon || strchr(colon + 1, ':') || strncmp(names[i], "intel-rapl", 10) != 0) continue; /* whole packages only */
        snprintf(path, sizeof path, "/sys/class/powercap/%.100s/energy_uj", names[i]);
        if (file_read(path, 64, &text, &n, NULL)) continue;
        while (n && text[n - 1] == '\n') text[--n] = 0;
        if (!parse_i64(text, 0, INT64_MAX, &uj)) *out += (double)uj * 1e-6, found = 1;
        mem_free(text);
    }
    dir_list_free(names, n_names);
    return found ? 0 : ILAB_E_NOTFOUND;
}
