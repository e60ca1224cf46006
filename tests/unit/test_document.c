/* test_document.c — the same facts in every format; bad files, each with one message; patterns as Python's; a clone that goes on
 * without its repository; chunks under a budget, and the reference's chunks as its own splitter cuts them.
 * The documents are made by tests/documents/make.py.  SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"

#include "document/document.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define DOCUMENTS "tests/documents/"
static ilab_err err;

/* Index of the first passage whose text has the needle; -1: none. */
static int find(const struct extract *x, const char *needle)
{
    for (size_t i = 0; i < x->n; i++)
        if (sv_find(x->v[i].text, sv_of(needle), 0) >= 0) return (int)i;
    return -1;
}

static const char *path_of(const struct extract *x, int i)
{
    static char out[512];
    struct sb b;
    sb_init(&b, 512);
    passage_add_path(x, (size_t)i, &b);
    snprintf(out, sizeof out, "%s", b.p ? b.p : "");
    sb_release(&b);
    return out;
}

static void test_same_facts_in_each_format(void **state)
{
    (void)state;
    static const struct { const char *file, *format; int table, images, place_line, place_page; } ROWS[] = {
        { "facts.md", "markdown", 1, 1, 7, 0 }, { "facts.txt", "text", 0, 0, 4, 0 }, { "facts.html", "html", 1, 1, 3, 0 }, { "facts.docx", "docx", 1, 0, 2, 0 },
        { "facts.odt", "odt", 1, 1, 2, 0 },     { "facts.epub", "epub", 1, 1, 2, 0 }, { "facts.pdf", "pdf", 1, 1, 0, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct extract x;
        char path[128];
        snprintf(path, sizeof path, DOCUMENTS "%s", ROWS[i].file);
        print_message("%s\n", ROWS[i].file);
        const int rc = document_extract(path, &x, &err);
        if (rc) print_message("%s\n", err.msg);
        if (rc == ILAB_E_NOTFOUND && strstr(err.msg, "apt install")) {
            extract_release(&x);
            print_message("SKIP: a library or program of this format is not installed\n");
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(x.format, ROWS[i].format);
        const int fact = find(&x, "Die Grünwald-Werke wurden 1962 von Marta Engelund in Öhringen gegründet. Sie beschäftigen heute 1840 Menschen & bauen Straßenleuchten.");
        assert_true(fact > 0 && x.v[fact].kind == PASSAGE_PARAGRAPH);
        assert_string_equal(path_of(&x, fact), "Geschichte");
        assert_true(x.v[fact].line == ROWS[i].place_line && x.v[fact].page == ROWS[i].place_page);
        const int item = find(&x, "Künzelsau: Fertigung"), row = find(&x, "Standort: Öhringen; Fläche: 4200 m²; Eröffnet: 1962"), note = find(&x, "Der Gründungstag war der 5. Mai 1962.");
        assert_true(item > 0 && x.v[item].kind == PASSAGE_ITEM && row > 0 && note > 0);
        assert_string_equal(path_of(&x, row), "Geschichte > Standorte");
        if (ROWS[i].table) assert_true(x.v[row].kind == PASSAGE_ROW && note == fact + 1 && x.v[note].kind == PASSAGE_FOOTNOTE && find(&x, "Standort: Künzelsau") == row + 1);
        assert_int_equal(x.lost[LOST_IMAGES], ROWS[i].images);
        assert_true(find(&x, "unsichtbar") < 0 && find(&x, "gelöscht") < 0 && find(&x, "geheim") < 0 && find(&x, "Suche") < 0 && find(&x, "Chronik") < 0);
        if (!document_is_plain(x.format)) assert_true(sv_eq_c(x.title, "Die Grünwald-Werke") && sv_eq_c(x.creator, "Änne Köhler"));
        if (x.n_pages) { /* columns of prose one after the other */
            const int left = find(&x, "steht in Der linke Satz Nummer 2"), right = find(&x, "folgt Die rechte Zeile Nummer 2");
            assert_true(left > 0 && right == left + 1 && x.lost[LOST_PAGE_HEADERS] == 4);
        }
        extract_release(&x);
    }
}

static const char *fails(const char *path, int code)
{
    struct extract x;
    err = (ilab_err){ 0 };
    const int rc = document_extract(path, &x, &err);
    extract_release(&x);
    if (rc != code) print_message("%s: %d, %s\n", path, rc, err.msg);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.msg, path_base(path)));
    return err.msg;
}

