/* chat_line.c — one question from the user.
 *
 * On a terminal libedit edits the line; it is opened with dlopen, so that nothing else pays for it, and without it plain lines
 * are read. Characters are read by a function of ours: then Ctrl-C is seen at once and gives the prompt back, whatever libedit
 * does with signals; and a Ctrl-D that was pressed before the prompt, which the terminal hands over as a NUL, still ends.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/chat.h"
#include "net/net.h"

#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_SIZE = 1000, CTRL_D = 4 };

static struct edit_api {
    EditLine *(*init)(const char *prog, FILE *in, FILE *out, FILE *err);
    void (*end)(EditLine *el);
    const char *(*gets)(EditLine *el, int *n);
    int (*set)(EditLine *el, int op, ...);
    int (*get)(EditLine *el, int op, ...);
    History *(*history_init)(void);
    void (*history_end)(History *h);
    int (*history)(History *h, HistEvent *ev, int op, ...);
} edit;

struct line_editor {
    EditLine *el;
    History *history;
    HistEvent event;
    char *history_path;
    char right[96];
    int interrupted, begun /* a key of this line was read */, send /* Alt-Enter ended the line */, more /* within a message of several lines */;
};

static int load_edit(void)
{
    static const char *const SONAME[] = { "libedit.so.2", "libedit.so.0", NULL };
    const struct dynlib_symbol SYMBOL[] = {
        { "el_init", &edit.init }, { "el_end", &edit.end }, { "el_gets", &edit.gets }, { "el_set", &edit.set }, { "el_get", &edit.get },
        { "history_init", &edit.history_init }, { "history_end", &edit.history_end }, { "history", &edit.history },
    };
    return dynlib_load(SONAME, "libedit2", SYMBOL, ARRAY_LEN(SYMBOL), NULL);
}

/* ---- what libedit calls ---- */
static struct line_editor *self_of(EditLine *el)
{
    void *p = NULL;
    edit.get(el, EL_CLIENTDATA, &p);
    return p;
}

static char *prompt(EditLine *el)
{
    static char first[] = ">>> ", more[] = "... ";
    return self_of(el)->more ? more : first;
}

static char *right_prompt(EditLine *el) { return self_of(el)->right; }

static int key_waits(void) { return poll(&(struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN }, 1, 0) > 0; }

/* One character of UTF-8 from the terminal. A terminal that edits its lines itself, as it does while an answer is made, keeps Ctrl-D as a NUL. */
static int read_character(EditLine *el, wchar_t *out)
{
    struct line_editor *l = self_of(el);
    const int was_pressed_before = !l->begun && key_waits();
    char buf[4];
    size_t have = 0, want = 1;
    l->begun = 1;
    while (have < want) {
        const int n = ask_byte(buf + have);
        l->interrupted = n < 0 && signal_pending();
        if (n <= 0) return n;
        if (!have && !buf[0]) {
            if (!was_pressed_before) continue; /* Ctrl-Space: libedit would insert the next key as it is */
            buf[0] = CTRL_D;
        }
        const unsigned char b = (unsigned char)buf[0];
        if (!have++) want = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : b >= 0xC0 ? 2 : 1;
    }
    size_t at = 0;
    const int32_t cp = utf8_next((struct sv){ buf, have }, &at);
    *out = cp < 0 ? 0xFFFD : (wchar_t)cp;
    return 1;
}

static unsigned char send_message(EditLine *el, int ch)
{
    (void)ch;
    self_of(el)->send = 1;
    return CC_NEWLINE;
}

/* ---- life ---- */
static void open_history(struct line_editor *l)
{
    const char *home = getenv("HOME");
    l->history = edit.history_init();
    if (!l->history) return;
    edit.history(l->history, &l->event, H_SETSIZE, HISTORY_SIZE);
    edit.history(l->history, &l->event, H_SETUNIQUE, 1);
    edit.set(l->el, EL_HIST, edit.history, l->history);
    if (!home) return;
    char *dir = path_join(home, ".local");
    if (dir && !dir_make(dir, NULL)) l->history_path = path_join(dir, "chat-cli.history");
    if (l->history_path) edit.history(l->history, &l->event, H_LOAD, l->history_path);
    mem_free(dir);
}

