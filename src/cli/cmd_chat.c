/* cmd_chat.c — `ilab chat`: questions and answers, one or many.
 *
 * The model is a server that already runs with the same weights, else in this process. Answers are written as they come. With
 * stdin from a file or pipe every line is a question. When a conversation no longer fits the model's context, its oldest
 * messages go (never the system prompt, other than the reference).  SPDX-License-Identifier: Apache-2.0 */
#include "cli/chat.h"
#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct chat_args {
    const char *model, *context, *session, *adapter, *endpoint, *api_key, *family, *kv_type;
    int quick, greedy, max_tokens, threads, plain, vi;
    double temp;
};
/* Temperature: ours. A taught fact is the likeliest answer; sampling at the reference's 1.0 loses it now and then. */
static const struct chat_args DEFAULTS = { .model = "starter", .context = "default", .api_key = "no_api_key" };
#define O(field) offsetof(struct chat_args, field)
static const struct opt OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "MODEL", "chat.model", "model that answers: a name below models/ or a file" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "LoRA adapter made for this model (`ilab train` writes training_results/adapter.gguf)" },
    { "context", 'c', NULL, OPT_STR, O(context), 0, 0, "NAME", "chat.context", "named system prompt: default or cli_helper" },
    { "session", 's', NULL, OPT_STR, O(session), 0, 0, "FILE", "chat.session", "start from a saved session" },
    { "quick-question", 0, "qq", OPT_FLAG, O(quick), 0, 0, NULL, NULL, "answer QUESTION and exit" },
    { "greedy-mode", 0, "gm", OPT_FLAG, O(greedy), 0, 0, NULL, "chat.greedy_mode", "always the most likely answer (temperature 0)" },
    { "max-tokens", 0, NULL, OPT_INT, O(max_tokens), 0, 1 << 20, "N", "chat.max_tokens", "longest answer; 0: as long as the context allows" },
    { "temperature", 't', NULL, OPT_FLOAT, O(temp), 0, 2, "T", "chat.temperature", "0: always the most likely answer (ours; the reference samples at 1.0)" },
    { "endpoint-url", 0, NULL, OPT_STR, O(endpoint), 0, 0, "URL", NULL, "an OpenAI-style server, such as http://127.0.0.1:8000/v1" },
    { "api-key", 0, NULL, OPT_STR, O(api_key), 0, 0, "KEY", NULL, "its key" },
    { "no-decoration", 0, "nd", OPT_FLAG, O(plain), 0, 0, NULL, NULL, "plain text, no panels" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "kv-type", 0, NULL, OPT_STR, O(kv_type), 0, 0, "TYPE", NULL, "keys and values as f32, f16, q8_0 or q4_0; auto: f16 when they are many (a server that answers has its own)" },
    { "vi-mode", 0, NULL, OPT_FLAG, O(vi), 0, 0, NULL, "chat.vi_mode", "vi keys in the prompt" },
    { "model-family", 0, NULL, OPT_STR, O(family), 0, 0, "NAME", NULL, "accepted for compatibility; the file tells its template" },
    { 0 },
};

/* ---- panels ---- */
static int terminal_width(void)
{
    struct winsize w;
    return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col : 80;
}

/* ╭─ title ────╮  or  ╰──── title ─╯ */
static void rule(int is_top, const char *title)
{
    const int fill = terminal_width() - 2 - (*title ? 3 + utf8_width(sv_of(title)) : 0);
    fputs(is_top ? "╭─ " : "╰", stdout);
    if (is_top) fputs(title, stdout), fputc(' ', stdout);
    for (int i = 0; i < fill; i++) fputs("─", stdout);
    if (!is_top && *title) printf(" %s ─", title);
    puts(is_top ? "╮" : "╯");
}

void chat_show(const struct chat *ch, const char *title, const char *text)
{
    if (ch->decorated) rule(1, title);
    printf("%s\n", text);
    if (ch->decorated) rule(0, "");
    fflush(stdout);
}

/* ---- model and session ---- */
int chat_open_model(struct chat *ch, const char *model, ilab_err *e)
{
    struct lm *lm = NULL;
    const int rc = lm_for_command(ch->cli, model, ch->adapter, ch->endpoint, ch->api_key, ch->threads, ch->kv_type, &lm, e);
    if (rc) return rc;
    lm_close(ch->lm);
    lm_watch(lm);
    mem_free(ch->model);
    ch->lm = lm;
    ch->model = path_stem(model);
    return 0;
}

void chat_reset(struct chat *ch)
{
    turns_copy(&ch->now, &ch->base);
    if (ch->base_name) return;
    const char *system = context_prompt(ch->cli, ch->context);
    if (system && *system) turns_add(&ch->now, "system", system);
}

