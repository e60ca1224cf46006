/* chat_session.c — the messages of a conversation, their files (JSON as the reference writes them) and the named system prompts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/chat.h"

#include <string.h>

void turns_add(struct chat_turns *t, const char *role, const char *text)
{
    char *r = xstrdup(role), *s = xstrdup(text);
    if (mem_grow((void **)&t->v, &t->cap, t->n + 1, sizeof *t->v)) {
        mem_free(r);
        mem_free(s);
        return;
    }
    t->v[t->n++] = (struct chat_turn){ r, s };
}

void turns_drop(struct chat_turns *t, size_t i)
{
    if (i >= t->n) return;
    mem_free(t->v[i].role);
    mem_free(t->v[i].text);
    memmove(t->v + i, t->v + i + 1, (t->n - i - 1) * sizeof *t->v);
    t->n--;
}

void turns_clear(struct chat_turns *t)
{
    while (t->n) turns_drop(t, t->n - 1);
    mem_free(t->v);
    *t = (struct chat_turns){ 0 };
}

void turns_copy(struct chat_turns *to, const struct chat_turns *from)
{
    turns_clear(to);
    for (size_t i = 0; i < from->n; i++) turns_add(to, from->v[i].role, from->v[i].text);
}

int turns_save(const struct chat_turns *t, const char *path, ilab_err *e)
{
    json_t *list = json_array();
    struct sb b;
    for (size_t i = 0; i < t->n; i++) json_array_append_new(list, json_pack("{s:s,s:s}", "role", t->v[i].role, "content", t->v[i].text));
    sb_init(&b, CHAT_MAX_SESSION);
    sb_add_json_py(&b, list, 4);
    const int rc = b.failed ? err_set(e, ILAB_E_LIMIT, "the session is too long for a file") : file_write(path, b.p, b.n, e);
    sb_release(&b);
    json_decref(list);
    return rc;
}

int turns_load(struct chat_turns *t, const char *path, ilab_err *e)
{
    json_t *list = json_read_file(path, CHAT_MAX_SESSION, e), *row;
    struct chat_turns fresh = { 0 };
    size_t i;
    int rc = list && json_is_array(list) && json_array_size(list) <= CHAT_MAX_MESSAGES ? 0 : ILAB_E_FORMAT;
    json_array_foreach(list, i, row)
    {
        if (rc) break;
        const char *role = json_str(row, "role"), *text = json_str(row, "content");
        if (!role || !text) rc = ILAB_E_FORMAT;
        else turns_add(&fresh, role, text);
    }
    json_decref(list);
    if (rc) {
        turns_clear(&fresh);
        return err_set(e, rc, "Session file %s is not a valid JSON file.", path);
    }
    turns_clear(t);
    *t = fresh;
    return 0;
}

const char *context_prompt(const struct cli *c, const char *name)
{
    if (!strcmp(name, "default")) return system_prompt_for(c);
    if (!strcmp(name, "cli_helper"))
        return "You are an expert for command line interface and know all common commands. Answer the command to execute as it without any explanation.";
    return NULL;
}

const char *context_names(void) { return "default, cli_helper"; }
