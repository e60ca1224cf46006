/* pretok.c — cuts text into the words inside which byte-level BPE merges.
 *
 * Each model family fixes this by regular expressions. Here they are rows: the name that GGUF files use, and the
 * expressions as the families publish them (tokenizer.json; for the names, llama.cpp's convert_hf_to_gguf.py). The
 * first one cuts the text into its matches and what lies between; each further one cuts all those pieces again.
 * A piece of text that nothing matches is a word, too; the words put together are the text again, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"
#include "token/pattern.h"

#include <string.h>

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define OTHERS(tail) " ?[^\\s\\p{L}\\p{N}]+[" tail "]*|" SPACES
#define LLAMA(digits) SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "|" OTHERS("\\r\\n")
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end) "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" end
#define CJK "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#define DEEPSEEK3 "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
/* The cased letters of the Unicode version that DeepSeek's tokenizer.json was made with. */
#define DEEPSEEK_LETTERS \
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d" \
    "\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd" \
    "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57" \
    "\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-" \
    "\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-" \
    "\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-" \
    "\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb" \
    "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+"

static const char *const gpt2[] = { GPT2, NULL }, *const single[] = { "\\p{N}", GPT2, NULL },
                  *const llama3[] = { LLAMA("\\p{N}{1,3}"), NULL }, *const qwen2[] = { LLAMA("\\p{N}"), NULL },
                  *const llama_cpp_default[] = { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]", NULL },
                  *const falcon[] = { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]", NULL },
                  *const tekken[] = { CASED("") "|\\p{N}|" OTHERS("\\r\\n/"), NULL },
                  *const gpt4o[] = { CASED(SUFFIX "?") "|\\p{N}{1,3}|" OTHERS("\\r\\n/"), NULL },
                  *const qwen35[] = { SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES, NULL },
                  *const minicpm5[] = { "\\p{N}{1,3}", LLAMA("\\p{N}+"), NULL },
                  *const seed_coder[] = { SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES, NULL },
                  *const bailing[] = { "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
                                       "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", NULL },
                  *const deepseek3[] = { "\\p{N}{1,3}", CJK, DEEPSEEK3, NULL },
                  *const deepseek_llm[] = { "[\\r\\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "\\p{N}+", NULL },
                  *const deepseek_coder[] = { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "\\p{N}", NULL },
                  *const bloom[] = { " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+", NULL }, *const viking[] = { " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+", "\\p{N}", NULL };

/* What a name says besides the expressions. */
enum { IGNORE_MERGES = PRETOK_IGNORE_MERGES, ADD_BOS = PRETOK_ADD_BOS, ADD_EOS = PRETOK_ADD_EOS, LLAMA3 = IGNORE_MERGES | ADD_BOS };

/* Of rows that mean the same the first one is the name that is written. */
static const struct pretok_row rows[] = {
    { "gpt-2", gpt2 },          { "gpt2", gpt2 },           { "phi-2", gpt2 },          { "mpt", gpt2 },
    { "olmo", gpt2 },           { "jais", gpt2 },           { "trillion", gpt2 },       { "granite-docling", gpt2 },
    { "exaone4", gpt2 },        { "mellum", gpt2 },         { "modern-bert", gpt2 },    { "jina-es", gpt2 },
    { "jina-de", gpt2 },        { "jina-v2-es", gpt2 },     { "jina-v2-de", gpt2 },     { "gigachat", gpt2 },
    { "a.x-4.0", gpt2 },
    { "roberta-bpe", gpt2, ADD_BOS | ADD_EOS },             { "jina-v1-en", gpt2, ADD_BOS | ADD_EOS },
    { "jina-v2-code", gpt2, ADD_BOS | ADD_EOS },
    { "refact", single },       { "smollm", single },       { "starcoder", single },    { "command-r", single },
    { "codeshell", single },    { "exaone", single },       { "minerva-7b", single },   { "mellum2", single },
    { "llama-bpe", llama3, LLAMA3 }, { "llama3", llama3, LLAMA3 }, { "llama-v3", llama3, LLAMA3 }, { "falcon3", llama3, LLAMA3 },
    { "falcon-h1", llama3, LLAMA3 }, { "pixtral", llama3, LLAMA3 }, { "midm-2.0", llama3, LLAMA3 }, { "lfm2", llama3, LLAMA3 },
    { "jina-v5-nano", llama3, LLAMA3 },
    { "dbrx", llama3 },         { "smaug-bpe", llama3 },    { "glm4", llama3 },         { "chatglm-bpe", llama3 },
    { "qwen2", qwen2 },         { "qwen3", qwen2 },         { "deepseek-r1-qwen", qwen2 }, { "stablelm2", qwen2 },
    { "hunyuan", qwen2 },       { "megrez", qwen2 },        { "solar-open", qwen2 },    { "grok-2", qwen2 },
    { "kormo", qwen2 },         { "f2llmv2", qwen2 },
    { "tekken", tekken, LLAMA3 },
    { "gpt-4o", gpt4o },        { "llama4", gpt4o },        { "kanana2", gpt4o },       { "minimax-m2", gpt4o },
    { "granite-embed-multi-97m", gpt4o, IGNORE_MERGES },
    { "qwen35", qwen35 },       { "minicpm5", minicpm5, IGNORE_MERGES }, { "seed-coder", seed_coder },
    { "bailingmoe", bailing },  { "bailingmoe2", bailing }, { "llada-moe", bailing },
    { "deepseek-v3", deepseek3 }, { "hunyuan-dense", deepseek3 }, { "joyai-llm", deepseek3 }, { "hy_v4", deepseek3 },
    { "deepseek-llm", deepseek_llm }, { "deepseek-coder", deepseek_coder },
    { "falcon", falcon },       { "bloom", bloom },         { "poro-chat", bloom },     { "gpt3-finnish", bloom },
    { "viking", viking },
    { "default", llama_cpp_default },
};

struct pretok { struct categories *categories; int n; struct pattern *stage[PRETOK_STAGES]; };

const struct pretok_row *pretok_row(int i) { return i >= 0 && i < (int)ARRAY_LEN(rows) ? &rows[i] : NULL; }

const struct pretok_row *pretok_find(struct sv name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (sv_eq_c(name, rows[i].name))
            return &rows[i];
    return NULL;
}

int pretok_new(struct pretok **out, const struct sv *pattern, int n, ilab_err *e)
{
    struct pretok *p = mem_calloc(1, sizeof *p);
    int rc = 0;

    *out = NULL;
    if (n < 0 || n > PRETOK_STAGES)
        rc = err_set(e, ILAB_E_LIMIT, "pre-tokenizer of %d patterns: at most %d", n, PRETOK_STAGES);
    else if (!p || !(p->categories = categories_new()))
        rc = err_set(e, ILAB_E_NOMEM, "no memory for a pre-tokenizer");
    for (int k = 0; k < n && !rc; k++, p->n += !rc)
        rc = pattern_new(&p->stage[k], pattern[k], p->categories, e);
    if (rc)
        pretok_free(p);
    else
        *out = p;
    return rc;
}

int pretok_new_row(struct pretok **out, const struct pretok_row *row, ilab_err *e)
{
    struct sv pattern[PRETOK_STAGES];
    int n = 0;

    for (; n < PRETOK_STAGES && row->pattern[n]; n++)
        pattern[n] = sv_of(row->pattern[n]);
    return pretok_new(out, pattern, n, e);
}

void pretok_free(struct pretok *p)
{
    if (!p)
        return;
    for (int k = 0; k < PRETOK_STAGES; k++)
        mem_free(p->stage[k]);
    mem_free(p->categories);
    mem_free(p);
}

size_t pretok_next(const struct pretok *p, struct pretok_at *at, struct sv s, size_t i)
{
    size_t end = s.n;
    int matched;

    if (!at->begun) {
        at->begun = 1;
        at->budget = 64 * s.n + 1024;
    }
    for (int k = 0; k < p->n; k++) {
        if (at->end[k] <= i)
            at->end[k] = pattern_piece_end(p->stage[k], (struct sv){ s.p, end }, i, &at->budget, &matched);
        end = at->end[k];
    }
    return end - i > TOKEN_MAX_WORD_BYTES ? i + TOKEN_MAX_WORD_BYTES : end;
}

/* Text in which any two rows differ that differ at all. */
int pretok_same(const struct pretok *a, const struct pretok *b)
{
    static const char text[] =
        "I'LL we'll 's  pay 1234567 12 3\n\n x\t\ty.\r\n \n  \n.../\n/ 'RE\xce\xb1\xce\x92\xce\xb3 \xc3\xa9t\xc3\xa9 e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87"
        "abc \xe3\x81\x82 HTMLParser iPhone \xc2\xbd\xc2\xbd 7x_y $a+b `c` (d) \xe2\x80\xa6 \xf0\x9f\x98\x80\xf0\x9f\x98\x80 \xd8\x8c, !abc !?\n#x Dz\xc7\x85 .Aa  ";
    struct sv s = { text, sizeof text - 1 };
    struct pretok_at at_a = { 0 }, at_b = { 0 };

    for (size_t i = 0, end; i < s.n; i = end) {
        end = pretok_next(a, &at_a, s, i);
        if (end != pretok_next(b, &at_b, s, i))
            return 0;
    }
    return 1;
}
