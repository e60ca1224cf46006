/* cmd_taxonomy_new.c — `ilab taxonomy new`: makes a leaf from a document, by questions or by options alone.
 *
 * Contexts are passages of the document; attribution.txt is filled from what the document says about itself; a model may propose
 * questions and answers, which somebody has to confirm. What nobody knows is marked, and `ilab taxonomy diff` names the marks.
 * Nothing that exists is overwritten.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "data/data.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct new_args {
    const char *taxonomy, *document, *commit, *kind, *domain, *outline, *by, *title, *link, *revision, *license, *creators, *model;
    struct opt_list pattern;
    int interactive, n_context, n_pair, suggest, accept, copy, dry_run, json, threads;
};
static const struct new_args DEFAULTS = { .taxonomy = "taxonomy", .interactive = -1, .n_context = 5, .n_pair = 3 };
#define O(field) offsetof(struct new_args, field)
#define TEXT(name, field, arg, help) { name, 0, NULL, OPT_STR, O(field), 0, 0, arg, NULL, help, 0, NULL, NULL }
#define FLAG(name, field, help) { name, 0, NULL, OPT_FLAG, O(field), 0, 0, NULL, NULL, help, 0, NULL, NULL }
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(taxonomy), 0, 0, "DIR", "generate.taxonomy_path", "folder of the taxonomy", 0, NULL, NULL },
    { "kind", 0, NULL, OPT_STR, O(kind), 0, 0, "KIND", NULL, "facts of a document, or a skill without or with a context", 0, "knowledge freeform grounded", NULL },
    TEXT("document", document, "WHERE", "file, folder, or address of a git repository"),
    TEXT("commit", commit, "COMMIT", "commit of the repository; by default the one that its HEAD names now"),
    { "pattern", 0, NULL, OPT_LIST, O(pattern), 0, 0, "GLOB", NULL, "which files of the folder or repository; repeatable", 0, NULL, NULL },
    FLAG("copy", copy, "copy the document's files beside the qna.yaml"),
    TEXT("created-by", by, "NAME", "author of the leaf; by default git's user"),
    TEXT("domain", domain, "TEXT", "field of the knowledge, such as geography"),
    TEXT("outline", outline, "TEXT", "one sentence: what the document is about, or what the skill is"),
    TEXT("title", title, "TEXT", "of the document, for attribution.txt"),
    TEXT("link", link, "URL", "where it can be read"),
    TEXT("revision", revision, "TEXT", "its version, date or permanent link"),
    TEXT("license", license, "SPDX", "its licence, such as CC-BY-SA-4.0"),
    TEXT("creators", creators, "NAMES", "who wrote it"),
    { "contexts", 0, NULL, OPT_INT, O(n_context), 5, DRAFT_MAX_EXAMPLES, "N", NULL, "examples: passages of the document", 0, NULL, NULL },
    { "questions", 0, NULL, OPT_INT, O(n_pair), 3, DRAFT_MAX_PAIRS, "N", NULL, "questions a passage", 0, NULL, NULL },
    FLAG("suggest", suggest, "let a model propose questions and answers"),
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "MODEL", NULL, "model that proposes (implies --suggest)  [default: starter]", 0, NULL, NULL },
    FLAG("accept", accept, "take what the model proposes without confirmation"),
    FLAG("interactive", interactive, "ask (the default on a terminal)"),
    { "non-interactive", 0, NULL, OPT_NO_FLAG, O(interactive), 0, 0, NULL, NULL, "no questions: options and defaults", 0, NULL, NULL },
    FLAG("dry-run", dry_run, "print the files instead of writing them"),
    FLAG("json", json, "one JSON object about what was written"),
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads of the model; 0: one a core", 0, NULL, NULL },
    { 0 },
};

static const char *const KINDS[] = { "knowledge", "freeform", "grounded" };
struct making {
    const struct new_args *a;
    struct cli *c;
    struct arena mem;
    struct draft d;
    struct documents docs;
    char path[DRAFT_PATH_MAX];
    char *dir, *file;            /* of the leaf */
    char *doc_dir;               /* folder with the document's files; NULL: elsewhere */
    const char *pattern[OPT_LIST_MAX];
    int ask, n_confirmed, n_dropped;
};

