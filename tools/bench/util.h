/*
 * What the measuring tools share: fatal errors, memory, the clock, option values, files and
 * sockets. Every function that cannot do its work ends the process with a message: these are tools,
 * and a measurement that went wrong half-way is worth nothing.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints "PROGRAM: message" to stderr and exits with 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed memory of count * size bytes, never NULL; the caller frees it with bench_free(). */
void *bench_alloc(size_t count, size_t size);
void bench_free(void *memory);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t bench_now_ns(void);

/* The whole of `text` as a number within [min, max]; `option` names it in the error message. */
int64_t bench_parse_int(const char *option, const char *text, int64_t min, int64_t max);
double bench_parse_real(const char *option, const char *text, double min, double max);

/* Reads a whole file; the caller frees it. */
char *bench_read_file(const char *path, size_t *ret_len);

/* Raises the limit of open files to `files`, or as far as this user may. */
void bench_raise_files(int64_t files);

/* A non-blocking listening socket on 127.0.0.1; port 0 lets the system choose. */
int bench_listen(int port, int *ret_port);

/* Starts a non-blocking connection to 127.0.0.1:port with TCP_NODELAY; -1 and errno on failure. */
int bench_connect(int port);

/* Turns Nagle's algorithm off. */
void bench_set_nodelay(int fd);

/* A descriptor that becomes readable on SIGINT, SIGTERM or SIGUSR1, which it blocks; SIGPIPE is
 * ignored. */
int bench_signals_open(void);
/* The next signal that waits on that descriptor, or 0. */
int bench_signals_take(int fd);