struct line_editor *line_editor_new(int vi_mode)
{
    struct line_editor *l = xcalloc(1, sizeof *l);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || load_edit()) return l;
    if (!setlocale(LC_CTYPE, "")) setlocale(LC_CTYPE, "C.UTF-8");
    if (MB_CUR_MAX < 2) setlocale(LC_CTYPE, "C.UTF-8");
    l->el = edit.init("ilab", stdin, stdout, stderr);
    if (!l->el) return l;
    edit.set(l->el, EL_CLIENTDATA, l);
    edit.set(l->el, EL_GETCFN, read_character);
    edit.set(l->el, EL_PROMPT, prompt);
    edit.set(l->el, EL_RPROMPT, right_prompt);
    edit.set(l->el, EL_EDITOR, vi_mode ? "vi" : "emacs");
    edit.set(l->el, EL_SIGNAL, 0);
    edit.set(l->el, EL_ADDFN, "ilab-send", "end a message of several lines", send_message);
    edit.set(l->el, EL_BIND, "\033\r", "ilab-send", NULL);
    edit.set(l->el, EL_BIND, "\033\n", "ilab-send", NULL);
    open_history(l);
    return l;
}

void line_editor_free(struct line_editor *l)
{
    if (!l) return;
    if (l->history) {
        if (l->history_path) edit.history(l->history, &l->event, H_SAVE, l->history_path);
        edit.history_end(l->history);
    }
    if (l->el) edit.end(l->el);
    mem_free(l->history_path);
    mem_free(l);
}

/* ---- reading ---- */
/* Ctrl-C gives up this line, SIGTERM the conversation. */
static enum line_end end_of_signal(void) { return signal_pending() == SIGTERM ? LINE_EOF : LINE_INTERRUPTED; }

static enum line_end plain_line(struct sb *out)
{
    char c = 0;
    int n, any = 0;
    while ((n = ask_byte(&c)) > 0 && c != '\n') {
        any = 1;
        sb_addch(out, c);
    }
    if (n < 0 && signal_pending()) return end_of_signal();
    return n <= 0 && !any ? LINE_EOF : LINE_OK;
}

static enum line_end edited_line(struct line_editor *l, struct sb *out)
{
    int n = 0;
    l->interrupted = l->begun = l->send = 0;
    const char *s = edit.gets(l->el, &n);
    if (l->interrupted) {
        const enum line_end end = end_of_signal();
        signal_clear();
        fputs("\n", stdout);
        return end;
    }
    if (!s || n <= 0) return LINE_EOF;
    if (l->send) fputs("\n", stdout); /* a function of ours leaves the cursor where it is */
    while (n && (s[n - 1] == '\n' || s[n - 1] == '\r')) n--;
    sb_add(out, (struct sv){ s, (size_t)n });
    return LINE_OK;
}

enum line_end line_read(struct line_editor *l, const char *right, int multi, char **out)
{
    struct sb b;
    enum line_end end = LINE_OK;
    *out = NULL;
    sb_init(&b, CHAT_MAX_LINE);
    sb_addc(&b, "");
    snprintf(l->right, sizeof l->right, "%s", right);
    l->more = 0;
    for (;;) {
        const size_t before = b.n;
        if (l->more) sb_addch(&b, '\n');
        const size_t from = b.n;
        end = l->el ? edited_line(l, &b) : plain_line(&b);
        if (end != LINE_OK || !multi) break;
        if (l->el ? l->send : b.n == from) {
            if (b.n == from) b.n = before;
            break;
        }
        l->more = 1;
    }
    if (end == LINE_EOF && l->more) end = LINE_OK;
    if (end == LINE_OK && b.failed) {
        fprintf(stderr, "A question of more than %d bytes is too long.\n", CHAT_MAX_LINE);
        sb_reset(&b);
        b.failed = 0;
    }
    if (end == LINE_OK) {
        *out = b.n ? xcalloc(b.n + 1, 1) : xstrdup("");
        if (b.n) memcpy(*out, b.p, b.n);
        if (l->history && **out) edit.history(l->history, &l->event, H_ENTER, *out);
    } else if (end == LINE_EOF && l->el) fputs("\n", stdout);
    sb_release(&b);
    return end;
}
