/* http_server.c — routes over libmicrohttpd, one thread a connection.
 *
 * A handler runs when the whole body has arrived (capped), in the connection's thread, and may block as long as it likes:
 * libmicrohttpd's own timeout is switched off meanwhile. Every connection serves one request (the reference's keep-alive 0),
 * so an idle client holds no thread. libmicrohttpd does not look at the socket while a handler or a stream waits; therefore
 * http_client_gone and the stream loop peek at it themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_BACKLOG = 64, SERVER_STACK_BYTES = 1 << 20, SERVER_STREAM_BLOCK = 1 << 14, SERVER_IDLE_SECONDS = 30, SERVER_STOP_MS = 5000,
       SERVER_DISCARD = 8 /* too long a body is read up to so many times the cap, or the client would miss the answer */ };

/* Written once under pthread_once, read-only afterwards. */
static struct mhd_api {
    struct MHD_Daemon *(*start)(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback apc, void *apc_cls, MHD_AccessHandlerCallback dh, void *dh_cls, ...);
    MHD_socket (*quiesce)(struct MHD_Daemon *d);
    void (*stop)(struct MHD_Daemon *d);
    struct MHD_Response *(*from_buffer)(size_t n, void *p, enum MHD_ResponseMemoryMode mode);
    struct MHD_Response *(*from_callback)(uint64_t size, size_t block, MHD_ContentReaderCallback fn, void *ud, MHD_ContentReaderFreeCallback end);
    enum MHD_Result (*queue)(struct MHD_Connection *c, unsigned status, struct MHD_Response *r);
    void (*destroy)(struct MHD_Response *r);
    enum MHD_Result (*header)(struct MHD_Response *r, const char *name, const char *value);
    const char *(*lookup)(struct MHD_Connection *c, enum MHD_ValueKind kind, const char *key);
    const union MHD_ConnectionInfo *(*info)(struct MHD_Connection *c, enum MHD_ConnectionInfoType type, ...);
    enum MHD_Result (*option)(struct MHD_Connection *c, enum MHD_CONNECTION_OPTION option, ...);
} mhd;
static ilab_err the_failure;
static int the_code;

static void load_once(void) {
    static const char *const SONAME[] = { "libmicrohttpd.so.12", "libmicrohttpd.so", NULL };
    const struct dynlib_symbol SYMBOL[] = {
        { "MHD_start_daemon", &mhd.start }, { "MHD_quiesce_daemon", &mhd.quiesce }, { "MHD_stop_daemon", &mhd.stop },
        { "MHD_create_response_from_buffer", &mhd.from_buffer }, { "MHD_create_response_from_callback", &mhd.from_callback },
        { "MHD_queue_response", &mhd.queue }, { "MHD_destroy_response", &mhd.destroy }, { "MHD_add_response_header", &mhd.header },
        { "MHD_lookup_connection_value", &mhd.lookup }, { "MHD_get_connection_info", &mhd.info },
        { "MHD_set_connection_option", &mhd.option },
    };
    the_code = dynlib_load(SONAME, "libmicrohttpd12", SYMBOL, ARRAY_LEN(SYMBOL), &the_failure);
}

struct http_server {
    struct http_server_opts o;
    struct MHD_Daemon *daemon;
    int fd, port;
    _Atomic int n_active, stopping;
};
struct http_exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *path;
    const struct http_route *route;
    int refused;             /* status that the end of the body will get; 0: none */
    const char *allow;       /* of a 405 */
    struct sb body;
    size_t n_seen;           /* bytes of the body so far, kept or not */
    int fd, replied;
    enum MHD_Result queued;
};
struct stream { struct http_server *server; struct MHD_Connection *connection; struct http_stream s; struct sb out; size_t at; int fd, more; };

