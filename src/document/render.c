/* render.c — an extract as text: paths of headings, places, losses, the whole as Markdown-like lines.  SPDX-License-Identifier: Apache-2.0 */
#include "document/document.h"

#include <string.h>

void extract_release(struct extract *x)
{
    mem_free(x->v);
    arena_release(&x->mem);
    *x = (struct extract){ 0 };
}

void passage_add_path(const struct extract *x, size_t i, struct sb *b)
{
    int above[8], n = 0;
    for (int h = x->v[i].heading; h >= 0 && n < 8; h = x->v[h].heading) above[n++] = h;
    for (int k = n; k-- > 0;) {
        sb_add(b, x->v[above[k]].text);
        if (k) sb_addc(b, " > ");
    }
}

void passage_add_place(const struct extract *x, size_t i, struct sb *b)
{
    const struct passage *p = &x->v[i];
    const size_t from = b->n;
    if (p->part.n) sb_add(b, p->part);
    if (p->page) sb_addf(b, "%spage %d", b->n > from ? ", " : "", p->page);
    if (p->line) sb_addf(b, "%s%s %d", b->n > from ? ", " : "", x->line_is_paragraph ? "paragraph" : "line", p->line);
}

/* Lines that would look like other Markdown than they are get an escape in front. */
static void add_escaped(struct sb *b, struct sv s)
{
    if (s.n && strchr("#>|`~=+-*_", s.p[0]) && s.p[0]) sb_addch(b, '\\');
    sb_add(b, s);
}

void passage_add_text(const struct extract *x, size_t i, struct sb *b)
{
    const struct passage *p = &x->v[i];
    const int listed = p->kind == PASSAGE_ITEM || p->kind == PASSAGE_ROW, was = i && (x->v[i - 1].kind == PASSAGE_ITEM || x->v[i - 1].kind == PASSAGE_ROW);
    if (i) sb_addc(b, listed && was ? "\n" : "\n\n");
    switch (p->kind) {
    case PASSAGE_HEADING:
        for (int k = 0; k < p->level; k++) sb_addch(b, '#');
        sb_addch(b, ' ');
        sb_add(b, p->text);
        break;
    case PASSAGE_ITEM:
        for (int k = 1; k < p->level && k < 8; k++) sb_addc(b, "  ");
        sb_addc(b, "- ");
        sb_add(b, p->text);
        break;
    case PASSAGE_ROW:
        sb_addc(b, "- ");
        sb_add(b, p->text);
        break;
    case PASSAGE_CODE:
        sb_addc(b, "```\n");
        sb_add(b, p->text);
        sb_addc(b, "\n```");
        break;
    default: add_escaped(b, p->text); break;
    }
}

void extract_add_text(const struct extract *x, struct sb *b)
{
    for (size_t i = 0; i < x->n; i++) passage_add_text(x, i, b);
    if (x->n) sb_addch(b, '\n');
}

void lost_add_text(const int64_t lost[LOST_KINDS], struct sb *b)
{
    static const char *const ONE[LOST_KINDS] = { "image", "formula", "embedded object", "hidden or deleted text", "page header or footer", "table of contents",
                                                 "element nested too deep", "undecodable character" };
    const size_t from = b->n;
    for (int i = 0; i < LOST_KINDS; i++)
        if (lost[i]) sb_addf(b, "%s%lld %s", b->n > from ? ", " : "", (long long)lost[i], lost[i] == 1 ? ONE[i] : LOST_NAME[i]);
}
