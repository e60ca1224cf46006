/* cmd_data_ingest.c — `ilab data ingest`: what documents become: passages, tokens, chunks, and what is lost on the way.
 *
 * Teaches nothing and changes nothing: it shows what `generate` will see.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"
#include "document/document.h"
#include "model/model.h"
#include "taxonomy/taxonomy.h"
#include "token/token.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 32, SHOWN_BYTES = 160, OUTPUT_MAX = 1 << 30 };
struct ingest_args { const char *model, *out, *commit, *taxonomy; struct opt_list pattern; int chunk_tokens, chunk_words, ctx, json, quiet, full; };
static const struct ingest_args DEFAULTS = { .model = "starter", .taxonomy = "taxonomy", .chunk_words = 1000, .ctx = 4096 };
#define O(field) offsetof(struct ingest_args, field)
static const struct opt OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "MODEL", "generate.model", "whose tokens are counted: a name below models/ or a file; none: words are counted" },
    { "chunk-tokens", 0, NULL, OPT_INT, O(chunk_tokens), 0, 1e6, "N", NULL, "most tokens of a chunk, its path of headings included; 0: as `ilab generate` cuts for this model" },
    { "pattern", 0, NULL, OPT_LIST, O(pattern), 0, 0, "GLOB", NULL, "of a folder or repository: only these files, as document.patterns has them" },
    { "commit", 0, NULL, OPT_STR, O(commit), 0, 0, "REF", NULL, "of a repository: commit, branch or tag; its default branch otherwise" },
    { "taxonomy-path", 0, NULL, OPT_STR, O(taxonomy), 0, 0, "PATH", "generate.taxonomy_path", "where a qna.yaml's documents are looked for, too" },
    { "full", 0, NULL, OPT_FLAG, O(full), 0, 0, NULL, NULL, "print the whole text of each chunk" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "only the counts" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "documents, passages and chunks as JSON" },
    { "out", 'o', NULL, OPT_STR, O(out), 0, 0, "FILE", NULL, "write the chunks to a file, one JSON object a line" },
    { "chunk-word-count", 0, NULL, OPT_INT, O(chunk_words), 1, 100000, "N", "generate.chunk_word_count", "with --compat 0.14: words of a chunk as InstructLab cuts it (in characters)" },
    { "server-ctx-size", 0, NULL, OPT_INT, O(ctx), 1, 1e6, "N", NULL, "with --compat 0.14: context that such chunks must leave room in" },
    { 0 },
};

/* One document to read. */
struct task { char *path, *shown; };
struct ingest {
    const struct ingest_args *a;
    int compat;
    struct tokenizer *tokenizer;
    int budget;                      /* tokens of a chunk */
    struct task *task; size_t n_task, cap_task;
    json_t *all;                     /* --json */
    struct sb lines;                 /* --out */
    size_t n_read, n_failed, n_passages, n_chunks;
    int64_t n_tokens, lost[LOST_KINDS];
};

static int add_task(struct ingest *g, const char *root, const char *name, const char *shown, ilab_err *e)
{
    if (mem_grow((void **)&g->task, &g->cap_task, g->n_task + 1, sizeof *g->task)) return err_set(e, ILAB_E_NOMEM, "no memory for the list of documents");
    g->task[g->n_task++] = (struct task){ root ? path_join(root, name) : xstrdup(name), xstrdup(shown ? shown : name) };
    return 0;
}

/* Every document below a folder; links to folders are not followed. */
static int add_folder(struct ingest *g, const char *dir, int depth, ilab_err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = dir_list(dir, &name, &n, e);
    for (size_t i = 0; i < n && !rc; i++) {
        if (name[i][0] == '.') continue;
        char *path = path_join(dir, name[i]);
        struct stat st;
        const int kind = file_exists(path), link = !lstat(path, &st) && S_ISLNK(st.st_mode);
        if (kind == 2 && !link && depth < MAX_DEPTH) rc = add_folder(g, path, depth + 1, e);
        else if (kind == 1 && document_format_of_name(name[i])) rc = add_task(g, NULL, path, NULL, e);
        mem_free(path);
    }
    dir_list_free(name, n);
    return rc;
}

