/* http_client.c — GET and POST over libcurl, answers whole or as server-sent events.
 *
 * A handle a call: calls of different threads share nothing but the function table. A pending signal breaks off.
 * Server-sent events as in the HTML standard, section 9.2: data lines joined by newlines, an empty line ends an event.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/curl.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Written once under pthread_once, read-only afterwards. */
static struct curl_api the_api;
static ilab_err the_failure;
static int the_code;

static void load_once(void) {
    static const char *const SONAME[] = { "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl-nss.so.4", NULL };
    const struct dynlib_symbol SYMBOL[] = {
        { "curl_global_init", &the_api.global_init }, { "curl_easy_init", &the_api.init },
        { "curl_easy_setopt", &the_api.set }, { "curl_easy_perform", &the_api.perform },
        { "curl_easy_getinfo", &the_api.info }, { "curl_easy_cleanup", &the_api.cleanup },
        { "curl_easy_strerror", &the_api.message }, { "curl_slist_append", &the_api.append },
        { "curl_slist_free_all", &the_api.free_list },
    };
    the_code = dynlib_load(SONAME, "libcurl4", SYMBOL, ARRAY_LEN(SYMBOL), &the_failure);
    if (!the_code && the_api.global_init(CURL_GLOBAL_DEFAULT)) the_code = err_set(&the_failure, ILAB_E_IO, "libcurl does not start");
}

const struct curl_api *curl_api(ilab_err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    if (!the_code) return &the_api;
    err_set(e, the_code, "%s", the_failure.msg);
    return NULL;
}

/* ---- headers ---- */
void header_state_init(struct header_state *h) {
    char keep[65];
    memcpy(keep, h->sha256, sizeof keep);
    *h = (struct header_state){ .length = -1, .range_from = -1, .range_total = -1 };
    memcpy(h->sha256, keep, sizeof keep);
}

/* Copies a value without its quotes when it fits. */
static void copy_value(char *out, size_t cap, struct sv v) {
    if (v.n < cap) {
        memcpy(out, v.p, v.n);
        out[v.n] = 0;
    }
}

static int64_t number_of(struct sv v) {
    char text[32] = "";
    int64_t n;
    copy_value(text, sizeof text, v);
    return parse_i64(text, 0, INT64_MAX, &n) ? -1 : n;
}

static void on_status(struct header_state *h, struct sv v) {
    header_state_init(h);
    ptrdiff_t space = sv_find(v, SV(" "), 0);
    if (space > 0 && v.n >= (size_t)space + 4) h->status = (int)number_of((struct sv){ v.p + space + 1, 3 });
}
static void on_type(struct header_state *h, struct sv v) { h->is_event_stream = sv_starts(v, "text/event-stream"); }
static void on_length(struct header_state *h, struct sv v) { h->length = number_of(v); }
static void on_range(struct header_state *h, struct sv v) { /* bytes 100-199/200, bytes star/200 */
    ptrdiff_t slash = sv_find(v, SV("/"), 0), minus = sv_find(v, SV("-"), 0);
    if (!sv_starts(v, "bytes ") || slash < 0) return;
    h->range_total = number_of((struct sv){ v.p + slash + 1, v.n - (size_t)slash - 1 });
    if (minus > 6) h->range_from = number_of((struct sv){ v.p + 6, (size_t)minus - 6 });
}
static void on_etag(struct header_state *h, struct sv v) { if (!sv_starts(v, "W/")) copy_value(h->tag, sizeof h->tag, v); }
static void on_modified(struct header_state *h, struct sv v) { if (!h->tag[0]) copy_value(h->tag, sizeof h->tag, v); }
static void on_linked(struct header_state *h, struct sv v) {
    if (v.n == 66 && v.p[0] == '"') v.p++, v.n -= 2;
    for (size_t i = 0; i < v.n; i++)
        if (!strchr("0123456789abcdef", v.p[i])) return;
    if (v.n == 64) copy_value(h->sha256, sizeof h->sha256, v);
}

static const struct { const char *name; void (*run)(struct header_state *h, struct sv v); } HEADERS[] = {
    { "content-type", on_type }, { "content-length", on_length }, { "content-range", on_range },
    { "etag", on_etag }, { "last-modified", on_modified }, { "x-linked-etag", on_linked },
};

size_t header_line(char *p, size_t size, size_t n, void *header_state) {
    struct sv line = sv_trim((struct sv){ p, n });
    (void)size; /* libcurl: always 1 */
    if (sv_starts(line, "HTTP/")) on_status(header_state, line);
    ptrdiff_t colon = sv_find(line, SV(":"), 0);
    for (size_t i = 0; i < ARRAY_LEN(HEADERS) && colon > 0; i++)
        if (strlen(HEADERS[i].name) == (size_t)colon && !strncasecmp(line.p, HEADERS[i].name, (size_t)colon))
            HEADERS[i].run(header_state, sv_trim((struct sv){ line.p + colon + 1, line.n - (size_t)colon - 1 }));
    return n;
}