/* One line of the user's, or the default. NULL: input has ended. */
static const char *ask(struct making *m, const char *question, const char *dflt)
{
    char buf[2048];
    printf(*dflt ? "%s [%s]: " : "%s: ", question, dflt);
    if (!ask_line(buf, sizeof buf)) {
        m->ask = 0; /* what follows takes its default */
        putchar('\n');
        return dflt;
    }
    const struct sv s = sv_trim(sv_of(buf));
    const char *out = s.n ? arena_strndup(&m->mem, s.p, s.n) : dflt;
    return out ? out : dflt;
}

static struct sv ask_text(struct making *m, const char *question, const char *option, struct sv known)
{
    if (option || !m->ask) return option ? sv_of(option) : known;
    const char *dflt = arena_strndup(&m->mem, known.p ? known.p : "", known.n);
    return sv_of(ask(m, question, dflt ? dflt : ""));
}

/* First line of what git says, "" when it says nothing. */
static const char *git_line(struct making *m, const char *dir, const char *const *argv)
{
    char *out = NULL;
    size_t n = 0;
    int status = 0;
    const char *line = "";
    if (!child_run(argv, dir, 1 << 20, &out, &n, NULL, &status, NULL) && !status && out) {
        const size_t len = strcspn(out, "\n\t");
        line = arena_strndup(&m->mem, out, len);
    }
    mem_free(out);
    return line ? line : "";
}
#define GIT_LINE(m, dir, ...) git_line(m, dir, (const char *const[]){ "env", "GIT_TERMINAL_PROMPT=0", "git", __VA_ARGS__, NULL })

static const char *author(struct making *m)
{
    const char *s = GIT_LINE(m, NULL, "config", "github.user");
    if (!*s) s = GIT_LINE(m, NULL, "config", "user.name");
    const char *user = getenv("USER");
    return *s ? s : user ? user : "";
}

/* ---- where the leaf goes ---- */

static int kind_by_name(const char *name, enum draft_kind *out, ilab_err *e)
{
    for (int i = 0; i <= DRAFT_GROUNDED; i++)
        if (!strcmp(name, KINDS[i])) return *out = (enum draft_kind)i, 0;
    return err_set(e, ILAB_E_INVALID, "'%s' is none of knowledge, freeform, grounded", name);
}

/* m->path, .dir and .file for what was typed; refuses a leaf that is there. */
static int take_path(struct making *m, const char *typed, ilab_err *e)
{
    struct stat st;
    const int rc = draft_path(typed, m->d.kind, m->path, e);
    if (rc) return rc;
    mem_free(m->dir), mem_free(m->file);
    m->dir = path_join(m->a->taxonomy, m->path);
    m->file = m->dir ? path_join(m->dir, "qna.yaml") : NULL;
    if (!m->file) return err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!lstat(m->file, &st)) return err_set(e, ILAB_E_INVALID, "'%s' exists already and is left as it is: choose another path, or edit it", m->file);
    return 0;
}

