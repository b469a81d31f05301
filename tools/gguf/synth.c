/*
 * gguf-synth: writes a tiny language model whose every answer is known beforehand.
 *
 * The model is a bigram model of bytes, put into the shape of a Llama: the embedding of token t is
 * the t-th unit vector, attention and feed-forward weights are zero, so that the residual stream
 * carries the unit vector to the end, and column t of the output matrix holds log p(next | t) of a
 * training text. At temperature 0 an engine therefore says what --predict says; at temperature 1 it
 * babbles in the style of the text. More layers are ballast: they cost time and memory and change
 * no answer.
 *
 * Text: one document a line. The first byte of a document follows <s>, </s> follows its last. A
 * byte that never occurs in the text is followed by what follows <s>. One byte is one token. The
 * same arguments give the same file, byte for byte.
 *
 * Format: GGUF version 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: header,
 * key-value pairs, tensor infos, then the tensors, each at a multiple of 32 bytes; all numbers
 * little-endian.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    TOKEN_UNKNOWN = 0,
    TOKEN_START = 1,
    TOKEN_END = 2,
    TOKEN_BYTES = 3, /* 256 of them, byte 0 first */
    TOKEN_SPACE = TOKEN_BYTES + 256,
    VOCABULARY,
    HEAD = 32, /* floats per attention head */
    ALIGNMENT = 32,
    EMBD_MAX = 8192,
    FF_MAX = 65536,
    LAYERS_MAX = 256,
    LAYER_TENSORS = 9,
    NAME_MAX_BYTES = 48,
};

enum gguf_type {
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
};

enum token_type { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

static const char default_text[] =
    "the weir holds the river and lets through what the mill can grind.\n"
    "when the mill rests, the weir keeps the water; when the wheel turns, it gives.\n"
    "a second wheel takes what is beyond the first, and nobody downstream gets wet.\n"
    "the keeper counts what passes, for each field and each hour, and writes it down.\n";

static const char chat_template[] =
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ message['content'] }}{% endfor %}";

struct model {
    uint32_t embd, ff, layers, context;
    bool random;
    uint32_t pairs[VOCABULARY][VOCABULARY]; /* [previous][next]: how often in the text */
    uint32_t total[VOCABULARY];             /* [previous] */
};

struct options {
    const char *out, *text, *predict;
    uint32_t predict_tokens;
};

/* Without a file the writer only counts, which gives the header the number of keys. */
struct writer {
    FILE *file;
    uint64_t at;
    uint64_t keys;
    uint64_t random; /* state of xorshift64 */
};

struct tensor {
    char name[NAME_MAX_BYTES];
    uint32_t columns, rows; /* rows 1: a vector */
    enum { FILL_ZERO, FILL_ONE, FILL_SCALE, FILL_UNIT, FILL_BIGRAM } fill;
};

static struct model model;

static void put(struct writer *w, const void *bytes, size_t n)
{
    if (w->file != NULL)
        fwrite(bytes, 1, n, w->file);
    w->at += n;
}

static void put_u32(struct writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    put(w, b, sizeof b);
}

static void put_u64(struct writer *w, uint64_t v)
{
    put_u32(w, (uint32_t)v);
    put_u32(w, (uint32_t)(v >> 32));
}

static void put_f32(struct writer *w, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_u32(w, bits);
}

static void put_string(struct writer *w, const char *s)
{
    size_t n = strlen(s);
    put_u64(w, n);
    put(w, s, n);
}

static void put_padding(struct writer *w)
{
    static const uint8_t zeros[ALIGNMENT];
    put(w, zeros, (size_t)(-w->at % ALIGNMENT));
}

static void key(struct writer *w, const char *name, enum gguf_type type)
{
    w->keys++;
    put_string(w, name);
    put_u32(w, type);
}

static void key_u32(struct writer *w, const char *name, uint32_t v)
{
    key(w, name, GGUF_U32);
    put_u32(w, v);
}

static void key_bool(struct writer *w, const char *name, bool v)
{
    uint8_t byte = v;
    key(w, name, GGUF_BOOL);
    put(w, &byte, 1);
}

static void key_string(struct writer *w, const char *name, const char *v)
{
    key(w, name, GGUF_STRING);
    put_string(w, v);
}

static void key_array(struct writer *w, const char *name, enum gguf_type item, uint64_t n)
{
    key(w, name, GGUF_ARRAY);
    put_u32(w, item);
    put_u64(w, n);
}