/* ---- what calls have in common ---- */
static int on_progress(void *ud, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)ud, (void)a, (void)b, (void)c, (void)d;
    return signal_pending() != 0;
}

/* Host (without brackets) and port of a URL. */
static int split_url(const char *url, char host[256], char port[8]) {
    struct sv rest = sv_of(url);
    ptrdiff_t scheme = sv_find(rest, SV("://"), 0);
    if (scheme < 0) return -1;
    const char *dflt = !strncasecmp(url, "https", 5) ? "443" : "80";
    rest.p += scheme + 3, rest.n -= (size_t)scheme + 3;
    rest.n = strcspn(rest.p, "/?#");
    for (ptrdiff_t at; (at = sv_find(rest, SV("@"), 0)) >= 0;) rest.p += at + 1, rest.n -= (size_t)at + 1;
    size_t end = rest.n && rest.p[0] == '[' ? strcspn(rest.p, "]") + 1 : strcspn(rest.p, ":/?#");
    if (end > rest.n || end >= 255) return -1;
    struct sv name = { rest.p, end }, number = { rest.p + end, rest.n - end };
    if (name.n > 1 && name.p[0] == '[') name.p++, name.n -= 2;
    snprintf(host, 256, "%.*s", SV_ARG(name));
    if (number.n > 1) snprintf(port, 8, "%.*s", (int)(number.n - 1 < 6 ? number.n - 1 : 6), number.p + 1);
    else snprintf(port, 8, "%s", dflt);
    return name.n ? 0 : -1;
}

