/* Keeping an engine's last lines and reading them. */
#include "tail.h"

#include <string.h>

static void end_line(struct tail *t)
{
    if (t->open == 0)
        return;
    t->lengths[t->count % TAIL_LINES] = t->open;
    t->count++;
    t->open = 0;
}

void tail_feed(struct tail *t, struct slice data)
{
    for (size_t i = 0; i < data.n; i++) {
        char c = data.p[i];
        if (c == '\n')
            end_line(t);
        else if (t->open < TAIL_LINE_BYTES)
            t->lines[t->count % TAIL_LINES][t->open++] =
                (unsigned char)c < ' ' || c == 127 ? ' ' : c;
    }
}

void tail_end(struct tail *t)
{
    end_line(t);
}

size_t tail_get(const struct tail *t, struct slice ret[TAIL_LINES])
{
    /* A line that is being written stands where the oldest one was. */
    unsigned most = t->open > 0 ? TAIL_LINES - 1 : TAIL_LINES;
    unsigned n = MIN_OF(t->count, most);
    for (unsigned i = 0; i < n; i++) {
        unsigned at = (t->count - n + i) % TAIL_LINES;
        ret[i] = slice_of(t->lines[at], t->lengths[at]);
    }
    return n;
}

struct slice tail_newest(const struct tail *t)
{
    if (t->count == 0)
        return SLICE_NONE;
    unsigned at = (t->count - 1) % TAIL_LINES;
    return slice_of(t->lines[at], t->lengths[at]);
}

/* "0.00.003.950 E text": the level, and `*line` becomes the text; 0: not such a line. */
static char cut_level(struct slice *line)
{
    struct slice rest = *line, time = slice_cut(&rest, ' ');
    if (time.n == 0 || rest.n < 2 || rest.p[1] != ' ' || strchr("DIWET", rest.p[0]) == NULL)
        return 0;
    for (size_t i = 0; i < time.n; i++) {
        if ((time.p[i] < '0' || time.p[i] > '9') && time.p[i] != '.')
            return 0;
    }
    char level = rest.p[0];
    *line = slice_trim(slice_from(rest, 2));
    return level;
}

static bool contains(struct slice s, struct slice word)
{
    for (size_t i = 0; i + word.n <= s.n; i++) {
        if (slice_eq_nocase(slice_of(s.p + i, word.n), word))
            return true;
    }
    return false;
}

static bool is_error(struct slice *line)
{
    static const char *const words[] = {"error",  "failed",        "couldn't",
                                        "cannot", "out of memory", "terminate",
                                        "assert", "unable to",     "invalid"};
    char level = cut_level(line);
    if (level != 0)
        return level == 'E';
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (contains(*line, slice_str(words[i])))
            return true;
    }
    return false;
}

struct slice tail_reason(const struct slice *lines, size_t n, bool first)
{
    struct slice found = SLICE_NONE, line = SLICE_NONE;
    for (size_t i = 0; i < n; i++) {
        line = slice_trim(lines[i]);
        if (!is_error(&line))
            continue;
        found = line;
        if (first)
            break;
    }
    return found.n > 0 ? found : line;
}