/* On a terminal a wrong answer is asked again, until input ends. */
static int choose_path(struct making *m, ilab_err *e)
{
    const struct new_args *a = m->a;
    const char *typed = m->c->n_word ? m->c->word[0] : "";
    int rc = 0;
    m->d.kind = !strncmp(typed, "compositional_skills", 20) ? DRAFT_FREEFORM : DRAFT_KNOWLEDGE;
    if (!m->c->n_word && !m->ask) return err_set(e, ILAB_E_INVALID, "which leaf? Give its path, such as knowledge/company/torvik_lamps");
    if (file_exists(a->taxonomy) == 1) return err_set(e, ILAB_E_INVALID, "'%s' is a file, not the folder of a taxonomy", a->taxonomy);
    if (a->kind) rc = kind_by_name(a->kind, &m->d.kind, e);
    else if (m->ask && !strchr(typed, '/'))
        while ((rc = kind_by_name(ask(m, "Kind (knowledge: facts of a document; freeform, grounded: a skill without, with a context)", "knowledge"), &m->d.kind, e)) && m->ask) printf("%s\n", e->msg);
    if (rc) return rc;
    if (*typed) return take_path(m, typed, e);
    const char *question = m->d.kind == DRAFT_KNOWLEDGE ? "Path of the leaf below knowledge/, such as company/torvik_lamps" : "Path of the leaf below compositional_skills/";
    while ((rc = take_path(m, ask(m, question, ""), e)) && rc != ILAB_E_NOMEM && m->ask) printf("%s\n", e->msg);
    return rc;
}

/* ---- the document ---- */

static int is_address(const char *s) { return strstr(s, "://") || (strchr(s, '@') && strchr(s, ':') && !file_exists(s)); }

/* A file's name as a pattern that names only it. */
static const char *escape(struct making *m, const char *name)
{
    struct sb b;
    sb_init(&b, 4096);
    for (; *name; name++)
        if (strchr("*?[", *name)) sb_addf(&b, "[%c]", *name);
        else sb_addch(&b, *name);
    const char *p = b.p ? arena_strndup(&m->mem, b.p, b.n) : NULL;
    sb_release(&b);
    return p ? p : "";
}

/* Patterns for the formats that a folder holds. */
static int patterns_of(struct making *m, const char *dir, ilab_err *e)
{
    static const char *const ENDINGS[] = { "*.md", "*.txt", "*.html", "*.pdf", "*.docx", "*.odt", "*.epub" };
    char **name = NULL;
    size_t n = 0;
    const int rc = dir_list(dir, &name, &n, e);
    for (size_t k = 0; !rc && k < ARRAY_LEN(ENDINGS); k++)
        for (size_t i = 0; i < n; i++)
            if (name[i][0] != '.' && strcmp(name[i], "attribution.txt") && sv_ends(sv_of(name[i]), ENDINGS[k] + 1)) {
                m->pattern[m->d.n_pattern++] = !strcmp(ENDINGS[k], "*.txt") && strcmp(name[i], "attribution.txt") && file_exists(m->dir) == 2 ? escape(m, name[i]) : ENDINGS[k];
                break;
            }
    dir_list_free(name, n);
    if (!rc && !m->d.n_pattern) return err_set(e, ILAB_E_NOTFOUND, "the folder '%s' holds no document that can be read: name the files with --pattern", dir);
    return rc;
}

/* document.repo for a folder: "." beside the leaf, relative inside the taxonomy, else absolute. */
static struct sv repo_of(struct making *m, const char *dir)
{
    char *leaf = realpath(m->dir, NULL), *taxonomy = realpath(m->a->taxonomy, NULL);
    const size_t n = taxonomy ? strlen(taxonomy) : 0;
    const char *out = dir;
    if (m->a->copy || (leaf && !strcmp(leaf, dir))) out = ".";
    else if (n && !strncmp(dir, taxonomy, n) && dir[n] == '/') out = dir + n + 1;
    free(leaf); /* third-party: realpath */
    free(taxonomy); /* third-party: realpath */
    const char *kept = arena_strndup(&m->mem, out, strlen(out));
    return sv_of(kept ? kept : "");
}

