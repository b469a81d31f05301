/* `weir chat`: talks to a model through the running gateway, by hand or in a pipe. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "api.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "chat_answer.h"
#include "command.h"
#include "options.h"
#include "terminal.h"

#define TEXT_MAX    ((size_t)64 << 20)
#define CONNECT_NS  (10 * NS_PER_S)
#define SILENCE_NS  (600 * NS_PER_S)
#define LINGER_NS   NS_PER_S /* for the end of the connection after the end of the answer */
#define STATUS_SIZE 600

static const char usage[] =
    "chat [OPTIONS] [PROMPT...]\n"
    "Asks a model through the running gateway. On a terminal it is a conversation: a backslash at\n"
    "the end of a line goes on in the next one, Ctrl-C cancels an answer, Ctrl-D or /quit ends;\n"
    "/help lists the commands. In a pipe the prompt is PROMPT (a lone - in it stands for standard\n"
    "input) or, without one, all of standard input.";

struct chat {
    struct api api;
    struct chat_answer answer;
    struct terminal out, err;
    struct buf model, system;
    struct buf history; /* messages as JSON, each with a comma behind it */
    struct buf shown;   /* output under construction */
    struct terminal_text text;
    enum chat_piece last; /* what was shown last */
    bool any, line_open, verbose, interactive,
        lost; /* lost: the output cannot be written any more */
    int interrupt_fd;
    uint64_t max_tokens;        /* of an answer; 0: no limit */
    int64_t asked_ns, ended_ns; /* ended: when the answer said that it is complete; 0: not yet */
};

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("weir chat: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

/* Writes what has been put together. */
static bool flush_shown(struct chat *c)
{
    if (c->shown.n > 0)
        c->line_open = c->shown.p[c->shown.n - 1] != '\n';
    c->lost |= !terminal_write(c->out.fd, buf_view(&c->shown));
    buf_reset(&c->shown);
    return !c->lost;
}

/* From reasoning to text: the dimming ends, and a blank line parts them. */
static void change_piece(struct chat *c, enum chat_piece what)
{
    if (c->any && what == c->last)
        return;
    if (c->any) {
        terminal_text_end(&c->text, &c->shown);
        if (c->last == CHAT_REASONING)
            terminal_plain(&c->out, &c->shown);
        buf_lit(&c->shown, "\n\n");
    }
    if (what == CHAT_REASONING)
        terminal_style(&c->out, &c->shown, TERMINAL_DIM);
    c->last = what;
    c->any = true;
}

static bool on_piece(void *ctx, enum chat_piece what, struct slice text)
{
    struct chat *c = ctx;
    if (!c->out.tty) {
        if (what == CHAT_TEXT)
            buf_slice(&c->shown, text);
        return flush_shown(c);
    }
    change_piece(c, what);
    terminal_text_put(&c->text, &c->shown, text);
    return flush_shown(c);
}

/* Whatever happened: no style stays on, and the line is over. */
static void end_output(struct chat *c)
{
    if (c->out.tty)
        terminal_text_end(&c->text, &c->shown);
    if (c->any && c->last == CHAT_REASONING)
        terminal_plain(&c->out, &c->shown);
    bool open = c->shown.n > 0 || c->line_open;
    if (open)
        buf_char(&c->shown, '\n');
    flush_shown(c);
}

static void put_tokens(const struct chat_answer *a, struct buf *out)
{
    int64_t spent = a->last_ns - a->first_ns;
    if (a->input >= 0)
        buf_printf(out, "%lld tokens in, ", (long long)a->input);
    if (a->output >= 0)
        buf_printf(out, "%lld out", (long long)a->output);
    else
        buf_printf(out, "%lld pieces", (long long)a->pieces);
    if (a->output > 1 && spent > NS_PER_MS)
        buf_printf(out, ", %.1f tokens/s", (double)(a->output - 1) * 1e9 / (double)spent);
}

static void show_status(struct chat *c)
{
    const struct chat_answer *a = &c->answer;
    struct buf b;
    if (!c->err.tty && !c->verbose)
        return;
    buf_init(&b, STATUS_SIZE);
    terminal_style(&c->err, &b, TERMINAL_DIM);
    buf_char(&b, '[');
    put_tokens(a, &b);
    if (a->first_ns > 0)
        buf_printf(&b, ", first after %.2f s", (double)(a->first_ns - c->asked_ns) / 1e9);
    if (a->target[0] != '\0')
        buf_printf(&b, ", by %s", a->target);
    if (strcmp(a->finish_reason, "length") == 0)
        buf_lit(&b, ", ended by the limit on tokens");
    else if (a->finish_reason[0] != '\0' && strcmp(a->finish_reason, "stop") != 0)
        buf_printf(&b, ", ended by %s", a->finish_reason);
    buf_char(&b, ']');
    terminal_plain(&c->err, &b);
    buf_char(&b, '\n');
    (void)!terminal_write(c->err.fd, buf_view(&b));
    buf_done(&b);
}

static void put_message(struct buf *out, const char *role, struct slice text)
{
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "role", slice_str(role));
    jw_field_string(&w, "content", text);
    jw_close(&w, '}');
    buf_char(out, ',');
}

