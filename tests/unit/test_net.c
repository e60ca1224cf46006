/* test_net.c — client against server in one process: bodies, caps, streams, clients that leave, resumed downloads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_BYTES = 300000 };

struct site { struct http_server *server; char base[64]; _Atomic int n_ended, n_pieces, version, break_at, n_served; char file[FILE_BYTES]; };
static struct site site;

static void on_echo(void *ud, struct http_exchange *x)
{
    (void)ud;
    const char *h = http_header(x, "X-Back");
    if (h) http_reply(x, 201, "text/plain", sv_of(h));
    else http_reply(x, 200, "application/octet-stream", http_body(x));
}

static int next_event(void *ud, struct sb *out)
{
    struct site *s = ud;
    const int i = atomic_fetch_add(&s->n_pieces, 1);
    if (i == 3) return 0;
    sb_addf(out, i == 1 ? ": comment\r\ndata: two\r\ndata:  lines\r\n\r\n" : "event: x\ndata: %d\n\n", i);
    return 1;
}

static int next_slow(void *ud, struct sb *out)
{
    (void)ud, (void)out;
    poll(NULL, 0, 20);
    return 1; /* never ends by itself */
}

static void on_end(void *ud) { atomic_fetch_add(&((struct site *)ud)->n_ended, 1); }

static void on_events(void *ud, struct http_exchange *x)
{
    atomic_store(&site.n_pieces, 0);
    http_reply_stream(x, "text/event-stream", &(struct http_stream){ next_event, on_end, ud });
}

static void on_slow(void *ud, struct http_exchange *x) { http_reply_stream(x, "text/event-stream", &(struct http_stream){ next_slow, on_end, ud }); }

static void on_nothing(void *ud, struct http_exchange *x) { (void)ud, (void)x; }

/* A raw little server on its own port: libmicrohttpd's streams cannot announce 206 with Content-Range. */
static int raw_fd, raw_port;
static void *raw_thread(void *ud)
{
    char buf[4096];
    (void)ud;
    for (;;) {
        const int fd = accept(raw_fd, NULL, NULL);
        if (fd < 0) return NULL;
        size_t n = 0;
        ssize_t got;
        while (n < sizeof buf - 1 && (got = read(fd, buf + n, sizeof buf - 1 - n)) > 0) {
            n += (size_t)got;
            buf[n] = 0;
            if (strstr(buf, "\r\n\r\n")) break;
        }
        if (strstr(buf, "GET /quit")) {
            close(fd);
            return NULL;
        }
        const char *range = strstr(buf, "Range: bytes="), *if_range = strstr(buf, "If-Range: ");
        char tag[16], head[512];
        snprintf(tag, sizeof tag, "\"v%d\"", atomic_load(&site.version));
        size_t from = range && if_range && !strncmp(if_range + 10, tag, strlen(tag)) ? (size_t)strtol(range + 13, NULL, 10) : 0;
        const size_t stop = (size_t)atomic_exchange(&site.break_at, 0), end = stop && stop > from ? stop : FILE_BYTES;
        const char *wrong = strstr(buf, "GET /damaged") ? "X-Linked-Etag: \"0000000000000000000000000000000000000000000000000000000000000000\"\r\n" : "";
        if (strstr(buf, "GET /none")) snprintf(head, sizeof head, "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno! \r\n");
        else if (from == FILE_BYTES) snprintf(head, sizeof head, "HTTP/1.1 416 No\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", FILE_BYTES);
        else if (from) snprintf(head, sizeof head, "HTTP/1.1 206 Partial\r\nETag: %s\r\nContent-Range: bytes %zu-%d/%d\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", tag, from, FILE_BYTES - 1, FILE_BYTES, FILE_BYTES - from);
        else snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nETag: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n", tag, wrong, FILE_BYTES);
        if (write(fd, head, strlen(head)) < 0) { close(fd); continue; }
        int sent = 0;
        if (!strstr(head, " 404 ") && from < FILE_BYTES)
            for (size_t at = from; at < end; at += (size_t)got, sent += (int)got)
                if ((got = write(fd, site.file + at, end - at)) <= 0) break;
        atomic_store(&site.n_served, sent);
        shutdown(fd, SHUT_WR);
        while (read(fd, buf, sizeof buf) > 0) {}
        close(fd);
    }
}

static const struct http_route ROUTES[] = {
    { "POST", "/echo", on_echo, "" }, { "GET", "/events", on_events, "" }, { "GET", "/slow", on_slow, "" }, { "GET", "/nothing", on_nothing, "" },
};