static int add_files(struct ingest *g, const struct source *src, const struct file_list *f, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; i < f->n && !rc; i++)
        if (document_format_of_name(f->path[i])) rc = add_task(g, src->root, f->path[i], src->is_clone ? f->path[i] : NULL, e);
    return rc;
}

static int add_leaf(struct ingest *g, const char *path, ilab_err *e)
{
    struct leaf *leaf = NULL;
    struct findings found = { 0 };
    struct source src = { 0 };
    struct file_list files = { 0 };
    static const struct check_opts VERDICT = { .no_style = 1 };
    int rc = leaf_check(path, g->a->taxonomy, &VERDICT, &leaf, &found, e);
    if (!rc && (!leaf || found.n_errors)) {
        findings_print(stderr, path, &found, FINDINGS_TEXT);
        rc = err_set(e, ILAB_E_FORMAT, "%s: %s", path, found.n_errors ? "correct it first, as shown above" : "the file is empty");
    }
    if (!rc && !leaf->is_knowledge) rc = err_set(e, ILAB_E_INVALID, "%s is a skill: it has no documents", path);
    if (!rc) rc = documents_find(leaf, g->a->taxonomy, &src, &files, e);
    const size_t before = g->n_task;
    if (!rc) rc = add_files(g, &src, &files, e);
    if (!rc && g->n_task == before) rc = err_set(e, ILAB_E_NOTFOUND, "%s: no file that can be read (%s) matches its patterns", path, document_endings());
    file_list_release(&files);
    source_release(&src);
    findings_release(&found);
    leaf_free(leaf);
    return rc;
}

static int add_word(struct ingest *g, const char *word, ilab_err *e)
{
    const int kind = file_exists(word);
    const struct sv s = sv_of(word);
    if (kind == 1 && (sv_ends(s, ".yaml") || sv_ends(s, ".yml"))) return add_leaf(g, word, e);
    if (kind == 1) return add_task(g, NULL, word, NULL, e);
    const char *const from[] = { "." };
    const struct source_request r = { .repo = word, .commit = g->a->commit, .from = from, .n_from = 1 };
    struct source src = { 0 };
    struct file_list files = { 0 };
    int rc = source_open(&r, &src, e);
    const size_t before = g->n_task;
    if (!rc && g->a->pattern.n) {
        rc = pattern_files(src.root, g->a->pattern.v, g->a->pattern.n, src.is_clone, word, &files, e);
        if (!rc) rc = add_files(g, &src, &files, e);
    } else if (!rc) rc = add_folder(g, src.root, 0, e);
    if (!rc && g->n_task == before) rc = err_set(e, ILAB_E_NOTFOUND, "no document that can be read (%s) in '%s'", document_endings(), word);
    file_list_release(&files);
    source_release(&src);
    return rc;
}

/* ---- tokens ---- */

static int count_tokens(void *ud, struct sv text)
{
    const struct ingest *g = ud;
    if (!g->tokenizer) {
        int n = 0;
        for (size_t i = 0; i < text.n; i++) n += (unsigned char)text.p[i] > ' ' && (i + 1 == text.n || (unsigned char)text.p[i + 1] <= ' ');
        return n;
    }
    struct ids ids = { 0 };
    const int n = tokenizer_encode(g->tokenizer, text, 0, &ids, NULL) ? 1 << 30 : (int)ids.n;
    ids_release(&ids);
    return n;
}

