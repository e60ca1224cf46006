/* test_cli_config.c — the tables of options and configuration keys agree; files of both layouts, precedence, printing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/messages.h"
#include "cli/process.h"
#include "tests/oom/oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char EARLY[] = "chat: {model: m}\ngenerate: {model: m, taxonomy_path: t, taxonomy_base: empty}\nserve: {model_path: m.gguf}\n";

static struct config *parse(const char *text, unsigned flags, int *n, char *found, size_t cap)
{
    struct config *c = NULL;
    struct sb b;
    ilab_err e = { 0 };
    sb_init(&b, 1 << 20);
    assert_int_equal(config_parse(&c, sv_of(text), "f.yaml", flags, &b, n, &e), 0);
    if (found) snprintf(found, cap, "%s", b.p);
    sb_release(&b);
    return c;
}

static void test_config_keys_and_options_agree(void **state)
{
    (void)state;
    for (int i = 0; i < N_CMDS; i++)
        for (const struct opt *o = CMDS[i]->opts; o && o->name; o++) {
            if (o->config && config_key_index(o->config, strlen(o->config)) < 0) fail_msg("%s --%s: no key '%s'", CMDS[i]->name, o->name, o->config);
            for (const struct opt *p = o + 1; p->name; p++) {
                assert_string_not_equal(o->name, p->name);
                if (o->alias && o->alias == p->alias) fail_msg("%s: -%c twice", CMDS[i]->name, o->alias);
            }
        }
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        assert_int_equal(config_key_index(k->name, strlen(k->name)), i); /* no name twice */
        assert_true(*k->doc && k->doc[strlen(k->doc) - 1] == '.');
        if (k->same_as) assert_true(config_key_index(k->same_as, strlen(k->same_as)) >= 0);
        const char *dot = strrchr(k->name, '.');
        if (dot) { /* each section has its row */
            const int at = config_key_index(k->name, (size_t)(dot - k->name));
            assert_true(at >= 0 && CONFIG_KEYS[at].type == KEY_SECTION);
        }
    }
}

static void test_config_defaults_are_valid_and_print_themselves(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        const struct config_print how = { .late = mode & 1, .comments = 1, .reference = mode >> 1 & 1, .all = 1, .sparse = mode >> 2 & 1 };
        struct sb a, b;
        int n;
        char found[1024];
        sb_init(&a, 1 << 22);
        sb_init(&b, 1 << 22);
        assert_int_equal(config_print(&a, NULL, &how, NULL), 0);
        struct config *c = parse(a.p, 0, &n, found, sizeof found);
        if (n) fail_msg("mode %d: %s", mode, found);
        assert_int_equal(c->late, mode & 1);
        assert_int_equal(config_print(&b, c, &how, NULL), 0);
        size_t at = 0;
        while (a.p[at] && a.p[at] == b.p[at]) at++;
        if (a.p[at] != b.p[at]) fail_msg("mode %d: '%.80s' became '%.80s'", mode, a.p + (at > 40 ? at - 40 : 0), b.p + (at > 40 ? at - 40 : 0));
        config_free(c);
        sb_release(&a);
        sb_release(&b);
    }
}

static void test_config_scalars_survive_printing(void **state)
{
    (void)state;
    static const char *const TEXT[] = { "plain", "no", "null", "~", "1.0", "1.0.0", "2024-01-01", "12:30", "a: b", "a #b", "", " x", "-", "- x", "é", "%D", "'", "\"", "\\", "0x10",
                                        "127.0.0.1:8000", "[::1]:80", "{a}", "a\nb", "*x", "&x", "!x", "y", "1e3", "0b1", "models/a b.gguf", ".", "..", "a:", "=", "<<" };
    for (size_t i = 0; i < ARRAY_LEN(TEXT); i++) {
        struct sb b;
        struct arena a;
        struct yaml_node *root = NULL;
        ilab_err e = { 0 };
        sb_init(&b, 4096);
        arena_init(&a, 1 << 20);
        sb_addc(&b, "k: ");
        config_add_scalar(&b, TEXT[i]);
        sb_addc(&b, "\n");
        if (yaml_parse((struct sv){ b.p, b.n }, "t", &a, &root, &e)) fail_msg("%s", e.msg);
        const struct yaml_node *v = yaml_get(root, "k");
        assert_non_null(v);
        assert_int_equal(v->kind, YAML_STR);
        assert_string_equal(v->text.p, TEXT[i]);
        arena_release(&a);
        sb_release(&b);
    }
}

