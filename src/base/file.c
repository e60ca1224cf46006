/* file.c — whole-file reading, atomic writing, read-only maps.
 *
 * A file appears under its final name only when it is complete and on the disk: temp file in the same
 * folder, fsync, rename, fsync of the folder.  Existing targets that are no regular files (/dev/stdout,
 * a pipe) are written directly.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* "cannot read/write …" with a remedy where there is one; a missing file is ILAB_E_NOTFOUND. */
static int file_error(ilab_err *e, int errnum, const char *verb, const char *path) {
    static const struct { int errnum; const char *remedy; } REMEDIES[] = {
        { ENOSPC, "; free some space there or choose another folder" },
        { EDQUOT, "; free some space there or choose another folder" },
        { EACCES, "; change its permissions or choose another place" },
        { EPERM, "; change its permissions or choose another place" },
        { EROFS, "; choose a place that can be written" },
        { EFBIG, "; the file system or a limit of this session does not allow a file that large" },
        { EMFILE, "; raise the limit of open files (ulimit -n)" },
        { ENOMEM, "; end other programs, or raise the limit of this session's addresses (ulimit -v)" },
    };
    int code = errnum == ENOENT || errnum == ENOTDIR ? ILAB_E_NOTFOUND : ILAB_E_IO;
    const char *remedy = "";
    for (size_t i = 0; i < ARRAY_LEN(REMEDIES); i++)
        if (REMEDIES[i].errnum == errnum) remedy = REMEDIES[i].remedy;
    char why[128], room[64] = "";
    if (errnum == ENOSPC) {
        char bytes[32];
        format_bytes(bytes, sizeof bytes, (double)disk_free(path));
        snprintf(room, sizeof room, " (%s left)", bytes);
    }
    return err_set(e, code, "cannot %s \"%s\": %s%s%s", verb, path, strerror_r(errnum, why, sizeof why), room, remedy);
}

static int open_retry(const char *path, int flags, mode_t mode) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR && !(flags == O_RDONLY && signal_pending())); /* a pipe that nobody writes to: Ctrl-C ends the wait */
    return fd;
}

/* Opens for reading and refuses folders. The descriptor or a negative code. */
static int open_for_reading(const char *path, struct stat *st, ilab_err *e) {
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0 && errno == EINTR) return err_set(e, ILAB_E_CANCEL, "interrupted while \"%s\" was opened", path);
    if (fd < 0) return file_error(e, errno, "open", path);
    int errnum = fstat(fd, st) ? errno : S_ISDIR(st->st_mode) ? EISDIR : 0;
    if (errnum == 0) return fd;
    close(fd);
    return file_error(e, errnum, "read", path);
}

int file_read(const char *path, size_t max, char **out, size_t *n, ilab_err *e) {
    struct stat st;
    *out = NULL;
    *n = 0;
    if (max >= SIZE_MAX / 2) max = SIZE_MAX / 2;
    int fd = open_for_reading(path, &st, e);
    if (fd < 0) return fd;
    /* One byte more than the size tells the end of file without a second allocation; the size is only a
     * hint, since a pipe or /proc has none and the file may grow. */
    size_t cap = 0, want = st.st_size > 0 && (uint64_t)st.st_size < max ? (size_t)st.st_size + 2 : 4096, len = 0;
    char *p = NULL;
    int rc = 0;
    while (rc == 0) {
        if (len > max || (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)) {
            char allowed[32];
            format_bytes(allowed, sizeof allowed, (double)max);
            rc = err_set(e, ILAB_E_LIMIT, "\"%s\" is larger than the %s that are allowed here", path, allowed);
            break;
        }
        if (len + 2 > want) want = len * 2;
        if (want > cap) {
            char *more = mem_realloc(p, want);
            if (!more) {
                rc = err_set(e, ILAB_E_NOMEM, "no memory to read \"%s\"", path);
                break;
            }
            p = more;
            cap = want;
        }
        ssize_t got = read(fd, p + len, cap - 1 - len);
        if (got == 0) break;
        if (got > 0) len += (size_t)got;
        else if (errno != EINTR) rc = file_error(e, errno, "read", path);
        else if (signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted while \"%s\" was read", path);
    }
    close(fd);
    if (rc) {
        mem_free(p);
        return rc;
    }
    p[len] = 0;
    *out = p;
    *n = len;
    return 0;
}

static void file_out_release(struct file_out *o) {
    mem_free(o->path);
    mem_free(o->tmp);
    *o = (struct file_out){ 0 };
}

