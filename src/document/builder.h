/* builder.h — internal to src/document: how every format hands over what it reads.
 *
 * A reader says where it is (place), which block begins, and gives text; tables and footnotes are put together here. Errors
 * stick in b->rc.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_BUILDER_H
#define ILAB_DOCUMENT_BUILDER_H

#include "document/document.h"

enum { DOCUMENT_MAX_TEXT = 64 << 20, DOCUMENT_MAX_INPUT = 256 << 20, MAX_PASSAGES = 1 << 20, MAX_COLUMNS = 256, MAX_ROWS = 200000, MAX_NOTES = 20000 };
/* All that one document may take in a reader: its tree and its text. */
#define DOCUMENT_ARENA_MAX ((size_t)768 << 20)

struct cell { struct sv text; unsigned char head, copied /* of a wider cell to its left */; };
struct row { struct cell *cell; size_t cap; int n, head, line, page; };
struct note { struct sv id, text; int referred, used /* 1 + index of its passage */; };
struct builder {
    struct extract *x;
    const char *name;                /* of the file, for messages */
    int rc; ilab_err *e;
    int line, page; struct sv part;  /* where the reader is */
    /* the open block */
    struct sb text; int open; enum passage_kind kind; int level, at_line, at_page; struct sv at_part;
    int above[6];                    /* the headings above, by level; -1 */
    /* the open table */
    int depth;                       /* tables inside of tables are flattened */
    struct row *row; size_t n_row, cap_row;
    struct sb cell; int in_cell, columns, rows_down, cell_head;
    struct { int left; struct sv text; } span[MAX_COLUMNS];
    /* footnotes: passages with a NULL text and level = 1 + index of a note stand where one is referred to or defined */
    struct note *note; size_t n_note, cap_note;
    struct sb note_text; int in_note; /* index + 1 */
    int waiting[256], n_waiting;      /* notes to which the open block refers */
};
void build_init(struct builder *b, struct extract *x, const char *name, ilab_err *e);
int build_finish(struct builder *b);                     /* closes what is open; returns rc; releases the builder's own memory */
int build_fail(struct builder *b, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void build_block(struct builder *b, enum passage_kind kind, int level); /* ends the open block; the new one is kept when it gets text */
void build_end(struct builder *b);
void build_text(struct builder *b, struct sv text);      /* white space is folded later; \f is none */
void build_lost(struct builder *b, enum lost what, int n);
void build_table(struct builder *b);
void build_row(struct builder *b, int head);
void build_cell(struct builder *b, int columns, int rows, int head);
void build_table_end(struct builder *b);
void build_note_ref(struct builder *b, struct sv id);    /* the open block refers to this note */
void build_note(struct builder *b, struct sv id);        /* what follows is the note's text … */
void build_note_end(struct builder *b);                  /* … up to here; then the block from before goes on */
int build_note_known(struct builder *b, struct sv id);   /* something referred to it */
struct sv build_copy(struct builder *b, struct sv s);    /* in the extract's arena */
struct sv text_clean(struct arena *a, struct sv s, int keep_lines); /* see builder.c */

/* The readers. Each gets the whole file. */
typedef void reader_fn(struct builder *b, struct sv bytes);
reader_fn read_text, read_markdown, read_html, read_docx, read_odt, read_epub, read_pdf_layout;
/* Decodes what is not UTF-8: byte-order marks, the charset named (may be empty); b->rc after an error. */
struct sv decode_to_utf8(struct builder *b, struct sv bytes, struct sv charset);
/* html.c: a chapter; the place's part is set by the caller. */
void html_body(struct builder *b, struct sv text, int is_chapter);
struct sv html_entities(struct builder *b, struct sv s); /* &auml; and their kin, by the HTML parser */
#endif
