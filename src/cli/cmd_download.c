/* cmd_download.c — `ilab download`: a model into models/: the starter inside this program, a local file, an address, or a
 * repository of Hugging Face.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "net/net.h"

#include <stdlib.h>
#include <string.h>

enum { DOWNLOAD_MAX_PATH = 4096, COPY_BLOCK = 1 << 20 };

struct download_args { const char *repository, *release, *filename, *dir, *token; int force; };
static const struct download_args DEFAULTS = { .release = "main", .dir = "models" };
#define O(field) offsetof(struct download_args, field)
static const struct opt OPTS[] = {
    { "repository", 0, "rp", OPT_STR, O(repository), 0, 0, "SOURCE", NULL, "the same as SOURCE; none: the starter model inside this program" },
    { "release", 0, "rl", OPT_STR, O(release), 0, 0, "REF", NULL, "branch, tag or commit of an OWNER/NAME" },
    { "filename", 0, NULL, OPT_STR, O(filename), 0, 0, "FILE", NULL, "file of an OWNER/NAME; name of the result otherwise" },
    { "model-dir", 0, NULL, OPT_STR, O(dir), 0, 0, "DIR", "general.models_dir", "where it goes" },
    { "hf-token", 0, NULL, OPT_STR, O(token), 0, 0, "TOKEN", NULL, "for an OWNER/NAME that is not public", 0, NULL, "HF_TOKEN" },
    { "force", 0, NULL, OPT_FLAG, O(force), 0, 0, NULL, NULL, "replace a file that exists" },
    { 0 },
};

static int is_url(const char *s) { return !strncmp(s, "http://", 7) || !strncmp(s, "https://", 8); }

/* Hugging Face: one slash, and only characters that names there have. */
static int is_repository(const char *s)
{
    const char *slash = strchr(s, '/');
    static const char NAME[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    return slash && slash != s && slash[1] && slash[1] != '.' && s[0] != '.' && !strchr(slash + 1, '/') && strspn(s, NAME) == strlen(s);
}

/* "owner/some-7b-GGUF" → "some-7b-Q4_K_M.gguf", as most such repositories name their files. */
static void guess_filename(struct sb *b, const char *repository)
{
    const char *name = strchr(repository, '/') + 1;
    struct sv stem = sv_of(name);
    if (sv_ends(stem, "-GGUF") || sv_ends(stem, "-gguf")) stem.n -= 5;
    sb_addf(b, "%.*s-Q4_K_M.gguf", SV_ARG(stem));
}

static int announce(const char *path, const char *sha256)
{
    char bytes[32];
    format_bytes(bytes, sizeof bytes, (double)file_size(path));
    printf("%s  %s\nsha256 %s\n", path, bytes, sha256);
    return EXIT_DONE;
}

/* A web page or an error text under a model's name would only confuse later. */
static int check_model(const char *path, ilab_err *e)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(magic, 1, sizeof magic, f) : 0;
    if (f) fclose(f);
    if (!sv_ends(sv_of(path), ".gguf") || (n == 4 && !memcmp(magic, "GGUF", 4))) return 0;
    remove(path);
    return err_set(e, ILAB_E_FORMAT, "'%s' was no GGUF model and is removed: check the address", path);
}

static int copy_file(const char *from, const char *to, ilab_err *e)
{
    struct file_map m;
    struct file_out o;
    int rc = file_map_open(&m, from, e);
    if (rc) return rc;
    rc = disk_free(to) < m.n + (1 << 20) ? err_set(e, ILAB_E_IO, "no room for '%s' (%zu bytes): free some disk space", to, m.n) : file_create(&o, to, e);
    if (!rc) {
        for (size_t at = 0; at < m.n && !signal_pending(); at += COPY_BLOCK) file_put(&o, m.p + at, m.n - at < COPY_BLOCK ? m.n - at : COPY_BLOCK);
        if (signal_pending()) {
            file_abandon(&o);
            rc = err_set(e, ILAB_E_CANCEL, "interrupted");
        } else rc = file_commit(&o, e);
    }
    file_map_close(&m);
    return rc;
}

struct source { const char *from; char url[DOWNLOAD_MAX_PATH], name[512]; int is_local, is_hub; };

