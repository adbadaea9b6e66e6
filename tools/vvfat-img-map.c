/* SPDX-License-Identifier: MIT */
/* vvfat-img map: which ranges hold data, and where they stand. */
#include <inttypes.h>
#include <string.h>

#include "block/block.h"
#include "block/filename.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

enum {
    KEY_START = 's',
    KEY_LENGTH = 'l',
};

typedef struct Extent {
    int64_t start, bytes;
    BdrvBlockStatus status;
    bool valid;
} Extent;

typedef struct Map {
    const char *name; /* of the image, for data that stands in itself */
    bool json, first;
    Extent pending; /* grows while what follows goes on with it */
} Map;

/* ---- Output ---- */

/* The file that the data stands in: `offset` counts from its start. */
static char *host_name(const Map *map, const BdrvBlockStatus *status)
{
    if (status->host_file) {
        return g_strdup(status->host_file);
    }
    return status->file ? filename_of_node(status->file) : g_strdup(map->name);
}

static void print_json_filename(const char *name)
{
    g_autofree char *clean = tool_json_name(name);
    JsonWriter *w = json_writer_new(false);

    json_string(w, NULL, clean);
    g_autofree char *quoted = json_writer_finish(w);
    printf(", \"filename\": %s", quoted);
}

static void print_json(Map *map, const Extent *e)
{
    const BdrvBlockStatus *s = &e->status;

    printf("%s", map->first ? "[" : ",\n");
    map->first = false;
    printf("{ \"start\": %" PRId64 ", \"length\": %" PRId64
           ", \"depth\": %d, \"present\": %s, \"zero\": %s, \"data\": %s",
           e->start, e->bytes, s->depth,
           s->flags & BDRV_BLOCK_ALLOCATED ? "true" : "false",
           s->flags & BDRV_BLOCK_ZERO ? "true" : "false",
           s->flags & BDRV_BLOCK_DATA ? "true" : "false");
    if (s->flags & BDRV_BLOCK_OFFSET_VALID) {
        printf(", \"offset\": %" PRId64, s->map);
    }
    if (s->host_file) {
        print_json_filename(s->host_file);
    }
    printf("}");
}

/* False when the range cannot be shown so. */
static bool print_human(Map *map, const Extent *e)
{
    const BdrvBlockStatus *s = &e->status;

    if (!(s->flags & BDRV_BLOCK_DATA) || (s->flags & BDRV_BLOCK_ZERO)) {
        return true;
    }
    if (s->flags & BDRV_BLOCK_OFFSET_VALID) {
        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64, e->start,
               e->bytes, s->map);
        g_autofree char *name = host_name(map, s);
        tool_print_name(name);
        printf("\n");
        return true;
    }
    if (s->flags & BDRV_BLOCK_COMPRESSED) {
        tool_error("File contains external, encrypted or compressed "
                   "clusters.");
        return false;
    }
    /* Made when it is read: partition table, FAT, directories. */
    printf("%#-16" PRIx64 "%#-16" PRIx64 "%-16s-\n", e->start, e->bytes, "-");
    return true;
}

static bool print_extent(Map *map, const Extent *e)
{
    if (map->json) {
        print_json(map, e);
        return true;
    }
    return print_human(map, e);
}

/* ---- Walking ---- */

static bool goes_on(const Extent *e, const BdrvBlockStatus *next)
{
    const BdrvBlockStatus *s = &e->status;
    const unsigned shown = BDRV_BLOCK_DATA | BDRV_BLOCK_ZERO |
                           BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_ALLOCATED |
                           BDRV_BLOCK_COMPRESSED;

    return e->valid && (s->flags & shown) == (next->flags & shown) &&
           s->depth == next->depth && s->file == next->file &&
           g_strcmp0(s->host_file, next->host_file) == 0 &&
           (!(s->flags & BDRV_BLOCK_OFFSET_VALID) ||
            s->map + e->bytes == next->map);
}

static bool end_pending(Map *map)
{
    bool ok = !map->pending.valid || print_extent(map, &map->pending);

    bdrv_block_status_clear(&map->pending.status);
    map->pending.valid = false;
    return ok;
}

static bool walk(Map *map, BlockBackend *blk, int64_t start, int64_t end)
{
    while (start < end) {
        BdrvBlockStatus status = { 0 };
        int ret = blk_block_status(blk, start, end - start,
                                   BDRV_WANT_PRECISE | BDRV_WANT_HOST_FILE,
                                   &status);
        if (ret < 0) {
            g_autofree char *reason = blk_strerror(ret);
            tool_error("Failed to read image metadata: %s", reason);
            return false;
        }
        int64_t bytes = status.bytes;
        if (goes_on(&map->pending, &status)) {
            map->pending.bytes += bytes;
            bdrv_block_status_clear(&status);
        } else {
            if (!end_pending(map)) {
                bdrv_block_status_clear(&status);
                return false;
            }
            map->pending = (Extent){
                .start = start, .bytes = bytes, .status = status, .valid = true
            };
        }
        start += bytes;
    }
    return end_pending(map);
}

static bool print_map(Map *map, BlockBackend *blk, int64_t start,
                      int64_t bytes)
{
    int64_t length = blk_getlength(blk);
    int64_t end = length;

    if (length < 0) {
        g_autofree char *reason = blk_strerror((int)length);
        tool_error("Failed to get size for '%s': %s", map->name, reason);
        return false;
    }
    if (bytes >= 0 && start < length && bytes < length - start) {
        end = start + bytes;
    }
    if (map->json) {
        map->first = true;
    } else {
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    }
    bool ok = walk(map, blk, start, end);
    if (map->json) {
        printf("%s]\n", map->first ? "[" : "");
    }
    return ok;
}

static int run_map(const Command *command, int argc, char **argv)
{
    ImageArgs args = { 0 };
    Map map = { 0 };
    int64_t start = 0, bytes = -1;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == KEY_OUTPUT) {
            map.json = tool_args_output_is_json(arg);
        } else if (key == KEY_START) {
            start = tool_args_size("start offset", arg);
        } else if (key == KEY_LENGTH) {
            bytes = tool_args_size("max length", arg);
        } else {
            image_args_take(&args, key, arg);
        }
    }
    image_args_check(&args);
    char **names = tool_args_operands(1, 1, "Expecting one image file name",
                                      &n);
    g_autoptr(BlockBackend) blk = image_open_source(names[0], &args);
    if (!blk) {
        return 1;
    }
    g_autofree char *name = blk_get_filename(blk);
    map.name = name;
    return print_map(&map, blk, start, bytes) ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_OUTPUT,
    { KEY_START, "start-offset", "OFFSET", "Begin there (0)" },
    { KEY_LENGTH, "max-length", "LEN", "Describe so many bytes" },
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_map = {
    .name = "map",
    .operands = "IMAGE",
    .summary = "List which ranges hold data, and where they stand",
    .notes = "Ranges of a FAT disk made from a directory name the host's "
             "file they come from;\n'-' stands for what is made when it is "
             "read.\n",
    .options = options,
    .run = run_map,
};
