/* `weir doctor`: what is missing on this machine, and the command that mends it. */
#include <stdio.h>
#include <unistd.h>

#include "base/json_write.h"
#include "command.h"
#include "doctor_checks.h"
#include "options.h"
#include "terminal.h"

#define OUTPUT_MAX ((size_t)1 << 20)

static const char usage[] =
    "doctor [OPTIONS]\n"
    "Looks for what Weir needs on this machine. Exit status 0: nothing is missing.";

static const char *const words[] = {"ok", "warn", "missing"};
static const char *const styles[] = {TERMINAL_GREEN, TERMINAL_AMBER, TERMINAL_RED};

static unsigned count(const struct doctor *d, enum check_status status)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->checks_n; i++)
        n += d->checks[i].status == status;
    return n;
}

static void put_table(const struct doctor *d, const struct terminal *t, struct buf *out)
{
    size_t width = 0;
    for (unsigned i = 0; i < d->checks_n; i++)
        width = MAX_OF(width, strlen(d->checks[i].name));
    buf_printf(out, "%s\n\n", d->machine.about);
    for (unsigned i = 0; i < d->checks_n; i++) {
        const struct check *c = &d->checks[i];
        terminal_style(t, out, styles[c->status]);
        buf_printf(out, "%-8s", words[c->status]);
        terminal_plain(t, out);
        buf_printf(out, "%-*s  ", (int)width, c->name);
        terminal_text_line(out, slice_str(c->detail), sizeof c->detail);
        buf_char(out, '\n');
        if (c->fix[0] == '\0')
            continue;
        buf_printf(out, "%8s-> ", "");
        terminal_style(t, out, TERMINAL_BOLD);
        buf_slice(out, slice_str(c->fix));
        terminal_plain(t, out);
        buf_char(out, '\n');
    }
    buf_printf(out, "\n%u missing, %u to look at\n", count(d, CHECK_MISSING), count(d, CHECK_WARN));
}

static void put_json(const struct doctor *d, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "platform", slice_str(platform_name(d->machine.platform)));
    jw_field_string(&w, "machine", slice_str(d->machine.about));
    jw_field_i64(&w, "missing", count(d, CHECK_MISSING));
    jw_field_i64(&w, "warnings", count(d, CHECK_WARN));
    jw_key(&w, "checks");
    jw_open(&w, '[');
    for (unsigned i = 0; i < d->checks_n; i++) {
        const struct check *c = &d->checks[i];
        jw_open(&w, '{');
        jw_field_string(&w, "name", slice_str(c->name));
        jw_field_string(&w, "status", slice_str(words[c->status]));
        jw_field_string(&w, "detail", slice_str(c->detail));
        if (c->fix[0] != '\0')
            jw_field_string(&w, "fix", slice_str(c->fix));
        jw_close(&w, '}');
    }
    jw_close(&w, ']');
    jw_close(&w, '}');
    buf_char(out, '\n');
}

int cmd_doctor(int argc, char **argv)
{
    static struct doctor d;
    const char *platform = NULL, *data = NULL;
    bool json = false;
    d = (struct doctor){.checks_n = 0};
    const struct option_row rows[] = {
        {"--config", "FILE   the configuration (searched as by weir serve)", &d.config_path, NULL},
        {"--data", "DIR    the data folder", &data, NULL},
        {"--connect", "also try to reach each provider", NULL, &d.connect},
        {"--platform", "NAME   give the commands of another system: debian, ubuntu:26, fedora, ...",
         &platform, NULL},
        {"--json", "for programs", NULL, &json},
    };
    int n = options_read(argc, argv, usage, rows, ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    machine_read(&d.machine);
    if (platform != NULL && !machine_pretend(&d.machine, slice_str(platform))) {
        fputs("weir doctor: --platform is unknown; see weir doctor --help\n", stderr);
        return 2;
    }
    d.data_option = data;
    doctor_run(&d);
    struct terminal t = terminal_of(STDOUT_FILENO);
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    if (json)
        put_json(&d, &out);
    else
        put_table(&d, &t, &out);
    bool written = terminal_write(t.fd, buf_view(&out));
    buf_done(&out);
    loaded_done(&d.loaded);
    return written && count(&d, CHECK_MISSING) == 0 ? 0 : 1;
}
