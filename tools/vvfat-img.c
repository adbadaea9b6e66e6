/* SPDX-License-Identifier: MIT */
/* vvfat-img: disk images from directories, and what is in them. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/progress.h"
#include "tools/tool-args.h"
#include "tools/tool-output.h"

const Command *const command_table[] = {
    &command_bench,
    &command_cat,
    &command_check,
    &command_commit,
    &command_compare,
    &command_convert,
    &command_create,
    &command_dd,
    &command_extract,
    &command_help,
    &command_info,
    &command_ls,
    &command_map,
    &command_measure,
    &command_rebase,
    &command_resize,
    NULL,
};

static const Command *find_command(const char *name)
{
    for (const Command *const *c = command_table; *c; c++) {
        if (g_str_equal((*c)->name, name)) {
            return *c;
        }
    }
    return NULL;
}

static int refuse_command(const char *name)
{
    const char *names[G_N_ELEMENTS(command_table)];
    size_t n = 0;

    for (; command_table[n]; n++) {
        names[n] = command_table[n]->name;
    }
    const char *near = tool_args_nearest(name, names, n);
    if (near) {
        tool_error("Command not found: %s; did you mean '%s'?", name, near);
    } else {
        tool_error("Command not found: %s", name);
    }
    tool_hint("Try 'vvfat-img --help' for more information");
    return 1;
}

static int run_command(const Command *command, int argc, char **argv)
{
    int status = command->run(command, argc, argv);

    if (!tool_finish_stdout() && status == 0) {
        status = 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    progress_catch_signals();
    if (argc < 2) {
        tool_error("Not enough arguments");
        tool_hint("Try 'vvfat-img --help' for more information");
        return 1;
    }
    const char *name = argv[1];
    if (g_str_equal(name, "--version") || g_str_equal(name, "-V")) {
        printf("vvfat-img version %s\n", VVFAT_VERSION);
        return tool_finish_stdout() ? 0 : 1;
    }
    if (g_str_equal(name, "--help") || g_str_equal(name, "-h")) {
        return run_command(&command_help, 1, argv + 1);
    }
    const Command *command = find_command(name);
    return command ? run_command(command, argc - 1, argv + 1)
                   : refuse_command(name);
}
