/* test_data_taxonomy.c — which leaves changed (in a temporary git repository), and where documents come from.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"

static ilab_err err;

/* The changed leaves, joined by spaces; the error when there is one. */
static const char *changed(const char *taxonomy, const char *base)
{
    static char out[2048];
    struct leaf_list l;
    err = (ilab_err){ 0 };
    out[0] = 0;
    if (taxonomy_leaves(taxonomy, base, 0, &l, &err)) {
        assert_true(l.n == 0 && err.msg[0]);
        return err.msg;
    }
    for (size_t i = 0; i < l.n; i++) snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "", l.path[i]);
    leaf_list_release(&l);
    return out;
}

static void test_changed_leaves(void **state)
{
    (void)state;
    put("t/README.md", "x");
    put("t/.gitignore", "ignored/\n");
    put("t/knowledge/tracked/qna.yaml", "a: 1\n");
    put("t/knowledge/gone/qna.yaml", "a: 1\n");
    put("t/foundational_skills/x/qna.yaml", "a: 1\n");
    const char *t = xstrdup(at("t"));
    assert_has(changed(t, "main"), "is not a git repository");
    assert_has(err.msg, "--taxonomy-base empty");
    GIT(t, "init", "-q", ".");
    assert_has(changed(t, "main"), "has no commit yet");
    GIT(t, "add", ".");
    GIT(t, "commit", "-q", "-m", "Initial commit");
    assert_string_equal(changed(t, "main"), "");
    assert_string_equal(changed(t, "empty"), "knowledge/gone/qna.yaml knowledge/tracked/qna.yaml");
    put("t/compositional_skills/new \xC3\xA4/qna.yaml", "a: 1\n"); /* untracked; a name that git would quote */
    put("t/knowledge/ignored/qna.yaml", "a: 1\n");
    put("t/knowledge/upper/qna.YAML", "a: 1\n");
    put("t/knowledge/short/qna.yml", "a: 1\n");
    put("t/elsewhere/qna.yaml", "a: 1\n");
    assert_string_equal(changed(t, "main"), "compositional_skills/new \xC3\xA4/qna.yaml");
    put("t/knowledge/tracked/qna.yaml", "a: 2\n"); /* modified */
    assert_string_equal(changed(t, "HEAD"), "compositional_skills/new \xC3\xA4/qna.yaml knowledge/tracked/qna.yaml");
    put("t/knowledge/staged/qna.yaml", "a: 1\n");
    GIT(t, "add", "knowledge/staged/qna.yaml");
    unlink(at("t/knowledge/gone/qna.yaml"));
    const char *all = "compositional_skills/new \xC3\xA4/qna.yaml knowledge/staged/qna.yaml knowledge/tracked/qna.yaml";
    assert_string_equal(changed(t, "main"), all);
    GIT(t, "checkout", "-q", "-b", "work"); /* what is committed on a branch counts against main, not against itself */
    GIT(t, "add", ".");
    GIT(t, "commit", "-q", "-m", "work");
    assert_string_equal(changed(t, "main"), all);
    assert_string_equal(changed(t, "work"), "");
    assert_string_equal(changed(t, "work^"), all);
    GIT(t, "checkout", "-q", "main");
    put("t/knowledge/later/qna.yaml", "a: 1\n"); /* the base moves on: only the merge point counts */
    GIT(t, "add", ".");
    GIT(t, "commit", "-q", "-m", "main goes on");
    GIT(t, "checkout", "-q", "work");
    assert_string_equal(changed(t, "main"), all);
    assert_string_equal(changed(at("t/knowledge/.."), "main"), all);
    assert_has(changed(t, "invalid"), "Couldn't find the taxonomy git ref \"invalid\" from the current HEAD");
    assert_has(changed(t, "origin/main"), "Couldn't find the taxonomy base branch \"origin/main\" from the current HEAD");
    assert_has(err.msg, "--taxonomy-base");
    assert_has(changed(t, "--output=x"), "is no git reference");
    mem_free((void *)(uintptr_t)t);
}