/* The tokenizer alone: the weights stay where they are. */
static int open_tokenizer(struct ingest *g, ilab_err *e)
{
    struct gguf *file = NULL;
    char *path = model_locate(g->a->model, e);
    int rc = path ? model_gguf_open(&file, path, e) : ILAB_E_NOTFOUND;
    if (!rc) rc = tokenizer_of_model(&g->tokenizer, file, path, e);
    struct sv arch;
    char key[128];
    int64_t n_ctx = 0;
    if (!rc && !gguf_get_str(file, "general.architecture", &arch, NULL) && arch.n < 64) {
        snprintf(key, sizeof key, "%.*s.context_length", SV_ARG(arch));
        if (!gguf_get_int(file, key, 1, INT_MAX, &n_ctx, NULL) && !g->budget) g->budget = chunk_budget((int)n_ctx, g->a->chunk_words);
    }
    gguf_close(file);
    mem_free(path);
    return rc;
}

/* ---- one document ---- */

static json_t *sv_json(struct sv s) { return json_stringn(s.n ? s.p : "", s.n); }

static json_t *place_json(const struct extract *x, size_t i)
{
    struct sb b;
    sb_init(&b, 1 << 16);
    passage_add_place(x, i, &b);
    json_t *v = sv_json((struct sv){ b.p ? b.p : "", b.n });
    sb_release(&b);
    return v;
}

static json_t *chunk_json(const struct extract *x, const struct chunk *c, const char *shown)
{
    return json_pack("{s:s,s:o,s:o,s:i,s:o,s:o}", "document", shown, "heading", sv_json(c->heading), "text", sv_json(c->text), "tokens", c->n_tokens, "from",
                     place_json(x, c->first), "to", place_json(x, c->last));
}

static json_t *document_json(const struct extract *x, const struct chunk_list *l, const char *shown, int64_t tokens)
{
    json_t *passages = json_array(), *chunks = json_array(), *lost = json_object();
    for (size_t i = 0; i < x->n; i++) {
        struct sb path;
        sb_init(&path, 1 << 20);
        passage_add_path(x, i, &path);
        json_array_append_new(passages, json_pack("{s:s,s:i,s:o,s:o,s:o,s:i,s:i,s:o}", "kind", PASSAGE_NAME[x->v[i].kind], "level", x->v[i].level, "heading",
                                                  sv_json((struct sv){ path.p ? path.p : "", path.n }), "text", sv_json(x->v[i].text), "place", place_json(x, i), "line",
                                                  x->v[i].line, "page", x->v[i].page, "part", sv_json(x->v[i].part)));
        sb_release(&path);
    }
    for (size_t i = 0; i < l->n; i++) json_array_append_new(chunks, chunk_json(x, &l->v[i], shown));
    for (int i = 0; i < LOST_KINDS; i++)
        if (x->lost[i]) json_object_set_new(lost, LOST_NAME[i], json_integer(x->lost[i]));
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:i,s:I,s:o,s:o,s:o}", "document", shown, "format", x->format, "title", sv_json(x->title), "creator", sv_json(x->creator),
                     "language", sv_json(x->language), "pages", x->n_pages, "tokens", (json_int_t)tokens, "lost", lost, "passages", passages, "chunks", chunks);
}

static void print_kinds(const struct extract *x)
{
    size_t n[PASSAGE_KINDS] = { 0 };
    const char *sep = ": ";
    for (size_t i = 0; i < x->n; i++) n[x->v[i].kind]++;
    for (int k = 0; k < PASSAGE_KINDS; k++) {
        if (!n[k]) continue;
        printf("%s%zu %s%s", sep, n[k], PASSAGE_NAME[k], n[k] > 1 && k != PASSAGE_CODE ? "s" : "");
        sep = ", ";
    }
}

