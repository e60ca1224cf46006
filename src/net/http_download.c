/* http_download.c — a file from the network: resumed, checked, and never half-written under its final name.
 *
 * <path>.part holds what has arrived, <path>.part.tag the validator (ETag or Last-Modified) of that version. With both, the
 * request carries Range and If-Range (RFC 9110, 13.1.5 and 14.2): 206 goes on, 200 starts again because the file changed.
 * Without a validator nothing is resumed: half of one version and half of another would pass every length check.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/curl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { DOWNLOAD_TRIES = 5, DOWNLOAD_STALL_SECONDS = 60, DISK_RESERVE = 16 << 20, ERROR_TEXT = 400 };

struct download {
    const struct http_download *d;
    char *part, *tag_path;
    char tag[256];               /* of what lies in part */
    struct header_state head;
    FILE *f;
    int64_t have, begun_at;      /* bytes in part; at the start of this try */
    int begun, code;             /* the answer was judged; its error, kept in err */
    ilab_err err;
    char text[ERROR_TEXT]; size_t n_text; /* beginning of an answer that is an error */
    struct progress progress;
    double start;
};

static void show(struct download *w) {
    double spent = now_seconds() - w->start;
    char rate[32] = "";
    if (spent > 0.5) format_bytes(rate, sizeof rate - 4, (double)(w->have - w->progress.first * 1000) / spent);
    progress_at(&w->progress, w->have / 1000, "kB%s%s%s", rate[0] ? "  " : "", rate, rate[0] ? "/s" : "");
}

/* The first bytes of a good answer: decide where they go. */
static int begin(struct download *w) {
    char bytes[32];
    int64_t left = w->head.length;
    w->begun = 1;
    if (w->head.status == 206 && w->head.range_from != w->have)
        return err_set(&w->err, ILAB_E_FORMAT, "the server sent another part of '%s' than was asked for", w->d->url);
    if (w->head.status == 200) {
        if (fflush(w->f) || ftruncate(fileno(w->f), 0)) return err_errno(&w->err, errno, "cannot write '%s'", w->part);
        w->have = 0;
    }
    if (w->head.tag[0]) {
        if (file_write(w->tag_path, w->head.tag, strlen(w->head.tag), &w->err)) return w->err.code;
        memcpy(w->tag, w->head.tag, sizeof w->tag);
    }
    if (left > 0 && (uint64_t)left + DISK_RESERVE > disk_free(w->part)) {
        format_bytes(bytes, sizeof bytes, (double)left);
        return err_set(&w->err, ILAB_E_LIMIT, "no room for '%s' (%s more): free some disk space", w->d->path, bytes);
    }
    if (left >= 0) w->progress.total = (w->have + left) / 1000;
    w->progress.first = w->have / 1000;
    w->start = now_seconds();
    return 0;
}

static size_t on_data(char *p, size_t size, size_t n, void *ud) {
    struct download *w = ud;
    (void)size;
    if (w->head.status != 200 && w->head.status != 206) {
        size_t room = sizeof w->text - 1 - w->n_text, take = n < room ? n : room;
        memcpy(w->text + w->n_text, p, take);
        w->n_text += take;
        return n;
    }
    if (!w->begun) w->code = begin(w);
    if (!w->code && fwrite(p, 1, n, w->f) != n) w->code = err_errno(&w->err, errno, "cannot write '%s'", w->part);
    if (w->code) return 0;
    w->have += (int64_t)n;
    show(w);
    return n;
}

/* The remote side has nothing beyond what part holds (416), or another file. 1: part is whole. */
static int range_refused(struct download *w) {
    if (w->head.range_total == w->have && w->have > 0) return 1;
    unlink(w->part);
    unlink(w->tag_path);
    w->tag[0] = 0;
    return 0;
}

