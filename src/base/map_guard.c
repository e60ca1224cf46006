/* map_guard.c — a mapped file that becomes shorter, or whose disk fails, must not kill the program.
 *
 * Reading a page that the file has no longer raises SIGBUS. The handler looks whether the address belongs to a guarded
 * map; if so it puts zero pages over the rest of that map and marks it as damaged. The read then gives zeros and the
 * work goes on; whoever owns the map asks file_map_check before a result is used. For other addresses the handler that
 * was there before is put back, and the read repeated.
 *
 * The table has a fixed size and is read by the handler without locks: an entry is written size first and address
 * last. Maps beyond the table's size are simply not guarded. What it does not see: a file of the same size with other content.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_GUARDS = 2048 };

struct guard { _Atomic uintptr_t base; _Atomic size_t n; _Atomic int damaged; };

static struct guard guards[MAX_GUARDS];
static _Atomic int n_guards; /* entries that were ever used */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static uintptr_t page;

/* 1 when the address lies in a guarded map and can be read from now on. Async-signal-safe: atomics and a system call. */
static int repair(uintptr_t at) {
    int n_used = atomic_load(&n_guards);
    for (int i = 0; i < n_used; i++) {
        uintptr_t base = atomic_load(&guards[i].base);
        size_t n = atomic_load(&guards[i].n);
        if (!base || at < base || at - base >= n)
            continue;
        uintptr_t first = at & ~(page - 1);
        atomic_store(&guards[i].damaged, 1);
        return mmap((void *)first, base + n - first, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }
    return 0;
}

static void on_bus_error(int sig, siginfo_t *info, void *context) {
    int keep = errno;
    if (info->si_code > 0 && repair((uintptr_t)info->si_addr)) {
        errno = keep;
        return;
    }
    sigaction(sig, &before, NULL);
    if (info->si_code <= 0) raise(sig); /* somebody sent it: there is no read to repeat */
    (void)context;
}

/* Makes our handler the current one, also when somebody else has taken its place since. */
static int install(void) {
    struct sigaction now, ours = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now)) return 0;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error) return 1;
    before = now;
    return sigaction(SIGBUS, &ours, NULL) == 0;
}

int map_guard_add(const void *p, size_t n) {
    int slot = 0;
    pthread_mutex_lock(&mutex);
    int installed = install();
    for (int i = 0; installed && !slot && i < MAX_GUARDS; i++)
        if (!atomic_load(&guards[i].base)) {
            atomic_store(&guards[i].damaged, 0);
            atomic_store(&guards[i].n, (n + page - 1) & ~(size_t)(page - 1));
            atomic_store(&guards[i].base, (uintptr_t)p);
            if (i >= atomic_load(&n_guards)) atomic_store(&n_guards, i + 1);
            slot = i + 1;
        }
    pthread_mutex_unlock(&mutex);
    return slot;
}

void map_guard_remove(int slot) {
    if (slot <= 0) return;
    pthread_mutex_lock(&mutex);
    atomic_store(&guards[slot - 1].base, 0);
    pthread_mutex_unlock(&mutex);
}

int map_guard_damaged(int slot) {
    return slot > 0 && atomic_load_explicit(&guards[slot - 1].damaged, memory_order_relaxed);
}
