/* SPDX-License-Identifier: MIT */
#include "tests/soak/token.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/model/prng.h"

uint8_t *token_data(Token token, uint32_t *bytes)
{
    Prng prng = { token };
    uint8_t *data;

    *bytes = (1 + prng_below(&prng, TOKEN_BLOCKS)) * TOKEN_BLOCK;
    data = g_malloc(*bytes);
    prng_fill(&prng, data, *bytes);
    memcpy(data, &token, sizeof(token));
    return data;
}

Token token_of(const uint8_t *data, size_t bytes)
{
    g_autofree uint8_t *should_be = NULL;
    uint32_t n;
    Token token;

    if (bytes < TOKEN_BLOCK) {
        return 0;
    }
    memcpy(&token, data, sizeof(token));
    should_be = token_data(token, &n);
    return n == bytes && memcmp(data, should_be, n) == 0 ? token : 0;
}

Token token_of_file(const char *path)
{
    g_autofree char *data = NULL;
    gsize bytes;

    return g_file_get_contents(path, &data, &bytes, NULL)
               ? token_of((const uint8_t *)data, bytes)
               : 0;
}

bool token_put(const char *path, Token token, bool in_place)
{
    uint32_t bytes;
    g_autofree uint8_t *data = token_data(token, &bytes);
    int fd = open(
        path, O_WRONLY | O_CLOEXEC | (in_place ? O_TRUNC : O_CREAT | O_EXCL),
        0644);
    bool ok = fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}
