/* dir.c — folders: make, list, lock, free space; and joining of paths.  SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_DIR_ENTRIES 1000000

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_join(const char *a, const char *b) { /* an absolute b stands alone */
    size_t na = strlen(a), nb = strlen(b);
    if (na == 0 || b[0] == '/') return xstrdup(b);
    char *p = xalloc(na + nb + 2);
    memcpy(p, a, na);
    if (p[na - 1] != '/') p[na++] = '/';
    memcpy(p + na, b, nb + 1);
    return p;
}

int dir_make(const char *path, ilab_err *e) {
    char *p = xstrdup(path);
    int errnum = *p ? 0 : ENOENT, rc = 0;
    for (char *at = p; !errnum && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = 0;
        const int made = !mkdir(p, 0777), why = errno; /* file_exists has an errno of its own */
        if (!made && file_exists(p) != 2) {
            errnum = why == EEXIST ? ENOTDIR : why;
            rc = kept ? err_errno(e, errnum, "cannot make the folder \"%s\" for \"%s\"", p, path) : err_errno(e, errnum, "cannot make the folder \"%s\"", p);
        }
        *at = kept;
    }
    mem_free(p);
    return errnum && !rc ? err_errno(e, errnum, "cannot make the folder \"%s\"", path) : rc;
}

uint64_t disk_free(const char *path) {
    char *p = xstrdup(*path ? path : ".");
    struct statvfs v;
    uint64_t bytes = 0;
    for (;;) {
        if (statvfs(p, &v) == 0) {
            bytes = (uint64_t)v.f_bavail * v.f_frsize;
            break;
        }
        char *slash = strrchr(p, '/');
        if (strcmp(p, ".") == 0 || strcmp(p, "/") == 0) break;
        if (!slash) {
            mem_free(p);
            p = xstrdup(".");
        } else if (slash == p) p[1] = 0;
        else *slash = 0;
    }
    mem_free(p);
    return bytes;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int dir_list(const char *path, char ***names, size_t *n, ilab_err *e) {
    *names = NULL;
    *n = 0;
    DIR *d = opendir(path);
    if (!d) {
        int errnum = errno;
        if (errnum == ENOENT) return err_set(e, ILAB_E_NOTFOUND, "the folder \"%s\" does not exist", path);
        return err_errno(e, errnum, "cannot read the folder \"%s\"", path);
    }
    char **v = NULL;
    size_t len = 0, cap = 0;
    int rc = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry) {
            if (errno) rc = err_errno(e, errno, "cannot read the folder \"%s\"", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (len >= MAX_DIR_ENTRIES) {
            rc = err_set(e, ILAB_E_LIMIT, "the folder \"%s\" has more than %d entries", path, MAX_DIR_ENTRIES);
            break;
        }
        char *name = NULL;
        if (mem_grow((void **)&v, &cap, len + 1, sizeof *v) || !(name = mem_strndup(entry->d_name, strlen(entry->d_name)))) {
            rc = err_set(e, ILAB_E_NOMEM, "no memory to list the folder \"%s\"", path);
            break;
        }
        v[len++] = name;
    }
    closedir(d);
    if (rc) {
        dir_list_free(v, len);
        return rc;
    }
    if (len) qsort(v, len, sizeof *v, by_name);
    *names = v;
    *n = len;
    return 0;
}

void dir_list_free(char **names, size_t n) {
    for (size_t i = 0; i < n; i++) mem_free(names[i]);
    mem_free(names);
}

int dir_lock(const char *path, int *fd, ilab_err *e) {
    *fd = -1;
    char *lock = path_join(path, ".lock");
    int f = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666), errnum = errno, rc = 0;
    if (f < 0) rc = err_errno(e, errnum, "cannot open \"%s\"", lock);
    else if (flock(f, LOCK_EX | LOCK_NB)) {
        errnum = errno;
        char owner[24] = "";
        ssize_t n = pread(f, owner, sizeof owner - 1, 0);
        owner[n > 0 ? strspn(owner, "0123456789") : 0] = 0;
        if (errnum == EWOULDBLOCK)
            rc = err_set(e, ILAB_E_LIMIT, "another run%s%s is using the folder \"%s\"; wait for it or choose another folder",
                         *owner ? ", process " : "", owner, path);
        else rc = err_errno(e, errnum, "cannot lock \"%s\"", lock);
        close(f);
    } else {
        char owner[24], *end = owner; /* only for messages: failures do not matter */
        ssize_t had = pread(f, owner, sizeof owner - 1, 0);
        owner[had > 0 ? had : 0] = 0;
        long pid = strtol(owner, &end, 10);
        if (end > owner && pid != (long)getpid())
            log_info("process %ld left the folder \"%s\" without ending in order (killed, or the machine stopped); its lock is taken over", pid, path);
        int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
        if (ftruncate(f, 0) == 0 && pwrite(f, owner, (size_t)n, 0) == n) { /* written */ }
        *fd = f;
    }
    mem_free(lock);
    return rc;
}

void dir_unlock(int fd) {
    if (fd < 0) return;
    if (ftruncate(fd, 0)) { /* the next run would only say that this one was killed */ }
    close(fd);
}