static void write_shape_keys(struct writer *w)
{
    key_string(w, "general.architecture", "llama");
    key_string(w, "general.name", model.random ? "weir-synth-random" : "weir-synth");
    key_u32(w, "general.alignment", ALIGNMENT);
    key_u32(w, "general.file_type", 0);
    key_u32(w, "llama.context_length", model.context);
    key_u32(w, "llama.embedding_length", model.embd);
    key_u32(w, "llama.block_count", model.layers);
    key_u32(w, "llama.feed_forward_length", model.ff);
    key_u32(w, "llama.attention.head_count", model.embd / HEAD);
    key_u32(w, "llama.rope.dimension_count", HEAD);
    key(w, "llama.attention.layer_norm_rms_epsilon", GGUF_F32);
    put_f32(w, 1e-5F);
}

/* The text of a token, as the vocabulary has it: a space is U+2581 there. */
static void token_name(uint32_t token, char name[NAME_MAX_BYTES])
{
    static const char *const special[TOKEN_BYTES] = {"<unk>", "<s>", "</s>"};
    if (token < TOKEN_BYTES)
        snprintf(name, NAME_MAX_BYTES, "%s", special[token]);
    else if (token < TOKEN_SPACE)
        snprintf(name, NAME_MAX_BYTES, "<0x%02X>", token - TOKEN_BYTES);
    else
        snprintf(name, NAME_MAX_BYTES, "\xe2\x96\x81");
}

static enum token_type token_type(uint32_t token)
{
    if (token == TOKEN_UNKNOWN)
        return TYPE_UNKNOWN;
    if (token < TOKEN_BYTES)
        return TYPE_CONTROL;
    return token < TOKEN_SPACE ? TYPE_BYTE : TYPE_NORMAL;
}

static void write_vocabulary_keys(struct writer *w)
{
    char name[NAME_MAX_BYTES];

    key_string(w, "tokenizer.ggml.model", "llama");
    key_array(w, "tokenizer.ggml.tokens", GGUF_STRING, VOCABULARY);
    for (uint32_t t = 0; t < VOCABULARY; t++) {
        token_name(t, name);
        put_string(w, name);
    }
    key_array(w, "tokenizer.ggml.scores", GGUF_F32, VOCABULARY);
    for (uint32_t t = 0; t < VOCABULARY; t++)
        put_f32(w, 0.0F);
    key_array(w, "tokenizer.ggml.token_type", GGUF_I32, VOCABULARY);
    for (uint32_t t = 0; t < VOCABULARY; t++)
        put_u32(w, (uint32_t)token_type(t));
    key_u32(w, "tokenizer.ggml.unknown_token_id", TOKEN_UNKNOWN);
    key_u32(w, "tokenizer.ggml.bos_token_id", TOKEN_START);
    key_u32(w, "tokenizer.ggml.eos_token_id", TOKEN_END);
    key_bool(w, "tokenizer.ggml.add_bos_token", true);
    key_bool(w, "tokenizer.ggml.add_space_prefix", false);
    key_string(w, "tokenizer.chat_template", chat_template);
}

static void write_keys(struct writer *w)
{
    write_shape_keys(w);
    write_vocabulary_keys(w);
}

static uint32_t tensor_count(void)
{
    return 3 + model.layers * LAYER_TENSORS;
}

static void tensor_of_layer(uint32_t layer, uint32_t index, struct tensor *t)
{
    const uint32_t e = model.embd, f = model.ff;
    const struct {
        const char *name;
        uint32_t columns, rows;
    } parts[LAYER_TENSORS] = {
        {"attn_norm", e, 1}, {"attn_q", e, e},      {"attn_k", e, e},
        {"attn_v", e, e},    {"attn_output", e, e}, {"ffn_norm", e, 1},
        {"ffn_gate", e, f},  {"ffn_up", e, f},      {"ffn_down", f, e},
    };
    t->columns = parts[index].columns;
    t->rows = parts[index].rows;
    t->fill = t->rows == 1 ? FILL_ONE : FILL_ZERO;
    snprintf(t->name, sizeof t->name, "blk.%u.%s.weight", layer, parts[index].name);
}