static int place_document(struct making *m, const char *where, ilab_err *e)
{
    const struct new_args *a = m->a;
    struct draft *d = &m->d;
    d->pattern = m->pattern;
    for (int i = 0; i < a->pattern.n; i++) m->pattern[d->n_pattern++] = a->pattern.v[i];
    if (is_address(where)) {
        if (where[0] == '-') return err_set(e, ILAB_E_INVALID, "'%s' is not the address of a repository", where);
        d->repo = sv_of(where);
        const char *commit = a->commit ? a->commit : GIT_LINE(m, NULL, "ls-remote", "--", where, "HEAD");
        if (!*commit) return err_set(e, ILAB_E_IO, "git cannot read the repository '%s': check the address and the network, or give --commit", where);
        d->commit = sv_of(commit);
        if (!d->n_pattern) m->pattern[d->n_pattern++] = "*.md";
        if (!d->link.n) d->link = d->repo;
        if (!d->revision.n) d->revision = d->commit;
        return 0;
    }
    const int kind = file_exists(where);
    char *full = kind ? realpath(where, NULL) : NULL;
    if (!full) return err_set(e, ILAB_E_NOTFOUND, "there is no file or folder '%s', and it is not the address of a git repository", where);
    m->doc_dir = xstrdup(full);
    free(full); /* third-party: realpath */
    int rc = 0;
    if (kind == 1) {
        char *slash = strrchr(m->doc_dir, '/');
        if (!d->n_pattern) m->pattern[d->n_pattern++] = escape(m, slash + 1);
        if (slash > m->doc_dir) *slash = 0;
        else slash[1] = 0;
    } else if (!d->n_pattern) {
        rc = patterns_of(m, m->doc_dir, e);
    }
    d->repo = repo_of(m, m->doc_dir);
    const char *commit = a->commit ? a->commit : GIT_LINE(m, m->doc_dir, "rev-parse", "--verify", "--quiet", "HEAD");
    d->commit = *commit ? sv_of(commit) : SV("HEAD");
    return rc;
}

/* Texts of the documents, as a leaf that names them would have them. */
static int load_document(struct making *m, ilab_err *e)
{
    struct draft *d = &m->d;
    const char *repo = m->doc_dir ? m->doc_dir : d->repo.p;
    const struct leaf l = { .file = m->file, .repo = repo, .commit = d->commit.p, .pattern = (const char **)(uintptr_t)m->pattern, .n_pattern = d->n_pattern, .document_line = 1 };
    if (!m->doc_dir) fprintf(stderr, "Fetching %s …\n", repo);
    const int rc = documents_load(&l, m->a->taxonomy, &m->docs, e);
    if (rc) err_prefix(e, "the document cannot be read: ");
    return rc;
}

static void use(struct sv *field, struct sv found) { if (!field->n) *field = found; }

/* What the document says about itself. */
static int read_about(struct making *m, ilab_err *e)
{
    struct draft *d = &m->d;
    for (size_t i = 0; i < m->docs.n; i++) {
        struct document_about about;
        const int rc = document_about(&(struct sv){ m->docs.v[i].text, m->docs.v[i].n }, m->docs.v[i].name, &m->mem, &about, e);
        if (rc) return rc;
        const struct extract *x = m->docs.v[i].extract;
        use(&d->title, x->title), use(&d->creators, x->creator); /* what a PDF or an office file says in its properties */
        use(&d->title, about.title);
        use(&d->creators, about.creators);
        use(&d->license, about.license);
        use(&d->link, about.link);
        use(&d->revision, about.revision);
        if (d->kind != DRAFT_KNOWLEDGE || d->outline.n) continue;
        struct sb b;
        sb_init(&b, 4096);
        if (about.summary.n) sb_add(&b, about.summary);
        else if (about.headings.n) sb_addf(&b, "%.*s: %.*s", SV_ARG(about.title), SV_ARG(about.headings));
        const char *p = b.n ? arena_strndup(&m->mem, b.p, b.n) : NULL;
        if (p) d->outline = sv_of(p);
        sb_release(&b);
    }
    return 0;
}

