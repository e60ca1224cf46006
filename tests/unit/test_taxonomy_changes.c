/* test_taxonomy_changes.c — which leaves git calls new or changed: merge point by first parents, the reference's table of bases,
 * worktrees, submodules, subfolders, detached and shallow clones, a hook's environment, no git; and what stands where a leaf should.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"
#include "taxonomy/taxonomy.h"

#include <sys/stat.h>

static ilab_err err;
static char problems[2048];

/* The leaves, joined by spaces, each with a letter for its state: new, changed, unchanged (=), unknown (?); or the error. */
static const char *leaves(const char *taxonomy, const char *base, unsigned flags)
{
    static char out[4096];
    struct leaf_list l;
    err = (ilab_err){ 0 };
    out[0] = problems[0] = 0;
    if (taxonomy_leaves(taxonomy, base, flags, &l, &err)) {
        assert_true(l.n == 0 && err.msg[0]);
        return err.msg;
    }
    for (size_t i = 0; i < l.n; i++) snprintf(out + strlen(out), sizeof out - strlen(out), "%s%c:%s", i ? " " : "", "NC=?"[l.change[i]], l.path[i]);
    for (size_t i = 0; i < l.n_problem; i++) snprintf(problems + strlen(problems), sizeof problems - strlen(problems), "%s: %s\n", l.problem[i].path, l.problem[i].text);
    leaf_list_release(&l);
    return out;
}

static char *start(const char *name)
{
    char readme[128];
    snprintf(readme, sizeof readme, "%s/README.md", name);
    put(readme, "x");
    char *dir = xstrdup(at(name));
    GIT(dir, "init", "-q", ".");
    GIT(dir, "add", ".");
    GIT(dir, "commit", "-q", "-m", "Initial commit");
    return dir;
}

static void commit(const char *dir, const char *message)
{
    GIT(dir, "add", ".");
    GIT(dir, "commit", "-q", "-m", message);
}