static void tensor_at(uint32_t index, struct tensor *t)
{
    static const struct tensor outer[] = {
        {.name = "token_embd.weight", .rows = VOCABULARY, .fill = FILL_UNIT},
        {.name = "output_norm.weight", .rows = 1, .fill = FILL_SCALE},
        {.name = "output.weight", .rows = VOCABULARY, .fill = FILL_BIGRAM},
    };
    if (index >= 3) {
        tensor_of_layer((index - 3) / LAYER_TENSORS, (index - 3) % LAYER_TENSORS, t);
        return;
    }
    *t = outer[index];
    t->columns = model.embd;
}

static void write_tensor_infos(struct writer *w)
{
    struct tensor t;
    uint64_t offset = 0;

    for (uint32_t i = 0; i < tensor_count(); i++) {
        tensor_at(i, &t);
        put_string(w, t.name);
        put_u32(w, t.rows == 1 ? 1 : 2);
        put_u64(w, t.columns);
        if (t.rows != 1)
            put_u64(w, t.rows);
        put_u32(w, 0); /* F32 */
        put_u64(w, offset);
        offset += (uint64_t)t.columns * t.rows * sizeof(float);
        offset += -offset % ALIGNMENT;
    }
}

/* Log probability of a token after another. The last term breaks ties, for the engine as for
 * --predict. */
static float logit(uint32_t previous, uint32_t next)
{
    const double unseen = 1e-4; /* so that nothing has the probability 0 */
    const uint32_t row = model.total[previous] > 0 ? previous : TOKEN_START;
    double p = (model.pairs[row][next] + unseen) / (model.total[row] + unseen * VOCABULARY);
    return (float)(log(p) - next * 1e-5);
}

/* Uniform in -scale..scale. xorshift64: Marsaglia, "Xorshift RNGs" (2003). */
static float random_float(struct writer *w, double scale)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (float)(((double)(w->random >> 11) * 0x1p-52 - 1.0) * scale);
}

static float element(struct writer *w, const struct tensor *t, uint32_t row, uint32_t column)
{
    if (model.random && t->rows > 1)
        return random_float(w, sqrt(3.0 / t->columns));
    switch (t->fill) {
    case FILL_ONE: return 1.0F;
    case FILL_SCALE: return model.random ? 1.0F : (float)(1.0 / sqrt(t->columns));
    case FILL_UNIT: return column == row ? 1.0F : 0.0F;
    case FILL_BIGRAM: return column < VOCABULARY ? logit(column, row) : 0.0F;
    case FILL_ZERO: break;
    }
    return 0.0F;
}

static void write_tensors(struct writer *w)
{
    struct tensor t;

    for (uint32_t i = 0; i < tensor_count(); i++) {
        tensor_at(i, &t);
        for (uint32_t row = 0; row < t.rows; row++) {
            for (uint32_t column = 0; column < t.columns; column++)
                put_f32(w, element(w, &t, row, column));
        }
        put_padding(w);
    }
}

static void write_model(FILE *file)
{
    struct writer counter = {.file = NULL};
    struct writer w = {.file = file, .random = 0x9E3779B97F4A7C15U};

    write_keys(&counter);
    put(&w, "GGUF", 4);
    put_u32(&w, 3);
    put_u64(&w, tensor_count());
    put_u64(&w, counter.keys);
    write_keys(&w);
    write_tensor_infos(&w);
    put_padding(&w);
    write_tensors(&w);
}

static uint32_t token_of_byte(uint8_t byte)
{
    return byte == ' ' ? TOKEN_SPACE : TOKEN_BYTES + (uint32_t)byte;
}

static void learn_pair(uint32_t previous, uint32_t next)
{
    model.pairs[previous][next]++;
    model.total[previous]++;
}

/* Takes one more byte of the training text; returns the token that the next one follows. */
static uint32_t learn_byte(uint32_t previous, uint8_t byte)
{
    if (byte != '\n') {
        learn_pair(previous, token_of_byte(byte));
        return token_of_byte(byte);
    }
    if (previous != TOKEN_START)
        learn_pair(previous, TOKEN_END);
    return TOKEN_START;
}

/* The name of a file or, if there is none of this name, the text itself. */
static bool learn(const char *text)
{
    uint32_t previous = TOKEN_START;
    FILE *file = text != default_text ? fopen(text, "rb") : NULL;

    if (file == NULL) {
        for (const char *p = text; *p != '\0'; p++)
            previous = learn_byte(previous, (uint8_t)*p);
    } else {
        for (int c = getc(file); c != EOF; c = getc(file))
            previous = learn_byte(previous, (uint8_t)c);
        bool failed = ferror(file) != 0;
        fclose(file);
        if (failed)
            return false;
    }
    learn_byte(previous, '\n');
    return model.total[TOKEN_START] > 0;
}

