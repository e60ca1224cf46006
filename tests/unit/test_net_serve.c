/* test_net_serve.c — a model behind our server answers exactly as in the process; other servers get the standard fields only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer_fixture.h"
#include "lm/lm.h"
#include "net/net.h"
#include "serve/serve.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct {
    struct fixture here, there;
    struct server *server;
    struct lm *local;
    pthread_t thread;
    char url[80], root[64];
    _Atomic int port;
} world;

static void on_ready(void *ud, int port) { (void)ud; atomic_store(&world.port, port); }

static void *serve_thread(void *ud)
{
    ilab_err e = { 0 };
    (void)ud;
    if (serve_run(world.server, world.there.engine, on_ready, NULL, &e)) print_error("%s\n", e.msg);
    return NULL;
}

static int start_server(int max_queue, const char *key)
{
    ilab_err e = { 0 };
    atomic_store(&world.port, 0);
    const struct serve_opts o = { .host = "127.0.0.1", .model_id = "made.gguf", .max_queue = max_queue, .api_key = key };
    if (serve_bind(&world.server, &o, &e) || pthread_create(&world.thread, NULL, serve_thread, NULL)) return -1;
    for (int i = 0; i < 500 && !atomic_load(&world.port); i++) poll(NULL, 0, 10);
    snprintf(world.root, sizeof world.root, "http://127.0.0.1:%d", atomic_load(&world.port));
    snprintf(world.url, sizeof world.url, "%s/v1", world.root);
    return 0;
}

static int stop_server(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(world.thread, NULL);
    signal_clear();
    serve_free(world.server);
    return 0;
}

static int setup(void **state)
{
    ilab_err e = { 0 };
    (void)state;
    signal_install();
    fixture_open(&world.here, 1, 512);
    fixture_open(&world.there, 2, 512);
    return lm_local_new(&world.local, world.here.engine, 0, &e) || start_server(0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    stop_server();
    lm_close(world.local);
    fixture_close(&world.here);
    fixture_close(&world.there);
    return 0;
}

static struct lm *connect_to(const char *url, const char *key)
{
    struct lm *lm;
    ilab_err e = { 0 };
    must(lm_http_open(&lm, url, "made", key, &e), &e);
    return lm;
}

static const struct lm_message CHAT[] = { { "system", { "Be brief.", 9 } }, { "user", { "Who is the mayor of Ashby?", 26 } }, { "assistant", { "Anna \"Bell\"\n", 12 } },
                                          { "user", { "Sch\xc3\xb6n?", 7 } } };
#define SOURCE SV("The mayor is Dr. Anna Bell, who was born in 1969.")
static const struct lm_request REQUESTS[] = {
    { .message = CHAT, .n_message = 2, .max_tokens = 24, .top_p = 1 },
    { .message = CHAT, .n_message = 4, .max_tokens = 24, .top_p = 1, .n_top = 3 },
    { .message = CHAT, .n_message = 2, .max_tokens = 40, .temp = 1, .top_p = 0.9f, .top_k = 20, .seed = 0xfedcba9876543210u },
    { .raw = { "<|user|>\nThe river", 18 }, .max_tokens = 12, .top_p = 1, .stop = { "e" } },
    { .message = CHAT, .n_message = 2, .max_tokens = 60, .top_p = 1, .skeleton = "The answer: {span}, {number}\nOk {choice:yes|no}", .source = SOURCE, .n_top = 2 },
    { .message = CHAT, .n_message = 2, .max_tokens = 60, .top_p = 1, .prefix = { "The mayor is ", 13 }, .skeleton = "{span}", .source = SOURCE },
    { .write_user = 1, .max_tokens = 30, .temp = 0.8f, .top_p = 1, .seed = 3 },
    { .write_user = 1, .message = CHAT, .n_message = 3, .max_tokens = 30, .top_p = 1 },
    { .message = CHAT, .n_message = 2, .max_tokens = 10000, .top_p = 1, .stop = { "zzzzzz", "qqqqq" } },
};
enum { N_REQUESTS = ARRAY_LEN(REQUESTS) };

static int same_float(float a, float b) { return a == b || (isinf(a) && isinf(b)); }

static void assert_same(const struct lm_request *q, const struct lm_result *a, const struct lm_result *b)
{
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_token, b->n_token);
    assert_int_equal(a->finished, b->finished);
    assert_int_equal(a->n_prompt, b->n_prompt);
    assert_true(a->logp_mean == b->logp_mean);
    assert_int_equal(a->top == NULL, b->top == NULL);
    for (int i = 0; i < a->n_token; i++) {
        assert_int_equal(a->token[i].id, b->token[i].id);
        assert_true(a->token[i].logp == b->token[i].logp);
        for (int k = 0; a->top && k < q->n_top; k++) {
            assert_int_equal(a->top[i * q->n_top + k].id, b->top[i * q->n_top + k].id);
            assert_true(same_float(a->top[i * q->n_top + k].logp, b->top[i * q->n_top + k].logp));
        }
    }
}

static void test_serve_answers_as_the_model_in_this_process(void **state)
{
    (void)state;
    struct lm_result a[N_REQUESTS], b[N_REQUESTS];
    ilab_err e = { 0 };
    struct lm *remote = connect_to(world.url, NULL);
    must(lm_complete(world.local, REQUESTS, N_REQUESTS, a, &e), &e);
    for (int round = 0; round < 2; round++) { /* all at once, then one by one */
        for (int i = 0; round && i < N_REQUESTS; i++) must(lm_complete(remote, &REQUESTS[i], 1, &b[i], &e), &e);
        if (!round) must(lm_complete(remote, REQUESTS, N_REQUESTS, b, &e), &e);
        for (int i = 0; i < N_REQUESTS; i++) {
            assert_same(&REQUESTS[i], &a[i], &b[i]);
            lm_result_release(&b[i]);
        }
    }
    for (int i = 0; i < N_REQUESTS; i++) lm_result_release(&a[i]);
    double la, lb;
    int na, nb;
    must(lm_score(world.local, CHAT, 2, SV("Anna Bell"), &la, &na, &e), &e);
    must(lm_score(remote, CHAT, 2, SV("Anna Bell"), &lb, &nb, &e), &e);
    assert_true(la == lb && la < 0);
    assert_int_equal(na, nb);
    assert_int_equal(lm_count_tokens(remote, SV("The river Ware")), lm_count_tokens(world.local, SV("The river Ware")));
    assert_int_equal(lm_n_ctx(remote), 512);
    assert_string_equal(lm_hash(remote), lm_hash(world.local));
    lm_close(remote);
}

