/* corpus.c — the starter's text: samples of every task, mixed by share of tokens, one JSON object a line.
 *
 * Loss is on answers unless a line says "loss":"all"; plain texts are learnt whole.  SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/writer.h"

#include <string.h>

/* ---- the mix ---- */
static struct { const char *name; int (*make)(struct writer *); double share; } mix[] = {
    { "read", sample_read, 0.24 }, { "ask", sample_ask, 0.21 }, { "ask missing", sample_ask_missing, 0.04 }, { "rephrase", sample_rephrase, 0.07 }, { "state", sample_state, 0.03 },
    { "core question", sample_core, 0.105 }, { "dialogue", sample_dialogue, 0.02 }, { "unknown", sample_unknown, 0.05 }, { "tell", sample_tell, 0.015 }, { "check", sample_check, 0.025 },
    { "premise", sample_premise, 0.012 }, { "core prose", sample_prose_core, 0.01 }, { "fresh prose", sample_prose_fresh, 0.11 }, { "chat", sample_chat, 0.008 },
    { "repeat", sample_repeat, 0.025 }, { "look up", sample_lookup, 0.03 } };

/* "read=0.5,repeat=0.5": only these tasks, in these shares. */
int corpus_mix(const char *spec, ilab_err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(mix); i++)
        mix[i].share = 0;
    struct sv rest = sv_of(spec), part;
    while (sv_split(&rest, ',', &part)) {
        struct sv name;
        char number[32];
        double share = 0;
        sv_split(&part, '=', &name);
        snprintf(number, sizeof number, "%.*s", SV_ARG(part));
        size_t i = 0;
        while (i < ARRAY_LEN(mix) && !sv_eq_c(name, mix[i].name))
            i++;
        if (i == ARRAY_LEN(mix) || parse_f64(number, 0, 1, &share))
            return err_set(err, ILAB_E_INVALID, "no task '%.*s' or no share '%s'", SV_ARG(name), number);
        mix[i].share = share;
    }
    return 0;
}

static const char *system_message(struct rng *r)
{
    static const char *const m[] = { "You are a helpful assistant.", "You answer briefly.", "Answer the question.", "You are an AI language model.", "You are a cautious assistant.", "Be kind and honest.", "Say so when you do not know.",
        "You are a careful assistant. You carefully follow instructions.", "You are an AI language model. You are a cautious assistant. You carefully follow instructions. You are helpful and harmless and you follow ethical guidelines and promote positive behavior.",
        "Help the user.", "You are a friendly helper.", "Keep your answers short." };
    return m[rng_below(r, ARRAY_LEN(m))];
}

static void write_line(struct writer *w, const char *task)
{
    struct sb *b = &w->line;
    sb_reset(b);
    if (w->is_text) {
        sb_addc(b, "{\"text\":");
        sb_add_json_str(b, (struct sv){ w->turn[0].p, w->turn[0].n });
    } else {
        sb_addc(b, "{\"messages\":[");
        if (chance(w->r, 6) && !(w->loss_all && w->n_turn == 2)) {
            sb_addc(b, "{\"role\":\"system\",\"content\":");
            sb_add_json_str(b, sv_of(system_message(w->r)));
            sb_addc(b, "},");
        }
        for (int i = 0; i < w->n_turn; i++) {
            sb_addc(b, i ? ",{\"role\":" : "{\"role\":");
            sb_addc(b, i % 2 ? "\"assistant\",\"content\":" : "\"user\",\"content\":");
            sb_add_json_str(b, (struct sv){ w->turn[i].p, w->turn[i].n });
            sb_addch(b, '}');
        }
        sb_addch(b, ']');
        if (w->loss_all)
            sb_addc(b, ",\"loss\":\"all\"");
    }
    if (task)
        sb_addf(b, ",\"task\":\"%s\"", task);
    sb_addc(b, "}\n");
}

/* About as many tokens as the trained vocabulary needs: measured on the shipped one, within 2 %. */
static double token_estimate(const struct writer *w)
{
    double n = 1;
    for (int i = 0; i < w->n_turn; i++) {
        n += 3;
        for (size_t k = 0; k < w->turn[i].n; k++) {
            unsigned char c = (unsigned char)w->turn[i].p[k];
            n += c >= '0' && c <= '9' ? 0.9 : 0.275;
        }
    }
    return n;
}

int corpus_write(const char *path, const struct core *core, uint64_t seed, int64_t tokens, enum text_kind kind, int loss_all, ilab_err *err)
{
    static struct writer w;
    struct rng r;
    rng_seed(&r, seed ^ (kind == TEXT_CORPUS ? 0 : 0x7A11DA7E00ull));
    memset(&w, 0, sizeof w);
    w.core = core;
    w.r = &r;
    w.names = (struct names){ .r = &r, .part = PARTITION_CORPUS, .plain = 1 };
    sb_init(&w.line, 1 << 20);
    for (int i = 0; i < TURNS_MAX; i++)
        sb_init(&w.turn[i], 1 << 18);
    double made[ARRAY_LEN(mix)] = { 0 }, mean[ARRAY_LEN(mix)], total = 0;
    int64_t count[ARRAY_LEN(mix)] = { 0 };
    for (size_t k = 0; k < ARRAY_LEN(mix); k++)
        mean[k] = 60;
    struct file_out out;
    if (file_create(&out, path, err))
        return err->code;
    while (total < (double)tokens) {
        double sum = 0, x;
        size_t k = 0;
        for (size_t i = 0; i < ARRAY_LEN(mix); i++)
            sum += mix[i].share / mean[i];
        x = rng_unit(&r) * sum;
        while (k + 1 < ARRAY_LEN(mix) && (x -= mix[k].share / mean[k]) >= 0)
            k++;
        w.n_turn = w.loss_all = w.is_text = 0;
        if (!mix[k].make(&w))
            continue;
        w.loss_all |= loss_all;
        write_line(&w, kind == TEXT_PROBE ? mix[k].name : NULL);
        file_put(&out, w.line.p, w.line.n);
        double n = token_estimate(&w);
        made[k] += n;
        total += n;
        count[k]++;
        mean[k] = made[k] / (double)count[k];
    }
    for (size_t k = 0; k < ARRAY_LEN(mix); k++)
        fprintf(stderr, "%-14s %9lld samples %5.1f tokens each %5.1f %%\n", mix[k].name, (long long)count[k], mean[k], 100 * made[k] / total);
    for (int i = 0; i < TURNS_MAX; i++)
        sb_release(&w.turn[i]);
    sb_release(&w.line);
    scene_release(&w.scene);
    return file_commit(&out, err);
}