static char *bytes_of(const char *name, size_t *n)
{
    char *p = NULL, path[128];
    snprintf(path, sizeof path, DOCUMENTS "%s", name);
    assert_int_equal(file_read(path, 1 << 20, &p, n, &err), 0);
    return p;
}

static void test_bad_files_have_one_message_each(void **state)
{
    (void)state;
    size_t n;
    char *p;
    assert_has(fails(DOCUMENTS "bomb.docx", ILAB_E_LIMIT), "zip bomb");
    assert_has(fails(DOCUMENTS "encrypted.pdf", ILAB_E_FORMAT), "encrypted");
    assert_has(fails(DOCUMENTS "scanned.pdf", ILAB_E_FORMAT), "OCR");
    assert_has(fails(DOCUMENTS "absent.pdf", ILAB_E_NOTFOUND), "No such file");
    put_n("bad/empty.docx", "", 0);
    assert_has(fails(at("bad/empty.docx"), ILAB_E_FORMAT), "the file is empty");
    put_n("bad/garbage.docx", "\1\2\3garbage", 10);
    assert_has(fails(at("bad/garbage.docx"), ILAB_E_FORMAT), "damaged");
    put_n("bad/garbage.pdf", "no pdf", 6);
    assert_has(fails(at("bad/garbage.pdf"), ILAB_E_FORMAT), "no PDF file");
    put_n("bad/garbage.bin", "a\0b", 3);
    assert_has(fails(at("bad/garbage.bin"), ILAB_E_FORMAT), "no text and no document");
    put_n("bad/old.docx", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 x", 10);
    assert_has(fails(at("bad/old.docx"), ILAB_E_FORMAT), "password");
    put("bad/blank.md", "\n\n  \n");
    assert_has(fails(at("bad/blank.md"), ILAB_E_FORMAT), "no text in it");
    put_n("bad/latin.txt", "Stra\xDF" "e", 6);
    assert_has(fails(at("bad/latin.txt"), ILAB_E_FORMAT), "iconv");
    put("bad/laughs.html", "<p>fine");
    assert_int_equal(symlink("loop.md", at("bad/loop.md")), 0);
    assert_has(fails(at("bad/loop.md"), ILAB_E_NOTFOUND), "symbolic links");
    assert_has(fails(at("bad"), ILAB_E_INVALID), "is no file");
    static const char *const CUT[] = { "facts.docx", "facts.odt", "facts.epub", "facts.pdf" };
    for (size_t i = 0; i < ARRAY_LEN(CUT); i++) {
        char name[64];
        p = bytes_of(CUT[i], &n);
        snprintf(name, sizeof name, "bad/cut-%s", CUT[i]);
        put_n(name, p, n / 2);
        assert_has(fails(at(name), ILAB_E_FORMAT), "damaged");
        mem_free(p);
    }
    char *path = xstrdup(getenv("PATH"));
    setenv("PATH", "/no-such-folder", 1);
    assert_has(fails(DOCUMENTS "facts.pdf", ILAB_E_NOTFOUND), "apt install poppler-utils");
    setenv("PATH", path, 1);
    mem_free(path);
}

static void test_entities_in_xml_are_refused(void **state)
{
    (void)state;
    static const char BODY[] = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><html xmlns=\"http://www.w3.org/1999/xhtml\"><doc/>&b;</html>";
    struct extract x;
    assert_int_equal(document_extract_bytes("pdf", SV(BODY), "laughs", &x, &err), ILAB_E_FORMAT);
    assert_has(err.msg, "declares entities");
    extract_release(&x);
}

/* ---- a file that somebody writes to ---- */

static atomic_int writing;

static void *keep_writing(void *ud)
{
    FILE *f = fopen(ud, "a");
    while (f && atomic_load(&writing)) fputs("more words for the file\n", f), fflush(f);
    if (f) fclose(f);
    return NULL;
}

static void test_a_file_that_changes_is_told(void **state)
{
    (void)state;
    pthread_t t;
    int told = 0;
    put("change/growing.txt", "Some words.\n");
    char *path = xstrdup(at("change/growing.txt"));
    atomic_store(&writing, 1);
    assert_int_equal(pthread_create(&t, NULL, keep_writing, path), 0);
    for (int i = 0; i < 500 && !told; i++) {
        struct extract x;
        told = document_extract(path, &x, &err) == ILAB_E_IO && strstr(err.msg, "changed while it was read");
        extract_release(&x);
        if (!told && file_size(path) > 4 << 20) assert_int_equal(truncate(path, 16), 0);
    }
    atomic_store(&writing, 0);
    pthread_join(t, NULL);
    mem_free(path);
    assert_true(told);
}

/* ---- patterns ---- */

static void test_patterns_are_pythons(void **state)
{
    (void)state;
    /* each row as Python 3.11's fnmatch.fnmatchcase says */
    static const struct { const char *pattern, *name; int same; } ROWS[] = {
        { "*.md", "a.md", 1 }, { "*.md", "a.mdx", 0 }, { "*", "", 1 }, { "?", "\xC3\xA4", 1 }, { "?", "", 0 }, { "[a-c]x", "bx", 1 }, { "[!a-c]x", "bx", 0 }, { "[!a-c]x", "dx", 1 },
        { "[]]", "]", 1 }, { "[!]]", "x", 1 }, { "[", "[", 1 }, { "a[", "a[", 1 }, { "[a", "[a", 1 }, { "[^a]", "^", 1 }, { "[^a]", "b", 0 }, { "\\*", "\\x", 1 }, { "\\*", "*", 0 },
        { "[a-]", "-", 1 }, { "[-a]", "-", 1 }, { "[z-a]", "z", 0 }, { "[z-a]", "b", 0 }, { "[a-c-e]", "-", 1 }, { "[a-c-e]", "d", 0 }, { "[a-c-e]", "e", 1 }, { "[!z-a]", "q", 1 },
        { "a*b*c", "aXbYbZc", 1 }, { "a*b*c", "aXbYbZ", 0 }, { "**", "x", 1 }, { "[\xC3\xA0-\xC3\xA9]", "\xC3\xA4", 1 }, { "[!\xC3\xA4]", "\xC3\xA4", 0 }, { "A", "a", 0 }, { "[\\]x]", "\\x]", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        if (document_pattern_matches(sv_of(ROWS[i].pattern), sv_of(ROWS[i].name)) != ROWS[i].same) print_message("%s %s\n", ROWS[i].pattern, ROWS[i].name);
        assert_int_equal(document_pattern_matches(sv_of(ROWS[i].pattern), sv_of(ROWS[i].name)), ROWS[i].same);
    }
}

static const char *files(const char *pattern)
{
    static char out[1024];
    struct file_list l;
    err = (ilab_err){ 0 };
    if (pattern_files(at("glob"), &pattern, 1, 0, "glob", &l, &err)) return err.msg;
    out[0] = 0;
    for (size_t i = 0; i < l.n; i++) snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "", l.path[i]);
    file_list_release(&l);
    return out;
}

static void test_patterns_stay_in_their_folder(void **state)
{
    (void)state;
    put("glob/a.md", "a");
    put("glob/b/c.md", "c");
    put("glob/b/d/e.md", "e");
    put("glob/.hidden/f.md", "f");
    put("outside.md", "no");
    assert_int_equal(symlink("../outside.md", at("glob/out.md")), 0);
    assert_int_equal(symlink("..", at("glob/b/up")), 0);
    assert_int_equal(symlink("a.md", at("glob/link.md")), 0);
    assert_int_equal(symlink("self", at("glob/self")), 0);
    assert_string_equal(files("*.md"), "a.md");           /* link.md is a.md; out.md leads out */
    assert_string_equal(files("link.md"), "link.md");
    assert_string_equal(files("*/*.md"), "b/c.md");
    assert_string_equal(files("**/*.md"), "b/c.md");      /* ** is * */
    assert_string_equal(files("./b//d/*"), "b/d/e.md");
    assert_string_equal(files("b/up/b/up/b/*.md"), "b/up/b/up/b/c.md"); /* a circle is as long as the pattern */
    assert_string_equal(files("*/*/*/*/*/*.md"), "b/up/b/up/b/c.md");
    assert_string_equal(files(".hidden/*"), ".hidden/f.md");
    assert_string_equal(files("b"), "");
    assert_has(files("../*.md"), "leaves the folder");
    assert_has(files("b/../../*.md"), "leaves the folder");
    assert_has(files("/etc/*"), "is absolute");
}

/* ---- clones ---- */

static int open_source(const char *repo, const char *commit, struct source *s)
{
    const struct source_request r = { .repo = repo, .commit = commit };
    err = (ilab_err){ 0 };
    source_release(s);
    return source_open(&r, s, &err);
}

static void test_a_clone_goes_on_without_its_repository(void **state)
{
    (void)state;
    struct source s = { 0 };
    char url[600], hash[65];
    setenv("ILAB_CACHE_DIR", at("cache"), 1);
    put("origin/x.md", "One.");
    char *repo = xstrdup(at("origin"));
    snprintf(url, sizeof url, "file://%s", repo);
    GIT(repo, "init", "-q", ".");
    GIT(repo, "add", ".");
    GIT(repo, "commit", "-q", "-m", "one");
    assert_int_equal(open_source(url, "main", &s), 0);
    assert_true(s.is_clone && !s.from_cache && strlen(s.commit) == 40 && file_exists(s.root) == 2);
    snprintf(hash, sizeof hash, "%s", s.commit);
    put("origin/x.md", "Two.");
    GIT(repo, "commit", "-q", "-a", "-m", "two");
    assert_int_equal(open_source(url, NULL, &s), 0); /* the default branch, as it is now */
    assert_string_not_equal(s.commit, hash);
    assert_int_equal(open_source(url, hash, &s), 0);
    assert_true(s.from_cache && !strcmp(s.commit, hash));
    assert_int_equal(open_source(repo, hash, &s), 0); /* a folder, by a commit of its own */
    assert_true(s.is_clone);
    assert_int_equal(open_source(repo, "main", &s), 0);
    assert_true(!s.is_clone);
    char *away = xstrdup(at("away"));
    assert_int_equal(rename(repo, away), 0);
    assert_int_equal(open_source(url, hash, &s), 0);
    assert_true(s.from_cache);
    assert_int_equal(open_source(url, "main", &s), 0); /* what it meant when it was last fetched */
    assert_true(s.from_cache && !strcmp(s.commit, hash));
    assert_int_equal(open_source(url, "branch", &s), ILAB_E_IO);
    assert_has(err.msg, "check document.repo");
    char *file = xstrdup(at("away/x.md"));
    assert_int_equal(open_source(file, "main", &s), 0);
    assert_string_equal(s.only, "x.md");
    assert_int_equal(open_source("http://example.org/x.git", "main", &s), ILAB_E_INVALID);
    assert_int_equal(open_source("-x", "main", &s), ILAB_E_INVALID);
    assert_int_equal(open_source(url, "a b", &s), ILAB_E_INVALID);
    source_release(&s);
    mem_free(repo);
    mem_free(away);
    mem_free(file);
}

/* ---- chunks ---- */

static int words(void *ud, struct sv s)
{
    int n = 0;
    (void)ud;
    for (size_t i = 0; i < s.n; i++) n += (unsigned char)s.p[i] > ' ' && (i + 1 == s.n || (unsigned char)s.p[i + 1] <= ' ');
    return n;
}

static void test_chunks_keep_budget_and_path(void **state)
{
    (void)state;
    static const char TEXT[] = "# Top\n\nOne two three four five. Six seven eight nine ten.\n\n## Under\n\nEleven twelve. Thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty.\n\n- a b\n- c d\n\n## Empty\n";
    struct extract x;
    assert_int_equal(document_extract_bytes("markdown", SV(TEXT), "t", &x, &err), 0);
    for (int max = 2; max < 40; max++) {
        struct chunk_list l;
        struct sb all;
        sb_init(&all, 1 << 16);
        assert_int_equal(chunks_of(&x, max, words, NULL, &l, &err), 0);
        for (size_t i = 0; i < l.n; i++) {
            assert_true(l.v[i].n_tokens <= max && l.v[i].text.n);
            sb_add(&all, l.v[i].text);
            sb_addch(&all, ' ');
        }
        static const char *const EACH[] = { "One", "five.", "ten.", "Eleven", "Thirteen", "twenty.", "a", "d" };
        for (size_t k = 0; k < ARRAY_LEN(EACH); k++) assert_non_null(strstr(all.p, EACH[k])); /* nothing is lost */
        sb_release(&all);
        chunks_release(&l);
    }
    struct chunk_list l;
    assert_int_equal(chunks_of(&x, 14, words, NULL, &l, &err), 0);
    assert_true(l.n == 4 && sv_eq_c(l.v[0].heading, "Top") && sv_eq_c(l.v[1].heading, "Top > Under") && sv_eq_c(l.v[1].text, "Eleven twelve. Thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty."));
    chunks_release(&l);
    extract_release(&x);
}

static void test_chunks_of_the_reference(void **state)
{
    (void)state;
    struct arena a;
    struct sv *v = NULL;
    size_t n = 0;
    arena_init(&a, 1 << 24);
    assert_int_equal(chunks_of_characters(SV("x"), 1000, 1034, 0, &a, &v, &n, &err), ILAB_E_INVALID);
    assert_has(err.msg, "Given word count (1000) per doc will exceed the server context window size (1034)");
    assert_int_equal(chunks_of_characters(SV("x"), 5, 1034, 0, &a, &v, &n, &err), ILAB_E_INVALID);
    assert_has(err.msg, "Got a larger chunk overlap (100) than chunk size (24), should be smaller");
    struct sb b;
    sb_init(&b, 1 << 16);
    for (int i = 0; i < 40; i++) sb_addf(&b, "Paragraph %d has some words\nand a second line.\n\n", i);
    assert_int_equal(chunks_of_characters((struct sv){ b.p, b.n }, 40, 4096, 0, &a, &v, &n, &err), 0); /* 208 characters */
    for (size_t i = 0; i < n; i++) assert_true(v[i].n <= 208 && (i == 0 || v[i].p < v[i - 1].p + v[i - 1].n)); /* they overlap */
    assert_true(sv_starts(v[0], "Paragraph 0 ") && sv_ends(v[n - 1], "line."));
    struct extract x; /* the same with the passages that each has */
    struct chunk_list l;
    assert_int_equal(document_extract_bytes("markdown", (struct sv){ b.p, b.n }, "t", &x, &err), 0);
    assert_int_equal(chunks_as_reference(&x, 40, 4096, 0, words, NULL, &l, &err), 0);
    assert_true(l.n > 8 && l.v[0].first == 0 && l.v[l.n - 1].last == x.n - 1);
    for (size_t i = 0; i < l.n; i++) {
        const struct chunk *c = &l.v[i];
        assert_true(c->n_tokens == words(NULL, c->text) && c->first <= c->last && (!i || (c->first >= l.v[i - 1].first && c->first <= l.v[i - 1].last + 1)));
        assert_true(sv_find(c->text, x.v[c->first].text, 0) == 0 && sv_ends(c->text, "line.") && sv_find(c->text, x.v[c->last].text, 0) >= 0);
    }
    chunks_release(&l);
    extract_release(&x);
    assert_true(chunk_budget(512, 1000) == 73 && chunk_budget(256, 1000) == CHUNK_MIN_TOKENS && chunk_budget(32768, 1000) == CHUNK_TOKENS && chunk_budget(4096, 100) == 130);
    sb_release(&b);
    arena_release(&a);
}

int main(int argc, char **argv)
{
    const int child = document_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_facts_in_each_format), cmocka_unit_test(test_bad_files_have_one_message_each),
        cmocka_unit_test(test_entities_in_xml_are_refused), cmocka_unit_test(test_a_file_that_changes_is_told), cmocka_unit_test(test_patterns_are_pythons),
        cmocka_unit_test(test_patterns_stay_in_their_folder), cmocka_unit_test(test_a_clone_goes_on_without_its_repository),
        cmocka_unit_test(test_chunks_keep_budget_and_path), cmocka_unit_test(test_chunks_of_the_reference),
    };
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
