/* dynlib.c — opens a shared library when it is first needed.
 *
 * A library is never closed: its threads and exit handlers may outlive the caller.  SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dlfcn.h>
#include <string.h>

int dynlib_load(const char *const *soname, const char *package, const struct dynlib_symbol *symbol, int n_symbol, ilab_err *e) {
    void *lib = NULL;
    for (int i = 0; soname[i] && !lib; i++) lib = dlopen(soname[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) return err_set(e, ILAB_E_NOTFOUND, "the library %s is missing: install it (Debian: apt install %s)", soname[0], package);
    for (int i = 0; i < n_symbol; i++) {
        void *p = dlsym(lib, symbol[i].name);
        if (!p) return err_set(e, ILAB_E_NOTFOUND, "the library %s is too old: it lacks %s", soname[0], symbol[i].name);
        memcpy(symbol[i].at, &p, sizeof p); /* POSIX: an object pointer from dlsym holds a function's address */
    }
    return 0;
}
