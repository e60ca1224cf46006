/* document.h — front header of layer 2 `document`: from files of many formats to passages of text, and where the files lie.
 *
 * A passage is a heading, a paragraph, an item of a list, a row of a table, a footnote or a piece of code, with the place
 * it came from, so that an answer can cite it. What a format has and a passage cannot hold (pictures, formulas …) is counted.
 *
 * Files are foreign: each is read by a child process that may use little memory and time, open no file, make no socket
 * (extract.c, sandbox.c). Prints nothing. Knows no model: the token budget of a chunk comes with a counting function.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_H
#define ILAB_DOCUMENT_H

#include "base/base.h"
#include "text/text.h"

/* ---- passages (builder.c) ---- */
enum passage_kind { PASSAGE_HEADING, PASSAGE_PARAGRAPH, PASSAGE_ITEM, PASSAGE_ROW, PASSAGE_FOOTNOTE, PASSAGE_CODE, PASSAGE_KINDS };
extern const char *const PASSAGE_NAME[PASSAGE_KINDS];
/* What a document has and its passages have not. */
enum lost { LOST_IMAGES, LOST_FORMULAS, LOST_OBJECTS, LOST_HIDDEN, LOST_PAGE_HEADERS, LOST_CONTENTS, LOST_DEEP, LOST_BYTES, LOST_KINDS };
extern const char *const LOST_NAME[LOST_KINDS];          /* "images" */
struct passage {
    enum passage_kind kind;
    int level;                       /* of a heading 1 … 6, of an item 1 … */
    int heading;                     /* index of the heading that it stands under; -1: none */
    int line, page;                  /* 1-based; 0: the format does not tell */
    struct sv part;                  /* the file inside of an archive; empty */
    struct sv text;                  /* one line of UTF-8 in NFC, white space folded; code keeps its lines */
};
struct extract {
    struct arena mem;
    const char *format;              /* "docx" */
    struct passage *v; size_t n, cap;
    int64_t lost[LOST_KINDS];
    int n_pages;                     /* 0: no pages */
    int line_is_paragraph;           /* passage.line counts paragraphs (DOCX, ODT) */
    struct sv title, creator, language; /* what the document says about itself; empty */
};
void extract_release(struct extract *x);
/* "Title > Section", the headings above a passage (its own text is not in it), appended to b. */
void passage_add_path(const struct extract *x, size_t i, struct sb *b);
/* "page 3", "line 12", "chapter1.xhtml, line 4", appended to b. */
void passage_add_place(const struct extract *x, size_t i, struct sb *b);
/* The passages as Markdown-like lines, and one of them with the line ends that part it from the one before. */
void extract_add_text(const struct extract *x, struct sb *b);
void passage_add_text(const struct extract *x, size_t i, struct sb *b);
/* "2 images, 1 formula" of what is not zero; nothing when all is there. */
void lost_add_text(const int64_t lost[LOST_KINDS], struct sb *b);

/* ---- formats and extraction (format.c, extract.c) ---- */
/* "pdf", by the ending of a file's name; NULL: none that can be read. */
const char *document_format_of_name(const char *name);
int document_is_plain(const char *format);               /* Markdown, plain text: the file itself is readable */
const char *document_endings(void);                      /* ".md .txt …", for messages */
/* Reads a file in a limited child process. *out is released by extract_release, also after an error. Errors name file, fault
 * and remedy: ILAB_E_FORMAT (damaged, encrypted, no text), ILAB_E_LIMIT (too large, zip bomb, time), ILAB_E_NOTFOUND
 * (no file; a program or library is missing), ILAB_E_IO (changed while it was read). */
int document_extract(const char *path, struct extract *out, ilab_err *e);
/* The same, with the document as one text: plain files as they stand, others by extract_add_text(). *text: mem_free. A plain file
 * may be empty. */