int chat_load(struct chat *ch, const char *path, int as_base)
{
    struct chat_turns fresh = { 0 };
    ilab_err e = { 0 };
    if (turns_load(&fresh, path, &e)) {
        chat_show(ch, "system", e.msg);
        return 1;
    }
    turns_copy(&ch->now, &fresh);
    if (as_base) {
        turns_copy(&ch->base, &fresh);
        mem_free(ch->base_name);
        ch->base_name = xstrdup(path_base(path));
    }
    turns_clear(&fresh);
    return 0;
}

/* ---- one question ---- */
static int on_text(void *ud, struct sv piece)
{
    (void)ud;
    fwrite(piece.p, 1, piece.n, stdout);
    fflush(stdout);
    return signal_pending() != 0;
}

/* The oldest message that is not the system's, and the answer that followed it. 0: only the question is left. */
static int forget_oldest(struct chat *ch)
{
    size_t i = 0;
    while (i < ch->now.n && !strcmp(ch->now.v[i].role, "system")) i++;
    if (i + 1 >= ch->now.n) return 0;
    turns_drop(&ch->now, i);
    if (i + 1 < ch->now.n && !strcmp(ch->now.v[i].role, "assistant")) turns_drop(&ch->now, i);
    return 1;
}

static int complete(struct chat *ch, struct lm_result *r, ilab_err *e)
{
    struct lm_message *m = mem_calloc(ch->now.n, sizeof *m);
    if (!m) return err_set(e, ILAB_E_NOMEM, "not enough memory for the conversation");
    for (size_t i = 0; i < ch->now.n; i++) m[i] = (struct lm_message){ ch->now.v[i].role, sv_of(ch->now.v[i].text) };
    const struct lm_request q = { .message = m, .n_message = (int)ch->now.n, .max_tokens = ch->max_tokens > 0 ? ch->max_tokens : lm_n_ctx(ch->lm),
                                  .temp = ch->temp, .top_p = 1, .seed = (uint64_t)(now_seconds() * 1e6), .on_text = on_text };
    const int rc = lm_complete(ch->lm, &q, 1, r, e);
    mem_free(m);
    return rc;
}

/* Asks and prints; the question is taken back when there was no answer. The code of the failure is in e. */
static int ask(struct chat *ch, const char *question, ilab_err *e)
{
    struct lm_result r = { 0 };
    char elapsed[64];
    if (!utf8_valid(sv_of(question), NULL)) {
        chat_show(ch, "system", "This question is not UTF-8 text.");
        return 0;
    }
    turns_add(&ch->now, "user", question);
    if (ch->log) fprintf(ch->log, ">>> %s\n\n", question);
    const double start = now_seconds();
    if (ch->decorated) rule(1, ch->model);
    int rc = complete(ch, &r, e);
    while (rc == ILAB_E_LIMIT && forget_oldest(ch)) {
        *e = (ilab_err){ 0 };
        rc = complete(ch, &r, e);
    }
    snprintf(elapsed, sizeof elapsed, tr("elapsed %.3f seconds"), now_seconds() - start);
    if (rc) {
        if (rc == ILAB_E_LIMIT) err_set(e, rc, "Message too large for context size.");
        turns_drop(&ch->now, ch->now.n - 1);
    } else {
        putchar('\n');
        turns_add(&ch->now, "assistant", r.text);
        if (ch->log) fprintf(ch->log, "- %s -\n%s\n\n", elapsed, r.text);
    }
    if (rc == ILAB_E_CANCEL) putchar('\n');
    if (ch->decorated) rule(0, elapsed);
    if (ch->log) fflush(ch->log);
    fflush(stdout);
    lm_result_release(&r);
    return rc;
}

/* ---- the loop ---- */
static void join_words(const struct cli *c, struct sb *b)
{
    for (int i = 0; i < c->n_word; i++) sb_addf(b, "%s%s", i ? " " : "", c->word[i]);
}

/* What a failed question means for a conversation: an exit code, or -1 to go on. */
static int after_failure(struct chat *ch, int rc, const ilab_err *e)
{
    if (rc == ILAB_E_CANCEL && ch->interactive) {
        signal_clear();
        return -1;
    }
    if (rc == ILAB_E_CANCEL) return EXIT_INTERRUPTED;
    if (rc == ILAB_E_LIMIT || (rc == ILAB_E_IO && ch->endpoint)) {
        chat_show(ch, "system", rc == ILAB_E_LIMIT ? e->msg : "Connection error, try again...");
        return -1;
    }
    return fail(e, "Executing chat failed with: ");
}

