/* signal.c — Ctrl-C and SIGTERM become a flag that long loops poll once a step.
 *
 * Without SA_RESTART, so that a prompt that waits for input wakes up.  A second Ctrl-C ends the program at
 * once: what is half-written then has a temp name only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int pending;

static void on_signal(int sig) {
    if (sig == SIGINT && atomic_load(&pending) == SIGINT) _exit(128 + SIGINT);
    atomic_store(&pending, sig);
}

void signal_install(void) {
    struct sigaction sa = { .sa_handler = on_signal };
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
}

int signal_pending(void) { return atomic_load_explicit(&pending, memory_order_relaxed); }
void signal_clear(void) { atomic_store(&pending, 0); }
