/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tests/unit/plan-fixture.h"

/* The plan of the lines is what `expected` says, and works. */
static void check_plan(const char *lines, const char *expected)
{
    g_autoptr(PlanWorld) world = world_parse(lines);
    g_autoptr(Plan) plan = world_plan(world);
    g_autofree char *text = plan_to_text(plan);
    g_autofree char *wrong = judge_plan(world, plan);
    g_autofree char *held = judge_held(world);

    cr_expect_str_eq(text, expected, "instead of\n%s\nit is\n%s", expected,
                     text);
    cr_expect_null(wrong, "%s", wrong);
    cr_expect_null(held, "%s", held);
}

/* What is held after planning, and why, in the order of the lines. */
static void check_held(const char *lines, const unsigned *expected)
{
    g_autoptr(PlanWorld) world = world_parse(lines);
    g_autoptr(Plan) plan = world_plan(world);
    g_autofree char *wrong = judge_plan(world, plan);

    cr_expect_null(wrong, "%s", wrong);
    for (guint i = 0; i < world->inodes->len; i++) {
        const Inode *inode = world->inodes->pdata[i];
        unsigned held = inode->change ? inode->change->held : 0;

        cr_expect_eq(held, expected[i], "line %u: 0x%x", i + 1, held);
    }
}

#define HELD INODE_CHAIN_BAD /* by the lines */

Test(plan, nothing_to_do)
{
    check_plan("a a\n"
               "d/ d/\n",
               "");
    check_plan("", "");
}

Test(plan, a_new_file_is_staged_then_placed)
{
    check_plan("d/ d/\n"
               "- d/new\n",
               "stage d/new in d\n"
               "place d/new\n"
               "times d/new\n");
}

Test(plan, new_directories_are_made_from_above_and_staged_for_higher_up)
{
    check_plan("- d/e/f\n"
               "- d/e/\n"
               "- d/\n",
               "stage d/e/f in .\n"
               "mkdir d\n"
               "mkdir d/e\n"
               "place d/e/f\n"
               "times d/e/f\n"
               "times d/e\n"
               "times d\n");
}

Test(plan, new_contents_replace_the_file_itself)
{
    check_plan("a a whole\n", "stage a in .\n"
                              "place a\n"
                              "times a\n");
}

Test(plan, ranges_are_written_in_place)
{
    check_plan("a b ranges\n", "rename a -> b\n"
                               "write b\n"
                               "times b\n");
}

Test(plan, new_contents_of_one_that_moves_come_after_it)
{
    check_plan("a b whole\n", "stage b in .\n"
                              "rename a -> b\n"
                              "place b\n"
                              "times b\n");
}

Test(plan, read_only_is_taken_away_before_writing)
{
    check_plan("a a ranges writable\n"
               "b b writable\n",
               "attributes a\n"
               "write a\n"
               "times a\n"
               "attributes b\n");
}

Test(plan, attributes_and_times_directories_last)
{
    check_plan("d/ d/ hidden touched\n"
               "d/e/ d/e/ touched\n"
               "d/e/f d/e/f hidden touched\n"
               "- d/new hidden\n",
               "stage d/new in d\n"
               "place d/new\n"
               "attributes d/e/f\n"
               "times d/e/f\n"
               "attributes d/new\n"
               "times d/new\n"
               "times d/e\n"
               "attributes d\n"
               "times d\n");
}

Test(plan, case_alone_is_a_rename)
{
    check_plan("a A\n", "rename a -> A\n");
}

Test(plan, names_that_are_handed_on_are_freed_first)
{
    check_plan("a b\n"
               "b c\n"
               "c d\n",
               "rename c -> d\n"
               "rename b -> c\n"
               "rename a -> b\n");
}

Test(plan, a_swap_needs_one_aside)
{
    check_plan("a b\n"
               "b a\n",
               "aside a\n"
               "rename b -> a\n"
               "rename a -> b\n");
}

Test(plan, a_circle_of_three_needs_one_aside)
{
    check_plan("a b\n"
               "b d/c\n"
               "d/ d/\n"
               "d/c a\n",
               "aside a\n"
               "rename d/c -> a\n"
               "rename b -> d/c\n"
               "rename a -> b\n");
}

Test(plan, a_swap_with_new_contents)
{
    check_plan("a b whole\n"
               "b a whole\n",
               "stage b in .\n"
               "stage a in .\n"
               "aside a\n"
               "rename b -> a\n"
               "place a\n"
               "rename a -> b\n"
               "place b\n"
               "times a\n"
               "times b\n");
}

