/* curl.h — internal to src/net: libcurl's functions as a table that is filled on first use.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_NET_CURL_H
#define ILAB_NET_CURL_H

#include "net/net.h"

#include <curl/curl.h>

struct curl_api {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    CURLcode (*set)(CURL *h, CURLoption option, ...);
    CURLcode (*perform)(CURL *h);
    CURLcode (*info)(CURL *h, CURLINFO info, ...);
    void (*cleanup)(CURL *h);
    const char *(*message)(CURLcode code);
    struct curl_slist *(*append)(struct curl_slist *list, const char *text);
    void (*free_list)(struct curl_slist *list);
};
const struct curl_api *curl_api(ilab_err *e); /* NULL: not installed */

/* What of an answer's headers matters; a new status line (redirect) starts again. */
struct header_state {
    int status, is_event_stream;
    int64_t length, range_from, range_total; /* -1: not told */
    char tag[256];                           /* strong ETag, else Last-Modified: what If-Range takes */
    char sha256[65];                         /* X-Linked-Etag; kept over redirects */
};
void header_state_init(struct header_state *h);
size_t header_line(char *p, size_t size, size_t n, void *header_state);
/* Everything that calls have in common. *list is to be freed after the transfer. */
int curl_prepare(const struct curl_api *api, CURL *h, const char *url, const char *const header[HTTP_MAX_HEADERS], int connect_ms,
                 struct curl_slist **list, char message[CURL_ERROR_SIZE], ilab_err *e);
int curl_failure(const struct curl_api *api, CURLcode code, const char *url, const char *message, ilab_err *e);

#endif