static int is_loopback(const char *url) {
    char host[256], port[8];
    return !split_url(url, host, port) && (!strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1"));
}

int curl_prepare(const struct curl_api *api, CURL *h, const char *url, const char *const header[HTTP_MAX_HEADERS], int connect_ms,
                 struct curl_slist **list, char message[CURL_ERROR_SIZE], ilab_err *e) {
    for (int i = 0; i < HTTP_MAX_HEADERS && header[i]; i++) {
        struct curl_slist *more = api->append(*list, header[i]);
        if (!more) return err_set(e, ILAB_E_NOMEM, "not enough memory for a request");
        *list = more;
    }
    message[0] = 0;
    api->set(h, CURLOPT_URL, url);
    api->set(h, CURLOPT_PROTOCOLS_STR, "http,https");
    api->set(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    api->set(h, CURLOPT_FOLLOWLOCATION, 1L);
    api->set(h, CURLOPT_MAXREDIRS, 10L);
    api->set(h, CURLOPT_NOSIGNAL, 1L);
    api->set(h, CURLOPT_USERAGENT, "ilab/" ILAB_VERSION);
    api->set(h, CURLOPT_HTTPHEADER, *list);
    api->set(h, CURLOPT_ERRORBUFFER, message);
    api->set(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms > 0 ? connect_ms : HTTP_CONNECT_MS));
    api->set(h, CURLOPT_NOPROGRESS, 0L);
    api->set(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    api->set(h, CURLOPT_HEADERFUNCTION, header_line);
    if (is_loopback(url)) api->set(h, CURLOPT_NOPROXY, "*"); /* a proxy could not reach it */
    return 0;
}

int curl_failure(const struct curl_api *api, CURLcode code, const char *url, const char *message, ilab_err *e) {
    if (code == CURLE_ABORTED_BY_CALLBACK) return err_set(e, ILAB_E_CANCEL, "interrupted");
    if (code == CURLE_OUT_OF_MEMORY) return err_set(e, ILAB_E_NOMEM, "not enough memory for a request");
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(e, ILAB_E_INVALID, "'%s' is no http or https address", url);
    return err_set(e, ILAB_E_IO, "no answer from '%s': %s", url, message[0] ? message : api->message(code));
}

/* ---- one call ---- */
struct transfer {
    const struct http_call *call;
    struct header_state head;
    struct sb body, line, event;
    int stopped;
};

/* One line of an event stream without its end. */
static void event_line(struct transfer *t, struct sv line) {
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    if (!line.n) {
        if (t->event.n && t->call->on_event(t->call->ud, (struct sv){ t->event.p, t->event.n - 1 })) t->stopped = 1;
        sb_reset(&t->event);
    } else if (sv_starts(line, "data:")) {
        size_t skip = line.n > 5 && line.p[5] == ' ' ? 6 : 5;
        sb_add(&t->event, (struct sv){ line.p + skip, line.n - skip });
        sb_addch(&t->event, '\n');
    }
}

static size_t on_data(char *p, size_t size, size_t n, void *ud) {
    struct transfer *t = ud;
    (void)size;
    if (!t->call->on_event || !t->head.is_event_stream || t->head.status != 200) {
        sb_add(&t->body, (struct sv){ p, n });
        return t->body.failed ? 0 : n;
    }
    for (size_t from = 0; from < n && !t->stopped;) {
        const char *end = memchr(p + from, '\n', n - from);
        size_t len = end ? (size_t)(end - p) - from : n - from;
        sb_add(&t->line, (struct sv){ p + from, len });
        if (end) {
            event_line(t, (struct sv){ t->line.p ? t->line.p : "", t->line.n });
            sb_reset(&t->line);
        }
        from += len + (end != NULL);
    }
    return t->stopped || t->line.failed || t->event.failed ? 0 : n;
}

static int perform(const struct curl_api *api, CURL *h, struct transfer *t, struct http_answer *out, ilab_err *e) {
    const struct http_call *c = t->call;
    struct curl_slist *list = NULL;
    char message[CURL_ERROR_SIZE], type[128];
    snprintf(type, sizeof type, "Content-Type: %s", c->content_type ? c->content_type : "application/json");
    if (c->body.p) list = api->append(NULL, type);
    if (c->body.p && list) list = api->append(list, "Expect:"); /* or a long body waits for a 100 */
    int rc = c->body.p && !list ? err_set(e, ILAB_E_NOMEM, "not enough memory for a request") : 0;
    if (!rc) rc = curl_prepare(api, h, c->url, c->header, c->connect_ms, &list, message, e);
    if (!rc) {
        api->set(h, CURLOPT_HEADERDATA, &t->head);
        api->set(h, CURLOPT_WRITEFUNCTION, on_data);
        api->set(h, CURLOPT_WRITEDATA, t);
        if (c->total_ms > 0) api->set(h, CURLOPT_TIMEOUT_MS, (long)c->total_ms);
        if (c->body.p) {
            api->set(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.n);
            api->set(h, CURLOPT_POSTFIELDS, c->body.p);
        }
        CURLcode code = api->perform(h);
        long status = 0;
        api->info(h, CURLINFO_RESPONSE_CODE, &status);
        out->status = (int)status;
        out->refused = code == CURLE_COULDNT_CONNECT;
        if (t->stopped) rc = err_set(e, ILAB_E_CANCEL, "the answer was not read to its end");
        else if (t->body.failed || t->line.failed || t->event.failed) rc = err_set(e, ILAB_E_LIMIT, "the answer of '%s' is too long", c->url);
        else if (code) rc = curl_failure(api, code, c->url, message, e);
    }
    api->free_list(list);
    return rc;
}

int http_fetch(const struct http_call *c, struct http_answer *out, ilab_err *e) {
    memset(out, 0, sizeof *out);
    ilab_err local;
    if (!e) e = &local;
    const struct curl_api *api = curl_api(e);
    if (!api) return e->code;
    CURL *h = api->init();
    if (!h) return err_set(e, ILAB_E_NOMEM, "not enough memory for a request");
    struct transfer t = { .call = c };
    header_state_init(&t.head);
    sb_init(&t.body, c->max_bytes ? c->max_bytes : HTTP_MAX_ANSWER);
    sb_init(&t.line, HTTP_MAX_EVENT);
    sb_init(&t.event, HTTP_MAX_EVENT);
    sb_addc(&t.body, "");
    int rc = perform(api, h, &t, out, e);
    api->cleanup(h);
    if (!rc) {
        out->n = t.body.n;
        out->body = t.body.n ? sb_take(&t.body, NULL) : mem_strndup("", 0);
        if (!out->body) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for an answer");
    }
    sb_release(&t.body);
    sb_release(&t.line);
    sb_release(&t.event);
    return rc;
}

void http_answer_release(struct http_answer *a) {
    mem_free(a->body);
    memset(a, 0, sizeof *a);
}

int http_reachable(const char *url, int ms) {
    char host[256], port[8];
    struct addrinfo hint = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int found = 0;
    if (split_url(url, host, port) || getaddrinfo(host, port, &hint, &list)) return 0;
    for (struct addrinfo *a = list; a && !found; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), failed = 0;
        if (fd < 0) continue;
        socklen_t len = sizeof failed;
        struct pollfd p = { fd, POLLOUT, 0 };
        if (!connect(fd, a->ai_addr, a->ai_addrlen)) found = 1;
        else if (errno == EINPROGRESS && poll(&p, 1, ms) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len)) found = !failed;
        close(fd);
    }
    freeaddrinfo(list);
    return found;
}
