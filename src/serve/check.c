/* check.c — the validator of `diff` over HTTP: an address for programs and editors, and a page for people.
 *
 * The text comes with the request; nothing of this machine is read, whatever file the request names. The page is one document
 * without anything from elsewhere, shows texts as texts only, and asks this server again after each change.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <string.h>

enum { MAX_NAME = 1000 };

static const char *text_of(const json_t *o, const char *key, const char *otherwise) {
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? json_string_value(v) : otherwise;
}

static json_t *verdict_json(const char *file, const struct findings *f) {
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++) json_array_append_new(list, finding_json(file, &f->v[i]));
    return json_pack("{s:b,s:i,s:i,s:o}", "valid", !f->n_errors, "errors", f->n_errors, "warnings", f->n_warnings, "findings", list);
}

static int check(struct server *s, struct sv text, const char *file, const struct check_opts *o, struct findings *f, ilab_err *e) {
    pthread_mutex_lock(&s->checking);
    const int rc = leaf_check_text(text, file, "", o, NULL, f, e);
    pthread_mutex_unlock(&s->checking);
    return rc;
}

void on_check(void *ud, struct http_exchange *x) {
    struct server *s = ud;
    struct findings f = { 0 };
    struct check_opts o = { .folder = FOLDER_NAMES };
    ilab_err e = { 0 };
    if (!is_allowed(s, x)) return;
    json_t *doc = json_parse(http_body(x), "body", &e);
    const json_t *text = json_object_get(doc, "text");
    const char *file = text_of(doc, "file", "knowledge/new/qna.yaml");
    o.strict = json_is_true(json_object_get(doc, "strict"));
    if (!doc) reply_error(x, 400, NULL, NULL, e.msg);
    else if (!json_is_string(text)) reply_error(x, 400, NULL, "text", "'text' is to be a string: what stands in the qna.yaml");
    else if (strlen(file) > MAX_NAME) reply_error(x, 400, NULL, "file", "'file' is too long");
    else if (compat_by_name(text_of(doc, "compat", ""), &o.compat)) reply_error(x, 400, NULL, "compat", "'compat' is neither \"0.14\" nor \"0.26\"");
    else if (check(s, (struct sv){ json_string_value(text), json_string_length(text) }, file, &o, &f, &e)) reply_error(x, 500, NULL, NULL, e.msg);
    else {
        if (s->words && !o.compat && !strcmp(text_of(doc, "language", "en"), "de")) findings_reword(&f, s->words);
        reply_json(x, 200, verdict_json(file, &f));
    }
    findings_release(&f);
    json_decref(doc);
}

static const char PAGE[] =
"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>qna.yaml</title>\n"
"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'\">\n"
"<style>\n"
"body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem; }\n"
"textarea { width: 100%; height: 24rem; font: 14px/1.4 monospace; box-sizing: border-box; white-space: pre; }\n"
"#file { width: 24rem; max-width: 100%; font: 14px monospace; } pre { margin: 0; overflow-x: auto; }\n"
"li { margin: 0.6rem 0; } .error b { color: #a00; } .warning b { color: #850; }\n"
"button { font: inherit; border: 0; background: none; padding: 0; text-decoration: underline; cursor: pointer; }\n"
"</style></head><body>\n"
"<h1 id=\"title\">Is this qna.yaml valid?</h1>\n"
"<p><label><span id=\"name\">File</span> <input id=\"file\" value=\"knowledge/company/lamps/qna.yaml\"></label>\n"
"<label><input type=\"checkbox\" id=\"strict\"> <span id=\"rigour\">warnings are errors</span></label>\n"
"<label id=\"lock\" hidden>API key <input type=\"password\" id=\"key\"></label></p>\n"
"<textarea id=\"text\" spellcheck=\"false\" aria-labelledby=\"title\">version: 3\ncreated_by: your-name\ndomain: lamps\nseed_examples:\n</textarea>\n"
"<p id=\"verdict\" role=\"status\"></p><ol id=\"list\"></ol>\n"
"<script>\n"
"'use strict';\n"
"const at = (id) => document.getElementById(id), german = navigator.language.startsWith('de');\n"
"const WORDS = german ? { valid: 'Gültig.', errors: 'Fehler', warnings: 'Warnungen', line: 'Zeile', error: 'Fehler', warning: 'Warnung', gone: 'Der Server antwortet nicht.' }\n"
"                     : { valid: 'Valid.', errors: 'errors', warnings: 'warnings', line: 'line', error: 'error', warning: 'warning', gone: 'The server does not answer.' };\n"
"if (german) {\n"
"    document.documentElement.lang = 'de';\n"
"    at('title').textContent = 'Ist diese qna.yaml gültig?';\n"
"    at('name').textContent = 'Datei';\n"
"    at('rigour').textContent = 'Warnungen sind Fehler';\n"
"}\n"
"function add(parent, name, text) {\n"
"    const node = document.createElement(name);\n"
"    node.textContent = text;\n"
"    parent.append(node);\n"
"    return node;\n"
"}\n"
"// What stands before the column: columns are characters, which may be two units of a string.\n"
"const left = (line, col) => [...line].slice(0, Math.max(col - 1, 0)).join('');\n"
"function go(finding) {\n"
"    const lines = at('text').value.split('\\n');\n"
"    const from = lines.slice(0, finding.line - 1).reduce((n, s) => n + s.length + 1, 0) + left(lines[finding.line - 1] || '', finding.col).length;\n"
"    at('text').focus();\n"
"    at('text').setSelectionRange(from, from + 1);\n"
"}\n"
"function show(answer) {\n"
"    at('verdict').textContent = answer.errors + answer.warnings ? `${answer.errors} ${WORDS.errors}, ${answer.warnings} ${WORDS.warnings}` : WORDS.valid;\n"
"    at('list').replaceChildren();\n"
"    for (const finding of answer.findings) {\n"
"        const item = add(at('list'), 'li', '');\n"
"        item.className = finding.level;\n"
"        add(item, 'b', WORDS[finding.level]);\n"
"        item.append(' ');\n"
"        add(item, 'button', `${WORDS.line} ${finding.line}`).onclick = () => go(finding);\n"
"        item.append(`: ${finding.where.length > 1 ? '[' + finding.where + '] ' : ''}${finding.message} (${finding.rule})`);\n"
"        if (finding.where && finding.source.trim()) add(item, 'pre', finding.source + '\\n' + left(finding.source, finding.col).replace(/[^\\t]/gu, ' ') + '^');\n"
"        if (finding.remedy) add(item, 'div', '→ ' + finding.remedy);\n"
"    }\n"
"}\n"
"let number = 0, timer;\n"
"async function check() {\n"
"    const mine = ++number, headers = { 'Content-Type': 'application/json' };\n"
"    if (at('key').value) headers.Authorization = 'Bearer ' + at('key').value;\n"
"    const body = JSON.stringify({ text: at('text').value, file: at('file').value, strict: at('strict').checked, language: german ? 'de' : 'en' });\n"
"    try {\n"
"        const reply = await fetch('/v1/taxonomy/check', { method: 'POST', headers, body }), answer = await reply.json();\n"
"        if (mine !== number) return;\n"
"        if (reply.status === 401) at('lock').hidden = false;\n"
"        if (reply.ok) show(answer);\n"
"        else at('verdict').textContent = answer.error.message;\n"
"    } catch (e) {\n"
"        if (mine === number) at('verdict').textContent = WORDS.gone;\n"
"    }\n"
"}\n"
"document.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(check, 300); });\n"
"check();\n"
"</script></body></html>\n";

void on_check_page(void *ud, struct http_exchange *x) {
    (void)ud;
    http_reply(x, 200, "text/html; charset=utf-8", (struct sv){ PAGE, sizeof PAGE - 1 });
}