/* 1: whole; 0: worth another try; negative: given up. */
static int attempt(struct download *w, const struct curl_api *api, ilab_err *e) {
    CURL *h = api->init();
    struct curl_slist *list = NULL;
    char message[CURL_ERROR_SIZE], range[64], if_range[280];
    int64_t size = file_size(w->part);
    w->have = w->begun_at = w->tag[0] && size > 0 ? size : 0;
    w->begun = w->code = 0;
    w->n_text = 0;
    header_state_init(&w->head);
    w->f = fopen(w->part, w->have ? "ab" : "wb");
    int rc = !w->f ? err_errno(e, errno, "cannot write '%s'", w->part) : !h ? err_set(e, ILAB_E_NOMEM, "not enough memory for a request") : 0;
    if (!rc && w->have) {
        snprintf(range, sizeof range, "Range: bytes=%" PRId64 "-", w->have);
        snprintf(if_range, sizeof if_range, "If-Range: %s", w->tag);
        list = api->append(NULL, range);
        list = list ? api->append(list, if_range) : NULL;
    }
    if (!rc) rc = curl_prepare(api, h, w->d->url, w->d->header, 0, &list, message, e);
    CURLcode code = CURLE_OK;
    if (!rc) {
        api->set(h, CURLOPT_HEADERDATA, &w->head);
        api->set(h, CURLOPT_WRITEFUNCTION, on_data);
        api->set(h, CURLOPT_WRITEDATA, w);
        api->set(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
        api->set(h, CURLOPT_LOW_SPEED_TIME, (long)DOWNLOAD_STALL_SECONDS);
        code = api->perform(h);
        if (!code && !w->begun && w->head.status == 200) w->code = begin(w); /* an empty file */
    }
    if (w->f && (fflush(w->f) || fsync(fileno(w->f))) && !w->code) w->code = err_errno(&w->err, errno, "cannot write '%s'", w->part);
    if (w->f) fclose(w->f);
    w->f = NULL;
    if (h) api->cleanup(h);
    api->free_list(list);
    const int whole = !rc && !code && !w->code && (w->head.status == 200 || w->head.status == 206);
    if (!w->have && !whole) unlink(w->part); /* nothing to go on with */
    if (rc) return rc;
    if (w->code) return err_set(e, w->code, "%s", w->err.msg);
    if (whole) return 1;
    if (!code && w->head.status == 416) return range_refused(w);
    if (code) {
        rc = curl_failure(api, code, w->d->url, message, e);
        return rc == ILAB_E_IO && w->have > w->begun_at ? 0 : rc;
    }
    w->text[w->n_text] = 0;
    w->text[strcspn(w->text, "\r\n")] = 0;
    return err_set(e, w->head.status == 404 ? ILAB_E_NOTFOUND : ILAB_E_IO, "'%s': HTTP status %d%s%.200s%s", w->d->url, w->head.status,
                   w->text[0] && w->text[0] != '<' ? " (" : "", w->text[0] != '<' ? w->text : "", w->text[0] && w->text[0] != '<' ? ")" : "");
}

static int finish(struct download *w, struct http_downloaded *out, ilab_err *e) {
    int rc = sha256_file(w->part, out->sha256, e);
    if (!rc && w->head.sha256[0] && strcmp(w->head.sha256, out->sha256)) {
        unlink(w->part);
        unlink(w->tag_path);
        return err_set(e, ILAB_E_FORMAT, "'%s' arrived damaged: its SHA-256 is %s, the server announced %s; try again", w->d->url, out->sha256, w->head.sha256);
    }
    if (!rc && rename(w->part, w->d->path)) rc = err_errno(e, errno, "cannot rename '%s' to '%s'", w->part, w->d->path);
    if (!rc) unlink(w->tag_path);
    out->bytes = file_size(w->d->path);
    return rc;
}

static char *with_ending(const char *path, const char *ending) {
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addc(&b, path);
    sb_addc(&b, ending);
    return sb_take(&b, NULL);
}

int http_download(const struct http_download *d, struct http_downloaded *out, ilab_err *e) {
    memset(out, 0, sizeof *out);
    ilab_err local;
    if (!e) e = &local;
    const struct curl_api *api = curl_api(e);
    if (!api) return e->code;
    struct download w = { .d = d };
    char *tag = NULL;
    size_t n = 0;
    w.part = with_ending(d->path, ".part");
    w.tag_path = with_ending(d->path, ".part.tag");
    int rc = w.part && w.tag_path ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a download");
    if (!rc && file_exists(w.tag_path) == 1 && !file_read(w.tag_path, sizeof w.tag - 1, &tag, &n, NULL)) memcpy(w.tag, tag, n + 1);
    mem_free(tag);
    progress_start(&w.progress, d->label ? d->label : "Downloading", 0, 0);
    w.progress.quiet = d->quiet;
    for (int i = 0; i < DOWNLOAD_TRIES && !rc; i++) {
        if (i) poll(NULL, 0, 500 << i);
        rc = attempt(&w, api, e);
        if (i == 0 && rc >= 0) out->resumed_at = w.begun_at <= w.have && w.head.status != 200 ? w.begun_at : 0;
    }
    if (rc == 0) rc = e->code ? e->code : err_set(e, ILAB_E_IO, "the download of '%s' broke off again and again; run the command again to go on", d->url);
    progress_end(&w.progress);
    if (rc > 0) rc = finish(&w, out, e);
    else if (rc == ILAB_E_CANCEL) err_set(e, rc, "interrupted; what has arrived is kept in '%s': run the command again to go on", w.part);
    mem_free(w.part);
    mem_free(w.tag_path);
    return rc;
}