static void put_request(const struct chat *c, struct buf *out)
{
    buf_lit(out, "{\"model\":");
    json_put_string(out, buf_view(&c->model));
    if (c->max_tokens > 0)
        buf_printf(out, ",\"max_completion_tokens\":%llu", (unsigned long long)c->max_tokens);
    buf_lit(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[");
    if (c->system.n > 0)
        put_message(out, "system", buf_view(&c->system));
    buf_slice(out, buf_view(&c->history));
    if (!out->failed && out->p[out->n - 1] == ',')
        out->n--;
    buf_lit(out, "]}");
}

static bool on_head(void *ctx, const struct http_head *h, bool leads_on)
{
    struct chat *c = ctx;
    (void)leads_on;
    chat_answer_head(&c->answer, h);
    return true;
}

static bool on_data(void *ctx, struct slice data)
{
    struct chat *c = ctx;
    bool more = chat_answer_data(&c->answer, data);
    if (c->answer.done && c->ended_ns == 0)
        c->ended_ns = clock_mono_ns();
    return more;
}

static bool on_tick(void *ctx, int64_t now_ns)
{
    const struct chat *c = ctx;
    return c->ended_ns == 0 || now_ns - c->ended_ns < LINGER_NS;
}

static struct fetch_outcome send_request(struct chat *c)
{
    struct buf url, body;
    buf_init(&url, 8192);
    buf_init(&body, 2 * TEXT_MAX);
    api_url(&c->api, SLICE("/chat/completions"), &url);
    put_request(c, &body);
    const struct fetch_request r = {.method = HTTP_POST,
                                    .url = buf_view(&url),
                                    .fields =
                                        SLICE("Content-Type: application/json\r\n"
                                              "Accept: text/event-stream, application/json\r\n"),
                                    .credential = buf_view(&c->api.credential),
                                    .body = buf_view(&body),
                                    .has_body = true,
                                    .connect_ns = CONNECT_NS,
                                    .head_ns = SILENCE_NS,
                                    .idle_ns = SILENCE_NS,
                                    .on_head = on_head,
                                    .on_data = on_data,
                                    .on_tick = on_tick,
                                    .ctx = c};
    struct fetch_outcome o = {.end = FETCH_REFUSED, .why = "the conversation is too long"};
    if (!body.failed && !url.failed)
        o = fetch(c->api.fetcher, &r);
    buf_done(&url);
    buf_done(&body);
    return o;
}

enum ask { ASK_ANSWERED, ASK_CANCELLED, ASK_FAILED };

/* What the end of the request and the answer's own word come to. */
static enum ask judge(struct chat *c, const struct fetch_outcome *o)
{
    struct chat_answer *a = &c->answer;
    bool cut = o->end != FETCH_DONE && o->end != FETCH_STOPPED;
    if (o->end == FETCH_CANCELLED)
        return ASK_CANCELLED;
    if (o->end == FETCH_DONE)
        chat_answer_end(a);
    end_output(c);
    if (a->done && !a->failed)
        return c->lost ? ASK_FAILED : ASK_ANSWERED;
    if (a->failed)
        say("%s", a->error);
    else if (cut && o->headed)
        say("the answer was cut off: %s", o->why);
    else if (cut)
        say(SLICE_FMT ": %s", SLICE_ARG(buf_view(&c->api.base)), o->why);
    return ASK_FAILED;
}

/* Asks, with what has been said before, and shows the answer as it comes. An answer that was
 * cancelled stays in the conversation as far as it came; after a failure the question leaves it. */
static enum ask ask(struct chat *c, struct slice prompt)
{
    size_t before = c->history.n;
    put_message(&c->history, "user", prompt);
    chat_answer_reset(&c->answer);
    c->text = (struct terminal_text){0};
    c->any = c->line_open = false;
    c->ended_ns = 0;
    c->asked_ns = clock_mono_ns();
    interrupts_take();
    struct fetch_outcome o = send_request(c);
    enum ask result = judge(c, &o);
    if (result == ASK_CANCELLED) {
        interrupts_take();
        end_output(c);
        (void)!terminal_write(c->err.fd, SLICE("(cancelled)\n"));
    }
    bool keep = result == ASK_ANSWERED || (result == ASK_CANCELLED && c->answer.text.n > 0);
    if (keep)
        put_message(&c->history, "assistant", buf_view(&c->answer.text));
    if (!keep || c->history.failed) {
        c->history.n = before;
        c->history.failed = false;
    }
    if (result == ASK_ANSWERED)
        show_status(c);
    return result;
}

static void set_text(struct buf *b, struct slice s)
{
    buf_reset(b);
    buf_slice(b, s);
}

static void take_first(void *ctx, struct slice name)
{
    struct buf *model = ctx;
    if (model->n == 0)
        buf_slice(model, name);
}

/* Without --model: the first one that the gateway lists. */
static bool need_model(struct chat *c)
{
    char why[STATUS_SIZE];
    if (c->model.n > 0)
        return true;
    if (!api_models(&c->api, take_first, &c->model, why, sizeof why))
        say("%s", why);
    else if (c->model.n == 0)
        say("the gateway offers no models: choose one with --model");
    return c->model.n > 0;
}

static void print_name(void *ctx, struct slice name)
{
    struct chat *c = ctx;
    bool now = slice_eq(name, buf_view(&c->model));
    struct buf b;
    buf_init(&b, 1024);
    buf_lit(&b, "  ");
    terminal_text_line(&b, name, 300);
    if (now)
        buf_lit(&b, " (now)");
    buf_char(&b, '\n');
    (void)!terminal_write(c->out.fd, buf_view(&b));
    buf_done(&b);
}

static bool command_model(struct chat *c, struct slice name)
{
    char why[STATUS_SIZE];
    if (name.n > 0)
        set_text(&c->model, name);
    else if (!api_models(&c->api, print_name, c, why, sizeof why))
        say("%s", why);
    return true;
}

static bool command_system(struct chat *c, struct slice text)
{
    set_text(&c->system, text);
    return true;
}

static bool command_reset(struct chat *c, struct slice rest)
{
    (void)rest;
    buf_reset(&c->history);
    return true;
}

static bool command_quit(struct chat *c, struct slice rest)
{
    (void)c, (void)rest;
    return false;
}

static bool command_help(struct chat *c, struct slice rest);

/* False from `run` ends the conversation. */
static const struct chat_command {
    const char *name, *about;
    bool (*run)(struct chat *c, struct slice rest);
} commands[] = {
    {"/reset", "forget what has been said", command_reset},
    {"/model", "[NAME]   ask this model from now on, or list what there is", command_model},
    {"/system", "[TEXT]  set the system prompt, or remove it", command_system},
    {"/help", "this list", command_help},
    {"/quit", "end", command_quit},
};

static bool command_help(struct chat *c, struct slice rest)
{
    (void)c, (void)rest;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].about);
    fflush(stdout);
    return true;
}