static void print_document(const struct ingest *g, const struct extract *x, const struct chunk_list *l, const char *shown, int64_t tokens)
{
    const char *unit = g->tokenizer ? "tokens" : "words";
    struct sb b;
    sb_init(&b, 1 << 20);
    printf("%s  (%s", shown, x->format);
    if (x->n_pages) printf(", %d page%s", x->n_pages, x->n_pages == 1 ? "" : "s");
    if (x->title.n) printf(", \"%.*s\"", SV_ARG(x->title));
    if (x->creator.n) printf(" by %.*s", SV_ARG(x->creator));
    printf(")\n    %zu passages", x->n);
    print_kinds(x);
    printf("\n    %lld %s in %zu chunk%s", (long long)tokens, unit, l->n, l->n == 1 ? "" : "s");
    if (g->compat) printf(" of characters, as InstructLab cuts them");
    else printf(" of at most %d", g->budget);
    lost_add_text(x->lost, &b);
    printf("\n    not in the text: %s\n", b.n ? b.p : "nothing");
    for (size_t i = 0; i < l->n && !g->a->quiet; i++) {
        const struct chunk *c = &l->v[i];
        sb_reset(&b);
        if (!g->compat) passage_add_place(x, c->first, &b);
        printf("  [%zu] %.*s%s%s%s%d %s)\n", i + 1, SV_ARG(c->heading), c->heading.n ? "  (" : "(", b.n ? b.p : "", b.n ? ", " : "", c->n_tokens, unit);
        struct sv rest = c->text, line;
        size_t shown_bytes = 0;
        while (sv_split(&rest, '\n', &line)) {
            size_t n = line.n;
            if (!g->a->full && shown_bytes + n > SHOWN_BYTES) {
                n = SHOWN_BYTES - shown_bytes;
                while (n && ((unsigned char)line.p[n] & 0xC0) == 0x80) n--;
            }
            printf("      %.*s%s\n", (int)n, line.p, n < line.n || (!g->a->full && rest.n && shown_bytes + n >= SHOWN_BYTES) ? " …" : "");
            shown_bytes += n;
            if (!g->a->full && shown_bytes >= SHOWN_BYTES) break;
        }
    }
    sb_release(&b);
}

static int one_document(struct ingest *g, const struct task *t, ilab_err *e)
{
    struct extract x;
    struct chunk_list l = { 0 };
    int rc = document_extract(t->path, &x, e);
    if (!rc && g->compat) rc = chunks_as_reference(&x, g->a->chunk_words, g->a->ctx, g->compat != 14, count_tokens, g, &l, e);
    else if (!rc) rc = chunks_of(&x, g->budget, count_tokens, g, &l, e);
    if (!rc) {
        int64_t tokens = 0;
        for (size_t i = 0; i < x.n; i++) tokens += count_tokens(g, x.v[i].text);
        for (int k = 0; k < LOST_KINDS; k++) g->lost[k] += x.lost[k];
        g->n_read++;
        g->n_passages += x.n;
        g->n_chunks += l.n;
        g->n_tokens += tokens;
        if (g->a->json) json_array_append_new(g->all, document_json(&x, &l, t->shown, tokens));
        else print_document(g, &x, &l, t->shown, tokens);
        for (size_t i = 0; g->a->out && i < l.n; i++) {
            json_t *o = chunk_json(&x, &l.v[i], t->shown);
            sb_add_json(&g->lines, o);
            sb_addch(&g->lines, '\n');
            json_decref(o);
        }
    }
    chunks_release(&l);
    extract_release(&x);
    return rc;
}

static void report(const struct ingest *g, json_t *failed)
{
    const char *unit = g->tokenizer ? "tokens" : "words";
    struct sb b;
    sb_init(&b, OUTPUT_MAX);
    if (g->a->json) {
        json_t *o = json_pack("{s:O,s:o,s:b,s:s,s:I}", "documents", g->all, "failed", failed, "counts_tokens", g->tokenizer != NULL, "model", g->tokenizer ? g->a->model : "",
                              "tokens", (json_int_t)g->n_tokens);
        sb_add_json(&b, o);
        printf("%s\n", b.p ? b.p : "{}");
        json_decref(o);
    } else {
        lost_add_text(g->lost, &b);
        if (g->n_task > 1)
            printf("%zu document%s: %zu passages, %lld %s, %zu chunks; not in the text: %s\n", g->n_read, g->n_read == 1 ? "" : "s", g->n_passages, (long long)g->n_tokens, unit,
                   g->n_chunks, b.n ? b.p : "nothing");
        if (g->n_failed) printf("%zu could not be read (above)\n", g->n_failed);
        json_decref(failed);
    }
    sb_release(&b);
}

