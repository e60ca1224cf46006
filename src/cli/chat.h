/* chat.h — internal to src/cli: the conversation (chat_session.c), the line editor (chat_line.c) and the slash commands
 * (chat_command.c) of `ilab chat`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_CHAT_H
#define ILAB_CLI_CHAT_H

#include "cli/cli.h"
#include "lm/lm.h"

/* ---- messages (chat_session.c) ---- */
enum { CHAT_MAX_MESSAGES = 1 << 12, CHAT_MAX_LINE = 1 << 20, CHAT_MAX_SESSION = 64 << 20 };
struct chat_turn { char *role, *text; };
struct chat_turns { struct chat_turn *v; size_t n, cap; };
void turns_add(struct chat_turns *t, const char *role, const char *text);
void turns_copy(struct chat_turns *to, const struct chat_turns *from);   /* replaces */
void turns_drop(struct chat_turns *t, size_t i);
void turns_clear(struct chat_turns *t);
int turns_save(const struct chat_turns *t, const char *path, ilab_err *e);
int turns_load(struct chat_turns *t, const char *path, ilab_err *e);     /* replaces; on failure unchanged */
/* Named system prompts. NULL: no such context. */
const char *context_prompt(const struct cli *c, const char *name);
const char *context_names(void);                                         /* "default, cli_helper" */

/* ---- input (chat_line.c): with editing and history on a terminal, else plain lines ---- */
struct line_editor;
enum line_end { LINE_OK, LINE_EOF, LINE_INTERRUPTED };
struct line_editor *line_editor_new(int vi_mode);
void line_editor_free(struct line_editor *l);                            /* writes the history */
/* multi: several lines, ended by Alt-Enter (or Esc Enter); without a terminal by an empty line. *out is the caller's. */
enum line_end line_read(struct line_editor *l, const char *right_prompt, int multi, char **out);

/* ---- the chat ---- */
struct chat {
    struct cli *cli;
    struct lm *lm;
    char *model, *context;           /* names */
    const char *adapter, *endpoint, *api_key;
    int threads, kv_type, max_tokens, decorated /* panels */, interactive;
    float temp;
    struct chat_turns now, base;     /* the conversation; what /n starts from */
    char *base_name;                 /* file name of a loaded session */
    int multi, multi_once, quit;
    FILE *log;
};
int chat_open_model(struct chat *ch, const char *model, ilab_err *e);     /* keeps the open one on failure */
void chat_reset(struct chat *ch);                                         /* new session from context or loaded base */
int chat_load(struct chat *ch, const char *path, int as_base);            /* 0, or 1 after a message */
void chat_show(const struct chat *ch, const char *title, const char *text);
/* 1: the line was a command (or white space only) and is done. */
int chat_command(struct chat *ch, const char *line);

#endif