/* A line that begins with a slash and a word of letters alone is a command; "/etc/fstab" is not. */
static bool is_command(struct slice line)
{
    struct slice word = slice_cut(&line, ' ');
    if (word.n < 2 || word.p[0] != '/')
        return false;
    for (size_t i = 1; i < word.n; i++) {
        if (word.p[i] < 'a' || word.p[i] > 'z')
            return false;
    }
    return true;
}

static bool run_command(struct chat *c, struct slice line)
{
    struct slice word = slice_cut(&line, ' ');
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (slice_is(word, commands[i].name))
            return commands[i].run(c, slice_trim(line));
    }
    say("there is no command " SLICE_FMT "; /help lists them", SLICE_ARG(word));
    return true;
}

enum line { LINE_READ, LINE_INTERRUPTED, LINE_END };

/* One line of standard input, appended to `out` without its line end. */
static enum line read_line(struct chat *c, struct buf *out)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = c->interrupt_fd, .events = POLLIN}};
        char piece[4096];
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return LINE_END;
        if (interrupts_take())
            return LINE_INTERRUPTED;
        if (fds[0].revents == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return LINE_END;
        bool whole = piece[n - 1] == '\n'; /* the terminal gives a line at a time */
        buf_append(out, piece, (size_t)(whole ? n - 1 : n));
        if (whole)
            return LINE_READ;
    }
}