Test(plan, what_waits_for_a_circle_is_not_put_aside)
{
    check_plan("x a\n"
               "a d/y\n"
               "d/ e/\n"
               "e/ d/\n",
               "aside e\n"
               "rename d -> e\n"
               "rename e -> d\n"
               "rename a -> d/y\n"
               "rename x -> a\n");
}

Test(plan, a_directory_and_its_child_change_places)
{
    check_plan("a/ a/b/\n"
               "a/b/ a/\n"
               "a/b/f a/f\n",
               "aside a\n"
               "rename a/b -> a\n"
               "rename a -> a/b\n");
}

Test(plan, a_rename_over_a_file_replaces_it)
{
    check_plan("a -\n"
               "b a\n",
               "rename b -> a over a\n");
    check_plan("a -\n"
               "- a\n",
               "stage a in .\n"
               "place a over a\n"
               "times a\n");
}

Test(plan, a_file_becomes_a_directory_and_the_other_way_round)
{
    check_plan("a -\n"
               "- a/\n"
               "- a/f\n",
               "stage a/f in .\n"
               "aside a\n"
               "mkdir a\n"
               "place a/f\n"
               "unlink a\n"
               "times a/f\n"
               "times a\n");
    check_plan("a/ -\n"
               "a/f -\n"
               "- a\n",
               "stage a in .\n"
               "aside a\n"
               "place a\n"
               "unlink a/f\n"
               "rmdir a\n"
               "times a\n");
}

Test(plan, a_directory_over_one_that_goes)
{
    check_plan("a/ -\n"
               "b/ a/\n",
               "aside a\n"
               "rename b -> a\n"
               "rmdir a\n");
}

Test(plan, a_tree_goes_from_below_and_survivors_are_out)
{
    check_plan("a/ -\n"
               "a/b/ -\n"
               "a/b/c/ -\n"
               "a/b/c/f -\n"
               "a/b/c/keep keep\n"
               "a/b/d/ d/\n"
               "a/b/d/e/ -\n",
               "rename a/b/c/keep -> keep\n"
               "rename a/b/d -> d\n"
               "unlink a/b/c/f\n"
               "rmdir a/b/c\n"
               "rmdir a/b\n"
               "rmdir a\n"
               "rmdir a/b/d/e\n");
}

Test(plan, into_an_unchanged_directory_once_what_it_is_in_has_moved)
{
    check_plan("x/ b/x/\n"
               "x/a/ a/\n"
               "x/a/b/ a/b/\n"
               "- b/\n",
               "mkdir b\n"
               "rename x -> b/x\n"
               "rename x/a -> a\n"
               "times b\n");
    check_plan("x/ a/b/x/\n"
               "x/a/ a/\n"
               "x/a/b/ a/b/\n",
               "rename x/a -> a\n"
               "rename x -> a/b/x\n");
}

Test(plan, one_that_came_and_went_is_nothing)
{
    check_plan("- -\n", "");
}

Test(plan, lines_end_where_operations_do)
{
    g_autoptr(PlanWorld) world = world_new();
    Inode *inode = world_add(world, false, world->root,
                             "a\nrmdir \\ \303\244");

    world_change(world, inode, world->root, "b");
    g_autoptr(Plan) plan = world_plan(world);
    g_autofree char *text = plan_to_text(plan);
    cr_assert_str_eq(text, "rename a\\nrmdir \\\\ \303\244 -> b\n");
}

/* ---- Held ---- */

Test(plan, what_is_held_is_left_alone)
{
    check_plan("a b ranges hidden touched held\n"
               "- c held\n"
               "d - held\n"
               "e f\n",
               "rename e -> f\n");
}

Test(plan, in_a_new_directory_that_is_held)
{
    check_held("- d/ held\n"
               "- d/e/\n"
               "- d/e/f\n"
               "a d/a\n"
               "b b hidden\n",
               (unsigned[]){ HELD, INODE_PARENT_HELD, INODE_PARENT_HELD,
                             INODE_PARENT_HELD, 0 });
}

Test(plan, in_a_directory_that_is_held_in_its_old_place)
{
    check_plan("d/ e/ held\n"
               "- e/f\n",
               "stage d/f in d\n"
               "place d/f\n"
               "times d/f\n");
}

Test(plan, a_name_that_one_has_who_is_held)
{
    check_held("a b held\n"
               "c a\n"
               "- c\n"
               "d - held\n"
               "- d\n",
               (unsigned[]){ HELD, INODE_NAME_TAKEN, INODE_NAME_TAKEN, HELD,
                             INODE_NAME_TAKEN });
}

