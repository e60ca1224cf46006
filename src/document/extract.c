/* extract.c — one file: which format it has, and reading it in a child process with limits.
 *
 * The file is read once into memory that has no name (memfd) and handed to the child as its standard input, so the child opens
 * nothing, and a file that changes meanwhile is found out. A PDF goes through two children: `pdftotext` for words and places,
 * then our own reader of those. The child writes JSON into a pipe: passages, or one error.
 *
 * The child is this program itself, started anew (document_child): a copy of a process that has mapped a model and runs threads
 * could neither be limited in memory nor safely go on.  SPDX-License-Identifier: Apache-2.0 */
#include "document/builder.h"
#include "document/libs.h"
#include "document/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char CHILD_WORD[] = "document-child", PROGRAM_WORD[] = "document-program";
enum { ANSWER_MAX = 512 << 20, WORDS_MAX = 512 << 20 };

/* ---- formats ---- */

struct format { const char *name; const char *endings; reader_fn *read; const char *program, *package; int is_plain; };
static const struct format FORMATS[] = {
    { "markdown", ".md .markdown", read_markdown, NULL, NULL, 1 },
    { "text", ".txt .text", read_text, NULL, NULL, 1 },
    { "html", ".html .htm .xhtml", read_html, NULL, NULL, 0 },
    { "pdf", ".pdf", read_pdf_layout, "pdftotext", "poppler-utils", 0 },
    { "docx", ".docx", read_docx, NULL, NULL, 0 },
    { "odt", ".odt", read_odt, NULL, NULL, 0 },
    { "epub", ".epub", read_epub, NULL, NULL, 0 },
};

static const struct format *format_named(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_LEN(FORMATS); i++)
        if (!strcmp(FORMATS[i].name, name)) return &FORMATS[i];
    return NULL;
}

const char *document_format_of_name(const char *name)
{
    const char *dot = strrchr(path_base(name), '.');
    for (size_t i = 0; dot && i < ARRAY_LEN(FORMATS); i++) {
        struct sv rest = sv_of(FORMATS[i].endings), one;
        while (sv_split(&rest, ' ', &one))
            if (one.n == strlen(dot) && !strncasecmp(one.p, dot, one.n)) return FORMATS[i].name;
    }
    return NULL;
}

int document_is_plain(const char *format)
{
    const struct format *f = format_named(format);
    return f && f->is_plain;
}

const char *document_endings(void) { return ".md .txt .html .pdf .docx .odt .epub"; }

/* What the first bytes tell. NULL with a message: nothing that can be read. */
static const struct format *format_of(const char *path, struct sv s, ilab_err *e)
{
    const struct sv head = { s.p, s.n < 1024 ? s.n : 1024 };
    const char *by_name = document_format_of_name(path);
    const struct format *named = format_named(by_name);
    const int is_pdf = sv_find(head, SV("%PDF-"), 0) >= 0, is_zip = s.n > 3 && !memcmp(s.p, "PK\3\4", 4), is_old_word = s.n > 8 && !memcmp(s.p, "\xD0\xCF\x11\xE0", 4);
    if (!s.n) return err_set(e, ILAB_E_FORMAT, "%s: the file is empty", path), NULL;
    if (is_pdf) return format_named("pdf");
    if (is_old_word) return err_set(e, ILAB_E_FORMAT, "%s: this is an old Word file (.doc) or one with a password: save it as DOCX without a password", path), NULL;
    if (sv_starts(head, "{\\rtf")) return err_set(e, ILAB_E_FORMAT, "%s: this is RTF: save it as DOCX or ODT", path), NULL;
    if (is_zip) {
        if (sv_find(head, SV("application/epub+zip"), 0) >= 0) return format_named("epub");
        if (sv_find(head, SV("application/vnd.oasis.opendocument.text"), 0) >= 0) return format_named("odt");
        if (named && !named->is_plain && strcmp(named->name, "html") && strcmp(named->name, "pdf")) return named;
        if (sv_find(s, SV("word/document.xml"), 0) >= 0) return format_named("docx");
        return err_set(e, ILAB_E_FORMAT, "%s: an archive that is no DOCX, ODT or EPUB document: unpack it and name its documents", path), NULL;
    }
    if (named && !strcmp(named->name, "pdf")) return err_set(e, ILAB_E_FORMAT, "%s: this is no PDF file (it does not begin with %%PDF-): get it again", path), NULL;
    if (named && strchr("deo", named->name[0])) return err_set(e, ILAB_E_FORMAT, "%s: the archive is damaged or cut off at its beginning: get the file again", path), NULL;
    if (named) return named;
    const int utf16 = s.n > 1 && (!memcmp(s.p, "\xFF\xFE", 2) || !memcmp(s.p, "\xFE\xFF", 2));
    if (memchr(head.p, 0, head.n) && !utf16) return err_set(e, ILAB_E_FORMAT, "%s: this is no text and no document of a known format (%s)", path, document_endings()), NULL;
    const ptrdiff_t tag = sv_find(head, SV("<html"), 0), doctype = sv_find(head, SV("<!DOCTYPE html"), 0), small = sv_find(head, SV("<!doctype html"), 0);
    return format_named(tag >= 0 || doctype >= 0 || small >= 0 ? "html" : "text");
}

