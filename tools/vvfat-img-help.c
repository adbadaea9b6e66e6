/* SPDX-License-Identifier: MIT */
/* vvfat-img help [COMMAND | FORMAT]: what there is, and with which options. */
#include <stdio.h>

#include "block/block.h"
#include "tools/command.h"
#include "tools/tool-args.h"
#include "tools/tool-output.h"

static void print_overview(void)
{
    g_autofree const char **formats = bdrv_list_formats();

    printf("usage: vvfat-img COMMAND [OPTION...] ARGUMENT...\n"
           "       vvfat-img COMMAND --help\n"
           "       vvfat-img help FORMAT\n"
           "       vvfat-img --version\n"
           "Disk images from directories, and what is in them.\n\n"
           "Commands:\n");
    for (const Command *const *c = command_table; *c; c++) {
        printf("  %-10s%s\n", (*c)->name, (*c)->summary);
    }
    printf("\nAn image is a file, fat:DIR (a directory as a FAT disk; see "
           "'vvfat-img help vvfat'),\njson:{...} or, with --image-opts, "
           "driver=...,key=value.\n\nFormats:");
    for (const char **f = formats; *f; f++) {
        printf(" %s", *f);
    }
    printf("\n\nExamples:\n"
           "  vvfat-img convert -p fat:DIR disk.img\n"
           "  vvfat-img convert --image-opts "
           "driver=vvfat,dir=DIR,partition=gpt,esp=on esp.img\n"
           "  vvfat-img convert fat:12:floppy:DIR floppy.img\n"
           "  vvfat-img ls -lR disk.img\n"
           "  vvfat-img extract disk.img DIR\n");
}

static void print_format(const char *format)
{
    g_autofree char *runtime = bdrv_format_options_help(format, false);
    g_autofree char *create = bdrv_format_options_help(format, true);
    g_autofree char *every = bdrv_format_options_help(NULL, false);

    if (runtime) {
        printf("Options of %s (driver=%s,...):\n%s\n", format, format,
               runtime);
    }
    if (create) {
        printf("Options for creating %s (-o ...):\n%s\n", format, create);
    }
    printf("Options that every image has:\n%s", every);
}

static bool is_format(const char *name)
{
    g_autofree const char **formats = bdrv_list_formats();

    for (const char **f = formats; *f; f++) {
        if (g_str_equal(*f, name)) {
            return true;
        }
    }
    return false;
}

/* The command or format that the name may have been meant for, or NULL. */
static const char *nearest_name(const char *name)
{
    g_autofree const char **formats = bdrv_list_formats();
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const Command *const *c = command_table; *c; c++) {
        g_ptr_array_add(names, (gpointer)(*c)->name);
    }
    for (const char **f = formats; *f; f++) {
        g_ptr_array_add(names, (gpointer)*f);
    }
    return tool_args_nearest(name, (const char *const *)names->pdata,
                             names->len);
}

static int refuse_name(const char *name)
{
    const char *near = nearest_name(name);

    tool_error("There is no command and no format '%s'%s%s%s", name,
               near ? "; did you mean '" : "", near ? near : "",
               near ? "'?" : "");
    tool_hint("Try 'vvfat-img --help' for more information");
    return 1;
}

static int run_help(const Command *command, int argc, char **argv)
{
    const char *arg;
    int n;

    tool_args_begin(command, argc, argv);
    while (tool_args_next(&arg) != -1) {
    }
    char **names = tool_args_operands(0, 1, "Expecting one command or format",
                                      &n);
    if (n == 0) {
        print_overview();
        return 0;
    }
    for (const Command *const *c = command_table; *c; c++) {
        if (g_str_equal((*c)->name, names[0])) {
            tool_args_print_help(*c);
            return 0;
        }
    }
    if (!is_format(names[0])) {
        return refuse_name(names[0]);
    }
    print_format(names[0]);
    return 0;
}

static const ToolOption options[] = { { 0 } };

const Command command_help = {
    .name = "help",
    .operands = "[COMMAND | FORMAT]",
    .summary = "Describe a command, or the options of a format",
    .options = options,
    .run = run_help,
};