static int converse(struct chat *ch, const char *first, int vi)
{
    struct line_editor *l = line_editor_new(vi);
    char *line = NULL, right[96], title[256];
    ilab_err e = { 0 };
    int code = -1;
    if (ch->interactive) {
        struct sb name;
        sb_init(&name, sizeof title);
        for (const char *p = ch->model; *p; p++) sb_addch(&name, *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
        snprintf(title, sizeof title, tr("Welcome to InstructLab Chat w/ %.120s (type /h for help)"), name.p ? name.p : "");
        chat_show(ch, "system", title);
        sb_release(&name);
    }
    if (first) {
        printf(">>> %s\n", first);
        const int rc = ask(ch, first, &e);
        if (rc) code = after_failure(ch, rc, &e);
    }
    while (code < 0 && !ch->quit) {
        const int multi = ch->multi || ch->multi_once;
        snprintf(right, sizeof right, "[%s][%.60s]", multi ? "M" : "S", ch->base_name ? ch->base_name : ch->context);
        const enum line_end end = line_read(l, right, multi, &line);
        if (end == LINE_EOF || (end == LINE_INTERRUPTED && !ch->interactive)) {
            code = end == LINE_EOF ? EXIT_DONE : EXIT_INTERRUPTED;
            break;
        }
        if (end == LINE_INTERRUPTED) continue;
        ch->multi_once = 0;
        if (!chat_command(ch, line)) {
            e = (ilab_err){ 0 };
            const int rc = ask(ch, line, &e);
            if (rc) code = after_failure(ch, rc, &e);
        }
        mem_free(line);
        line = NULL;
    }
    mem_free(line);
    line_editor_free(l);
    return code < 0 ? EXIT_DONE : code;
}

static FILE *open_log(const struct cli *c)
{
    const char *dir = c->config ? config_get(c->config, "chat.logs_dir") : NULL;
    char name[64];
    if (!dir || !*dir || dir_make(dir, NULL)) return NULL;
    time_local(name, sizeof name, "chat_%Y-%m-%dT%H_%M_%S.log");
    char *path = path_join(dir, name);
    FILE *f = path ? fopen(path, "ae") : NULL;
    if (!f) log_warn("the chat is not written down: '%s' cannot be opened", path ? path : dir);
    mem_free(path);
    return f;
}

static int start(struct chat *ch, const struct chat_args *a, const char *question)
{
    ilab_err e = { 0 };
    if (!context_prompt(ch->cli, a->context)) {
        fprintf(stderr, "Error: context '%s' not found. Available contexts: %s\n", a->context, context_names());
        return EXIT_USAGE;
    }
    ch->context = xstrdup(a->context);
    chat_reset(ch);
    if (a->session && !file_exists(a->session)) {
        fprintf(stderr, "Executing chat failed with: session file '%s' does not exist\n", a->session);
        return EXIT_FAILED;
    }
    if (a->session && chat_load(ch, a->session, 1)) return EXIT_FAILED;
    if (chat_open_model(ch, a->model, &e)) return fail(&e, "Executing chat failed with: ");
    ch->log = open_log(ch->cli);
    if (!a->quick) return converse(ch, question, a->vi);
    return ask(ch, question, &e) ? fail(&e, "Executing chat failed with: ") : EXIT_DONE;
}

static int run(struct cli *c, void *args)
{
    const struct chat_args *a = args;
    struct sb question;
    sb_init(&question, CHAT_MAX_LINE);
    join_words(c, &question);
    if (question.failed || (a->quick && !question.n)) {
        fprintf(stderr, "Error: %s\n", question.failed ? "the question is too long" : "-qq needs a question, such as: ilab chat -qq \"Who founded the town?\"");
        sb_release(&question);
        return EXIT_USAGE;
    }
    struct chat ch = { .cli = c, .adapter = a->adapter, .endpoint = a->endpoint, .api_key = a->api_key, .threads = a->threads, .max_tokens = a->max_tokens,
                       .temp = a->greedy ? 0 : (float)a->temp, .interactive = !a->quick && isatty(STDIN_FILENO) };
    if (kv_type_arg(a->kv_type, &ch.kv_type)) {
        sb_release(&question);
        return EXIT_USAGE;
    }
    ch.decorated = !a->quick && !a->plain && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    const int code = start(&ch, a, question.n ? question.p : NULL);
    if (ch.log) fclose(ch.log);
    lm_close(ch.lm);
    turns_clear(&ch.now);
    turns_clear(&ch.base);
    mem_free(ch.model);
    mem_free(ch.context);
    mem_free(ch.base_name);
    sb_release(&question);
    return code;
}

const struct cmd CMD_CHAT = {
    .name = "chat", .group = "model", .needs_config = 2, .args_bytes = sizeof(struct chat_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run,
    .max_words = 10000, .words = "[QUESTION...]",
    .summary = "Talk to a model, or ask it one question.",
    .help = "Examples:\n  ilab chat                                   a conversation; /h lists its commands\n"
            "  ilab chat -qq \"Who is the chancellor of Bielefeld University?\"\n"
            "  ilab chat -m starter --adapter training_results/adapter.gguf\n"
            "  ilab chat --endpoint-url http://127.0.0.1:8000/v1\n  ilab chat < questions.txt                   one question a line\n\n"
            "A server started by `ilab serve` with the same model is used when it runs. Ctrl-C stops an answer, Ctrl-D ends the chat.\n",
};
