/* SPDX-License-Identifier: MIT */
/* vvfat-img cat: files of a FAT volume, on standard output. */
#include <errno.h>
#include <inttypes.h>

#include "tools/tool-args.h"
#include "tools/tool-fat.h"
#include "tools/tool-output.h"

#define BUFFER_BYTES (1024 * 1024)

static bool print_file(const FatSource *source, const char *path, char *buf)
{
    const TreeNode *node = fat_source_lookup(source, path);

    if (!node) {
        return false;
    }
    if (tree_is_directory(node)) {
        tool_error("'%s': %s", path, g_strerror(EISDIR));
        return false;
    }
    for (int64_t done = 0; done < node->size;) {
        int64_t n = MIN(node->size - done, BUFFER_BYTES);
        int ret = volume_read_file(fat_image_volume(source->fat), node, done,
                                   n, buf);
        if (ret < 0) {
            g_autofree char *reason = blk_strerror(ret);
            tool_error("'%s': error while reading at byte %" PRId64 ": %s",
                       path, done, reason);
            return false;
        }
        if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n) {
            return false; /* told when standard output is finished */
        }
        done += n;
    }
    return true;
}

static int run_cat(const Command *command, int argc, char **argv)
{
    FatArgs args = FAT_ARGS_DEFAULT;
    FatSource source;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        fat_args_take(&args, key, arg);
    }
    image_args_check(&args.image);
    char **names = tool_args_operands(
        2, -1, "Expecting one image file name and at least one path", &n);
    bool ok = fat_source_open(&source, names[0], &args);
    if (ok) {
        g_autofree char *buf = g_malloc(BUFFER_BYTES);
        for (int i = 1; i < n && !ferror(stdout); i++) {
            ok = print_file(&source, names[i], buf) && ok;
        }
    }
    fat_source_close(&source);
    return ok ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_PARTITION,   TOOL_OPTION_CODEPAGE,   TOOL_OPTION_FORMAT,
    TOOL_OPTION_FORCE_SHARE, TOOL_OPTION_IMAGE_OPTS, { 0 },
};

const Command command_cat = {
    .name = "cat",
    .operands = "IMAGE PATH...",
    .summary = "Print files of a FAT volume",
    .options = options,
    .run = run_cat,
};