static int run(struct cli *c, void *args)
{
    struct ingest g = { .a = args, .compat = c->compat, .all = json_array() };
    json_t *failed = json_array();
    ilab_err e = { 0 };
    struct progress p;
    int rc = 0, code = EXIT_DONE;
    if (!c->n_word) {
        fprintf(stderr, "Error: name a document, a folder, a qna.yaml or the address of a git repository: see `ilab data ingest --help`\n");
        json_decref(g.all);
        json_decref(failed);
        return EXIT_USAGE;
    }
    sb_init(&g.lines, OUTPUT_MAX);
    g.budget = g.a->chunk_tokens;
    if (open_tokenizer(&g, &e)) fprintf(stderr, "%s; words are counted instead of tokens\n", e.msg);
    if (!g.budget) g.budget = CHUNK_TOKENS;
    for (int i = 0; i < c->n_word && !rc; i++) rc = add_word(&g, c->word[i], &e);
    progress_start(&p, "reading documents", (int64_t)g.n_task, 0);
    p.quiet |= g.n_task < 2;
    for (size_t i = 0; i < g.n_task && !rc; i++) {
        const int bad = one_document(&g, &g.task[i], &e);
        if (bad == ILAB_E_CANCEL || bad == ILAB_E_NOMEM || signal_pending()) rc = bad ? bad : err_set(&e, ILAB_E_CANCEL, "interrupted");
        else if (bad) {
            g.n_failed++;
            fprintf(stderr, "%s\n", e.msg);
            json_array_append_new(failed, json_pack("{s:s,s:s}", "document", g.task[i].shown, "error", e.msg));
        }
        progress_at(&p, (int64_t)i + 1, "documents");
    }
    progress_end(&p);
    if (!rc && g.a->out && g.lines.failed) rc = err_set(&e, ILAB_E_LIMIT, "the chunks are larger than %d MB: name fewer documents", (int)(OUTPUT_MAX >> 20));
    if (!rc && g.a->out) rc = file_write(g.a->out, g.lines.p ? g.lines.p : "", g.lines.n, &e);
    if (rc) {
        code = fail(&e, "Reading documents failed with the following error: ");
        json_decref(failed);
    } else report(&g, failed);
    if (!rc && g.n_failed) code = EXIT_FAILED;
    for (size_t i = 0; i < g.n_task; i++) {
        mem_free(g.task[i].path);
        mem_free(g.task[i].shown);
    }
    mem_free(g.task);
    sb_release(&g.lines);
    json_decref(g.all);
    tokenizer_free(g.tokenizer);
    return code;
}

const struct cmd CMD_DATA_INGEST = {
    .name = "data ingest", .args_bytes = sizeof(struct ingest_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 0, .max_words = 1000,
    .words = "PATH...", .summary = "Show what documents become: passages, tokens, chunks, and what is lost.",
    .help = "PATH is a document, a folder, a qna.yaml (the documents that it names), or the address of a git repository, which is fetched once and kept.\n"
            "Formats: Markdown, plain text, HTML, PDF, DOCX, ODT, EPUB. Each is read by a process of its own, which can open no file and no connection.\n"
            "Every passage knows its place (line, page or chapter). Nothing is changed, and nothing is taught: this is what `ilab generate` will read.\n\n"
            "Examples:\n  ilab data ingest report.pdf\n  ilab data ingest --full manual.docx\n  ilab data ingest docs/ --out chunks.jsonl\n"
            "  ilab data ingest taxonomy/knowledge/x/qna.yaml --json\n  ilab data ingest https://example.org/handbook.git --pattern '*.md'\n",
};