static int choose_document(struct making *m, ilab_err *e)
{
    struct excerpt v[DRAFT_MAX_EXAMPLES];
    int n = 0;
    const char *where = m->a->document;
    if (m->d.kind == DRAFT_FREEFORM) return where ? err_set(e, ILAB_E_INVALID, "a freeform skill has no document: use --kind knowledge or grounded") : 0;
    const int asked = !where && m->ask;
    int rc = 0;
    do {
        if (rc) printf("%s\n", e->msg); /* asked again */
        if (asked) where = ask(m, "Document: file, folder or address of a git repository (empty: none yet)", "");
        if (!where || !*where) return 0;
        mem_free(m->doc_dir);
        m->doc_dir = NULL;
        m->d.n_pattern = 0;
        rc = place_document(m, where, e);
        if (!rc) rc = load_document(m, e);
    } while (rc && rc != ILAB_E_NOMEM && rc != ILAB_E_CANCEL && asked && m->ask);
    if (!rc) rc = read_about(m, e);
    if (!rc) rc = excerpts_choose(&m->docs, m->d.n_example, &m->mem, v, &n, e);
    for (int i = 0; !rc && i < n; i++) m->d.context[i] = v[i].text;
    if (!rc && n < m->d.n_example)
        fprintf(stderr, "The document is short: it gives %d of %d contexts; the others are marked.\n", n, m->d.n_example);
    return rc;
}

/* ---- the rest of the form ---- */

static void fill_form(struct making *m)
{
    const struct new_args *a = m->a;
    struct draft *d = &m->d;
    char domain[128] = "";
    d->created_by = ask_text(m, "Your name (created_by)", a->by, sv_of(author(m)));
    if (d->kind == DRAFT_KNOWLEDGE) {
        struct sv rest = sv_of(m->path), part;
        sv_split(&rest, '/', &part);
        if (sv_split(&rest, '/', &part) && rest.n) snprintf(domain, sizeof domain, "%.*s", (int)(part.n < 100 ? part.n : 100), part.p);
        for (char *s = domain; *s; s++)
            if (*s == '_') *s = ' ';
        const char *kept = arena_strndup(&m->mem, domain, strlen(domain));
        d->domain = ask_text(m, "Domain", a->domain, sv_of(kept ? kept : ""));
        d->outline = ask_text(m, "What is the document about? (document_outline)", a->outline, d->outline);
    } else {
        d->outline = ask_text(m, "What is the skill? (task_description)", a->outline, d->outline);
    }
    if (d->kind == DRAFT_FREEFORM) {
        if (!d->title.n) d->title = d->outline;
        if (!d->creators.n) d->creators = d->created_by;
    }
    d->title = ask_text(m, "Title of the work", a->title, d->title);
    d->link = ask_text(m, "Link to the work", a->link, d->link);
    d->revision = ask_text(m, "Revision", a->revision, d->revision);
    d->license = ask_text(m, "License (SPDX)", a->license, d->license);
    d->creators = ask_text(m, "Creator names", a->creators, d->creators);
}

/* ---- proposals of a model ---- */

static struct sv confirm_mark(struct making *m, struct sv s)
{
    struct sb b;
    sb_init(&b, 8192);
    sb_addf(&b, LEAF_MARK " or confirm: %.*s>", SV_ARG(s));
    const char *p = b.p && !b.failed ? arena_strndup(&m->mem, b.p, b.n) : NULL;
    sb_release(&b);
    return sv_of(p ? p : "");
}

/* Yes, no, or an edited text. 1: keep. */
static int confirm_pair(struct making *m, struct draft_pair *p)
{
    if (m->a->accept) return 1;
    if (!m->ask) { /* nobody is there to confirm: it stays marked */
        p->question = confirm_mark(m, p->question);
        p->answer = confirm_mark(m, p->answer);
        return 1;
    }
    printf("\n  Q: %.*s\n  A: %.*s\n", SV_ARG(p->question), SV_ARG(p->answer));
    const char *s = ask(m, "Keep? y(es), n(o), e(dit)", "y");
    if (*s == 'e') {
        p->question = sv_of(ask(m, "Question", arena_strndup(&m->mem, p->question.p, p->question.n)));
        p->answer = sv_of(ask(m, "Answer", arena_strndup(&m->mem, p->answer.p, p->answer.n)));
    } else if (!m->ask) { /* input ended at the question */
        return confirm_pair(m, p);
    }
    return *s == 'y' || *s == 'e' || *s == 'j';
}