static void test_folders_and_files(void **state)
{
    (void)state;
    put("u/knowledge/b/qna.yaml", "");
    put("u/knowledge/a/deep/qna.yaml", "");
    put("u/knowledge/.hidden/qna.yaml", "");
    put("u/compositional_skills/s/qna.yaml", "");
    put("u/compositional_skills/s/attribution.txt", "");
    put("u/foundational_skills/f/qna.yaml", "");
    assert_int_equal(symlink("..", at("u/knowledge/b/circle")), 0);
    assert_int_equal(symlink("../a", at("u/knowledge/b/second")), 0);
    assert_string_equal(changed(at("u"), "empty"), "compositional_skills/s/qna.yaml knowledge/a/deep/qna.yaml knowledge/b/qna.yaml");
    const char *one = at("u/knowledge/b/qna.yaml");
    assert_string_equal(changed(one, "origin/main"), one);
    assert_string_equal(changed(at("u/compositional_skills/s/attribution.txt"), "main"), "");
    assert_has(changed("/path/to/taxonomy", "main"), "taxonomy (/path/to/taxonomy) does not exist.");
}

/* ---- documents ---- */

static char leaf_file[512];

static int load(const char *repo, const char *commit, const char *const *pattern, int n_pattern, struct documents *d)
{
    struct leaf l = { .file = leaf_file, .repo = repo, .commit = commit, .pattern = (const char **)(uintptr_t)pattern, .n_pattern = n_pattern, .document_line = 17 };
    err = (ilab_err){ 0 };
    const int rc = documents_load(&l, at("tax"), d, &err);
    assert_true(!rc || d->n == 0);
    if (rc) assert_memory_equal(err.msg, leaf_file, strlen(leaf_file)); /* file:line: first */
    return rc;
}
#define LOAD(repo, commit, d, ...) load(repo, commit, (const char *const[]){ __VA_ARGS__ }, (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)), d)

static void test_local_documents(void **state)
{
    (void)state;
    struct documents d;
    snprintf(leaf_file, sizeof leaf_file, "%s", at("tax/knowledge/x/qna.yaml"));
    put("tax/knowledge/x/qna.yaml", "");
    put("tax/knowledge/x/one.md", "One.");
    put("tax/knowledge/x/two.txt", "Two.");
    put("tax/knowledge/x/sub/three.md", "Three.");
    put("tax/knowledge/x/.hidden.md", "No.");
    put("tax/knowledge/x/picture.png", "PNG");
    put("tax/docs/four.md", "Four.");
    assert_int_equal(LOAD(".", "HEAD", &d, "*.md"), 0); /* beside the qna file; * does not descend */
    assert_true(d.n == 1 && !strcmp(d.v[0].name, "one.md") && d.v[0].n == 4 && !strcmp(d.v[0].text, "One."));
    documents_release(&d);
    assert_int_equal(LOAD(".", "HEAD", &d, "*", "sub/*.md"), 0); /* sorted; the picture is left out with a warning */
    assert_true(d.n == 3 && !strcmp(d.v[1].name, "sub/three.md") && !strcmp(d.v[2].name, "two.txt"));
    documents_release(&d);
    assert_int_equal(LOAD("docs", "HEAD", &d, "*.md"), 0); /* in the taxonomy */
    assert_string_equal(d.v[0].text, "Four.");
    documents_release(&d);
    assert_int_equal(LOAD("../x", "HEAD", &d, "one.md"), 0);
    documents_release(&d);
    assert_int_equal(LOAD(at("tax/docs"), "HEAD", &d, "four.md"), 0);
    documents_release(&d);
    assert_int_equal(LOAD("absent", "HEAD", &d, "*.md"), ILAB_E_NOTFOUND);
    assert_has(err.msg, ":17:1: Failed to load document content: there is no file or folder 'absent'");
    assert_has(err.msg, "correct it (in a qna.yaml: document.repo)");
    assert_int_equal(LOAD(".", "HEAD", &d, "*.rst", "*.tex"), ILAB_E_NOTFOUND);
    assert_has(err.msg, "Couldn't find knowledge documents");
    assert_has(err.msg, "'*.rst' or the other patterns");
    put_n("tax/latin/bad.md", "Zeile\nStra\xDF" "e", 12);
    assert_int_equal(LOAD("latin", "HEAD", &d, "*.md"), ILAB_E_FORMAT);
    assert_has(err.msg, "bad.md:2:5: not UTF-8 (byte 0xdf)");
    assert_has(err.msg, "iconv");
    assert_int_equal(symlink(test_dir, at("tax/docs/circle")), 0);
    assert_int_equal(LOAD("docs", "HEAD", &d, "*.md", "circle/*/*.md"), 0);
    assert_int_equal(d.n, 1);
    documents_release(&d);
}

