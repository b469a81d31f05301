/* Figures, names and bars for people. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "usage.h"

#define NANO        UINT64_C(1000000000)
#define USUAL_WIDTH 100
#define NARROW      40

static int width_of(int fd)
{
    const char *columns = getenv("COLUMNS");
    struct winsize w;
    uint64_t v;
    if (columns != NULL && slice_to_u64(slice_str(columns), &v) && v >= NARROW && v <= 1000)
        return (int)v;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col >= NARROW ? w.ws_col : USUAL_WIDTH;
}

/* Does the environment say UTF-8, in the order in which locale(7) looks? */
static bool says_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *v = getenv(names[i]);
        if (v != NULL && v[0] != '\0')
            return strcasestr(v, "utf-8") != NULL || strcasestr(v, "utf8") != NULL;
    }
    return false;
}

struct usage_look usage_look_of(int fd, bool ascii, bool bars)
{
    struct usage_look look = {.to = terminal_of(fd), .unicode = !ascii && says_utf8()};
    look.bars = bars || look.to.tty;
    look.width = look.bars ? width_of(fd) : 0;
    return look;
}

void usage_put_count(struct buf *out, int64_t v)
{
    char digits[20];
    uint64_t positive = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    size_t n = u64_digits(positive, digits);
    if (v < 0)
        buf_char(out, '-');
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            buf_char(out, ',');
        buf_char(out, digits[i]);
    }
}

/* Cents; below ten of them hundredths of a cent, and below that two digits that say something. */
void usage_put_dollars(struct buf *out, int64_t nano)
{
    uint64_t v = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;
    int decimals = v > 0 && v < NANO / 10 ? 4 : 2;
    uint64_t unit = decimals == 4 ? NANO / 10000 : NANO / 100;
    for (; v > 0 && v < 10 * unit && unit > 1 && decimals >= 4; unit /= 10)
        decimals++;
    v = (v + unit / 2) / unit * unit;
    if (nano < 0)
        buf_char(out, '-');
    buf_char(out, '$');
    usage_put_count(out, (int64_t)(v / NANO));
    buf_printf(out, ".%0*llu", decimals, (unsigned long long)(v % NANO / unit));
}

int usage_columns(struct slice s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((uint8_t)s.p[i] & 0xC0) != 0x80;
    return n;
}

void usage_put_name(struct buf *out, struct slice name, int columns, const struct usage_look *look)
{
    struct buf text;
    buf_init(&text, 4096);
    if (name.n == 0)
        buf_lit(&text, "(none)");
    terminal_text_line(&text, name, 1000);
    struct slice s = buf_view(&text);
    if (usage_columns(s) > columns) {
        size_t end = 0;
        for (int n = 0; end < s.n; end++) {
            if (((uint8_t)s.p[end] & 0xC0) != 0x80 && ++n >= columns)
                break;
        }
        buf_append(out, s.p, end);
        buf_slice(out, look->unicode ? SLICE("…") : SLICE("~"));
    } else {
        buf_slice(out, s);
    }
    buf_done(&text);
}

void usage_put_bar(struct buf *out, double value, double most, int columns, bool pad,
                   const struct usage_look *look)
{
    static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double share = most > 0 && value > 0 ? value / most : 0;
    int eighths = (int)((share < 1 ? share : 1) * columns * 8 + 0.5), used = 0;
    if (eighths == 0 && value > 0)
        eighths = 1; /* something is not nothing */
    if (!look->unicode)
        eighths = (eighths + 7) / 8 * 8;
    terminal_style(&look->to, out, TERMINAL_GREEN);
    for (; used < eighths / 8; used++)
        buf_slice(out, look->unicode ? SLICE("█") : SLICE("#"));
    if (eighths % 8 != 0) {
        buf_slice(out, slice_str(parts[eighths % 8]));
        used++;
    }
    terminal_plain(&look->to, out);
    for (; pad && used < columns; used++)
        buf_char(out, ' ');
}