struct heard { struct sb text; int n, stop_at; };
static int hear(void *ud, struct sv piece)
{
    struct heard *h = ud;
    sb_add(&h->text, piece);
    return ++h->n == h->stop_at;
}

static void test_serve_streams_and_cancels(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct lm *remote = connect_to(world.url, NULL);
    for (int i = 0; i < N_REQUESTS; i++) {
        struct lm_result a, b;
        struct heard h = { 0 };
        struct lm_request q = REQUESTS[i];
        sb_init(&h.text, 1 << 20);
        sb_addc(&h.text, "");
        must(lm_complete(world.local, &q, 1, &a, &e), &e);
        q.on_text = hear, q.ud = &h;
        must(lm_complete(remote, &q, 1, &b, &e), &e);
        assert_same(&q, &a, &b);
        assert_int_equal(h.text.n, b.n);
        if (b.n) assert_memory_equal(h.text.p, b.text, b.n);
        lm_result_release(&a);
        lm_result_release(&b);
        sb_release(&h.text);
    }
    struct lm_result r;
    struct heard h = { .stop_at = 1 }; /* pieces may be joined on their way, so the first is the only sure one */
    struct lm_request q = REQUESTS[8];
    sb_init(&h.text, 1 << 20);
    q.on_text = hear, q.ud = &h;
    must(lm_complete(remote, &q, 1, &r, &e), &e);
    assert_int_equal(h.n, 1);
    assert_int_equal(r.finished, 0);
    assert_memory_equal(r.text, h.text.p, r.n);
    lm_result_release(&r);
    sb_release(&h.text);
    lm_close(remote);
}

