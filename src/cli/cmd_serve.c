/* cmd_serve.c — `ilab serve`: a model behind the OpenAI interface on this computer.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/messages.h"
#include "infer/infer.h"
#include "serve/serve.h"

#include <string.h>

struct serve_args { const char *model, *adapter, *host_port, *host, *family, *api_key, *kv_type; int port, ctx, threads, layers, queue, lookup; };
static const struct serve_args DEFAULTS = { .model = "models/starter.gguf", .host_port = "127.0.0.1:8000", .port = -1, .ctx = 4096, .layers = -1, .queue = SERVE_MAX_QUEUE };
#define O(field) offsetof(struct serve_args, field)
static const struct opt OPTS[] = {
    { "model-path", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", "serve.model_path", "GGUF file, or a name below models/" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "LoRA adapter made for this model" },
    { "host-port", 0, NULL, OPT_STR, O(host_port), 0, 0, "HOST:PORT", "serve.host_port", "address; port 0 takes a free one" },
    { "host", 0, NULL, OPT_STR, O(host), 0, 0, "HOST", NULL, "only the host" },
    { "port", 'p', NULL, OPT_INT, O(port), 0, 65535, "PORT", NULL, "only the port" },
    { "max-ctx-size", 0, NULL, OPT_INT, O(ctx), 16, 1 << 20, "N", "serve.max_ctx_size", "longest conversation in tokens; never more than the model bears" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "kv-type", 0, NULL, OPT_STR, O(kv_type), 0, 0, "TYPE", NULL, "keys and values as f32, f16, q8_0 or q4_0; auto: f16 when they are many" },
    { "lookup", 0, NULL, OPT_INT, O(lookup), 0, LOOKUP_MAX, "N", NULL, "guess up to N tokens a step from the text so far; answers stay the same" },
    { "max-queue", 0, NULL, OPT_INT, O(queue), 1, 4096, "N", NULL, "requests that may wait; more are answered with 503" },
    { "api-key", 0, NULL, OPT_STR, O(api_key), 0, 0, "KEY", NULL, "ask clients for this key; needed beyond 127.0.0.1" },
    { "gpu-layers", 0, NULL, OPT_INT, O(layers), -1, 100000, "N", NULL, "accepted for compatibility: this program computes on the CPU" },
    { "model-family", 0, NULL, OPT_STR, O(family), 0, 0, "NAME", NULL, "accepted for compatibility; the file tells its template" },
    { 0 },
};

/* "127.0.0.1:8000", "[::1]:8000" → host and port. */
static int split_address(const char *text, char *host, size_t cap, int *port)
{
    const char *colon = strrchr(text, ':');
    int64_t n;
    if (!colon || colon == text || parse_i64(colon + 1, 0, 65535, &n)) return 1;
    const int bracket = text[0] == '[' && colon[-1] == ']';
    snprintf(host, cap, "%.*s", (int)(colon - text) - 2 * bracket, text + bracket);
    *port = (int)n;
    return 0;
}

struct address { const char *host; int is_v6; };

static void on_ready(void *ud, int port)
{
    const struct address *at = ud;
    log_info("Application startup complete.");
    log_info("Checks a qna.yaml while it is written: http://%s%s%s:%d/check", at->is_v6 ? "[" : "", at->host, at->is_v6 ? "]" : "", port);
    log_info("Serving on http://%s%s%s:%d (Press CTRL+C to quit)", at->is_v6 ? "[" : "", at->host, at->is_v6 ? "]" : "", port);
}

static int run(struct cli *c, void *args)
{
    (void)c;
    const struct serve_args *a = args;
    ilab_err e = { 0 };
    struct server *s = NULL;
    struct engine *en = NULL;
    char host[256];
    int port;
    if (split_address(a->host_port, host, sizeof host, &port)) {
        fprintf(stderr, "Error: '%s' is no address such as 127.0.0.1:8000\n", a->host_port);
        return EXIT_USAGE;
    }
    if (a->host) snprintf(host, sizeof host, "%s", a->host);
    if (a->port >= 0) port = a->port;
    int kv;
    if (kv_type_arg(a->kv_type, &kv)) return EXIT_USAGE;
    char *path = model_find(a->model);
    if (!path) return EXIT_FAILED;
    log_info("Using model '%s' with %d gpu-layers and %d max context size.", path, a->layers, a->ctx);
    if (a->layers > 0) log_info("--gpu-layers %d is ignored: this program computes on the CPU", a->layers);
    const struct serve_opts o = { .host = host, .port = port, .api_key = a->api_key, .model_id = path, .words = in_german, .max_queue = a->queue };
    struct address at = { host, strchr(host, ':') != NULL };
    int rc = serve_bind(&s, &o, &e);
    const int taken = rc == ILAB_E_IO;
    if (!rc) rc = engine_open(&en, path, a->adapter, a->threads, &e);
    if (!rc) {
        if (en->n_ctx > a->ctx) en->n_ctx = a->ctx;
        en->kv_type = kv;
        en->n_lookup = a->lookup;
        log_info("Starting server process, press CTRL+C to shutdown server...");
        log_info("After application startup complete see http://%s%s%s:%d/docs for API.", at.is_v6 ? "[" : "", host, at.is_v6 ? "]" : "", serve_port(s));
        rc = serve_run(s, en, on_ready, &at, &e);
    }
    serve_free(s);
    engine_free(en);
    mem_free(path);
    if (!rc) {
        log_info("The server has stopped.");
        return EXIT_DONE;
    }
    fail(&e, "Error creating server: failed creating the server application: ");
    if (taken) fprintf(stderr, "Another program may use this port: choose one with --host-port %s:PORT\n", host);
    return EXIT_FAILED;
}

const struct cmd CMD_SERVE = {
    .name = "serve", .group = "model", .needs_config = 2, .args_bytes = sizeof(struct serve_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run,
    .summary = "Serve a model to OpenAI-style clients on this computer.",
    .help = "Examples:\n  ilab serve\n  ilab serve --model-path models/ggml-model-f16.gguf --host-port 127.0.0.1:8001\n"
            "  curl http://127.0.0.1:8000/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n\n"
            "`ilab chat` and `ilab generate` use a running server when it serves the same model. Ctrl-C stops it.\n"
            "http://127.0.0.1:8000/check is a page that checks a qna.yaml while it is written.\n",
};
