/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>

#include "block/error.h"

Test(error, carries_errno_and_message)
{
    g_autoptr(GError) error = NULL;

    block_error_set(&error, ENOENT, "no file '%s' in %d places", "x", 3);
    cr_assert(g_error_matches(error, BLOCK_ERROR, ENOENT));
    cr_assert_str_eq(error->message, "no file 'x' in 3 places");
    cr_assert_eq(block_error_to_errno(error), -ENOENT);
}

Test(error, appends_the_systems_text)
{
    g_autoptr(GError) error = NULL;

    block_error_set_errno(&error, EACCES, "cannot open '%s'", "100%s");
    cr_assert_str_eq(error->message, "cannot open '100%s': Permission denied");
    cr_assert_eq(block_error_to_errno(error), -EACCES);
}

Test(error, nobody_asking_is_fine)
{
    block_error_set(NULL, EIO, "%s", "unseen");
    block_error_set_errno(NULL, EIO, "%s", "unseen");
}

Test(error, foreign_errors_are_eio)
{
    g_autoptr(GError) foreign =
        g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_NOENT, "foreign");
    g_autoptr(GError) zero = g_error_new_literal(BLOCK_ERROR, 0, "no code");

    cr_assert_eq(block_error_to_errno(foreign), -EIO);
    cr_assert_eq(block_error_to_errno(zero), -EIO);
    cr_assert_eq(block_error_to_errno(NULL), -EIO);
}
