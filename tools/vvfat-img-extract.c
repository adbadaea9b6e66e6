/* SPDX-License-Identifier: MIT */
/* vvfat-img extract: a FAT volume to a directory. */
#include "block/vvfat/extract.h"

#include <inttypes.h>

#include "tools/host-paths.h"
#include "tools/partial-file.h"
#include "tools/progress.h"
#include "tools/tool-args.h"
#include "tools/tool-fat.h"
#include "tools/tool-output.h"

enum {
    KEY_OVERWRITE = KEY_COMMAND,
    KEY_UTC,
};

typedef struct Extraction {
    FatArgs fat;
    bool overwrite, utc, quiet, wants_progress;
    Progress progress;
    bool has_begun; /* progress */
} Extraction;

static void print_problem(const char *path, const char *text, void *opaque)
{
    Extraction *x = opaque;

    if (x->has_begun) {
        progress_break(&x->progress);
    }
    if (path) {
        g_autofree char *clean = tool_escape(path, false);
        tool_error("'%s': %s", clean, text);
    } else {
        tool_error("%s", text);
    }
}

static bool show_progress(uint64_t done, uint64_t total, void *opaque)
{
    Extraction *x = opaque;

    if (!x->has_begun) {
        progress_begin(&x->progress, total, x->wants_progress);
        x->has_begun = true;
    }
    progress_set(&x->progress, done);
    return !partial_file_interrupted();
}

/* Refuse to write into what is being read. */
static bool check_apart(const Extraction *x, BlockBackend *blk,
                        const char *dir)
{
    g_autofree char *what = NULL;

    switch (host_path_relation(blk, dir, &what)) {
    case HOST_PATH_SAME:
        tool_error("'%s' is the source itself; name a directory to extract "
                   "into",
                   dir);
        return false;
    case HOST_PATH_INSIDE:
        tool_error("'%s' lies inside the source '%s'; choose a directory "
                   "outside of it",
                   dir, what);
        return false;
    case HOST_PATH_AROUND:
        if (x->overwrite) {
            tool_error("The source '%s' lies inside '%s' and could be "
                       "overwritten; choose another directory",
                       what, dir);
            return false;
        }
        return true;
    default:
        return true;
    }
}

static void print_counts(const ExtractResult *result)
{
    if (result->problems == 1) {
        tool_error("1 file or directory could not be extracted as it is in "
                   "the volume");
    } else if (result->problems > 1) {
        tool_error("%" PRIu64 " files and directories could not be extracted "
                   "as they are in the volume",
                   result->problems);
    }
    if (result->damages > 0 && result->problems == 0) {
        tool_error("The volume is damaged; all that it says it holds was "
                   "extracted");
    }
}

static bool extract(Extraction *x, const FatSource *source, const char *dir,
                    const char *path)
{
    g_autoptr(GError) error = NULL;
    ExtractResult result = { 0 };
    const TreeNode *node = fat_source_lookup(source, path);
    ExtractOptions options = {
        .overwrite = x->overwrite,
        .utc = x->utc,
        .problem = print_problem,
        .progress = show_progress,
        .opaque = x,
    };

    if (!node || !check_apart(x, source->blk, dir)) {
        return false;
    }
    /* For its signals: the file being written goes, the others are whole. */
    partial_file_begin(dir);
    bool ok = extract_tree(fat_image_volume(source->fat), source->view, node,
                           dir, &options, &result, &error);
    if (x->has_begun) {
        progress_end(&x->progress, ok);
    }
    partial_file_end();
    if (!ok) {
        tool_error("%s", error->message);
        return false;
    }
    print_counts(&result);
    return result.problems == 0 && result.damages == 0;
}

static int run_extract(const Command *command, int argc, char **argv)
{
    Extraction x = { .fat = FAT_ARGS_DEFAULT };
    FatSource source;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        switch (key) {
        case 'p':
            x.wants_progress = true;
            break;
        case 'q':
            x.quiet = true;
            break;
        case KEY_OVERWRITE:
            x.overwrite = true;
            break;
        case KEY_UTC:
            x.utc = true;
            break;
        default:
            fat_args_take(&x.fat, key, arg);
            break;
        }
    }
    image_args_check(&x.fat.image);
    char **names = tool_args_operands(
        2, 3,
        "Expecting one image file name, one directory, and one path "
        "at most",
        &n);
    x.wants_progress = x.wants_progress && !x.quiet;
    bool ok = fat_source_open(&source, names[0], &x.fat);
    if (ok && !x.quiet) {
        image_warn_report(source.blk);
    }
    ok = ok && extract(&x, &source, names[1], n == 3 ? names[2] : "");
    fat_source_close(&source);
    return ok ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_PARTITION,
    { KEY_OVERWRITE, "overwrite", NULL,
      "Accept a directory that is not empty, replace files" },
    { KEY_UTC, "utc", NULL, "The volume's times are UTC, not local time" },
    TOOL_OPTION_PROGRESS,
    TOOL_OPTION_QUIET,
    TOOL_OPTION_CODEPAGE,
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_extract = {
    .name = "extract",
    .operands = "IMAGE DIR [PATH]",
    .summary = "Take the files of a FAT volume out, into a directory",
    .notes = "DIR is made when it is missing, and must be empty otherwise. "
             "PATH takes a part of\nthe volume alone.\n",
    .options = options,
    .run = run_extract,
};