static uint32_t most_likely(uint32_t previous)
{
    uint32_t best = 0;
    for (uint32_t t = 1; t < VOCABULARY; t++) {
        if (logit(previous, t) > logit(previous, best))
            best = t;
    }
    return best;
}

/* Prints what an engine answers to a prompt at temperature 0, up to the end token or n tokens. */
static void predict(const char *prompt, uint32_t n)
{
    size_t length = strlen(prompt);
    uint32_t token = length > 0 ? token_of_byte((uint8_t)prompt[length - 1]) : TOKEN_START;

    for (uint32_t i = 0; i < n; i++) {
        token = most_likely(token);
        if (token < TOKEN_BYTES)
            break;
        putchar(token == TOKEN_SPACE ? ' ' : (int)(token - TOKEN_BYTES));
    }
}

static bool parse_number(const char *s, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t n = 0;

    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return false;
        n = n * 10 + (uint64_t)(*s - '0');
        if (n > max)
            return false;
    }
    if (n < min)
        return false;
    *ret = (uint32_t)n;
    return true;
}

static void usage(FILE *to)
{
    fprintf(
        to,
        "usage: gguf-synth [-o FILE] [--predict PROMPT N] [options]\n"
        "Writes a tiny GGUF model of which every answer at temperature 0 is known beforehand.\n"
        "  -o FILE             the model to write\n"
        "  --predict PROMPT N  print what the model answers, N tokens at most; one byte is one "
        "token\n"
        "  --text FILE|STRING  text to learn, one document a line (default: a few lines about a "
        "weir)\n"
        "  --embd N            width, a multiple of %d, at least %d (default 288)\n"
        "  --ff N              width of the feed-forward part (default 32)\n"
        "  --layers N          layers (default 1); they cost time and memory and change no answer\n"
        "  --context N         longest context in tokens (default 8192)\n"
        "  --random            random weights instead: the answers are noise, always the same "
        "noise\n"
        "8 layers with --embd 512 --ff 2048 make a model of 135 MB.\n",
        HEAD, (VOCABULARY + HEAD - 1) / HEAD * HEAD);
}

struct number_option {
    const char *name;
    uint32_t min, max;
    uint32_t *value;
};

static bool parse_number_option(const char *name, const char *value)
{
    const struct number_option rows[] = {
        {"--embd", VOCABULARY, EMBD_MAX, &model.embd},
        {"--ff", 1, FF_MAX, &model.ff},
        {"--layers", 1, LAYERS_MAX, &model.layers},
        {"--context", 64, 1U << 20, &model.context},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return parse_number(value, rows[i].min, rows[i].max, rows[i].value);
    }
    return false;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--random") == 0) {
            model.random = true;
            continue;
        }
        const char *value = ++i < argc ? argv[i] : NULL;
        if (value == NULL)
            return false;
        if (strcmp(name, "-o") == 0) {
            o->out = value;
        } else if (strcmp(name, "--text") == 0) {
            o->text = value;
        } else if (strcmp(name, "--predict") == 0) {
            o->predict = value;
            if (++i >= argc || !parse_number(argv[i], 0, UINT32_MAX, &o->predict_tokens))
                return false;
        } else if (!parse_number_option(name, value)) {
            return false;
        }
    }
    return (o->out != NULL || o->predict != NULL) && !(o->predict != NULL && model.random) &&
           model.embd % HEAD == 0;
}

static bool save(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    write_model(file);
    bool bad = ferror(file) != 0;
    return fclose(file) == 0 && !bad;
}

int main(int argc, char **argv)
{
    struct options o = {.text = default_text};

    model = (struct model){.embd = 288, .ff = 32, .layers = 1, .context = 8192};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (!parse_options(argc, argv, &o)) {
        usage(stderr);
        return 2;
    }
    if (!learn(o.text)) {
        fprintf(stderr, "gguf-synth: there is no text to learn from in %s\n", o.text);
        return 1;
    }
    if (o.out != NULL && !save(o.out)) {
        fprintf(stderr, "gguf-synth: %s: %s\n", o.out, strerror(errno));
        return 1;
    }
    if (o.predict != NULL)
        predict(o.predict, o.predict_tokens);
    return fflush(stdout) == 0 ? 0 : 1;
}
