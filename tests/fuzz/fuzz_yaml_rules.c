/* fuzz_yaml_rules.c — any bytes as a configuration of style rules, and then as the file that they judge.
 *
 * The input up to the first line `%%%` is the configuration, the rest the file. Whatever they are: the configuration is read or
 * refused with a place; findings have a place inside of the file's lines; mending changes no value, and a mended text needs
 * no second mending of bytes.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void expect(int condition)
{
    if (!condition) abort();
}

static void judge(struct sv text, const struct lint_config *lint, enum compat compat, int strict)
{
    const struct check_opts o = { .lint = lint, .strict = strict, .compat = compat };
    struct findings f;
    struct sb b;
    ilab_err e = { 0 };
    if (leaf_check_text(text, "tax/knowledge/x/qna.yaml", "tax", &o, NULL, &f, &e)) expect(e.msg[0]);
    int lines = 1;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n' || text.p[i] == '\r' || (unsigned char)text.p[i] == 0x85 || (unsigned char)text.p[i] == 0xA8 || (unsigned char)text.p[i] == 0xA9;
    for (size_t i = 0; i < f.n; i++) expect(f.v[i].line > 0 && f.v[i].line <= lines + 1 && f.v[i].col > 0 && f.v[i].rule && f.v[i].remedy && utf8_valid(sv_of(f.v[i].text), NULL));
    for (int format = FINDINGS_TEXT; format <= FINDINGS_GITHUB; format++) {
        sb_init(&b, (size_t)64 << 20);
        findings_write(&b, "qna.yaml", &f, (enum finding_format)format);
        sb_release(&b);
    }
    findings_release(&f);
}

static void mend(struct sv text, const struct lint_config *lint)
{
    char *out = NULL, *twice = NULL;
    size_t n = 0, n_twice = 0;
    struct fix_report r;
    ilab_err e = { 0 };
    if (leaf_fix(text, "tax/knowledge/x/qna.yaml", lint, &out, &n, &r, &e)) {
        expect(e.msg[0] && !out);
        return;
    }
    expect(r.proven || r.unreadable);
    expect(!leaf_fix((struct sv){ out, n }, "tax/knowledge/x/qna.yaml", lint, &twice, &n_twice, &r, &e));
    mem_free(out);
    mem_free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sv rules = { (const char *)p, n }, text = { "", 0 };
    struct lint_config *lint = NULL;
    ilab_err e = { 0 };
    const ptrdiff_t cut = sv_find(rules, SV("%%%\n"), 0);
    if (n > 1 << 15) return 0;
    if (cut >= 0) text = (struct sv){ rules.p + cut + 4, rules.n - (size_t)cut - 4 }, rules.n = (size_t)cut;
    if (sv_find(rules, SV("extends"), 0) >= 0 && sv_find(rules, SV("extends: relaxed"), 0) < 0 && sv_find(rules, SV("extends: default"), 0) < 0) return 0; /* names a file */
    if (sv_find(rules, SV("from-file"), 0) >= 0) return 0;
    if (lint_config_read_text(rules, "rules", &lint, &e)) expect(!lint && e.msg[0]);
    judge(text, lint, COMPAT_NONE, 1);
    judge(text, lint, COMPAT_0_14, 0);
    judge(text, NULL, COMPAT_0_26, 0);
    mend(text, lint);
    lint_config_free(lint);
    return 0;
}