static void test_config_one_meaning_in_both_layouts(void **state)
{
    (void)state;
    int n;
    struct config *c = parse("version: 1.0.0\nserve:\n  llama_cpp: {max_ctx_size: 77}\n  server: {host: '::1', port: 99}\ngenerate: {model: g}\n", 0, &n, NULL, 0);
    assert_int_equal(n, 0);
    assert_true(c->late && c->foreign);
    assert_string_equal(config_get(c, "serve.max_ctx_size"), "77");
    assert_string_equal(config_get(c, "serve.host_port"), "[::1]:99");
    assert_string_equal(config_get(c, "train.model_path"), "g"); /* looked up where the data's model is */
    assert_null(config_get(c, "train.num_epochs"));
    struct config_print how = { .late = 0, .rewrite = 1 };
    struct sb b;
    sb_init(&b, 1 << 20);
    assert_int_equal(config_print(&b, c, &how, NULL), 0);
    config_free(c);
    c = parse(b.p, 0, &n, NULL, 0);
    assert_int_equal(n, 0);
    assert_false(c->late || c->foreign);
    assert_string_equal(config_get(c, "serve.max_ctx_size"), "77");
    assert_string_equal(config_get(c, "serve.host_port"), "[::1]:99");
    config_free(c);
    sb_release(&b);
}

static void test_config_placeholders_only_in_foreign_files(void **state)
{
    (void)state;
    int n;
    char text[512];
    for (int own = 0; own < 2; own++) {
        snprintf(text, sizeof text, "version: 1.0.0\n%strain: {num_epochs: 10, max_seq_len: 300}\n", own ? "general: {defaults: ilab}\n" : "");
        struct config *c = parse(text, 0, &n, NULL, 0);
        assert_int_equal(n, 0);
        if (own) assert_string_equal(config_get(c, "train.num_epochs"), "10");
        else assert_null(config_get(c, "train.num_epochs"));
        assert_string_equal(config_get(c, "train.max_seq_len"), "300");
        config_free(c);
    }
}

static void test_config_environment_wins(void **state)
{
    (void)state;
    int n = 0;
    struct sb b;
    struct config *c = parse(EARLY, 0, &n, NULL, 0);
    sb_init(&b, 4096);
    setenv("ILAB_CHAT_MODEL", "$HOME/x", 1);
    setenv("ILAB_CHAT_VI_MODE", "maybe", 1);
    setenv("HOME", "/h", 1);
    config_read_environment(c, &b, &n);
    assert_int_equal(n, 1);
    assert_non_null(strstr(b.p, "ILAB_CHAT_VI_MODE: 'maybe' is neither"));
    assert_string_equal(config_get(c, "chat.model"), "/h/x");
    assert_int_equal(config_source(c, "chat.model"), FROM_ENVIRONMENT);
    assert_int_equal(config_source(c, "generate.model"), FROM_CONFIG);
    unsetenv("ILAB_CHAT_MODEL");
    unsetenv("ILAB_CHAT_VI_MODE");
    sb_release(&b);
    config_free(c);
}

static void test_config_paths_are_expanded(void **state)
{
    (void)state;
    static const char *const CASE[][2] = { { "~/a", "/h/a" }, { "~", "/h" }, { "~x/a", "~x/a" }, { "a~", "a~" }, { "${HOME}/b", "/h/b" }, { "$HOME", "/h" }, { "$NONE_SUCH/c", "$NONE_SUCH/c" },
                                           { "${HOME", "${HOME" }, { "$", "$" }, { "a$HOME$", "a/h$" } };
    setenv("HOME", "/h", 1);
    for (size_t i = 0; i < ARRAY_LEN(CASE); i++) {
        char text[256];
        int n;
        snprintf(text, sizeof text, "version: 1.0.0\nchat: {model: '%s'}\n", CASE[i][0]);
        struct config *c = parse(text, 0, &n, NULL, 0);
        assert_string_equal(config_get(c, "chat.model"), CASE[i][1]);
        config_free(c);
    }
}

static void test_config_findings_have_places(void **state)
{
    (void)state;
    int n;
    char found[2048];
    struct config *c = parse("general:\n  log_level: info\n  debug_levl: 1\nchat: {model: [1], vi_mode: 5}\n", 0, &n, found, sizeof found);
    assert_int_equal(n, 5);
    assert_non_null(strstr(found, "f.yaml:3:3: unknown key 'general.debug_levl': did you mean 'general.debug_level'?"));
    assert_non_null(strstr(found, "f.yaml:4:15: chat.model: one value is expected, not a list"));
    assert_non_null(strstr(found, "f.yaml:4:29: chat.vi_mode: '5' is neither true nor false"));
    assert_non_null(strstr(found, "missing generate: field required"));
    assert_non_null(strstr(found, "missing serve: field required"));
    config_free(c);
    c = parse("a: 1\nb: {c: 2}\n", CONFIG_LENIENT | CONFIG_PARTIAL, &n, NULL, 0);
    assert_int_equal(n, 0);
    config_free(c);
}