static int propose(struct making *m, ilab_err *e)
{
    struct draft *d = &m->d;
    struct lm *lm = NULL;
    struct progress bar;
    const int want = d->kind == DRAFT_KNOWLEDGE ? d->n_pair : 1;
    int rc = lm_for_command(m->c, m->a->model ? m->a->model : "starter", NULL, NULL, NULL, m->a->threads, 0, &lm, e);
    if (rc) return rc;
    progress_start(&bar, "proposing questions", d->n_example, 0);
    bar.quiet = m->a->json;
    for (int i = 0; !rc && i < d->n_example; i++) {
        struct draft_pair v[DRAFT_MAX_PAIRS];
        int n = 0, kept = 0;
        if (!d->context[i].n) continue;
        if (m->ask) {
            printf("\nContext %d of %d:\n%.*s\n", i + 1, d->n_example, SV_ARG(d->context[i]));
            fflush(stdout);
        }
        rc = suggest_pairs(lm, d->context[i], m->ask ? DRAFT_MAX_PAIRS : want, &m->mem, v, &n, e);
        if (!rc && signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted: nothing was written");
        for (int k = 0; !rc && k < n && kept < want; k++) {
            if (confirm_pair(m, &v[k])) d->pair[i][kept++] = v[k];
            else m->n_dropped++;
        }
        m->n_confirmed += kept;
        if (!m->ask) progress_at(&bar, i + 1, "%d pairs", m->n_confirmed);
    }
    if (!m->ask) progress_end(&bar);
    lm_close(lm);
    return rc;
}

/* ---- writing ---- */

static int copy_documents(struct making *m, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < m->docs.n; i++) {
        char *from = path_join(m->doc_dir, m->docs.v[i].name), *to = path_join(m->dir, m->docs.v[i].name), *text = NULL, *slash;
        struct stat st;
        size_t n = 0;
        if (!from || !to) rc = err_set(e, ILAB_E_NOMEM, "no memory for a path");
        if (!rc && !lstat(to, &st)) log_info("'%s' exists already and is left as it is", to);
        else if (!rc && !(rc = file_read(from, (size_t)256 << 20, &text, &n, e))) {
            slash = strrchr(to, '/');
            *slash = 0;
            rc = dir_make(to, e);
            *slash = '/';
            if (!rc) rc = file_write(to, text, n, e);
        }
        mem_free(text);
        mem_free(from);
        mem_free(to);
    }
    return rc;
}

/* Marks that are left in a text. */
static int count_marks(const char *text)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, LEAF_MARK)) != NULL; s++) n++;
    return n;
}

static int write_leaf(struct making *m, const char *qna, const char *attribution, ilab_err *e)
{
    struct stat st;
    char *file = path_join(m->dir, "attribution.txt");
    int rc = file ? dir_make(m->dir, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && m->a->copy && m->doc_dir) rc = copy_documents(m, e);
    const int had = !rc && !lstat(file, &st);
    if (!rc && had) fprintf(stderr, "'%s' exists already and is left as it is.\n", file);
    else if (!rc) rc = file_write(file, attribution, strlen(attribution), e);
    if (!rc && !lstat(m->file, &st)) rc = err_set(e, ILAB_E_INVALID, "'%s' was made by somebody else just now and is left as it is", m->file);
    if (!rc) rc = file_write(m->file, qna, strlen(qna), e);
    const int marks = count_marks(qna), marks2 = had ? 0 : count_marks(attribution);
    if (!rc && m->a->json) {
        print_json(json_pack("{s:s,s:s,s:s,s:i,s:i,s:i}", "qna", m->file, "attribution", file, "kind", KINDS[m->d.kind], "marks", marks, "attribution_marks", marks2, "pairs", m->n_confirmed));
    } else if (!rc) {
        printf("%s\n%s\n", m->file, file);
        if (marks + marks2) printf("%d place%s to fill in: marked \"" LEAF_MARK ": …>\"; `ilab taxonomy diff` names those that are left.\n", marks + marks2, marks + marks2 == 1 ? "" : "s");
        else printf("Complete: `ilab taxonomy diff` checks it.\n");
    }
    mem_free(file);
    return rc;
}

