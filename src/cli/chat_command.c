/* chat_command.c — the slash commands of the chat, a row each.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/chat.h"
#include "cli/messages.h"

#include <ctype.h>
#include <string.h>

static void help(struct chat *ch, const char *arg, const char *name);

static void quit(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    ch->quit = 1;
}

static void warn(const struct chat *ch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(const struct chat *ch, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    chat_show(ch, "system", text);
}

static void missing(const struct chat *ch, const char *what, const char *command) { warn(ch, "**WARNING**: The second argument `%s` is missing in the `%s` command.", what, command); }

static void change_model(struct chat *ch, const char *arg, const char *name)
{
    ilab_err e = { 0 };
    (void)name;
    if (!arg) {
        missing(ch, "assistant", "/a assistant");
        return;
    }
    if (chat_open_model(ch, arg, &e)) {
        warn(ch, "**WARNING**: %s; still talking to `%s`.", e.msg, ch->model);
        return;
    }
    chat_reset(ch);
    warn(ch, "Talking to `%s` now.", ch->model);
}

static void change_context(struct chat *ch, const char *arg, const char *name)
{
    (void)name;
    if (!arg) {
        missing(ch, "context", "/c context");
        return;
    }
    if (!context_prompt(ch->cli, arg)) {
        warn(ch, "**WARNING**: Context `%s` not found. Available contexts: `%s`", arg, context_names());
        return;
    }
    mem_free(ch->context);
    ch->context = xstrdup(arg);
    turns_clear(&ch->base);
    mem_free(ch->base_name);
    ch->base_name = NULL;
    chat_reset(ch);
}

static void list_contexts(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    warn(ch, "Available contexts: `%s`", context_names());
}

static void multi_once(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    ch->multi_once = 1;
}

static void multi_toggle(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    ch->multi = !ch->multi;
}

static void new_session(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    chat_reset(ch);
}

static void bare_session(struct chat *ch, const char *arg, const char *name)
{
    (void)arg, (void)name;
    turns_clear(&ch->now);
}

/* /d N, /p N, /md N: the N-th last answer in a panel or plain. */
static void show_answer(struct chat *ch, const char *arg, const char *name)
{
    int64_t n = 1;
    if (arg && parse_i64(arg, 1, CHAT_MAX_MESSAGES, &n)) n = 0;
    for (size_t i = ch->now.n; n > 0 && i-- > 0;) {
        if (strcmp(ch->now.v[i].role, "assistant") || --n) continue;
        if (!strcmp(name, "/d")) chat_show(ch, ch->model, ch->now.v[i].text);
        else printf("%s\n", ch->now.v[i].text);
        return;
    }
    warn(ch, "Invalid index: %s%s%s", name, arg ? " " : "", arg ? arg : "");
}

static void save_session(struct chat *ch, const char *arg, const char *name)
{
    ilab_err e = { 0 };
    (void)name;
    if (!arg) missing(ch, "filepath", "/s filepath");
    else if (turns_save(&ch->now, arg, &e)) warn(ch, "**WARNING**: %s", e.msg);
    else warn(ch, "Saved to `%s`.", arg);
}

static void load_session(struct chat *ch, const char *arg, const char *name)
{
    if (!arg) missing(ch, "filepath", "/l filepath` or `/L filepath");
    else if (!file_exists(arg)) warn(ch, "**WARNING**: File `%s` specified in the `/l filepath` or `/L filepath` command does not exist.", arg);
    else if (!chat_load(ch, arg, !strcmp(name, "/L")))
        for (size_t i = 0; i < ch->now.n; i++) {
            if (!strcmp(ch->now.v[i].role, "user")) printf(">>> %s\n", ch->now.v[i].text);
            else chat_show(ch, strcmp(ch->now.v[i].role, "assistant") ? ch->now.v[i].role : ch->model, ch->now.v[i].text);
        }
}

static const struct { const char *name, *arg, *doc; void (*run)(struct chat *ch, const char *arg, const char *name); } COMMANDS[] = {
    { "/q", "", "quit (also quit, exit, Ctrl-D)", quit },
    { "quit", NULL, NULL, quit },
    { "exit", NULL, NULL, quit },
    { "/h", "", "this help", help },
    { "/a", " NAME", "change the model and start a new session", change_model },
    { "/c", " CONTEXT", "change the context (named system prompt) and start a new session", change_context },
    { "/lc", "", "list the contexts", list_contexts },
    { "/m", "", "several lines for the next message; Alt-Enter or Esc Enter ends it", multi_once },
    { "/M", "", "several lines for every message, on or off", multi_toggle },
    { "/n", "", "new session", new_session },
    { "/N", "", "new session without a loaded one and without system prompt", bare_session },
    { "/d", " N", "show the N-th last answer again (1: the last)", show_answer },
    { "/p", " N", "the same as plain text", show_answer },
    { "/md", " N", "the same as Markdown", show_answer },
    { "/s", " FILE", "save the session", save_session },
    { "/l", " FILE", "load a session", load_session },
    { "/L", " FILE", "load a session that every /n starts from", load_session },
};

static void help(struct chat *ch, const char *arg, const char *name)
{
    struct sb b;
    (void)arg, (void)name;
    sb_init(&b, 1 << 14);
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
        if (COMMANDS[i].doc) sb_addf(&b, "%s%s%-*s %s\n", b.n ? "" : "", COMMANDS[i].name, (int)(14 - strlen(COMMANDS[i].name)), COMMANDS[i].arg, COMMANDS[i].doc);
    if (b.n) b.p[b.n - 1] = 0;
    chat_show(ch, "system", b.p ? b.p : "");
    sb_release(&b);
}

int chat_command(struct chat *ch, const char *line)
{
    const struct sv all = sv_trim(sv_of(line));
    size_t n = 0;
    while (n < all.n && !isspace((unsigned char)all.p[n])) n++;
    const struct sv rest = sv_trim((struct sv){ all.p + n, all.n - n });
    char word[16] = "", lower[16] = "";
    if (!n) return 1;
    if (n >= sizeof word || (all.p[0] != '/' && rest.n)) return 0; /* "quit smoking, how?" is a question */
    for (size_t i = 0; i < n; i++) word[i] = all.p[i], lower[i] = (char)tolower((unsigned char)all.p[i]);
    /* upper case counts where it means something else (/M, /N, /L) */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
            if (!strcmp(COMMANDS[i].name, pass ? lower : word)) {
                char *arg = rest.n ? mem_strndup(rest.p, rest.n) : NULL;
                COMMANDS[i].run(ch, arg, COMMANDS[i].name);
                mem_free(arg);
                return 1;
            }
    if (all.p[0] != '/' || rest.n || n < 2) return 0;
    for (size_t i = 1; i < n; i++)
        if (!isalpha((unsigned char)all.p[i])) return 0; /* a path, perhaps */
    char text[96];
    snprintf(text, sizeof text, tr("There is no command %s. /h lists the commands."), word);
    chat_show(ch, "system", text);
    return 1;
}