/* What the words mean. EXIT_USAGE after a message. */
static int understand(const struct download_args *a, const char *what, struct source *s)
{
    struct sb b;
    s->from = what;
    s->is_local = what && !is_url(what) && file_exists(what) == 1;
    s->is_hub = what && !is_url(what) && !s->is_local && is_repository(what);
    if (what && !s->is_local && !s->is_hub && !is_url(what)) {
        fprintf(stderr, "Error: '%s' is neither a file here, nor an http(s) address, nor OWNER/NAME\n", what);
        return EXIT_USAGE;
    }
    sb_init(&b, sizeof s->name - 1);
    if (a->filename) sb_addc(&b, a->filename);
    else if (s->is_hub) guess_filename(&b, what);
    else if (s->is_local) sb_addc(&b, path_base(what));
    else if (what) sb_addf(&b, "%.*s", (int)strcspn(path_base(what), "?#"), path_base(what));
    else sb_addc(&b, path_base(embedded_at(0).path));
    const int bad = b.failed || !b.n || !strcmp(b.p, ".") || !strcmp(b.p, "..") || (!s->is_hub && strchr(b.p, '/')) || strstr(b.p, "..");
    if (!bad) memcpy(s->name, b.p, b.n + 1);
    sb_release(&b);
    if (bad) {
        fprintf(stderr, "Error: the source gives no file name: choose one with --filename\n");
        return EXIT_USAGE;
    }
    const char *hub = getenv("HF_ENDPOINT");
    if (s->is_hub) snprintf(s->url, sizeof s->url, "%s/%s/resolve/%s/%s", hub && *hub ? hub : "https://huggingface.co", what, a->release, s->name);
    else if (what) snprintf(s->url, sizeof s->url, "%s", what);
    return 0;
}

static int fetch(const struct download_args *a, const struct source *s, const char *to, char sha256[65], ilab_err *e)
{
    const char *token = a->token;
    char header[600];
    struct http_downloaded got;
    struct http_download d = { .url = s->url, .path = to, .label = path_base(to) };
    if (s->is_hub && token && *token) {
        snprintf(header, sizeof header, "Authorization: Bearer %s", token);
        d.header[0] = header;
    }
    int rc = http_download(&d, &got, e);
    memcpy(sha256, got.sha256, 65);
    if (!rc && got.resumed_at) log_info("went on at byte %lld", (long long)got.resumed_at);
    if (rc == ILAB_E_NOTFOUND && s->is_hub && !a->filename) err_prefix(e, "the file's name is a guess, give it with --filename: ");
    return rc;
}

static int run(struct cli *c, void *args)
{
    const struct download_args *a = args;
    struct source s = { 0 };
    ilab_err e = { 0 };
    char sha256[65] = "";
    const char *what = c->n_word ? c->word[0] : a->repository;
    if (understand(a, what, &s)) return EXIT_USAGE;
    char *to = path_join(a->dir, path_base(s.name));
    int rc = to ? dir_make(a->dir, &e) : err_set(&e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && file_exists(to) && !a->force) {
        rc = sha256_file(to, sha256, &e);
        if (!rc) printf("%s is there already (--force replaces it).\n", to);
    } else if (!rc && !what) {
        const struct embedded f = embedded_at(0);
        printf("Writing the starter model to %s...\n", a->dir);
        rc = file_write(to, f.p, f.n, &e);
    } else if (!rc && s.is_local) {
        printf("Copying model from %s to %s...\n", what, a->dir);
        rc = copy_file(what, to, &e);
    } else if (!rc) {
        if (s.is_hub) printf("Downloading model from %s@%s to %s...\n", what, a->release, a->dir);
        else printf("Downloading model from %s to %s...\n", what, a->dir);
        fflush(stdout);
        rc = fetch(a, &s, to, sha256, &e);
    }
    if (!rc) rc = check_model(to, &e);
    if (!rc && !sha256[0]) rc = sha256_file(to, sha256, &e);
    if (!rc) announce(to, sha256);
    mem_free(to);
    if (rc) return fail(&e, s.is_hub && c->compat != 26 ? "Downloading model failed with the following Hugging Face Hub error: " : "Downloading failed with the following exception: ");
    return EXIT_DONE;
}

const struct cmd CMD_DOWNLOAD = {
    .name = "download", .group = "model", .needs_config = 2, .args_bytes = sizeof(struct download_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run,
    .max_words = 1, .words = "[SOURCE]",
    .summary = "Bring a model into models/: the starter, a file, an address, or OWNER/NAME of Hugging Face.",
    .help = "Examples:\n  ilab download                                           the starter model, without network\n"
            "  ilab download /media/stick/granite-7b.gguf\n  ilab download https://example.org/models/some-model.gguf\n"
            "  ilab download --repository instructlab/merlinite-7b-lab-GGUF --filename merlinite-7b-lab-Q4_K_M.gguf\n\n"
            "An interrupted download goes on when the command is run again. HF_ENDPOINT names another hub.\n",
};
