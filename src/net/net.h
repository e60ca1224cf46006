/* net.h — front header of layer 1 `net`: an HTTP client and an HTTP server.
 *
 * libcurl and libmicrohttpd are opened when something first needs them (base, dynlib_load): linking them would cost every
 * command, `ilab --help` too, the time to load TLS. Nothing here knows what the bodies mean.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_NET_H
#define ILAB_NET_H

#include "base/base.h"

/* ---- client (http_client.c, http_download.c); any thread ---- */
enum { HTTP_MAX_HEADERS = 8, HTTP_CONNECT_MS = 10000, HTTP_MAX_ANSWER = 64 << 20, HTTP_MAX_EVENT = 8 << 20 };
struct http_call {
    const char *url;                                 /* http or https; redirects are followed */
    struct sv body; const char *content_type;        /* body.p NULL: GET, else POST; type NULL: application/json */
    const char *header[HTTP_MAX_HEADERS];            /* "Name: value"; NULL ends */
    int connect_ms, total_ms;                        /* 0: HTTP_CONNECT_MS; no limit */
    size_t max_bytes;                                /* of the answer; 0: HTTP_MAX_ANSWER. Events do not count */
    /* Each event of a text/event-stream with status 200 (its data lines joined); nonzero ends the call. Such an answer has no body. */
    int (*on_event)(void *ud, struct sv data); void *ud;
};
struct http_answer { int status; char *body; size_t n; /* NUL behind n */ int refused; /* nobody listens there */ };
/* 0 whatever the status is; ILAB_E_IO: no answer; ILAB_E_LIMIT: too long; ILAB_E_CANCEL: a signal, or on_event said so. */
int http_fetch(const struct http_call *c, struct http_answer *out, ilab_err *e);
void http_answer_release(struct http_answer *a);
/* 1: something listens at the host and port of url. At most `ms`; needs no library. */
int http_reachable(const char *url, int ms);

struct http_download {
    const char *url, *path;                          /* what has arrived lies in <path>.part until it is whole */
    const char *header[HTTP_MAX_HEADERS];
    const char *label; int quiet;                    /* of the progress line */
};
struct http_downloaded { char sha256[65]; int64_t bytes, resumed_at; };
/* Goes on with <path>.part when the server confirms that it is still the same file; checks length, disk space and, when the
 * server names one (Hugging Face: X-Linked-Etag), the SHA-256. Tries again after a broken connection. */
int http_download(const struct http_download *d, struct http_downloaded *out, ilab_err *e);

/* ---- server (http_server.c): a thread a connection; handlers run in it and may block ---- */
enum { HTTP_MAX_BODY = 8 << 20, HTTP_MAX_CONNECTIONS = 128 };
struct http_exchange;                                /* a request and its answer; valid inside the handler */
typedef void http_handler_fn(void *ud, struct http_exchange *x);
struct http_route { const char *method, *path; http_handler_fn *run; const char *doc; };
struct http_server_opts {
    const char *host; int port;                      /* 0: any free one */
    const struct http_route *route; int n_route; void *ud;
    size_t max_body;                                 /* 0: HTTP_MAX_BODY; longer ones get 413 */
    /* Answers what no handler sees: 404, 405, 413. `why` is one line. */
    void (*refuse)(struct http_exchange *x, int status, const char *why);
};
struct http_server;
/* Takes the address, so that a taken port is known before a model is loaded; connections are refused until start. */
int http_server_bind(struct http_server **out, const struct http_server_opts *o, ilab_err *e);
int http_server_start(struct http_server *s, ilab_err *e);
int http_server_port(const struct http_server *s);
/* No new connections; waits for running handlers (5 s at most for streams), frees. NULL is fine. */
void http_server_stop(struct http_server *s);

struct sv http_body(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);
const char *http_header(const struct http_exchange *x, const char *name);   /* NULL: absent */
int http_client_gone(const struct http_exchange *x);                         /* 1: nobody reads the answer any more */
/* One answer a request; the body is copied. */
void http_reply(struct http_exchange *x, int status, const char *content_type, struct sv body);
/* The answer in pieces: next() is called in the connection's thread; it appends to out (nothing after a short wait is fine) and
 * returns 1 while more may come, 0 at the end, negative to break off. end() is called once in any case, also when the client left. */
struct http_stream { int (*next)(void *ud, struct sb *out); void (*end)(void *ud); void *ud; };
void http_reply_stream(struct http_exchange *x, const char *content_type, const struct http_stream *s);

#endif
