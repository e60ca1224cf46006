/* chat_template.c — conversations to ids by rows of header and end strings.
 *
 * A model's own template is Jinja; each family it may belong to is one row here, recognised by what occurs in
 * the Jinja text. A row is its own Jinja text too, for files that this program writes.
 * Template text goes to ids with special tokens parsed; the content of a message goes to ids by itself and
 * without control tokens, so that no content can open another role and training and inference agree.
 * Does not interpret Jinja.  SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_COUNT };
enum bos_use { BOS_BY_MODEL, BOS_FRONT, BOS_EACH_USER };
enum { TRIM_SYSTEM = 1 << ROLE_SYSTEM, TRIM_USER = 1 << ROLE_USER, TRIM_ASSISTANT = 1 << ROLE_ASSISTANT, TRIM_ALL = 7 };

static const char *const role_names[ROLE_COUNT] = { "system", "user", "assistant" };

#define EOS "\x01"                                            /* the model's end-of-text token */

/* head, lead content trail, stop, tail. Lead and trail are spaces that belong to the content's own encoding. */
struct turn { const char *head, *lead, *trail, *stop, *tail; };
struct chat_template {
    const char *names[8];                                     /* first: its name; then aliases, also looked for in general.name */
    const char *marker[3];                                    /* all of them occur in the Jinja text; " stands for ' too */
    enum bos_use bos;
    int last_tail;                                            /* the last message has its tail, too */
    int last_stop;                                            /* a last answer ends with EOS; the others only with their tail */
    int trim;                                                 /* TRIM_…: roles whose content loses white space at its ends */
    struct turn turn[ROLE_COUNT];
    const char *default_system;                               /* where a conversation has none; NULL: nothing */
    const char *head_after_system;                            /* of a user turn; NULL: as always */
    const char *prompt;                                       /* what asks for an answer */
    const char *jinja;
};

#define CHATML_TURNS { { "<|im_start|>system\n", "", "", "<|im_end|>", "\n" }, { "<|im_start|>user\n", "", "", "<|im_end|>", "\n" }, \
                       { "<|im_start|>assistant\n", "", "", "<|im_end|>", "\n" } }
#define CHATML_JINJA(first) \
    "{% for message in messages %}" first "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define CHATML(name, alias, text) \
    { .names = { name, alias }, .marker = { "<|im_start|>", text "<|im_end|>" }, .last_tail = 1, .turn = CHATML_TURNS, .default_system = text, \
      .prompt = "<|im_start|>assistant\n", \
      .jinja = CHATML_JINJA("{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\n" text "<|im_end|>\\n' }}{% endif %}") }
/* Mistral's forms since version 3. s: the space in front of content, which the Tekken vocabularies do not have. */
#define MISTRAL_JINJA(s, answer) \
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ \"[INST]" s "\" + message['content'] + '\\n\\n' }}" \
    "{% elif message['role'] == 'user' %}{{ ('' if loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system' else '[INST]" s "') " \
    "+ message['content'] + '[/INST]' }}{% elif message['role'] == 'assistant' %}{{ " answer " + eos_token }}{% endif %}{% endfor %}"
#define MISTRAL7_JINJA(s) \
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '[SYSTEM_PROMPT]" s "' + message['content'] " \
    "+ '[/SYSTEM_PROMPT]' }}{% elif message['role'] == 'user' %}{{ '[INST]" s "' + message['content'] + '[/INST]' }}" \
    "{% elif message['role'] == 'assistant' %}{{ '" s "' + message['content'] + eos_token }}{% endif %}{% endfor %}"