Test(plan, a_directory_to_go_with_one_that_is_held)
{
    check_held("a/ -\n"
               "a/b/ -\n"
               "a/b/f f held\n"
               "a/c/ -\n"
               "- a/\n",
               (unsigned[]){ INODE_NOT_EMPTY, INODE_NOT_EMPTY, HELD, 0,
                             INODE_NAME_TAKEN });
}

Test(plan, into_what_stays_within_it)
{
    check_held("a/ b/a/\n"
               "a/b/ b/ held\n",
               (unsigned[]){ INODE_PARENT_HELD, HELD });
    check_held("a/ c/b/a/\n"
               "a/b/ c/b/\n"
               "a/b/c/ c/ held\n",
               (unsigned[]){ INODE_PARENT_HELD, INODE_PARENT_HELD, HELD });
}

Test(plan, a_new_name_within_a_directory_holds_nothing_up)
{
    check_held("a/ c/a/\n"
               "a/b/ c/a/b2/\n"
               "a/b/c/ c/ held\n",
               (unsigned[]){ INODE_PARENT_HELD, 0, HELD });
}

Test(plan, below_one_to_go_that_must_stay_within_it)
{
    check_held("a/ a2/d/a/\n"
               "a/b/ -\n"
               "a/b/c/ a2/ held\n"
               "a/b/c/d/ a2/d/\n",
               (unsigned[]){ INODE_PARENT_HELD, INODE_NOT_EMPTY, HELD, 0 });
}

/* ---- Many ---- */

#define MANY 100000

/* No recursion, and nothing that is not linear: these end in time. */

static Inode *add_numbered(PlanWorld *world, bool is_directory, Inode *parent,
                           int number)
{
    g_autofree char *name = g_strdup_printf("a%d", number);

    return world_add(world, is_directory, parent, name);
}

static void rename_numbered(PlanWorld *world, int i, int number)
{
    g_autofree char *name = g_strdup_printf("a%d", number);

    world_change(world, world->inodes->pdata[i], world->root, name);
}

Test(plan, a_long_chain_of_renames, .timeout = 30)
{
    g_autoptr(PlanWorld) world = world_new();

    for (int i = 0; i < MANY; i++) {
        add_numbered(world, false, world->root, i);
        rename_numbered(world, i, i + 1);
    }
    g_autoptr(Plan) plan = world_plan(world);
    cr_assert_eq(plan->ops->len, MANY);
    cr_assert_str_eq(g_array_index(plan->ops, PlanOp, 0).name, "a100000");
}

Test(plan, a_long_circle_of_renames, .timeout = 30)
{
    g_autoptr(PlanWorld) world = world_new();

    for (int i = 0; i < MANY; i++) {
        add_numbered(world, false, world->root, i);
        rename_numbered(world, i, (i + 1) % MANY);
    }
    g_autoptr(Plan) plan = world_plan(world);
    cr_assert_eq(plan->ops->len, MANY + 1);
    cr_assert_eq(g_array_index(plan->ops, PlanOp, 0).kind, PLAN_ASIDE);
}

static PlanWorld *deep_new_world(void)
{
    PlanWorld *world = world_new();
    Inode *dir = world->root;

    for (int i = 0; i < MANY; i++) {
        Inode *file = world_add(world, false, NULL, NULL);
        Inode *next = world_add(world, true, NULL, NULL);

        world_change(world, file, dir, "file");
        world_change(world, next, dir, "dir");
        dir = next;
    }
    return world;
}

Test(plan, deep_new_directories, .timeout = 30)
{
    g_autoptr(PlanWorld) world = deep_new_world();
    g_autoptr(Plan) plan = world_plan(world);

    cr_assert_eq(plan->ops->len, MANY * 5);
    cr_assert_eq(g_array_index(plan->ops, PlanOp, MANY - 1).dir, world->root);
}

Test(plan, deep_new_directories_of_one_that_is_held, .timeout = 30)
{
    g_autoptr(PlanWorld) world = deep_new_world();
    Inode *top = world->inodes->pdata[1];

    top->change->held = INODE_CHAIN_BAD;
    g_autoptr(Plan) plan = world_plan(world);
    cr_assert_eq(plan->ops->len, 3);
}

Test(plan, a_deep_tree_goes, .timeout = 30)
{
    g_autoptr(PlanWorld) world = world_new();
    Inode *dir = world->root;

    for (int i = 0; i < MANY; i++) {
        dir = add_numbered(world, true, dir, 0);
        world_change(world, dir, NULL, NULL);
    }
    g_autoptr(Plan) plan = world_plan(world);
    cr_assert_eq(plan->ops->len, MANY);
    cr_assert_eq(g_array_index(plan->ops, PlanOp, 0).inode, dir);
}
