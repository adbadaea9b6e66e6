/* SPDX-License-Identifier: MIT */
/* The names of an inode: two sides, and strings that they may share. */
#include <criterion/criterion.h>

#include "block/vvfat/inode.h"

static void check(const Inode *inode, const char *name, const char *host_name)
{
    cr_assert_eq(g_strcmp0(inode->name, name), 0, "%s", inode->name);
    cr_assert_eq(g_strcmp0(inode->host_name, host_name), 0, "%s",
                 inode->host_name);
    cr_assert_eq(inode->name == inode->host_name,
                 g_strcmp0(name, host_name) == 0);
}

Test(inode, names_that_are_alike_are_one_string)
{
    Inode *inode = inode_new(false);

    inode_set_name(inode, "a");
    check(inode, "a", NULL);
    inode_set_host_name(inode, "a");
    check(inode, "a", "a");
    inode_set_name(inode, "b");
    check(inode, "b", "a");
    inode_set_host_name(inode, "b");
    check(inode, "b", "b");
    inode_set_host_name(inode, "c");
    check(inode, "b", "c");
    inode_set_name(inode, "c");
    check(inode, "c", "c");
    inode_free(inode);
}

/* A reader may be using it. */
Test(inode, the_string_of_the_other_side_stays_where_it_is)
{
    Inode *inode = inode_new(false);
    const char *shared;

    inode_set_name(inode, "a");
    inode_set_host_name(inode, "a");
    shared = inode->host_name;
    inode_set_name(inode, "b");
    cr_assert_eq(inode->host_name, shared);
    inode_set_name(inode, "a");
    cr_assert_eq(inode->host_name, shared);
    inode_set_name(inode, NULL);
    cr_assert_eq(inode->host_name, shared);
    check(inode, NULL, "a");
    inode_set_host_name(inode, NULL);
    check(inode, NULL, NULL);
    inode_free(inode);
}

Test(inode, a_name_may_be_set_to_itself_or_to_the_other_one)
{
    Inode *inode = inode_new(false);

    inode_set_name(inode, "a");
    inode_set_name(inode, inode->name);
    inode_set_host_name(inode, inode->name);
    check(inode, "a", "a");
    inode_set_name(inode, inode->host_name);
    inode_set_host_name(inode, inode->host_name);
    check(inode, "a", "a");
    inode_free(inode);
}

Test(inode, names_of_others_are_not_freed)
{
    static const char name[] = "name", host_name[] = "host name";
    Inode *inode = inode_new(false);

    inode_borrow_names(inode, name, host_name);
    check(inode, "name", "host name");
    inode_set_name(inode, "host name");
    cr_assert_eq(inode->name, host_name);
    inode_set_host_name(inode, "another");
    check(inode, "host name", "another");
    cr_assert_eq(inode->name, host_name);
    inode_set_name(inode, "another");
    check(inode, "another", "another");
    inode_free(inode);
}