int file_create(struct file_out *o, const char *path, ilab_err *e) {
    static _Atomic unsigned counter;
    *o = (struct file_out){ 0 };
    struct stat st;
    int exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) return file_error(e, EISDIR, "write", path);
    int in_place = exists && !S_ISREG(st.st_mode), fd = -1;
    o->path = xstrdup(path);
    if (in_place) fd = open_retry(path, O_WRONLY, 0);
    else if (exists && access(path, W_OK) != 0) fd = -1; /* a read-only file is not replaced behind its owner's back */
    else {
        size_t cap = strlen(path) + 40;
        o->tmp = xalloc(cap);
        do {
            snprintf(o->tmp, cap, "%s.tmp.%ld.%u", path, (long)getpid(), atomic_fetch_add(&counter, 1));
            fd = open_retry(o->tmp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        } while (fd < 0 && errno == EEXIST);
        if (fd >= 0 && exists && fchmod(fd, st.st_mode & 07777)) { /* the umask's mode is fine, too */ }
    }
    int errnum = fd < 0 ? errno : 0;
    if (!errnum && !(o->f = fdopen(fd, "w"))) errnum = errno;
    if (!errnum) return 0;
    if (fd >= 0) {
        close(fd);
        if (o->tmp) unlink(o->tmp);
    }
    file_out_release(o);
    return file_error(e, errnum, "write", path);
}

static int stick(struct file_out *o) {
    if (!o->failed) o->failed = errno ? errno : EIO;
    return ILAB_E_IO;
}

int file_put(struct file_out *o, const void *p, size_t n) {
    if (o->failed || !o->f) return ILAB_E_IO;
    errno = 0;
    return n == 0 || fwrite(p, 1, n, o->f) == n ? 0 : stick(o);
}

int file_putf(struct file_out *o, const char *fmt, ...) {
    if (o->failed || !o->f) return ILAB_E_IO;
    va_list ap;
    va_start(ap, fmt);
    errno = 0;
    int n = vfprintf(o->f, fmt, ap);
    va_end(ap);
    return n >= 0 ? 0 : stick(o);
}

static void sync_folder_of(const char *path) {
    const char *base = path_base(path);
    char *dir = base == path ? xstrdup(".") : mem_strndup(path, (size_t)(base - path));
    int fd = dir ? open_retry(dir, O_RDONLY | O_DIRECTORY, 0) : -1;
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot; the file itself is safe already */
        close(fd);
    }
    mem_free(dir);
}

int file_commit(struct file_out *o, ilab_err *e) {
    if (!o->f) return err_set(e, ILAB_E_INVALID, "nothing to commit");
    errno = 0;
    if (!o->failed && fflush(o->f)) stick(o);
    if (!o->failed && o->tmp && fsync(fileno(o->f))) stick(o);
    errno = 0;
    if (fclose(o->f)) stick(o);
    o->f = NULL;
    if (!o->failed && o->tmp && rename(o->tmp, o->path)) stick(o);
    int rc = 0;
    if (o->failed) {
        if (o->tmp) unlink(o->tmp); /* first: its space counts in the message */
        rc = file_error(e, o->failed, "write", o->path);
    } else if (o->tmp) sync_folder_of(o->path);
    file_out_release(o);
    return rc;
}

void file_abandon(struct file_out *o) {
    if (o->f) fclose(o->f);
    if (o->tmp) unlink(o->tmp);
    file_out_release(o);
}

int file_write(const char *path, const void *p, size_t n, ilab_err *e) {
    struct file_out o;
    int rc = file_create(&o, path, e);
    if (rc) return rc;
    file_put(&o, p, n);
    return file_commit(&o, e);
}

int file_map_open(struct file_map *m, const char *path, ilab_err *e) {
    struct stat st;
    *m = (struct file_map){ 0 };
    int fd = open_for_reading(path, &st, e), rc = 0;
    if (fd < 0) return fd;
    if (!S_ISREG(st.st_mode)) rc = err_set(e, ILAB_E_INVALID, "\"%s\" is not a regular file", path);
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) rc = file_error(e, errno, "map", path);
        else *m = (struct file_map){ p, (size_t)st.st_size, p, map_guard_add(p, (size_t)st.st_size) };
    }
    close(fd);
    return rc;
}

void file_map_close(struct file_map *m) {
    map_guard_remove(m->guard);
    if (m->base) munmap(m->base, m->n);
    *m = (struct file_map){ 0 };
}

int file_map_check(const struct file_map *m, const char *path, ilab_err *e) {
    if (!map_guard_damaged(m->guard)) return 0;
    return err_set(e, ILAB_E_IO, "\"%s\" changed while it was in use (it became shorter, or its disk failed); start again with a whole file", path);
}

void file_map_drop(const struct file_map *m, const void *p, size_t n) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint8_t *first = p, *end = first + n;
    if (!m->base || first < m->p || end > m->p + m->n) return;
    const size_t from = ((size_t)(first - m->p) + page - 1) & ~(page - 1), to = (size_t)(end - m->p) & ~(page - 1);
    if (from < to) madvise((uint8_t *)m->base + from, to - from, MADV_DONTNEED); /* advice: nothing depends on it */
}

int file_exists(const char *path) {
    struct stat st;
    if (stat(path, &st)) return 0;
    return S_ISDIR(st.st_mode) ? 2 : 1;
}

int64_t file_size(const char *path) {
    struct stat st;
    return stat(path, &st) || S_ISDIR(st.st_mode) ? -1 : (int64_t)st.st_size;
}
