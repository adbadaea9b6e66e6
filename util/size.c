/* SPDX-License-Identifier: MIT */
#include "util/size.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"

#define SUFFIXES "bkmgtpe"
#define SHIFT_MAX 60 /* of the last suffix */

/*
 * The fraction 0.DIGITS times 2^shift, rounded down, without floating point:
 * doubling the decimal digits carries one binary digit out each time.
 *
 * A multiple of 2^-shift has at most `shift` decimals, so digits further
 * behind cannot change the result and need not be kept.
 */
static uint64_t fraction_scale(const char *digits, size_t n, unsigned shift)
{
    uint8_t digit[SHIFT_MAX];
    uint64_t result = 0;

    n = MIN(n, shift);
    for (size_t i = 0; i < n; i++) {
        digit[i] = digits[i] - '0';
    }
    for (unsigned bit = 0; bit < shift; bit++) {
        unsigned carry = 0;

        for (size_t i = n; i-- > 0;) {
            unsigned twice = 2 * digit[i] + carry;

            carry = twice >= 10;
            digit[i] = twice - 10 * carry;
        }
        result = result << 1 | carry;
    }
    return result;
}

static size_t digits_length(const char *text)
{
    return strspn(text, "0123456789");
}

/* The shift of a suffix that ends the text; false for any other text. */
static bool suffix_shift(const char *text, unsigned *shift)
{
    const char *known;

    *shift = 0;
    if (text[0] == '\0') {
        return true;
    }
    known = strchr(SUFFIXES, g_ascii_tolower(text[0]));
    if (known == NULL || text[1] != '\0') {
        return false;
    }
    *shift = 10 * (known - SUFFIXES);
    return true;
}

static bool size_malformed(const char *text, GError **errp)
{
    block_error_set(errp, EINVAL,
                    "'%s' is not a size; write digits and perhaps one of "
                    "the suffixes b, k, M, G, T, P, E, such as 64M or 1.5G",
                    text);
    return false;
}

bool size_parse(const char *text, uint64_t *bytes, GError **errp)
{
    size_t nwhole = digits_length(text), nfraction = 0;
    const char *fraction = text + nwhole, *suffix = fraction;
    uint64_t whole = 0, limit;
    unsigned shift;

    if (*fraction == '.') {
        fraction++;
        nfraction = digits_length(fraction);
        suffix = fraction + nfraction;
        if (nfraction == 0) {
            return size_malformed(text, errp);
        }
    }
    if (nwhole == 0 || !suffix_shift(suffix, &shift)) {
        return size_malformed(text, errp);
    }
    /* Leaves the low `shift` bits to the fraction, whatever it is. */
    limit = (uint64_t)INT64_MAX >> shift;
    for (size_t i = 0; i < nwhole; i++) {
        bool fits = whole <= limit / 10;

        whole = 10 * whole + (text[i] - '0');
        if (!fits || whole > limit) {
            block_error_set(errp, ERANGE,
                            "size '%s' is too large; it must be below 8E",
                            text);
            return false;
        }
    }
    *bytes = (whole << shift) + fraction_scale(fraction, nfraction, shift);
    return true;
}

char *size_format(uint64_t bytes)
{
    static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
                                         "TiB", "PiB", "EiB" };
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    double value = bytes;
    size_t unit = 0;

    /* What would round to four digits goes to the next unit. */
    while (value >= 999.5) {
        value /= 1024;
        unit++;
    }
    g_ascii_formatd(digits, sizeof(digits), "%.3g", value);
    return g_strdup_printf("%s %s", digits, units[unit]);
}