/* ---- connections ---- */
static int peer_gone(int fd) {
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* Setting it from 0 counts as activity; 0 alone means for ever. */
static void connection_timeout(struct MHD_Connection *c, unsigned seconds) {
    mhd.option(c, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    if (seconds) mhd.option(c, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

struct sv http_body(const struct http_exchange *x) { return (struct sv){ x->body.p ? x->body.p : "", x->body.n }; }
const char *http_path(const struct http_exchange *x) { return x->path; }
const char *http_header(const struct http_exchange *x, const char *name) { return mhd.lookup(x->connection, MHD_HEADER_KIND, name); }
int http_client_gone(const struct http_exchange *x) { return peer_gone(x->fd); }

static void queue_response(struct http_exchange *x, int status, const char *content_type, struct MHD_Response *r) {
    if (!r || x->replied) {
        if (r) mhd.destroy(r);
        return;
    }
    mhd.header(r, "Content-Type", content_type);
    mhd.header(r, "Cache-Control", "no-store");
    mhd.header(r, "Connection", "close");
    if (x->allow) mhd.header(r, "Allow", x->allow);
    connection_timeout(x->connection, SERVER_IDLE_SECONDS);
    x->queued = mhd.queue(x->connection, (unsigned)status, r);
    x->replied = 1;
    mhd.destroy(r);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, struct sv body) {
    queue_response(x, status, content_type, mhd.from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY));
}

static ssize_t stream_read(void *ud, uint64_t pos, char *out, size_t max) {
    struct stream *s = ud;
    (void)pos;
    while (s->at == s->out.n) {
        sb_reset(&s->out);
        s->at = 0;
        if (!s->more) return MHD_CONTENT_READER_END_OF_STREAM;
        int rc = s->s.next(s->s.ud, &s->out);
        if (rc < 0 || s->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
        s->more = rc > 0;
        if (!s->out.n && s->more && (peer_gone(s->fd) || atomic_load(&s->server->stopping) > 1)) return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = s->out.n - s->at < max ? s->out.n - s->at : max;
    memcpy(out, s->out.p + s->at, n);
    s->at += n;
    connection_timeout(s->connection, SERVER_IDLE_SECONDS);
    return (ssize_t)n;
}

static void stream_end(void *ud) {
    struct stream *s = ud;
    if (s->s.end) s->s.end(s->s.ud);
    sb_release(&s->out);
    mem_free(s);
}

void http_reply_stream(struct http_exchange *x, const char *content_type, const struct http_stream *from) {
    struct stream *s = mem_calloc(1, sizeof *s);
    struct MHD_Response *r = s ? mhd.from_callback(MHD_SIZE_UNKNOWN, SERVER_STREAM_BLOCK, stream_read, s, stream_end) : NULL;
    if (!r) {
        if (from->end) from->end(from->ud);
        mem_free(s);
        return;
    }
    *s = (struct stream){ x->server, x->connection, *from, { 0 }, 0, x->fd, 1 };
    sb_init(&s->out, HTTP_MAX_ANSWER);
    queue_response(x, 200, content_type, r);
}

/* ---- requests ---- */
static void find_route(struct http_exchange *x, const char *method) {
    const struct http_server_opts *o = &x->server->o;
    x->refused = 404;
    for (int i = 0; i < o->n_route && x->refused; i++) {
        if (strcmp(o->route[i].path, x->path)) continue;
        x->route = &o->route[i];
        x->refused = strcmp(o->route[i].method, method) && !(!strcmp(method, "HEAD") && !strcmp(o->route[i].method, "GET")) ? 405 : 0;
        x->allow = x->refused ? o->route[i].method : NULL;
    }
}

static void refuse(struct http_exchange *x, int status) {
    static const struct { int status; const char *why; } WHY[] = {
        { 404, "there is nothing at this address" }, { 405, "this address takes another method" }, { 413, "the request body is too long" },
        { 500, "not enough memory for this request" },
    };
    const char *why = "";
    for (size_t i = 0; i < ARRAY_LEN(WHY); i++)
        if (WHY[i].status == status) why = WHY[i].why;
    if (x->server->o.refuse) x->server->o.refuse(x, status, why);
    else http_reply(x, status, "text/plain", sv_of(why));
}

static enum MHD_Result begin(struct http_server *s, struct MHD_Connection *c, const char *path, const char *method, void **state) {
    struct http_exchange *x = mem_calloc(1, sizeof *x);
    if (!x) return MHD_NO;
    *state = x;
    atomic_fetch_add(&s->n_active, 1);
    x->server = s;
    x->connection = c;
    x->path = path; /* libmicrohttpd keeps it as long as the request */
    x->fd = mhd.info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    x->queued = MHD_NO;
    sb_init(&x->body, s->o.max_body);
    find_route(x, method);
    const char *length = mhd.lookup(c, MHD_HEADER_KIND, "Content-Length");
    int64_t n;
    if (length && parse_i64(length, 0, (int64_t)s->o.max_body * SERVER_DISCARD, &n)) { /* not read at all: closed behind the answer */
        refuse(x, 413);
        return x->queued;
    }
    if (length && n > (int64_t)s->o.max_body) x->refused = 413;
    return MHD_YES;
}

static enum MHD_Result on_request(void *ud, struct MHD_Connection *c, const char *path, const char *method, const char *version, const char *data,
                                  size_t *n_data, void **state) {
    struct http_server *s = ud;
    struct http_exchange *x = *state;
    (void)version;
    if (!x) return begin(s, c, path, method, state);
    if (*n_data) {
        if (!x->refused) sb_add(&x->body, (struct sv){ data, *n_data });
        if (x->body.failed) x->refused = 413;
        x->n_seen += *n_data;
        *n_data = 0;
        return x->n_seen > s->o.max_body * SERVER_DISCARD ? MHD_NO : MHD_YES;
    }
    if (x->replied) return x->queued;
    connection_timeout(c, 0);
    if (x->refused) refuse(x, x->refused);
    else x->route->run(s->o.ud, x);
    if (!x->replied) refuse(x, 500);
    return x->queued;
}

static void on_completed(void *ud, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why) {
    struct http_server *s = ud;
    struct http_exchange *x = *state;
    (void)c, (void)why;
    if (!x) return;
    *state = NULL;
    sb_release(&x->body);
    mem_free(x);
    atomic_fetch_sub(&s->n_active, 1);
}

/* ---- life ---- */
static int bind_address(struct http_server *s, ilab_err *e) {
    struct addrinfo hint = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    char port[8];
    int on = 1, rc = 0;
    snprintf(port, sizeof port, "%d", s->o.port);
    int failed = getaddrinfo(s->o.host, port, &hint, &list);
    if (failed) return err_set(e, ILAB_E_NOTFOUND, "the address '%s' is unknown: %s", s->o.host, gai_strerror(failed));
    s->fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd >= 0) setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (s->fd < 0 || bind(s->fd, list->ai_addr, list->ai_addrlen))
        rc = err_errno(e, errno, "[Errno %d] error while attempting to bind on address ('%s', %d)", errno, s->o.host, s->o.port);
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } at;
    socklen_t n = sizeof at;
    if (!rc && getsockname(s->fd, &at.any, &n)) rc = err_errno(e, errno, "cannot ask for the port");
    if (!rc) s->port = ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
    freeaddrinfo(list);
    return rc;
}

int http_server_bind(struct http_server **out, const struct http_server_opts *o, ilab_err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, load_once);
    if (the_code) return err_set(e, the_code, "%s", the_failure.msg);
    struct http_server *s = mem_calloc(1, sizeof *s);
    if (!s) return err_set(e, ILAB_E_NOMEM, "not enough memory for a server");
    s->o = *o;
    s->fd = -1;
    if (!s->o.max_body) s->o.max_body = HTTP_MAX_BODY;
    int rc = bind_address(s, e);
    if (rc) http_server_stop(s);
    else *out = s;
    return rc;
}

int http_server_start(struct http_server *s, ilab_err *e) {
    if (listen(s->fd, SERVER_BACKLOG)) /* Linux tells here when another socket listens at the address */
        return err_errno(e, errno, "[Errno %d] error while attempting to bind on address ('%s', %d)", errno, s->o.host, s->port);
    s->daemon = mhd.start(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, on_request, s,
                          MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SERVER_IDLE_SECONDS,
                          MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_MAX_CONNECTIONS, MHD_OPTION_THREAD_STACK_SIZE, (size_t)SERVER_STACK_BYTES,
                          MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_END);
    if (!s->daemon) return err_set(e, ILAB_E_IO, "the HTTP server does not start at port %d", s->port);
    return 0;
}

int http_server_port(const struct http_server *s) { return s->port; }

void http_server_stop(struct http_server *s) {
    if (!s) return;
    if (s->daemon) {
        mhd.quiesce(s->daemon);
        atomic_store(&s->stopping, 1);
        for (int waited = 0; atomic_load(&s->n_active) && waited < SERVER_STOP_MS; waited += 10) poll(NULL, 0, 10);
        atomic_store(&s->stopping, 2);
        mhd.stop(s->daemon);
    }
    if (s->fd >= 0) close(s->fd);
    mem_free(s);
}