static int oom_job(void *ud, ilab_err *e)
{
    struct config *c = NULL;
    struct sb b;
    int n;
    (void)ud;
    sb_init(&b, 1 << 16);
    const int rc = config_parse(&c, sv_of("version: 1.0.0\nchat: {model: ~/x, foo: 1}\ntrain: {num_epochs: 9}\n"), "f.yaml", 0, &b, &n, e);
    if (!rc) assert_int_equal(n, 1);
    config_free(c);
    sb_release(&b);
    return rc;
}

static void test_config_without_memory(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    assert_int_equal(oom_loop(oom_job, NULL, &e), 0);
}

static void test_commands_are_found(void **state)
{
    (void)state;
    int used;
    char *flat[] = { "train" }, *grouped[] = { "model", "train" }, *only[] = { "info" }, *info[] = { "model", "info" };
    assert_ptr_equal(cmd_find(1, flat, &used), &CMD_TRAIN);
    assert_int_equal(used, 1);
    assert_ptr_equal(cmd_find(2, grouped, &used), &CMD_TRAIN);
    assert_int_equal(used, 2);
    assert_null(cmd_find(1, only, &used));
    assert_ptr_equal(cmd_find(2, info, &used), &CMD_INFO);
    for (int i = 0; i < N_CMDS; i++) {
        int known = !cmd_group(CMDS[i]).n;
        for (int g = 0; g < N_GROUPS; g++) known |= sv_eq_c(cmd_group(CMDS[i]), GROUPS[g].name);
        assert_true(known);
        assert_true(CMDS[i]->summary && CMDS[i]->summary[strlen(CMDS[i]->summary) - 1] == '.');
        assert_non_null(strstr(CMDS[i]->help, "xample"));
    }
}

/* The conversions of a format, in their order: "%s|%.8s|". */
static void conversions(const char *fmt, char *out, size_t cap)
{
    size_t n = 0;
    for (const char *p = fmt; *p; p++) {
        if (*p != '%') continue;
        const size_t len = 1 + strcspn(p + 1, "sdgfcux%") + 1;
        n += (size_t)snprintf(out + n, cap - n, "%.*s|", (int)len, p);
        p += len - 1;
    }
    out[n] = 0;
}

static void test_messages_take_the_same_in_each_language(void **state)
{
    (void)state;
    assert_true(N_MESSAGES > 50);
    for (int i = 0; i < N_MESSAGES; i++) {
        char a[256], b[256];
        size_t bad;
        conversions(MESSAGES[i].english, a, sizeof a);
        conversions(MESSAGES[i].german, b, sizeof b);
        assert_string_equal(a, b);
        assert_true(utf8_valid(sv_of(MESSAGES[i].german), &bad));
        assert_int_equal(sv_ends(sv_of(MESSAGES[i].english), "\n"), sv_ends(sv_of(MESSAGES[i].german), "\n"));
    }
    setenv("ILAB_LANG", "de", 1);
    messages_init(0);
    assert_string_equal(tr("Options:"), "Optionen:");
    assert_string_equal(tr("no row has this"), "no row has this");
    messages_init(1);
    assert_string_equal(tr("Options:"), "Options:");
    setenv("ILAB_LANG", "en", 1);
    messages_init(0);
}

static void test_process_is_known_by_pid_and_start(void **state)
{
    (void)state;
    json_t *mine = json_pack("{s:i}", "pid", (int)getpid()), *other = json_pack("{s:i,s:i}", "pid", (int)getpid(), "start_ticks", 1), *none = json_pack("{s:i}", "pid", 0);
    assert_true(process_alive(mine));
    assert_false(process_alive(other));
    assert_false(process_alive(none));
    json_decref(mine);
    json_decref(other);
    json_decref(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_keys_and_options_agree), cmocka_unit_test(test_config_defaults_are_valid_and_print_themselves),
        cmocka_unit_test(test_config_scalars_survive_printing), cmocka_unit_test(test_config_one_meaning_in_both_layouts),
        cmocka_unit_test(test_config_placeholders_only_in_foreign_files), cmocka_unit_test(test_config_environment_wins),
        cmocka_unit_test(test_config_paths_are_expanded), cmocka_unit_test(test_config_findings_have_places), cmocka_unit_test(test_config_without_memory),
        cmocka_unit_test(test_commands_are_found), cmocka_unit_test(test_messages_take_the_same_in_each_language), cmocka_unit_test(test_process_is_known_by_pid_and_start),
    };
    return cmocka_run_group_tests_name("cli_config", tests, NULL, NULL);
}