int document_read(const char *path, char **text, size_t *n, struct extract *out, ilab_err *e);
/* The same in this process, for bytes in memory; `format` from the table. For tests and fuzzing. */
int document_extract_bytes(const char *format, struct sv bytes, const char *name, struct extract *out, ilab_err *e);
/* The child's side: main() calls it first. Returns -1 when argv is not that of a child, else the exit code. */
int document_child(int argc, char **argv);

/* ---- where documents lie (fetch.c, pattern.c) ---- */
/* Python's fnmatch of one name: * ? [seq] [!seq], no escapes; code points, not bytes. */
int document_pattern_matches(struct sv pattern, struct sv name);
struct file_list { char **path; size_t n, cap; };        /* relative to a folder, sorted, each once */
void file_list_release(struct file_list *l);
/* Files below `root` that one of the patterns names, as Python's glob without recursion does: a * crosses no '/', `**` is as *,
 * a leading dot must be written. Refused (ILAB_E_INVALID): absolute patterns and `..`. What a link shows outside of root, and
 * with no_links every link, is left out with a warning that calls the folder `shown`. */
int pattern_files(const char *root, const char *const *pattern, int n_pattern, int no_links, const char *shown, struct file_list *out, ilab_err *e);

struct source_request {
    const char *repo, *commit;       /* commit: hash, branch or tag; NULL or "": the default branch */
    const char *const *from; int n_from; /* folders in which a relative repo is looked for, in this order */
    int offline;                     /* ILAB_E_NOTFOUND, "… not at hand …", instead of fetching from an address */
    const char *cache;               /* NULL: ILAB_CACHE_DIR, else $XDG_CACHE_HOME/ilab, else ~/.cache/ilab; "/documents" is added */
};
struct source {
    char *root;                      /* folder with the files */
    char *only;                      /* repo names one file: its name in root; else NULL */
    int is_clone, from_cache;        /* from_cache: nothing was fetched */
    char commit[65];                 /* of a clone */
};
/* The folder that repo and commit name: a folder or file on this machine as it stands, or a clone in the cache, which is
 * fetched when the commit is not there yet (the only step that may need a network). */
int source_open(const struct source_request *r, struct source *out, ilab_err *e);
void source_release(struct source *s);

/* ---- chunks (chunk.c) ---- */
typedef int count_tokens_fn(void *ud, struct sv text);
struct chunk {
    struct sv heading;               /* path of headings */
    struct sv text;                  /* passages, one a line; the heading path is not in it */
    int n_tokens;                    /* of both, as joined by a line end */
    size_t first, last;              /* passages [first, last] */
};
struct chunk_list { struct arena mem; struct chunk *v; size_t n, cap; };
/* Passages in order, joined as long as heading path and text stay within max_tokens; a heading of the same or a higher level
 * begins a new chunk once the old one is a quarter full; a longer passage is cut at ends of sentences, a longer sentence at
 * spaces. No chunk is over the budget (but for a single word that is). */
int chunks_of(const struct extract *x, int max_tokens, count_tokens_fn *count, void *ud, struct chunk_list *out, ilab_err *e);
void chunks_release(struct chunk_list *l);
/* The budget that leaves most of a model's context to question and answer: a seventh, 56 to CHUNK_TOKENS; small models read
 * short texts far better. word_count > 0: no more than the reference's 1.3 tokens a word. */
enum { CHUNK_TOKENS = 500, CHUNK_MIN_TOKENS = 56 };
int chunk_budget(int n_ctx, int word_count);
/* The reference's chunks of characters (instructlab-reference §3.1): words x 1.3 tokens of four characters, 100 characters of
 * overlap, cut at blank lines, then lines, then (by_space: InstructLab 0.15) spaces. Views into text or copies in a. */
int chunks_of_characters(struct sv text, int word_count, int n_ctx, int by_space, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
/* The same of an extract's text, with tokens and passages of each; headings are part of the text. */
int chunks_as_reference(const struct extract *x, int word_count, int n_ctx, int by_space, count_tokens_fn *count, void *ud, struct chunk_list *out, ilab_err *e);

#endif