/* The schema must accept what we write; a fault here is ours, and nothing is written. */
static int check_draft(struct making *m, const char *qna, ilab_err *e)
{
    struct leaf *leaf = NULL;
    struct findings f = { 0 };
    static const struct check_opts VERDICT = { .no_style = 1 };
    int rc = leaf_check_text(sv_of(qna), m->file, m->a->taxonomy, &VERDICT, &leaf, &f, e);
    for (size_t i = 0; !rc && i < f.n; i++)
        if (f.v[i].error && strcmp(f.v[i].rule, "not-filled-in")) rc = err_set(e, ILAB_E_INVALID, "the new leaf would not be valid: line %d: %s; %s", f.v[i].line, f.v[i].text, f.v[i].remedy ? f.v[i].remedy : "");
    findings_release(&f);
    leaf_free(leaf);
    return rc;
}

static int run(struct cli *c, void *args)
{
    struct making m = { .a = args, .c = c };
    ilab_err e = { 0 };
    char *qna = NULL, *attribution = NULL;
    arena_init(&m.mem, (size_t)512 << 20);
    m.ask = m.a->interactive < 0 ? isatty(0) && isatty(1) && !m.a->json : m.a->interactive;
    m.d.n_example = m.a->n_context;
    m.d.n_pair = m.a->n_pair;
    int rc = choose_path(&m, &e);
    if (!rc) rc = choose_document(&m, &e);
    if (!rc) fill_form(&m);
    int suggest = m.a->suggest || m.a->model;
    if (!rc && !suggest && m.ask && m.docs.n) suggest = (*ask(&m, "Let the starter model propose questions and answers? (y/n)", "y") | 0x20) == 'y';
    if (!rc && suggest && m.docs.n) rc = propose(&m, &e);
    if (!rc && !(qna = draft_qna(&m.d, &e))) rc = ILAB_E_NOMEM;
    if (!rc && !(attribution = draft_attribution(&m.d, &e))) rc = ILAB_E_NOMEM;
    if (!rc) rc = check_draft(&m, qna, &e);
    if (signal_pending()) rc = err_set(&e, ILAB_E_CANCEL, "interrupted: nothing was written");
    if (!rc && m.a->dry_run) printf("# %s\n%s\n# %s/attribution.txt\n%s", m.file, qna, m.dir, attribution);
    else if (!rc) rc = write_leaf(&m, qna, attribution, &e);
    mem_free(qna);
    mem_free(attribution);
    mem_free(m.dir);
    mem_free(m.file);
    mem_free(m.doc_dir);
    documents_release(&m.docs);
    arena_release(&m.mem);
    return rc ? fail(&e, "Making the leaf failed: ") : EXIT_DONE;
}

const struct cmd CMD_TAXONOMY_NEW = {
    .name = "taxonomy new", .args_bytes = sizeof(struct new_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .max_words = 1, .words = "[PATH]",
    .summary = "Make a leaf from a document: contexts, attribution, and questions that a model proposes.",
    .help = "PATH is the leaf's place below the taxonomy. Whatever is not known is marked \"<fill in: …>\", and `ilab taxonomy diff`\n"
            "says what is left. Nothing that exists is overwritten. Proposals of a model have to be confirmed, or --accept takes them.\n\n"
            "Examples:\n  ilab taxonomy new\n  ilab taxonomy new knowledge/company/torvik_lamps --document torvik.md --suggest\n"
            "  ilab taxonomy new knowledge/birds/booby --document https://github.com/you/docs.git --pattern 'birds/*.md'\n"
            "  ilab taxonomy new compositional_skills/writing/haiku --non-interactive --outline 'Write a haiku'\n",
};