static void test_cloned_documents(void **state)
{
    (void)state;
    struct documents d;
    char url[600], first[64] = "";
    char *out = NULL;
    size_t n = 0;
    int status;
    setenv("ILAB_CACHE_DIR", at("cache"), 1);
    put("repo/a.md", "Old.");
    put("repo/docs/b.md", "B.");
    const char *repo = xstrdup(at("repo"));
    GIT(repo, "init", "-q", ".");
    assert_int_equal(symlink("/etc/hostname", at("repo/secret.md")), 0);
    GIT(repo, "add", ".");
    GIT(repo, "commit", "-q", "-m", "one");
    assert_int_equal(child_run((const char *const[]){ "git", "rev-parse", "HEAD", NULL }, repo, 4096, &out, &n, NULL, &status, &err), 0);
    snprintf(first, sizeof first, "%.40s", out);
    mem_free(out);
    put("repo/a.md", "New.");
    GIT(repo, "commit", "-q", "-a", "-m", "two");
    put("repo/a.md", "Not committed.");
    snprintf(url, sizeof url, "file://%s", repo);
    assert_int_equal(LOAD(url, first, &d, "*.md", "docs/*.md"), 0); /* a link in somebody's repository is not followed */
    assert_true(d.n == 2 && !strcmp(d.v[0].text, "Old.") && !strcmp(d.v[1].name, "docs/b.md"));
    documents_release(&d);
    assert_int_equal(LOAD(url, "main", &d, "a.md"), 0);
    assert_string_equal(d.v[0].text, "New.");
    documents_release(&d);
    assert_int_equal(LOAD(repo, "main", &d, "a.md"), 0); /* a folder is read as it stands */
    assert_string_equal(d.v[0].text, "Not committed.");
    documents_release(&d);
    RUN(test_dir, "git", "clone", "-q", "--bare", repo, "bare.git");
    assert_int_equal(LOAD(at("bare.git"), first, &d, "a.md"), 0);
    assert_string_equal(d.v[0].text, "Old.");
    documents_release(&d);
    assert_int_equal(LOAD(url, "0000000000000000000000000000000000000001", &d, "a.md"), ILAB_E_IO);
    assert_has(err.msg, "has no commit 0000000000000000000000000000000000000001");
    assert_has(err.msg, "check document.commit");
    assert_int_equal(LOAD("file:///no/such/repository", first, &d, "a.md"), ILAB_E_IO);
    assert_has(err.msg, "git fetch /no/such/repository");
    assert_has(err.msg, "check document.repo");
    assert_int_equal(LOAD("--upload-pack=x.git", first, &d, "a.md"), ILAB_E_INVALID);
    assert_int_equal(LOAD("ext::sh -c true.git", first, &d, "a.md"), ILAB_E_INVALID);
    assert_int_equal(LOAD(url, "--orphan", &d, "a.md"), ILAB_E_INVALID);
    mem_free((void *)(uintptr_t)repo);
}

static void test_documents_of_the_reference(void **state)
{
    (void)state;
    struct documents d;
    char *cwd = getcwd(NULL, 0), repo[512];
    if (file_exists(SHARED "upstream-fixtures/temp_taxonomy_repo") != 2) {
        print_message("SKIP: " SHARED "upstream-fixtures is missing\n");
        free(cwd);
        skip();
    }
    snprintf(repo, sizeof repo, "%s/" SHARED "upstream-fixtures/temp_taxonomy_repo", cwd);
    free(cwd);
    assert_int_equal(LOAD(repo, "HEAD", &d, "*.md", "docs/*.md", "*.pdf"), 0);
    assert_int_equal(d.n, 3);
    assert_true(d.v[2].extract && !strcmp(d.v[2].name, "knowledge-wiki.pdf") && strstr(d.v[2].text, "awareness of facts"));
    documents_release(&d);
}

int main(int argc, char **argv)
{
    const int child = document_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_leaves),   cmocka_unit_test(test_folders_and_files),          cmocka_unit_test(test_local_documents),
        cmocka_unit_test(test_cloned_documents), cmocka_unit_test(test_documents_of_the_reference),
    };
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
