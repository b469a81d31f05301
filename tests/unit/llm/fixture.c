/* What the tests of this layer set up. */
#include "fixture.h"

#include "check.h"

struct json_parser *parser;
struct arena arena;

void set_up(void)
{
    parser = json_parser_new();
    arena_init(&arena, NULL, 1 << 24);
    CHECK(parser != NULL);
}

void tear_down(void)
{
    arena_reset(&arena);
    json_parser_free(parser);
    parser = NULL;
}