static pthread_t raw;
static int setup(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    signal_install();
    const struct http_server_opts o = { .host = "127.0.0.1", .route = ROUTES, .n_route = ARRAY_LEN(ROUTES), .ud = &site, .max_body = 10000 };
    if (http_server_bind(&site.server, &o, &e) || http_server_start(site.server, &e)) {
        print_error("%s\n", e.msg);
        return -1;
    }
    snprintf(site.base, sizeof site.base, "http://127.0.0.1:%d", http_server_port(site.server));
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < FILE_BYTES; i++) site.file[i] = (char)rng_below(&r, 256);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    raw_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(raw_fd, (struct sockaddr *)&at, sizeof at) || listen(raw_fd, 8) || getsockname(raw_fd, (struct sockaddr *)&at, &n)) return -1;
    raw_port = ntohs(at.sin_port);
    return pthread_create(&raw, NULL, raw_thread, NULL);
}

static int teardown(void **state)
{
    (void)state;
    char url[64];
    struct http_answer a;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/quit", raw_port);
    http_fetch(&(struct http_call){ .url = url }, &a, NULL);
    http_answer_release(&a);
    pthread_join(raw, NULL);
    close(raw_fd);
    http_server_stop(site.server);
    return 0;
}

static const char *url_of(const char *path)
{
    static char url[128];
    snprintf(url, sizeof url, "%s%s", site.base, path);
    return url;
}

static int get(const char *path, struct http_answer *a, ilab_err *e) { return http_fetch(&(struct http_call){ .url = url_of(path) }, a, e); }

static void test_net_posts_and_reads_headers(void **state)
{
    (void)state;
    struct http_answer a;
    ilab_err e = { 0 };
    struct http_call c = { .url = url_of("/echo"), .body = { "a\0b", 3 } };
    assert_int_equal(http_fetch(&c, &a, &e), 0);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.n, 3);
    assert_memory_equal(a.body, "a\0b", 4);
    http_answer_release(&a);
    c.header[0] = "X-Back: there";
    assert_int_equal(http_fetch(&c, &a, &e), 0);
    assert_int_equal(a.status, 201);
    assert_string_equal(a.body, "there");
    http_answer_release(&a);
}

static void test_net_refuses_unknown_paths_methods_and_long_bodies(void **state)
{
    (void)state;
    struct http_answer a;
    static char big[60000], huge[200000];
    memset(big, 'x', sizeof big);
    memset(huge, 'x', sizeof huge);
    assert_int_equal(get("/unknown", &a, NULL), 0);
    assert_int_equal(a.status, 404);
    http_answer_release(&a);
    assert_int_equal(get("/echo", &a, NULL), 0);
    assert_int_equal(a.status, 405);
    http_answer_release(&a);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/echo"), .body = { big, 10001 } }, &a, NULL), 0);
    assert_int_equal(a.status, 413);
    http_answer_release(&a);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/echo"), .body = { big, sizeof big } }, &a, NULL), 0);
    assert_int_equal(a.status, 413);
    http_answer_release(&a);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/echo"), .body = { big, sizeof big }, .header = { "Transfer-Encoding: chunked" } }, &a, NULL), 0);
    assert_int_equal(a.status, 413);
    http_answer_release(&a);
    http_fetch(&(struct http_call){ .url = url_of("/echo"), .body = { huge, sizeof huge } }, &a, NULL); /* may be cut off, must not hang */
    http_answer_release(&a);
    assert_int_equal(get("/nothing", &a, NULL), 0); /* a handler that forgot to answer */
    assert_int_equal(a.status, 500);
    http_answer_release(&a);
}

static void test_net_caps_answers(void **state)
{
    (void)state;
    struct http_answer a;
    ilab_err e = { 0 };
    const struct http_call c = { .url = url_of("/echo"), .body = SV("0123456789"), .max_bytes = 9 };
    assert_int_equal(http_fetch(&c, &a, &e), ILAB_E_LIMIT);
    http_answer_release(&a);
}

struct events { int n, stop_at; char text[256]; };
static int on_event(void *ud, struct sv data)
{
    struct events *v = ud;
    const size_t at = strlen(v->text);
    snprintf(v->text + at, sizeof v->text - at, "<%.*s>", SV_ARG(data));
    return ++v->n == v->stop_at;
}

static void test_net_reads_events(void **state)
{
    (void)state;
    struct http_answer a;
    struct events v = { 0 }, cut = { .stop_at = 1 };
    const int before = atomic_load(&site.n_ended);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/events"), .on_event = on_event, .ud = &v }, &a, NULL), 0);
    assert_string_equal(v.text, "<0><two\n lines><2>");
    assert_int_equal(a.n, 0);
    http_answer_release(&a);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/events"), .on_event = on_event, .ud = &cut }, &a, NULL), ILAB_E_CANCEL);
    assert_string_equal(cut.text, "<0>");
    http_answer_release(&a);
    for (int i = 0; i < 100 && atomic_load(&site.n_ended) < before + 2; i++) poll(NULL, 0, 20);
    assert_int_equal(atomic_load(&site.n_ended), before + 2);
}

static void test_net_sees_clients_leave(void **state)
{
    (void)state;
    struct http_answer a;
    ilab_err e = { 0 };
    const int before = atomic_load(&site.n_ended);
    assert_int_equal(http_fetch(&(struct http_call){ .url = url_of("/slow"), .total_ms = 150 }, &a, &e), ILAB_E_IO);
    http_answer_release(&a);
    for (int i = 0; i < 100 && atomic_load(&site.n_ended) == before; i++) poll(NULL, 0, 20);
    assert_int_equal(atomic_load(&site.n_ended), before + 1);
}