/* A prompt of one or more lines. */
static enum line read_prompt(struct chat *c, struct buf *out)
{
    enum line r = LINE_READ;
    buf_reset(out);
    for (bool more = true; more && r == LINE_READ;) {
        terminal_style(&c->out, &c->shown, TERMINAL_BOLD);
        buf_slice(&c->shown, out->n == 0 ? SLICE("> ") : SLICE(". "));
        terminal_plain(&c->out, &c->shown);
        flush_shown(c);
        r = read_line(c, out);
        more = r == LINE_READ && out->n > 0 && out->p[out->n - 1] == '\\';
        if (more)
            out->p[out->n - 1] = '\n';
    }
    return r == LINE_END && out->n > 0 ? LINE_READ : r;
}

static bool blank(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr(" \t\r\n", s.p[i]) == NULL)
            return false;
    }
    return true;
}

static int converse(struct chat *c, struct slice first)
{
    struct buf line;
    bool hinted = false, going = true;
    buf_init(&line, TEXT_MAX);
    if (first.n > 0)
        ask(c, first);
    while (going && !c->lost) {
        enum line r = read_prompt(c, &line);
        struct slice said = buf_view(&line);
        if (r == LINE_END) {
            (void)!terminal_write(c->out.fd, SLICE("\n"));
            break;
        }
        if (r == LINE_INTERRUPTED) {
            (void)!terminal_write(c->out.fd, hinted ? SLICE("\n") : SLICE("\n(Ctrl-D ends)\n"));
            hinted = true;
        } else if (is_command(said)) {
            going = run_command(c, said);
        } else if (!blank(said) && need_model(c)) {
            ask(c, said);
        }
    }
    buf_done(&line);
    return c->lost;
}

/* All of standard input, without the line end behind it. */
static bool read_stdin(struct buf *out)
{
    char piece[16384];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof piece)) != 0) {
        if (n < 0 && errno != EINTR)
            return false;
        buf_append(out, piece, n > 0 ? (size_t)n : 0);
    }
    if (out->n > 0 && out->p[out->n - 1] == '\n')
        out->n--;
    return !out->failed;
}