/* ---- the file ---- */

/* Reads a whole file; what changes while it is read is an error. */
static int snapshot(const char *path, char **out, size_t *n, ilab_err *e)
{
    struct stat before, after;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *out = NULL;
    *n = 0;
    if (fd < 0) return err_set(e, errno == ENOENT || errno == ELOOP ? ILAB_E_NOTFOUND : ILAB_E_IO, "cannot open '%s': %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &before)) rc = err_errno(e, errno, "cannot read '%s'", path);
    else if (!S_ISREG(before.st_mode)) rc = err_set(e, ILAB_E_INVALID, "'%s' is no file", path);
    else if (before.st_size > DOCUMENT_MAX_INPUT) rc = err_set(e, ILAB_E_LIMIT, "%s: larger than %d MB: cut the document into parts", path, (int)(DOCUMENT_MAX_INPUT >> 20));
    char *p = rc ? NULL : mem_alloc((size_t)before.st_size + 2);
    if (!rc && !p) rc = err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", path);
    ssize_t got = 1;
    while (!rc && *n <= (size_t)before.st_size && (got = read(fd, p + *n, (size_t)before.st_size + 1 - *n)) > 0) *n += (size_t)got;
    if (!rc && got < 0) rc = err_errno(e, errno, "cannot read '%s'", path);
    if (!rc && (fstat(fd, &after) || *n != (size_t)before.st_size || after.st_size != before.st_size || after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
                after.st_mtim.tv_nsec != before.st_mtim.tv_nsec))
        rc = err_set(e, ILAB_E_IO, "%s: the file changed while it was read: try again when nobody writes to it", path);
    close(fd);
    if (rc) mem_free(p);
    else p[*n] = 0, *out = p;
    return rc;
}

/* Memory as a file without a name; -1: *e is set. */
static int memory_file(struct sv s, const char *path, ilab_err *e)
{
    const int fd = memfd_create("document", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < s.n) {
        const ssize_t n = write(fd, s.p + done, s.n - done);
        if (n <= 0 && errno != EINTR) break;
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0 && done == s.n && lseek(fd, 0, SEEK_SET) == 0) return fd;
    err_errno(e, errno, "%s: cannot hand the document to a child process", path);
    if (fd >= 0) close(fd);
    return -1;
}

/* ---- the answer ---- */

static json_t *answer_of(const struct extract *x)
{
    json_t *list = json_array(), *lost = json_array();
    for (size_t i = 0; i < x->n; i++) {
        const struct passage *p = &x->v[i];
        json_array_append_new(list, json_pack("[i,i,i,i,i,o,o]", (int)p->kind, p->level, p->heading, p->line, p->page, json_stringn(p->part.n ? p->part.p : "", p->part.n),
                                              json_stringn(p->text.n ? p->text.p : "", p->text.n)));
    }
    for (int i = 0; i < LOST_KINDS; i++) json_array_append_new(lost, json_integer(x->lost[i]));
    return json_pack("{s:o,s:o,s:i,s:i,s:o,s:o,s:o}", "passages", list, "lost", lost, "pages", x->n_pages, "paragraphs", x->line_is_paragraph, "title",
                     json_stringn(x->title.n ? x->title.p : "", x->title.n), "creator", json_stringn(x->creator.n ? x->creator.p : "", x->creator.n), "language",
                     json_stringn(x->language.n ? x->language.p : "", x->language.n));
}

static struct sv text_of(struct extract *x, const json_t *v)
{
    const size_t n = json_string_length(v);
    const char *s = json_string_value(v), *p = s && n ? arena_strndup(&x->mem, s, n) : "";
    return (struct sv){ p ? p : "", p ? n : 0 };
}

/* The child read foreign bytes: nothing in its answer is trusted but that it is JSON. */
static int read_answer(struct extract *x, const json_t *o, ilab_err *e)
{
    const json_t *list = json_object_get(o, "passages"), *lost = json_object_get(o, "lost");
    const size_t n = json_array_size(list);
    if (n > MAX_PASSAGES) return err_set(e, ILAB_E_LIMIT, "more than %d passages", (int)MAX_PASSAGES);
    if (n && mem_grow((void **)&x->v, &x->cap, n, sizeof *x->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the passages");
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(list, i);
        int v[5];
        for (int k = 0; k < 5; k++) v[k] = (int)json_integer_value(json_array_get(row, (size_t)k));
        const int good = v[0] >= 0 && v[0] < PASSAGE_KINDS && v[1] >= 0 && v[2] >= -1 && v[2] < (int)i && v[3] >= 0 && v[4] >= 0;
        if (!good || json_array_size(row) != 7) return err_set(e, ILAB_E_FORMAT, "the reader of this format gave a broken answer");
        x->v[x->n++] = (struct passage){ (enum passage_kind)v[0], v[1], v[2], v[3], v[4], text_of(x, json_array_get(row, 5)), text_of(x, json_array_get(row, 6)) };
    }
    for (size_t i = 0; i < LOST_KINDS; i++) x->lost[i] = json_integer_value(json_array_get(lost, i));
    x->n_pages = (int)json_int(o, "pages", 0);
    x->line_is_paragraph = (int)json_int(o, "paragraphs", 0);
    x->title = text_of(x, json_object_get(o, "title"));
    x->creator = text_of(x, json_object_get(o, "creator"));
    x->language = text_of(x, json_object_get(o, "language"));
    return 0;
}

/* ---- children ---- */

static int run_child(const char *const *argv, int fd, const char *path, char **out, size_t *n, char **err_text, int *status, ilab_err *e)
{
    const struct child_opts o = { .in_fd = fd, .max = ANSWER_MAX, .seconds = SANDBOX_SECONDS };
    int rc = child_run_with(argv, &o, out, n, err_text, status, e);
    if (rc == ILAB_E_LIMIT) rc = err_set(e, rc, "%s: reading it took longer than %d s or gave too much text: cut the document into parts", path, (int)SANDBOX_SECONDS);
    return rc;
}

/* How a child ended that gave no answer. */
static int no_answer(const char *path, int status, ilab_err *e)
{
    if (status == 128 + 24 /* SIGXCPU */ || status == 128 + 9)
        return err_set(e, ILAB_E_LIMIT, "%s: reading it took more than %d s of processor time: cut the document into parts", path, (int)SANDBOX_CPU_SECONDS);
    if (status > 128)
        return err_set(e, ILAB_E_FORMAT, "%s: it is damaged, or needs more than %lu MB to be read (the reader was stopped by signal %d)", path, SANDBOX_MEMORY >> 20, status - 128);
    return err_set(e, ILAB_E_FORMAT, "%s: it cannot be read (the reader gave no answer, code %d)", path, status);
}

static int read_in_child(const struct format *f, struct sv bytes, const char *path, struct extract *x, ilab_err *e)
{
    const char *const argv[] = { "/proc/self/exe", CHILD_WORD, f->name, path, NULL };
    char *out = NULL, *err_text = NULL;
    size_t n = 0;
    int status = 0;
    const int fd = memory_file(bytes, path, e);
    if (fd < 0) return ILAB_E_IO;
    int rc = run_child(argv, fd, path, &out, &n, &err_text, &status, e);
    close(fd);
    json_t *o = rc || !n ? NULL : json_parse((struct sv){ out, n }, "answer", NULL);
    if (!rc && !json_is_object(o)) rc = no_answer(path, status, e);
    else if (!rc && json_object_get(o, "error")) {
        const char *why = json_str(o, "error");
        rc = err_set(e, (int)json_int(o, "code", ILAB_E_FORMAT) < 0 ? (int)json_int(o, "code", ILAB_E_FORMAT) : ILAB_E_FORMAT, "%s", why ? why : "the document cannot be read");
    } else if (!rc && (rc = read_answer(x, o, e)) != 0) err_prefix(e, "%s: ", path);
    json_decref(o);
    mem_free(out);
    mem_free(err_text);
    return rc;
}

/* Pictures are streams, and streams are never inside of other objects: a look at the bytes finds them. Masks belong to pictures. */
static int64_t pdf_images(struct sv s)
{
    int64_t images = 0, masks = 0;
    for (ptrdiff_t i = 0; (i = sv_find(s, SV("/Subtype"), (size_t)i)) >= 0; i += 8) {
        size_t k = (size_t)i + 8;
        while (k < s.n && s.p[k] == ' ') k++;
        images += sv_starts((struct sv){ s.p + k, s.n - k }, "/Image");
    }
    for (ptrdiff_t i = 0; (i = sv_find(s, SV("/SMask "), (size_t)i)) >= 0; i += 7) masks++;
    return images > masks ? images - masks : images;
}

/* `pdftotext`, under limits that stay with it. Its output, in *out. */
static int pdf_words(const struct format *f, struct sv bytes, const char *path, char **out, size_t *n, ilab_err *e)
{
    const char *const argv[] = { "/proc/self/exe", PROGRAM_WORD, f->program, "-bbox-layout", "-enc", "UTF-8", "-", "-", NULL };
    char *err_text = NULL;
    int status = 0;
    const int fd = memory_file(bytes, path, e);
    if (fd < 0) return ILAB_E_IO;
    int rc = run_child(argv, fd, path, out, n, &err_text, &status, e);
    close(fd);
    const struct sv said = sv_of(err_text ? err_text : "");
    if (rc) (void)0;
    else if (status == 127)
        rc = err_set(e, ILAB_E_NOTFOUND, "%s: reading PDF needs the program %s: install it (Debian: apt install %s)", path, f->program, f->package);
    else if (sv_find(said, SV("ncorrect password"), 0) >= 0 || sv_find(said, SV("ncrypted"), 0) >= 0)
        rc = err_set(e, ILAB_E_FORMAT, "%s: the PDF is encrypted: save it without a password, for example with qpdf --decrypt", path);
    else if (sv_find(said, SV("Copying of text"), 0) >= 0) rc = err_set(e, ILAB_E_FORMAT, "%s: the PDF's author does not allow its text to be copied", path);
    else if (status > 128) rc = no_answer(path, status, e);
    else if (status || !*n) {
        const struct sv line = sv_trim((struct sv){ said.p, strcspn(said.p, "\n") });
        rc = err_set(e, ILAB_E_FORMAT, "%s: the PDF is damaged or cut off%s%.*s: get the file again", path, line.n ? ": " : "", (int)(line.n < 120 ? line.n : 120), line.p);
    }
    mem_free(err_text);
    if (rc) mem_free(*out), *out = NULL;
    return rc;
}

static int extract_bytes_of(const char *path, struct sv bytes, struct extract *x, ilab_err *e)
{
    char *words = NULL;
    size_t n_words = 0;
    int64_t images = 0;
    const struct format *f = format_of(path, bytes, e);
    int rc = f ? 0 : ILAB_E_FORMAT;
    if (!rc && f->program) {
        images = pdf_images(bytes);
        rc = pdf_words(f, bytes, path, &words, &n_words, e);
    }
    if (!rc) rc = read_in_child(f, words ? (struct sv){ words, n_words } : bytes, path, x, e);
    if (f) x->format = f->name;
    x->lost[LOST_IMAGES] += images;
    mem_free(words);
    return rc;
}

int document_extract(const char *path, struct extract *x, ilab_err *e)
{
    char *bytes = NULL;
    size_t n = 0;
    *x = (struct extract){ 0 };
    arena_init(&x->mem, DOCUMENT_ARENA_MAX);
    int rc = snapshot(path, &bytes, &n, e);
    if (!rc) rc = extract_bytes_of(path, (struct sv){ bytes, n }, x, e);
    if (!rc && !x->n) rc = err_set(e, ILAB_E_FORMAT, "%s: there is no text in it", path);
    mem_free(bytes);
    return rc;
}

int document_read(const char *path, char **text, size_t *n, struct extract *x, ilab_err *e)
{
    char *bytes = NULL;
    *text = NULL;
    *x = (struct extract){ 0 };
    arena_init(&x->mem, DOCUMENT_ARENA_MAX);
    int rc = snapshot(path, &bytes, n, e);
    const char *named = document_format_of_name(path);
    if (!rc && !*n && document_is_plain(named)) x->format = named;
    else if (!rc) rc = extract_bytes_of(path, (struct sv){ bytes, *n }, x, e);
    if (!rc && document_is_plain(x->format) && utf8_valid((struct sv){ bytes, *n }, NULL)) *text = bytes, bytes = NULL;
    else if (!rc && !x->n) rc = err_set(e, ILAB_E_FORMAT, "%s: there is no text in it", path);
    else if (!rc) {
        struct sb b;
        sb_init(&b, DOCUMENT_MAX_TEXT * (size_t)2);
        extract_add_text(x, &b);
        *text = sb_take(&b, n);
        if (!*text) rc = err_set(e, ILAB_E_NOMEM, "%s: no memory for the text of this document", path);
        sb_release(&b);
    }
    mem_free(bytes);
    return rc;
}

int document_extract_bytes(const char *format, struct sv bytes, const char *name, struct extract *x, ilab_err *e)
{
    const struct format *f = format_named(format);
    struct builder b;
    *x = (struct extract){ 0 };
    arena_init(&x->mem, DOCUMENT_ARENA_MAX);
    if (!f) return err_set(e, ILAB_E_INVALID, "no format '%s'", format);
    x->format = f->name;
    build_init(&b, x, name, e);
    f->read(&b, bytes);
    return build_finish(&b);
}

/* ---- the child's side ---- */

static int write_all(struct sv s)
{
    while (s.n) {
        const ssize_t n = write(1, s.p, s.n);
        if (n <= 0 && errno != EINTR) return 1;
        if (n > 0) s.p += n, s.n -= (size_t)n;
    }
    return 0;
}

int document_child(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], PROGRAM_WORD)) {
        sandbox_program();
        execvp(argv[2], argv + 2);
        return 127;
    }
    if (argc != 4 || strcmp(argv[1], CHILD_WORD)) return -1;
    struct stat st;
    struct extract x;
    ilab_err e = { 0 };
    struct sb b;
    char nothing[1] = "";
    if (fstat(0, &st) || st.st_size < 0 || st.st_size > WORDS_MAX) return 1;
    void *p = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, 0, 0) : nothing;
    if (p == MAP_FAILED) return 1;
    libs_preload();
    sandbox_compute();
    const int rc = document_extract_bytes(argv[2], (struct sv){ p, (size_t)st.st_size }, argv[3], &x, &e);
    json_t *o = rc ? json_pack("{s:s%,s:i}", "error", e.msg, strnlen(e.msg, sizeof e.msg), "code", rc) : answer_of(&x);
    if (rc && !o) o = json_pack("{s:s,s:i}", "error", "the document cannot be read", "code", rc);
    sb_init(&b, ANSWER_MAX);
    sb_add_json(&b, o);
    const int failed = b.failed || write_all((struct sv){ b.p ? b.p : "", b.n });
    sb_release(&b);
    json_decref(o);
    extract_release(&x);
    return failed;
}
