/* SPDX-License-Identifier: MIT */
/* The commands of vvfat-img: what main() dispatches to and help prints. */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

/* An option of a command: parsed, listed in its help and suggested from this
 * one row. A table ends with an all-zero row. */
typedef struct ToolOption {
    int key;          /* the letter, or 256 and above: has none */
    const char *name; /* the long name, or NULL */
    const char *arg;  /* name of its argument in the help; NULL: takes none */
    const char *help; /* one line, no full stop */
} ToolOption;

typedef struct Command {
    const char *name;
    const char *operands; /* as in the usage line: "IMAGE [PATH]" */
    const char *summary;  /* one line, no full stop */
    const char *notes;    /* further lines of the help, or NULL */
    const ToolOption *options;
    int usage_status; /* exit status of a usage error; 0: 1 */
    int (*run)(const struct Command *command, int argc, char **argv);
} Command;

extern const Command command_bench;
extern const Command command_cat;
extern const Command command_check;
extern const Command command_commit;
extern const Command command_compare;
extern const Command command_convert;
extern const Command command_create;
extern const Command command_dd;
extern const Command command_extract;
extern const Command command_info;
extern const Command command_ls;
extern const Command command_map;
extern const Command command_measure;
extern const Command command_rebase;
extern const Command command_resize;

/* "help [COMMAND | FORMAT]" and "--help". */
extern const Command command_help;

/* All commands, sorted by name, NULL-terminated. */
extern const Command *const command_table[];

#endif