/* Row 37 of instructlab-reference §9: base × a tracked leaf × an untracked one. */
static void test_table_of_bases(void **state)
{
    (void)state;
    static const struct { const char *base; int tracked, untracked; const char *want; } ROWS[] = {
        { "main", 1, 1, "N:compositional_skills/new/qna.yaml" }, { "main", 0, 1, "N:compositional_skills/new/qna.yaml" }, { "main", 1, 0, "" }, { "main", 0, 0, "" },
        { "main^", 1, 0, "N:compositional_skills/tracked/qna.yaml" }, { "main^", 1, 1, "N:compositional_skills/new/qna.yaml N:compositional_skills/tracked/qna.yaml" },
        { "empty", 1, 0, "N:compositional_skills/tracked/qna.yaml" }, { "empty", 1, 1, "N:compositional_skills/new/qna.yaml N:compositional_skills/tracked/qna.yaml" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        char name[32], file[128];
        snprintf(name, sizeof name, "row%zu", i);
        char *dir = start(name);
        if (ROWS[i].tracked) {
            snprintf(file, sizeof file, "%s/compositional_skills/tracked/qna.yaml", name);
            put(file, "a: 1\n");
            commit(dir, "tracked");
        }
        snprintf(file, sizeof file, "%s/compositional_skills/new/qna.yaml", name);
        if (ROWS[i].untracked) put(file, "a: 1\n");
        assert_string_equal(leaves(dir, ROWS[i].base, TAXONOMY_QNA_ONLY | TAXONOMY_REFERENCE_BASE), ROWS[i].want);
        assert_string_equal(leaves(dir, ROWS[i].base, 0), ROWS[i].want);
        mem_free(dir);
    }
}

static void test_first_parents_and_bases(void **state)
{
    (void)state;
    char *t = start("t");
    put("t/knowledge/a/qna.yaml", "a: 1\n");
    commit(t, "a");
    GIT(t, "checkout", "-q", "-b", "work");
    put("t/knowledge/b/qna.yaml", "a: 1\n");
    commit(t, "b");
    GIT(t, "checkout", "-q", "main");
    put("t/knowledge/c/qna.yaml", "a: 1\n");
    commit(t, "c");
    GIT(t, "checkout", "-q", "work");
    assert_string_equal(leaves(t, "main", 0), "N:knowledge/b/qna.yaml");
    assert_string_equal(leaves(t, "main", TAXONOMY_EVERY), "=:knowledge/a/qna.yaml N:knowledge/b/qna.yaml");
    GIT(t, "merge", "-q", "--no-edit", "main");
    assert_string_equal(leaves(t, "main", 0), "N:knowledge/b/qna.yaml N:knowledge/c/qna.yaml"); /* first parents pass the merged branch by */
    put("t/knowledge/a/qna.yaml", "a: 2\n");
    assert_string_equal(leaves(t, "work", TAXONOMY_EVERY), "C:knowledge/a/qna.yaml =:knowledge/b/qna.yaml =:knowledge/c/qna.yaml");
    assert_string_equal(leaves(t, "empty", TAXONOMY_EVERY), "?:knowledge/a/qna.yaml ?:knowledge/b/qna.yaml ?:knowledge/c/qna.yaml");
    GIT(t, "checkout", "-q", "--", ".");
    GIT(t, "tag", "v1", "main");
    assert_string_equal(leaves(t, "v1", 0), "N:knowledge/b/qna.yaml");
    assert_string_equal(leaves(t, "tags/v1", 0), "N:knowledge/b/qna.yaml");
    assert_has(leaves(t, "tags/v1", TAXONOMY_REFERENCE_BASE), "Couldn't find the taxonomy base branch \"tags/v1\"");
    GIT(t, "branch", "xmain", "work"); /* the reference compares the ends of names */
    assert_string_equal(leaves(t, "main", TAXONOMY_REFERENCE_BASE), "");
    GIT(t, "branch", "feature/x", "main");
    assert_string_equal(leaves(t, "feature/x", 0), "N:knowledge/b/qna.yaml N:knowledge/c/qna.yaml");
    GIT(t, "checkout", "-q", "--detach", "work~1");
    assert_string_equal(leaves(t, "main", 0), "N:knowledge/b/qna.yaml");
    GIT(t, "checkout", "-q", "--orphan", "island");
    GIT(t, "commit", "-q", "-m", "island");
    assert_has(leaves(t, "main", 0), "Couldn't find the taxonomy base branch \"main\" from the current HEAD: fetch it");
    GIT(t, "checkout", "-q", "work");
    /* a clone: origin/main; and one that holds no history */
    RUN(test_dir, "git", "clone", "-q", "-b", "work", t, "clone");
    assert_string_equal(leaves(at("clone"), "origin/main", 0), "N:knowledge/b/qna.yaml N:knowledge/c/qna.yaml");
    assert_string_equal(leaves(at("clone"), "origin/main", TAXONOMY_REFERENCE_BASE), "N:knowledge/b/qna.yaml N:knowledge/c/qna.yaml");
    assert_string_equal(leaves(at("clone"), "main", 0), "Couldn't find the taxonomy git ref \"main\" from the current HEAD: fetch it, or name another one with --taxonomy-base (empty: every leaf)");
    char url[600];
    snprintf(url, sizeof url, "file://%s", t);
    RUN(test_dir, "git", "clone", "-q", "--depth", "1", "--no-single-branch", "-b", "work", url, "shallow");
    assert_string_equal(leaves(at("shallow"), "origin/work", 0), "");
    assert_has(leaves(at("shallow"), "origin/main", 0), "the clone is shallow: run `git fetch --unshallow`");
    /* another working tree of the same repository */
    GIT(t, "worktree", "add", "-q", "--detach", at("second tree"), "work");
    put("second tree/knowledge/d/qna.yaml", "a: 1\n");
    assert_string_equal(leaves(at("second tree"), "work", 0), "N:knowledge/d/qna.yaml");
    assert_string_equal(leaves(t, "work", 0), "");
    mem_free(t);
}

static void test_subfolder_submodule_and_hook(void **state)
{
    (void)state;
    char *r = start("project"), *other = start("other");
    put("project/my taxonomy/knowledge/stra\xC3\x9F" "e \"x\"/qna.yaml", "a: 1\n");
    put("project/knowledge/outside/qna.yaml", "a: 1\n");
    commit(r, "one");
    const char *t = xstrdup(at("project/my taxonomy"));
    put("project/my taxonomy/knowledge/stra\xC3\x9F" "e \"x\"/qna.yaml", "a: 2\n");
    put("project/my taxonomy/compositional_skills/neu/qna.yaml", "a: 2\n");
    put("project/knowledge/outside/qna.yaml", "a: 2\n");
    const char *both = "N:compositional_skills/neu/qna.yaml C:knowledge/stra\xC3\x9F" "e \"x\"/qna.yaml";
    assert_string_equal(leaves(t, "main", 0), both);
    setenv("GIT_DIR", ".git", 1); /* as a hook of the outer repository has it */
    setenv("GIT_INDEX_FILE", ".git/index", 1);
    assert_string_equal(leaves(t, "main", 0), both);
    unsetenv("GIT_DIR");
    unsetenv("GIT_INDEX_FILE");
    commit(r, "two");
    put("other/birds/qna.yaml", "a: 1\n");
    put("other/fish/qna.yaml", "a: 1\n");
    commit(other, "birds");
    GIT(r, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "my taxonomy/knowledge/animals");
    assert_string_equal(leaves(t, "main", 0), "N:knowledge/animals/birds/qna.yaml N:knowledge/animals/fish/qna.yaml"); /* a new submodule: all of it */
    commit(r, "submodule");
    assert_string_equal(leaves(t, "main", 0), "");
    put("project/my taxonomy/knowledge/animals/birds/qna.yaml", "a: 2\n");
    assert_string_equal(leaves(t, "main", 0), "C:knowledge/animals/birds/qna.yaml");
    GIT(at("project/my taxonomy/knowledge/animals"), "commit", "-q", "-a", "-m", "more birds"); /* counts against what the outer one recorded */
    assert_string_equal(leaves(t, "main", TAXONOMY_EVERY),
                        "=:compositional_skills/neu/qna.yaml C:knowledge/animals/birds/qna.yaml =:knowledge/animals/fish/qna.yaml =:knowledge/stra\xC3\x9F" "e \"x\"/qna.yaml");
    put("project/my taxonomy/knowledge/nested/deep/qna.yaml", "a: 2\n"); /* a repository that is no submodule */
    GIT(at("project/my taxonomy/knowledge/nested"), "init", "-q", ".");
    commit(at("project/my taxonomy/knowledge/nested"), "nested");
    assert_has(leaves(t, "main", 0), "N:knowledge/nested/deep/qna.yaml");
    put("as_submodule/x", "x");
    assert_has(leaves(at("project/.git"), "main", 0), "repository without a working tree");
    mem_free((void *)(uintptr_t)t);
    mem_free(r);
    mem_free(other);
}

static void test_what_is_no_leaf(void **state)
{
    (void)state;
    char *t = start("odd"), path[512], *cwd = getcwd(NULL, 0);
    put("odd/knowledge/good/qna.yaml", "a: 1\n");
    put("odd/knowledge/stray/config.yaml", "a: 1\n");
    put("odd/knowledge/upper/QNA.yaml", "a: 1\n");
    put("odd/knowledge/bell\a/qna.yaml", "a: 1\n");
    put("odd/knowledge/folder/qna.yaml/text.md", "a: 1\n");
    assert_int_equal(symlink("loop", at("odd/knowledge/loop")), 0);
    assert_int_equal(symlink("..", at("odd/knowledge/circle")), 0);
    assert_int_equal(mkdir(at("odd/knowledge/pipe"), 0777), 0);
    assert_int_equal(mkfifo(at("odd/knowledge/pipe/qna.yaml"), 0666), 0);
    assert_int_equal(mkdir(at("odd/knowledge/null"), 0777), 0);
    assert_int_equal(symlink("/dev/zero", at("odd/knowledge/null/qna.yaml")), 0);
    assert_string_equal(leaves(t, "empty", TAXONOMY_QNA_ONLY), "N:knowledge/good/qna.yaml N:knowledge/null/qna.yaml N:knowledge/pipe/qna.yaml");
    assert_has(problems, "bell?/qna.yaml: the path holds a control character (0x07): rename");
    assert_has(problems, "knowledge/folder/qna.yaml: a folder is named qna.yaml");
    assert_string_equal(leaves(t, "main", TAXONOMY_QNA_ONLY), "N:knowledge/good/qna.yaml N:knowledge/null/qna.yaml");
    assert_has(problems, "bell?/qna.yaml: the path holds a control character (0x07): rename");
    assert_has(problems, "a folder is named qna.yaml");
    assert_has(leaves(t, "main", 0), "N:knowledge/stray/config.yaml");
    static const char *const UNREADABLE[][2] = { { "odd/knowledge/pipe/qna.yaml", "is a pipe, not a file" }, { "odd/knowledge/null/qna.yaml", "is a device" }, { "odd/knowledge/folder/qna.yaml", "is a folder" } };
    for (size_t i = 0; i < ARRAY_LEN(UNREADABLE); i++) {
        struct leaf *leaf = NULL;
        struct findings f = { 0 };
        err = (ilab_err){ 0 };
        assert_int_equal(leaf_check(at(UNREADABLE[i][0]), t, &(struct check_opts){ .no_style = 1 }, &leaf, &f, &err), ILAB_E_INVALID);
        assert_has(err.msg, UNREADABLE[i][1]);
    }
    /* too deep */
    snprintf(path, sizeof path, "odd/knowledge");
    for (int i = 0; i < 40; i++) snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
    snprintf(path + strlen(path), sizeof path - strlen(path), "/qna.yaml");
    put(path, "a: 1\n");
    leaves(t, "empty", 0);
    assert_has(problems, "more than 32 folders deep");
    /* a machine without git */
    char *old = xstrdup(getenv("PATH"));
    put("bin/x", "");
    assert_int_equal(symlink("/usr/bin/env", at("bin/env")), 0);
    setenv("PATH", at("bin"), 1);
    assert_has(leaves(t, "main", 0), "the program \"git\" is not installed: install git, or use --taxonomy-base empty");
    assert_has(leaves(t, "empty", TAXONOMY_QNA_ONLY), "N:knowledge/good/qna.yaml");
    setenv("PATH", "/nonexistent", 1);
    assert_has(leaves(t, "main", 0), "is not installed");
    setenv("PATH", old, 1);
    mem_free(old);
    mem_free(t);
    free(cwd);
}

static void test_unreadable_folder(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("skipped: every folder can be read by this user\n");
        skip();
    }
    char *t = start("closed");
    put("closed/knowledge/secret/qna.yaml", "a: 1\n");
    assert_int_equal(chmod(at("closed/knowledge/secret"), 0), 0);
    static const char *const BASES[] = { "main", "empty" };
    for (int i = 0; i < 2; i++) {
        assert_string_equal(leaves(t, BASES[i], 0), "");
        assert_has(problems, "knowledge/secret: the folder cannot be read: check its permissions");
    }
    assert_int_equal(chmod(at("closed/knowledge/secret"), 0777), 0);
    mem_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_of_bases), cmocka_unit_test(test_first_parents_and_bases), cmocka_unit_test(test_subfolder_submodule_and_hook),
        cmocka_unit_test(test_what_is_no_leaf), cmocka_unit_test(test_unreadable_folder),
    };
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