static void test_net_tells_refused_connections_and_bad_addresses(void **state)
{
    (void)state;
    struct http_answer a;
    ilab_err e = { 0 };
    assert_int_equal(http_fetch(&(struct http_call){ .url = "http://127.0.0.1:1/" }, &a, &e), ILAB_E_IO);
    assert_true(a.refused);
    assert_int_equal(http_fetch(&(struct http_call){ .url = "file:///etc/passwd" }, &a, &e), ILAB_E_INVALID);
    assert_int_equal(http_fetch(&(struct http_call){ .url = "http://" }, &a, &e), ILAB_E_INVALID);
    assert_true(http_reachable(url_of("/"), 200));
    assert_false(http_reachable("http://127.0.0.1:1/v1", 200));
    assert_false(http_reachable("http://[::1", 200));
    assert_false(http_reachable("nonsense", 200));
}

static void test_net_refuses_a_taken_port(void **state)
{
    (void)state;
    struct http_server *s;
    ilab_err e = { 0 };
    const struct http_server_opts o = { .host = "127.0.0.1", .port = http_server_port(site.server), .route = ROUTES, .n_route = 1 };
    assert_int_equal(http_server_bind(&s, &o, &e), ILAB_E_IO);
    assert_non_null(strstr(e.msg, "error while attempting to bind on address ('127.0.0.1', "));
    assert_null(s);
}

/* ---- downloads ---- */
static void download(const char *name, const char *path, int want, struct http_downloaded *got, ilab_err *e)
{
    char url[96];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", raw_port, name);
    *e = (ilab_err){ 0 };
    const int rc = http_download(&(struct http_download){ .url = url, .path = path, .quiet = 1 }, got, e);
    if (rc != want) print_error("%d %s\n", rc, e->msg);
    assert_int_equal(rc, want);
}

static void check_file(const char *path)
{
    char *p;
    size_t n;
    assert_int_equal(file_read(path, 1 << 20, &p, &n, NULL), 0);
    assert_int_equal(n, FILE_BYTES);
    assert_memory_equal(p, site.file, FILE_BYTES);
    mem_free(p);
}

static void test_net_downloads_and_resumes(void **state)
{
    (void)state;
    char dir[] = "/tmp/ilab-net-XXXXXX", path[64], part[96], tag[96], want[65];
    struct http_downloaded got;
    struct sha256 h;
    ilab_err e;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(tag, sizeof tag, "%s.part.tag", path);
    sha256_init(&h);
    sha256_add(&h, site.file, FILE_BYTES);
    sha256_hex(&h, want);
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_string_equal(got.sha256, want);
    assert_false(file_exists(part) || file_exists(tag));
    atomic_store(&site.break_at, 100000); /* a connection that breaks: the next try goes on */
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_int_equal(atomic_load(&site.n_served), FILE_BYTES - 100000);
    /* what an earlier run left */
    assert_int_equal(file_write(part, site.file, 50000, NULL), 0);
    assert_int_equal(file_write(tag, "\"v0\"", 4, NULL), 0);
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_int_equal(got.resumed_at, 50000);
    /* the file changed meanwhile: from the start, although the part is there */
    atomic_store(&site.version, 1);
    assert_int_equal(file_write(part, "old old old", 11, NULL), 0);
    assert_int_equal(file_write(tag, "\"v0\"", 4, NULL), 0);
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_int_equal(got.resumed_at, 0);
    /* a part without validator, and one that is whole already */
    assert_int_equal(file_write(part, "????", 4, NULL), 0);
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_int_equal(file_write(part, site.file, FILE_BYTES, NULL), 0);
    assert_int_equal(file_write(tag, "\"v1\"", 4, NULL), 0);
    download("file", path, 0, &got, &e);
    check_file(path);
    assert_int_equal(unlink(path), 0);
    download("none", path, ILAB_E_NOTFOUND, &got, &e);
    assert_non_null(strstr(e.msg, "404"));
    download("damaged", path, ILAB_E_FORMAT, &got, &e);
    assert_false(file_exists(path) || file_exists(part) || file_exists(tag));
    assert_int_equal(rmdir(dir), 0);
    snprintf(path, sizeof path, "/nowhere/file");
    download("file", path, ILAB_E_IO, &got, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_posts_and_reads_headers), cmocka_unit_test(test_net_refuses_unknown_paths_methods_and_long_bodies),
        cmocka_unit_test(test_net_caps_answers), cmocka_unit_test(test_net_reads_events), cmocka_unit_test(test_net_sees_clients_leave),
        cmocka_unit_test(test_net_tells_refused_connections_and_bad_addresses), cmocka_unit_test(test_net_refuses_a_taken_port),
        cmocka_unit_test(test_net_downloads_and_resumes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