/* First fit wins: more particular markers stand in front. */
static const struct chat_template rows[] = {
    { .names = { "llama3", "llama-3" },
      .marker = { "<|start_header_id|>" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .trim = TRIM_ALL,
      .turn = { { "<|start_header_id|>system<|end_header_id|>\n\n", "", "", "<|eot_id|>", "" },
                { "<|start_header_id|>user<|end_header_id|>\n\n", "", "", "<|eot_id|>", "" },
                { "<|start_header_id|>assistant<|end_header_id|>\n\n", "", "", "<|eot_id|>", "" } },
      .prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n",
      .jinja = "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
               "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}" },
    { .names = { "granite3", "granite-3" },
      .marker = { "<|start_of_role|>" },
      .last_tail = 1,
      .turn = { { "<|start_of_role|>system<|end_of_role|>", "", "", "<|end_of_text|>", "\n" },
                { "<|start_of_role|>user<|end_of_role|>", "", "", "<|end_of_text|>", "\n" },
                { "<|start_of_role|>assistant<|end_of_role|>", "", "", "<|end_of_text|>", "\n" } },
      .prompt = "<|start_of_role|>assistant<|end_of_role|>",
      .jinja = "{% for message in messages %}{{ '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] "
               "+ '<|end_of_text|>\\n' }}{% endfor %}{% if add_generation_prompt %}"
               "{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}" },
    { .names = { "phi4", "phi-4" },
      .marker = { "<|im_sep|>" },
      .last_tail = 1,
      .turn = { { "<|im_start|>system<|im_sep|>", "", "", "<|im_end|>", "" },
                { "<|im_start|>user<|im_sep|>", "", "", "<|im_end|>", "" },
                { "<|im_start|>assistant<|im_sep|>", "", "", "<|im_end|>", "" } },
      .prompt = "<|im_start|>assistant<|im_sep|>",
      .jinja = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}" },
    CHATML("qwen2.5", "qwen2_5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    CHATML("qwen2", "qwen1.5", "You are a helpful assistant."),
    CHATML("qwen2-0", NULL, "You are a helpful assistant"),
    CHATML("smollm2", NULL, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    { .names = { "chatml", "qwen3", "qwen", "smollm", "hermes" },
      .marker = { "<|im_start|>" },
      .last_tail = 1,
      .turn = CHATML_TURNS,
      .prompt = "<|im_start|>assistant\n",
      .jinja = CHATML_JINJA("") },
    { .names = { "gemma" },
      .marker = { "<start_of_turn>" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .trim = TRIM_USER | TRIM_ASSISTANT,
      .turn = { { "<start_of_turn>user\n", "", "", "", "\n\n" },
                { "<start_of_turn>user\n", "", "", "<end_of_turn>", "\n" },
                { "<start_of_turn>model\n", "", "", "<end_of_turn>", "\n" } },
      .head_after_system = "",
      .prompt = "<start_of_turn>model\n",
      .jinja = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
               "{{ '<start_of_turn>user\\n' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'user' %}"
               "{{ ('' if loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system' else '<start_of_turn>user\\n') "
               "+ message['content'] | trim + '<end_of_turn>\\n' }}{% elif message['role'] == 'assistant' %}"
               "{{ '<start_of_turn>model\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endif %}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}" },
    { .names = { "llama2", "llama-2" },
      .marker = { "[INST]", "<<SYS>>" },
      .bos = BOS_EACH_USER,
      .last_tail = 1,
      .trim = TRIM_USER | TRIM_ASSISTANT,
      .turn = { { "[INST] <<SYS>>\n", "", "", "", "\n<</SYS>>\n\n" },
                { "[INST]", " ", "", "", " [/INST]" },
                { "", " ", " ", EOS, "" } },
      .head_after_system = "",
      .prompt = "",
      .jinja = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
               "{{ '[INST] <<SYS>>\\n' + message['content'] + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'user' %}"
               "{% if loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system' %}{{ message['content'] | trim + ' [/INST]' }}"
               "{% else %}{{ ('' if loop.first else bos_token) + '[INST] ' + message['content'] | trim + ' [/INST]' }}{% endif %}"
               "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}" },
    { .names = { "mistral-v7" },
      .marker = { "[SYSTEM_PROMPT] " },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .turn = { { "[SYSTEM_PROMPT]", " ", "", "", "[/SYSTEM_PROMPT]" }, { "[INST]", " ", "", "", "[/INST]" }, { "", " ", "", EOS, "" } },
      .prompt = "",
      .jinja = MISTRAL7_JINJA(" ") },
    { .names = { "mistral-v7-tekken" },
      .marker = { "[SYSTEM_PROMPT]" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .turn = { { "[SYSTEM_PROMPT]", "", "", "", "[/SYSTEM_PROMPT]" }, { "[INST]", "", "", "", "[/INST]" }, { "", "", "", EOS, "" } },
      .prompt = "",
      .jinja = MISTRAL7_JINJA("") },
    { .names = { "mistral-v3-tekken", "mistral-nemo" },
      .marker = { "\"[INST]\"", "\"[/INST]\"" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .turn = { { "[INST]", "", "", "", "\n\n" }, { "[INST]", "", "", "", "[/INST]" }, { "", "", "", EOS, "" } },
      .head_after_system = "",
      .prompt = "",
      .jinja = MISTRAL_JINJA("", "message['content']") },
    { .names = { "mistral-v3" },
      .marker = { "\"[INST] \"", "\"[/INST]\"" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .trim = TRIM_ASSISTANT,
      .turn = { { "[INST]", " ", "", "", "\n\n" }, { "[INST]", " ", "", "", "[/INST]" }, { "", " ", "", EOS, "" } },
      .head_after_system = "",
      .prompt = "",
      .jinja = MISTRAL_JINJA(" ", "' ' + message['content'] | trim") },
    { .names = { "mistral", "mixtral" },
      .marker = { "[INST]" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .turn = { { "[INST]", " ", "", "", "\n\n" },
                { "[INST]", " ", "", "", " [/INST]" },
                { "", " ", "", EOS, "" } },
      .head_after_system = "",
      .prompt = "",
      .jinja = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
               "{{ '[INST] ' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'user' %}"
               "{% if loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system' %}{{ message['content'] + ' [/INST]' }}"
               "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
               "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}" },
    { .names = { "phi3", "phi-3" },
      .marker = { "<|user|>", "<|end|>" },
      .last_tail = 1,
      .turn = { { "<|system|>\n", "", "", "<|end|>", "\n" },
                { "<|user|>\n", "", "", "<|end|>", "\n" },
                { "<|assistant|>\n", "", "", "<|end|>", "\n" } },
      .prompt = "<|assistant|>\n",
      .jinja = "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\\n' + message['content'] + '<|end|>\\n' }}"
               "{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '<|end|>\\n' }}"
               "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + '<|end|>\\n' }}"
               "{% endif %}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}" },
    { .names = { "phi3-small" }, /* the same, written with the role's name */
      .marker = { "\"<|\" + message[\"role\"]", "<|end|>" },
      .last_tail = 1,
      .turn = { { "<|system|>\n", "", "", "<|end|>", "\n" }, { "<|user|>\n", "", "", "<|end|>", "\n" }, { "<|assistant|>\n", "", "", "<|end|>", "\n" } },
      .prompt = "<|assistant|>\n",
      .jinja = "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}" },
    { .names = { "olmo2", "olmo-2", "tulu" },
      .marker = { "<|user|>", "eos_token", "not loop.last" },
      .bos = BOS_FRONT,
      .turn = { { "<|system|>\n", "", "", "", "\n" }, { "<|user|>\n", "", "", "", "\n" }, { "<|assistant|>\n", "", "", EOS, "\n" } },
      .prompt = "<|assistant|>\n",
      .jinja = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\\n' + message['content'] + '\\n' }}"
               "{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'assistant' %}"
               "{{ '<|assistant|>\\n' + message['content'] + eos_token + ('\\n' if not loop.last else '') }}{% endif %}"
               "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}" },
    { .names = { "zephyr", "tinyllama" },
      .marker = { "<|user|>", "eos_token" },
      .last_tail = 1,
      .turn = { { "<|system|>\n", "", "", EOS, "\n" },
                { "<|user|>\n", "", "", EOS, "\n" },
                { "<|assistant|>\n", "", "", EOS, "\n" } },
      .prompt = "<|assistant|>\n",
      .jinja = "{% for message in messages %}{% if message['role'] == 'system' %}"
               "{{ '<|system|>\\n' + message['content'] + eos_token + '\\n' }}"
               "{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + eos_token + '\\n' }}"
               "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}"
               "{% endif %}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}" },
    { .names = { "granite-code", "granite-3b-code", "granite-8b-code" },
      .marker = { "Question:", "Answer:" },
      .last_stop = 1,
      .turn = { { "System:\n", "", "", "", "\n\n" }, { "Question:\n", "", "", "", "\n\n" }, { "Answer:\n", "", "", "", "\n\n" } },
      .prompt = "Answer:\n",
      .jinja = "{% for message in messages %}{% if message['role'] == 'system' %}{{ 'System:\\n' + message['content'] + '\\n\\n' }}"
               "{% elif message['role'] == 'user' %}{{ 'Question:\\n' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}"
               "{{ 'Answer:\\n' + message['content'] + (eos_token if loop.last else '\\n\\n') }}{% endif %}"
               "{% if loop.last and add_generation_prompt %}{{ 'Answer:\\n' }}{% endif %}{% endfor %}" },
    { .names = { "deepseek" },
      .marker = { "\"User: \"", "Assistant:" },
      .bos = BOS_FRONT,
      .last_tail = 1,
      .turn = { { "", "", "", "", "\n\n" }, { "User: ", "", "", "", "\n\n" }, { "Assistant:", " ", "", EOS, "" } },
      .prompt = "Assistant:",
      .jinja = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
               "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}"
               "{{ 'Assistant: ' + message['content'] + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}" },
    { .names = { "granite", "merlinite" }, /* the default: InstructLab's models of 2024 */
      .marker = { "<|user|>", "<|assistant|>", "<|endoftext|>" },
      .turn = { { "<|system|>\n", "", "", "", "\n" },
                { "<|user|>\n", "", "", "", "\n" },
                { "<|assistant|>\n", "", "", "<|endoftext|>", "\n" } },
      .last_tail = 0,
      .prompt = "<|assistant|>\n",
      .jinja = "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>' + '\\n' + message['content'] + '\\n' }}"
               "{% elif message['role'] == 'user' %}{{ '<|user|>' + '\\n' + message['content'] + '\\n' }}"
               "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + '\\n' + message['content'] + '<|endoftext|>' "
               "+ ('' if loop.last else '\\n') }}{% endif %}{% if loop.last and add_generation_prompt %}"
               "{{ '<|assistant|>' + '\\n' }}{% endif %}{% endfor %}" },
};

/* The marker in the text; a " in the marker stands for either quotation mark. */
static int has_marker(const char *text, const char *marker)
{
    for (; *text; text++) {
        size_t k = 0;
        while (marker[k] && (text[k] == marker[k] || (marker[k] == '"' && text[k] == '\'')))
            k++;
        if (!marker[k])
            return 1;
    }
    return 0;
}

static int has_markers(const struct chat_template *c, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(c->marker) && c->marker[i]; i++)
        if (!has_marker(text, c->marker[i]))
            return 0;
    return 1;
}

static const struct chat_template *recognised(const struct tokenizer *t)
{
    for (size_t i = 0; i < ARRAY_LEN(rows) && t->chat_template; i++)
        if (has_markers(&rows[i], t->chat_template))
            return &rows[i];
    return NULL;
}

/* A template that no row knows: the row whose first special token the vocabulary has, else ChatML as plain text. */
static const struct chat_template *by_vocabulary(const struct tokenizer *t)
{
    static const struct { const char *token, *family; } sign[] = {
        { "<|im_start|>", "chatml" }, { "<|start_header_id|>", "llama3" }, { "<|start_of_role|>", "granite3" }, { "<start_of_turn>", "gemma" },
        { "[SYSTEM_PROMPT]", "mistral-v7-tekken" }, { "[INST]", "mistral-v3" }, { "<|assistant|>", "granite" } };

    for (size_t k = 0; k < ARRAY_LEN(sign); k++)
        if (is_special(t, tokenizer_find(t, sign[k].token)))
            return chat_template_named(sign[k].family);
    return chat_template_named("chatml");
}

const struct chat_template *chat_template_of(const struct tokenizer *t)
{
    const struct chat_template *c = recognised(t);

    if (c || t->chat_template)
        return c ? c : by_vocabulary(t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(rows[i].names) && rows[i].names[k]; k++)
            if (strstr(t->name, rows[i].names[k]))
                return &rows[i];
    return &rows[ARRAY_LEN(rows) - 1];
}

int chat_template_warning(const struct tokenizer *t, char *out, size_t cap)
{
    if (!t->chat_template || recognised(t))
        return 0;
    snprintf(out, cap, "the model's chat template is none that this program knows: using the form '%s' instead; answers may suffer",
             chat_template_name(chat_template_of(t)));
    return 1;
}

const struct chat_template *chat_template_named(const char *family)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(rows[i].names) && rows[i].names[k]; k++)
            if (!strcmp(family, rows[i].names[k]))
                return &rows[i];
    return NULL;
}

const char *chat_template_jinja(const struct chat_template *c) { return c->jinja; }
const char *chat_template_name(const struct chat_template *c) { return c->names[0]; }

/* ---- conversation to ids ---- */

struct chat_writer {
    const struct tokenizer *t;
    struct chat_ids *out;
    struct sb text;              /* template text that waits: the end of one turn and the head of the next are encoded as one */
    int after_special;
    ilab_err *e;
};

static int write_mask(struct chat_writer *w, uint8_t value)
{
    struct chat_ids *o = w->out;
    size_t n = o->ids.n;

    if (mem_grow((void **)&o->mask, &o->mask_cap, n + 1, 1))
        return err_set(w->e, ILAB_E_NOMEM, "no memory for a conversation");
    memset(o->mask + o->mask_n, value, n - o->mask_n);
    o->mask_n = n;
    return 0;
}

/* What is left of s when the last id takes the white space behind it. */
static struct sv behind_last(const struct chat_writer *w, struct sv s)
{
    const struct ids *l = &w->out->ids;

    if (w->t->strip && l->n && w->after_special && (w->t->strip[l->v[l->n - 1]] & STRIP_RIGHT))
        while (s.n && (*s.p == ' ' || (*s.p >= '\t' && *s.p <= '\r')))
            s.p++, s.n--;
    return s;
}

static int write_text(struct chat_writer *w)
{
    struct sv text = behind_last(w, (struct sv){ w->text.p, w->text.n });
    int rc = encode_part(w->t, text, TOKEN_PARSE_SPECIAL, &w->after_special, &w->out->ids, w->e);

    if (!rc && w->text.failed)
        rc = err_set(w->e, ILAB_E_NOMEM, "no memory for a conversation");
    sb_reset(&w->text);
    return rc ? rc : write_mask(w, 0);
}

static int write_id(struct chat_writer *w, int id, uint8_t mask)
{
    int rc = write_text(w);

    if (rc)
        return rc;
    if (ids_push(&w->out->ids, id))
        return err_set(w->e, ILAB_E_NOMEM, "no memory for a conversation");
    w->after_special = 1;
    return write_mask(w, mask);
}

/* The end token of a turn; a vocabulary without it ends turns by its end-of-text token. */
static int write_stop(struct chat_writer *w, const char *stop, uint8_t mask)
{
    int id = strcmp(stop, EOS) ? tokenizer_find(w->t, stop) : -1;

    if (!*stop)
        return 0;
    if (!is_special(w->t, id))
        id = w->t->eos;
    if (id >= 0)
        return write_id(w, id, mask);
    if (strcmp(stop, EOS))
        sb_addc(&w->text, stop);
    return 0;
}

static int write_content(struct chat_writer *w, const struct turn *turn, struct sv content, uint8_t mask)
{
    struct sb s;
    int rc = write_text(w);

    if (rc)
        return rc;
    content = behind_last(w, content);
    if (!*turn->lead && !*turn->trail)
        rc = encode_part(w->t, content, 0, &w->after_special, &w->out->ids, w->e);
    else {
        sb_init(&s, TOKEN_MAX_TEXT_BYTES);
        /* behind a special token SentencePiece writes the leading space by itself */
        if (!(w->t->space_prefix && w->after_special))
            sb_addc(&s, turn->lead);
        sb_add(&s, content);
        sb_addc(&s, turn->trail);
        rc = s.failed ? err_set(w->e, ILAB_E_NOMEM, "no memory for a conversation")
                      : encode_part(w->t, (struct sv){ s.p, s.n }, 0, &w->after_special, &w->out->ids, w->e);
        sb_release(&s);
    }
    return rc ? rc : write_mask(w, mask);
}

static int find_role(const char *name)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (!strcmp(name, role_names[r]))
            return r;
    return -1;
}

static int write_messages(struct chat_writer *w, const struct chat_template *c, const struct chat_message *m, int n_message)
{
    int rc, role, previous = -1;

    for (int i = 0; i < n_message; i++, previous = role) {
        role = find_role(m[i].role);
        if (role < 0)
            return err_set(w->e, ILAB_E_INVALID, "message %d: role '%s' is none of system, user, assistant", i + 1, m[i].role);
        const struct turn *turn = &c->turn[role];
        struct turn joined = *turn;
        struct sv content = c->trim & 1 << role ? sv_trim(m[i].content) : m[i].content;
        int last = i + 1 == n_message, assistant = role == ROLE_ASSISTANT;
        if (c->head_after_system && role == ROLE_USER && previous == ROLE_SYSTEM) {
            joined.head = c->head_after_system;
            joined.lead = "";
        } else if (c->bos == BOS_EACH_USER && role == ROLE_USER && i > 0 && w->t->bos >= 0 && (rc = write_id(w, w->t->bos, 0)))
            return rc;
        uint8_t mask = (uint8_t)assistant;
        sb_addc(&w->text, joined.head);
        if ((rc = write_content(w, &joined, content, mask)) || (rc = write_stop(w, assistant && last && c->last_stop ? EOS : turn->stop, mask)))
            return rc;
        if (c->last_tail || !assistant || !last)
            sb_addc(&w->text, turn->tail);
    }
    return 0;
}

/* BOS, and the system turn that stands where a conversation has none. */
static int write_front(struct chat_writer *w, const struct chat_template *c, int has_system)
{
    struct chat_message system = { "system", sv_of(c->default_system ? c->default_system : "") };
    int rc = 0;

    if (w->t->bos >= 0 && (w->t->adds_bos || c->bos != BOS_BY_MODEL))
        rc = write_id(w, w->t->bos, 0);
    return !rc && c->default_system && !has_system ? write_messages(w, c, &system, 1) : rc;
}

int chat_encode(const struct tokenizer *t, const struct chat_template *c, const struct chat_message *m, int n_message, int add_prompt,
                struct chat_ids *out, ilab_err *e)
{
    struct chat_writer w = { .t = t, .out = out, .after_special = 1, .e = e };

    out->ids.n = out->mask_n = 0;
    sb_init(&w.text, TOKEN_MAX_TEMPLATE_BYTES);
    int rc = write_front(&w, c, !n_message || find_role(m[0].role) == ROLE_SYSTEM);
    if (!rc && !(rc = write_messages(&w, c, m, n_message))) {
        if (add_prompt)
            sb_addc(&w.text, c->prompt);
        rc = write_text(&w);
    }
    sb_release(&w.text);
    if (rc)
        out->ids.n = out->mask_n = 0;
    return rc;
}

int chat_encode_user_head(const struct tokenizer *t, const struct chat_template *c, struct chat_ids *out, ilab_err *e)
{
    struct chat_writer w = { .t = t, .out = out, .after_special = 1, .e = e };

    out->ids.n = out->mask_n = 0;
    sb_init(&w.text, TOKEN_MAX_TEMPLATE_BYTES);
    int rc = write_front(&w, c, 0);
    sb_addc(&w.text, c->turn[ROLE_USER].head);
    if (!rc)
        rc = write_text(&w);
    sb_release(&w.text);
    return rc;
}

void chat_ids_release(struct chat_ids *c)
{
    ids_release(&c->ids);
    mem_free(c->mask);
    *c = (struct chat_ids){ 0 };
}
