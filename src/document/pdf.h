/* pdf.h — internal to src/document: words on pages, put into rows in reading order.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_PDF_H
#define ILAB_DOCUMENT_PDF_H

#include "document/archive.h"

struct word { double x0, y0, x1, y1; struct sv text; };             /* points, from the upper left corner of the page */
enum row_kind { ROW_TEXT, ROW_DROPPED, ROW_NOTE, ROW_TABLE };
/* Words on one line of one column, from left to right. */
struct text_row { int page; struct word **word; int n; double x0, y0, x1, y1, height /* of most of its letters */; enum row_kind kind; int starts_column; };
struct page { double width, height; struct word *word; size_t n, cap; };
struct layout { struct builder *b; struct arena *a; struct page *page; size_t n_page, cap_page; struct text_row *row; size_t n_row, cap_row; double body, pitch; };
/* Fills l->row from the pages' words: columns of prose one after the other, everything else from top to bottom. */
void layout_rows(struct layout *l);
/* Gap between two words that is more than a space. */
int layout_is_gap(const struct text_row *r, int i /* between word i and i + 1 */);

#endif
