/* table.c — lists as boxed tables on stdout.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"

#include <string.h>

enum { TABLE_MAX_COLS = 12 };

static void rule(const int *width, int n_col)
{
    for (int i = 0; i < n_col; i++) {
        putchar('+');
        for (int k = 0; k < width[i] + 2; k++) putchar('-');
    }
    printf("+\n");
}

static void line(const char *const *cell, const int *width, int n_col)
{
    for (int i = 0; i < n_col; i++) printf("| %s%*s ", cell[i], width[i] - utf8_width(sv_of(cell[i])), "");
    printf("|\n");
}

void table_print(const char *const *head, int n_col, const char *const *cell, int n_row)
{
    int width[TABLE_MAX_COLS] = { 0 };
    for (int i = 0; i < n_col; i++) {
        width[i] = utf8_width(sv_of(head[i]));
        for (int r = 0; r < n_row; r++) {
            const int w = utf8_width(sv_of(cell[r * n_col + i]));
            if (w > width[i]) width[i] = w;
        }
    }
    rule(width, n_col);
    line(head, width, n_col);
    rule(width, n_col);
    for (int r = 0; r < n_row; r++) line(cell + r * n_col, width, n_col);
    rule(width, n_col);
}