static void test_serve_tells_what_is_wrong(void **state)
{
    (void)state;
    static const struct { const char *path, *body; int status; const char *says; } ROWS[] = {
        { "/chat/completions", "{", 400, "body:1:" },
        { "/chat/completions", "[]", 400, "JSON object" },
        { "/chat/completions", "{}", 400, "messages" },
        { "/chat/completions", "{\"messages\":[]}", 400, "messages" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, "content" },
        { "/chat/completions", "{\"messages\":[{\"content\":\"x\"}]}", 400, "role" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 400, "type 'text'" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"temperature\":9}", 400, "temperature" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":0}", 400, "max_tokens" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":\"3\"}", 400, "integer" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":2}", 400, "choice" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stop\":[1]}", 400, "stop" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"ilab\":{\"skeleton\":\"{nothing}\"}}", 400, "" },
        { "/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}],\"max_tokens\":null,\"stop\":\"e\",\"user\":\"me\"}", 200, "chat.completion" },
        { "/completions", "{\"prompt\":3}", 400, "prompt" },
        { "/completions", "{\"prompt\":\"The\",\"logprobs\":99}", 400, "logprobs" },
        { "/completions", "{\"prompt\":[\"The\"],\"logprobs\":2}", 200, "token_logprobs" },
        { "/tokenize", "{}", 400, "content" },
        { "/embeddings", "{}", 404, "not_found" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        char url[128];
        struct http_answer a;
        snprintf(url, sizeof url, "%s%s", world.url, ROWS[i].path);
        assert_int_equal(http_fetch(&(struct http_call){ .url = url, .body = sv_of(ROWS[i].body) }, &a, NULL), 0);
        if (a.status != ROWS[i].status || !strstr(a.body, ROWS[i].says)) fail_msg("%s: %d %s", ROWS[i].body, a.status, a.body);
        if (a.status != 200) assert_non_null(strstr(a.body, "{\"error\":{\"message\":"));
        http_answer_release(&a);
    }
    struct lm *remote = connect_to(world.url, NULL);
    struct lm_result r;
    struct lm_message m = { "user", { NULL, 0 } };
    struct sb text;
    ilab_err e = { 0 };
    sb_init(&text, 1 << 20);
    for (int i = 0; i < 600; i++) sb_addc(&text, "river ");
    m.content = (struct sv){ text.p, text.n };
    assert_int_equal(lm_complete(remote, &(struct lm_request){ .message = &m, .n_message = 1, .max_tokens = 5 }, 1, &r, &e), ILAB_E_LIMIT);
    assert_non_null(strstr(e.msg, "This model's maximum context length is 512 tokens. However, you requested "));
    sb_release(&text);
    lm_close(remote);
}

static void test_serve_queue_key_and_restart(void **state)
{
    (void)state;
    enum { MANY = 24 };
    struct lm_request q[MANY];
    struct lm_result r[MANY], one;
    struct lm *remote;
    ilab_err e = { 0 };
    stop_server();
    assert_int_equal(lm_http_probe(world.url), 0);
    assert_int_equal(start_server(1, "secret"), 0); /* one may wait: the others get 503 and come again */
    assert_int_equal(lm_http_probe(world.url), 1);
    assert_int_not_equal(lm_http_open(&remote, world.url, "made", "wrong", &e), 0);
    assert_non_null(strstr(e.msg, "Invalid API Key"));
    remote = connect_to(world.url, "secret");
    for (int i = 0; i < MANY; i++) q[i] = REQUESTS[i % 3];
    must(lm_complete(remote, q, MANY, r, &e), &e);
    for (int i = 0; i < MANY; i++) {
        if (i < 3) must(lm_complete(world.local, &q[i], 1, &one, &e), &e);
        assert_string_equal(r[i].text, i < 3 ? one.text : r[i % 3].text);
        if (i < 3) lm_result_release(&one);
    }
    for (int i = 0; i < MANY; i++) lm_result_release(&r[i]);
    lm_close(remote);
    stop_server();
    struct server *s;
    assert_int_equal(serve_bind(&s, &(struct serve_opts){ .host = "0.0.0.0", .model_id = "m" }, &e), ILAB_E_INVALID);
    assert_int_equal(start_server(0, NULL), 0);
}

/* ---- another server ---- */
static char seen[4096];
static void other_models(void *ud, struct http_exchange *x) { (void)ud; http_reply(x, 200, "application/json", SV("{\"object\":\"list\",\"data\":[{\"id\":\"other\"}]}")); }
static int other_next(void *ud, struct sb *out)
{
    (void)ud;
    sb_addc(out, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"He\"}}]}\n\n"
                 "data: {\"choices\":[{\"delta\":{\"content\":\"llo\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    return 0;
}
static void other_chat(void *ud, struct http_exchange *x)
{
    const struct sv b = http_body(x);
    (void)ud;
    snprintf(seen, sizeof seen, "%.*s", SV_ARG(b));
    if (sv_find(b, SV("\"stream\":true"), 0) >= 0) http_reply_stream(x, "text/event-stream; charset=utf-8", &(struct http_stream){ other_next, NULL, NULL });
    else if (sv_find(b, SV("break"), 0) >= 0) http_reply(x, 500, "text/html", SV("<html>"));
    else http_reply(x, 200, "application/json", SV("{\"choices\":[{\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"length\",\"logprobs\":{\"content\":[{\"token\":\"Hello\",\"logprob\":-0.5}]}}]}"));
}

static void test_lm_http_with_other_servers(void **state)
{
    (void)state;
    static const struct http_route OTHER[] = { { "GET", "/v1/models", other_models, "" }, { "POST", "/v1/chat/completions", other_chat, "" } };
    struct http_server *s;
    struct lm_result r;
    ilab_err e = { 0 };
    char url[64];
    must(http_server_bind(&s, &(struct http_server_opts){ .host = "127.0.0.1", .route = OTHER, .n_route = 2 }, &e), &e);
    must(http_server_start(s, &e), &e);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/", http_server_port(s));
    struct lm *lm = connect_to(url, NULL);
    struct lm_request q = { .message = CHAT, .n_message = 2, .max_tokens = 9, .top_p = 1, .n_top = 2 };
    must(lm_complete(lm, &q, 1, &r, &e), &e);
    assert_string_equal(r.text, "Hello");
    assert_int_equal(r.finished, 0);
    assert_int_equal(r.token[0].id, -1);
    assert_true(r.logp_mean == -0.5 && !r.top);
    assert_non_null(strstr(seen, "\"model\":\"other\""));
    assert_null(strstr(seen, "ilab"));
    lm_result_release(&r);
    struct heard h = { 0 };
    sb_init(&h.text, 100);
    q.on_text = hear, q.ud = &h;
    must(lm_complete(lm, &q, 1, &r, &e), &e);
    assert_string_equal(r.text, "Hello");
    assert_int_equal(h.n, 2);
    assert_int_equal(r.finished, 1);
    lm_result_release(&r);
    sb_release(&h.text);
    assert_int_equal(lm_complete(lm, &REQUESTS[4], 1, &r, &e), ILAB_E_INVALID);
    const struct lm_message broken = { "user", SV("break") };
    assert_int_equal(lm_complete(lm, &(struct lm_request){ .message = &broken, .n_message = 1, .max_tokens = 3 }, 1, &r, &e), ILAB_E_IO);
    assert_string_equal(lm_hash(lm), "");
    lm_close(lm);
    http_server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serve_answers_as_the_model_in_this_process), cmocka_unit_test(test_serve_streams_and_cancels),
        cmocka_unit_test(test_serve_tells_what_is_wrong), cmocka_unit_test(test_serve_queue_key_and_restart), cmocka_unit_test(test_lm_http_with_other_servers),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, setup, teardown);
}
