/* ask.c — a question on the terminal and the line that answers it.
 *
 * Reads without stdio, a moment at a time: Ctrl-C ends the waiting even when it comes between question and reading.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int ask_byte(char *c)
{
    for (;;) {
        struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
        if (signal_pending()) return -1;
        const int ready = poll(&in, 1, 200);
        if (ready < 0 && errno != EINTR) return -1;
        if (ready <= 0) continue;
        const ssize_t n = read(STDIN_FILENO, c, 1);
        if (n < 0 && errno == EINTR) continue;
        return n == 1;
    }
}

int ask_line(char *line, size_t cap)
{
    size_t n = 0;
    int any = 0;
    char c;
    fflush(stdout);
    while (ask_byte(&c) > 0) {
        any = 1;
        if (c == '\n') break;
        if (n + 1 < cap) line[n++] = c;
    }
    line[n] = 0;
    return any && !signal_pending();
}

int ask_agreed(int dflt)
{
    char line[32];
    if (!ask_line(line, sizeof line)) return ASK_NO_ANSWER;
    for (;;) { /* j: what a German types */
        if (!*line) return dflt;
        if (strchr("yYjJ", line[0])) return 1;
        if (strchr("nN", line[0])) return 0;
        fputs("[y/n] ", stdout);
        if (!ask_line(line, sizeof line)) return ASK_NO_ANSWER;
    }
}