/* The words of the command line. */
static bool join_words(char **words, int n, struct buf *out)
{
    for (int i = 0; i < n; i++) {
        if (i > 0)
            buf_char(out, ' ');
        if (strcmp(words[i], "-") != 0)
            buf_slice(out, slice_str(words[i]));
        else if (!read_stdin(out))
            return false;
    }
    return !out->failed;
}

/* One question and its answer. */
static int ask_once(struct chat *c, struct slice prompt)
{
    if (blank(prompt)) {
        say("there is nothing to ask; see weir chat --help");
        return 2;
    }
    return need_model(c) && ask(c, prompt) == ASK_ANSWERED ? 0 : 1;
}

static int chat(struct chat *c, char **words, int n, bool once)
{
    struct buf prompt;
    bool typed = isatty(STDIN_FILENO) == 1, ok = true;
    int status = 1;
    buf_init(&prompt, TEXT_MAX);
    c->interactive = typed && c->out.tty && !once;
    if (n > 0)
        ok = join_words(words, n, &prompt);
    else if (!c->interactive && !typed)
        ok = read_stdin(&prompt);
    else if (!c->interactive)
        ok = read_prompt(c, &prompt) == LINE_READ;
    if (c->out.tty) { /* from here on: an answer that is cancelled leaves no style behind */
        c->interrupt_fd = interrupts_catch(false);
        fetcher_cancel_on(c->api.fetcher, c->interrupt_fd);
    }
    if (!ok)
        say("the prompt cannot be read, or is too long");
    else if (!c->interactive)
        status = ask_once(c, buf_view(&prompt));
    else if (need_model(c))
        status = converse(c, buf_view(&prompt));
    buf_done(&prompt);
    return status;
}

int cmd_chat(int argc, char **argv)
{
    const char *url = NULL, *key = NULL, *model = NULL, *system = NULL, *ca = NULL, *tokens = NULL,
               *why;
    bool once = false;
    static struct chat c;
    c = (struct chat){
        .out = terminal_of(STDOUT_FILENO), .err = terminal_of(STDERR_FILENO), .interrupt_fd = -1};
    const struct option_row rows[] = {
        {"--url", "URL    of the gateway (WEIR_URL, else http://127.0.0.1:8080/v1)", &url, NULL},
        {"--key", "KEY    (WEIR_API_KEY, OPENAI_API_KEY)", &key, NULL},
        {"--model", "NAME   (the first that the gateway lists)", &model, NULL},
        {"--system", "TEXT   the system prompt", &system, NULL},
        {"--max-tokens", "N      tokens after which an answer ends", &tokens, NULL},
        {"--once", "end after one answer, on a terminal too", NULL, &once},
        {"--ca", "FILE   further certificate authorities to trust (PEM)", &ca, NULL},
        {"-v", "show figures on standard error although it is no terminal", NULL, &c.verbose},
    };
    int n = options_read(argc, argv, usage, rows, ARRAY_LEN(rows), argc);
    if (n < 0)
        return options_status(n);
    if (tokens != NULL && (!slice_to_u64(slice_str(tokens), &c.max_tokens) || c.max_tokens == 0 ||
                           c.max_tokens > INT64_MAX)) {
        say("--max-tokens takes a number from 1 on; see weir chat --help");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!api_open(&c.api, url, key, ca, &why)) {
        say("%s: %s", url != NULL ? url : "WEIR_URL", why);
        return 2;
    }
    buf_init(&c.model, 4096);
    buf_init(&c.system, TEXT_MAX);
    buf_init(&c.history, TEXT_MAX);
    buf_init(&c.shown, TEXT_MAX);
    buf_slice(&c.model, slice_str(model));
    buf_slice(&c.system, slice_str(system));
    int status = 1;
    if (chat_answer_init(&c.answer, on_piece, &c))
        status = chat(&c, argv + 1, n, once);
    else
        say("out of memory");
    chat_answer_done(&c.answer);
    buf_done(&c.model);
    buf_done(&c.system);
    buf_done(&c.history);
    buf_done(&c.shown);
    api_close(&c.api);
    return status;
}
