/* SPDX-License-Identifier: MIT */
/*
 * The "blkdebug" driver: a filter that makes requests fail or wait, and that
 * narrows the limits of what it stands on, for testing everything above it.
 * The rules lock themselves (blkdebug-rules.c); the rest does not change
 * after opening.
 */
#include <errno.h>
#include <string.h>

#include "block/blkdebug-rules.h"
#include "block/drivers.h"

#define MAX_ALIGN (INT64_C(1) << 30)

typedef struct BlkdebugState {
    BdrvChild *image;
    RuleSet *rules;
    /* Bytes; 0: as the image has it. */
    int64_t align;
    int64_t max_transfer;
    int64_t opt_write_zero, max_write_zero;
    int64_t opt_discard, max_discard;
} BlkdebugState;

#define LIMIT_OPTION(opt, text)                                               \
    {                                                                         \
        .name = opt, .type = OPTION_SIZE, .min = 1, .max = MAX_ALIGN,         \
        .help = text                                                          \
    }

/* The limits, which blkdebug_open() absorbs, then the rules for the help. */
#define LIMIT_OPTIONS                                                         \
    LIMIT_OPTION("align", "alignment of requests: a power of two"),           \
        LIMIT_OPTION("max-transfer", "longest request"),                      \
        LIMIT_OPTION("opt-write-zero", "alignment for writing zeroes"),       \
        LIMIT_OPTION("max-write-zero", "longest write of zeroes"),            \
        LIMIT_OPTION("opt-discard", "alignment for discarding"),              \
        LIMIT_OPTION("max-discard", "longest discard")

static const OptionDesc limit_options[] = {
    LIMIT_OPTIONS,
    { .name = NULL },
};

#define RULE_OPTION(opt, kind, text)                                          \
    {                                                                         \
        .name = opt, .type = kind, .help = text                               \
    }

static const OptionDesc blkdebug_options[] = {
    RULE_OPTION("image", OPTION_STRING, "node to stand on, or image.*"),
    LIMIT_OPTIONS,
    RULE_OPTION("inject-error.N.errno", OPTION_STRING,
                "fail with this error: a name or number (EIO)"),
    RULE_OPTION("inject-error.N.iotype", OPTION_STRING,
                "requests to fail: read, write, write-zeroes, discard, "
                "flush, block-status, copy-range, truncate (all but "
                "block-status)"),
    RULE_OPTION("inject-error.N.event", OPTION_STRING,
                "from this event on: a kind of request, or a name that a "
                "driver reports"),
    RULE_OPTION("inject-error.N.state", OPTION_NUMBER,
                "only in this state; a node begins in state 1"),
    RULE_OPTION("inject-error.N.sector", OPTION_NUMBER,
                "only requests that touch this sector of 512 bytes"),
    RULE_OPTION("inject-error.N.offset", OPTION_SIZE,
                "only requests that touch this byte (see bytes)"),
    RULE_OPTION("inject-error.N.bytes", OPTION_SIZE,
                "only requests that touch these bytes from offset on"),
    RULE_OPTION("inject-error.N.once", OPTION_BOOL,
                "only the first such request"),
    RULE_OPTION("inject-error.N.immediately", OPTION_BOOL,
                "taken for QEMU's sake; makes no difference"),
    RULE_OPTION("inject-delay.N.ms", OPTION_NUMBER,
                "wait so many milliseconds; also event, iotype, state, "
                "sector, offset, bytes, once as above"),
    RULE_OPTION("set-state.N.event", OPTION_STRING, "when this happens"),
    RULE_OPTION("set-state.N.state", OPTION_NUMBER, "in this state"),
    RULE_OPTION("set-state.N.new_state", OPTION_NUMBER, "go to this state"),
    { .name = NULL },
};

/* blkdebug:CONFIG:IMAGE, where QEMU reads rules from the file CONFIG. */
static bool blkdebug_parse_filename(const char *filename, Options *options,
                                    GError **errp)
{
    const char *config = filename + strlen("blkdebug:");
    const char *image = strchr(config, ':');

    if (image == NULL || image[1] == '\0') {
        block_error_set(errp, EINVAL,
                        "'%s' names no image: use blkdebug::IMAGE", filename);
        return false;
    }
    if (image != config) {
        block_error_set(errp, ENOTSUP,
                        "blkdebug reads no rules from files ('%.*s'): use "
                        "blkdebug::IMAGE and options such as "
                        "inject-error.0.iotype=write",
                        (int)(image - config), config);
        return false;
    }
    return bdrv_parse_child_name(image + 1, options, "image", errp);
}

static bool check_multiple(const char *name, int64_t value, int64_t align,
                           GError **errp)
{
    if (value % align != 0) {
        block_error_set(errp, EINVAL,
                        "blkdebug: %s (%" G_GINT64_FORMAT ") must be a "
                        "multiple of align (%" G_GINT64_FORMAT ")",
                        name, value, align);
        return false;
    }
    return true;
}

static bool parse_limits(BlkdebugState *s, Options *options, GError **errp)
{
    const struct {
        const char *name;
        int64_t *value;
    } limits[] = {
        { "align", &s->align },
        { "max-transfer", &s->max_transfer },
        { "opt-write-zero", &s->opt_write_zero },
        { "max-write-zero", &s->max_write_zero },
        { "opt-discard", &s->opt_discard },
        { "max-discard", &s->max_discard },
        { NULL, NULL },
    };
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(limit_options, options, errp);
    if (values == NULL) {
        return false;
    }
    for (size_t i = 0; limits[i].name != NULL; i++) {
        *limits[i].value = (int64_t)option_values_size(values, limits[i].name);
    }
    if (s->align & (s->align - 1)) {
        block_error_set(errp, EINVAL,
                        "blkdebug: align (%" G_GINT64_FORMAT ") must be a "
                        "power of two",
                        s->align);
        return false;
    }
    for (size_t i = 1; limits[i].name != NULL; i++) {
        if (!check_multiple(limits[i].name, *limits[i].value, MAX(s->align, 1),
                            errp)) {
            return false;
        }
    }
    return true;
}

static bool blkdebug_open(BlockDriverState *bs, Options *options,
                          unsigned flags, GError **errp)
{
    BlkdebugState *s = bdrv_opaque(bs);

    (void)flags;
    s->rules = rules_parse(options, errp);
    if (s->rules != NULL && parse_limits(s, options, errp)) {
        s->image = bdrv_open_child(bs, options, "image", &child_of_bds,
                                   BDRV_CHILD_FILTERED | BDRV_CHILD_PRIMARY,
                                   false, errp);
    }
    if (s->image == NULL) {
        g_clear_pointer(&s->rules, rules_free);
    }
    return s->image != NULL;
}

static void blkdebug_close(BlockDriverState *bs)
{
    BlkdebugState *s = bdrv_opaque(bs);

    g_clear_pointer(&s->rules, rules_free);
}

static void blkdebug_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    const BlkdebugState *s = bdrv_opaque(bs);

    if (s->align > 0) {
        limits->request_alignment = (uint32_t)s->align;
    }
    if (s->max_transfer > 0) {
        limits->max_transfer = s->max_transfer;
    }
    if (s->opt_write_zero > 0) {
        limits->pwrite_zeroes_alignment = (uint32_t)s->opt_write_zero;
    }
    if (s->max_write_zero > 0) {
        limits->max_pwrite_zeroes = s->max_write_zero;
    }
    if (s->opt_discard > 0) {
        limits->pdiscard_alignment = (uint32_t)s->opt_discard;
    }
    if (s->max_discard > 0) {
        limits->max_pdiscard = s->max_discard;
    }
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP |
                                   BDRV_REQ_NO_FALLBACK;
}

static int blkdebug_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                           const IOVector *iov, unsigned flags)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_READ, offset, bytes);

    return ret < 0 ? ret : bdrv_preadv(s->image, offset, bytes, iov, flags);
}

static int blkdebug_pwritev(BlockDriverState *bs, int64_t offset,
                            int64_t bytes, const IOVector *iov, unsigned flags)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_WRITE, offset, bytes);

    return ret < 0 ? ret : bdrv_pwritev(s->image, offset, bytes, iov, flags);
}

/* A device with such a unit does nothing for parts of it. */
static bool is_whole_units(int64_t offset, int64_t bytes, int64_t unit)
{
    return unit == 0 || (offset % unit == 0 && bytes % unit == 0);
}

static int blkdebug_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                                  int64_t bytes, unsigned flags)
{
    BlkdebugState *s = bdrv_opaque(bs);

    if (!is_whole_units(offset, bytes, s->opt_write_zero)) {
        return -ENOTSUP;
    }
    int ret = rules_request(s->rules, RULE_WRITE_ZEROES, offset, bytes);
    return ret < 0 ? ret : bdrv_pwrite_zeroes(s->image, offset, bytes, flags);
}

static int blkdebug_pdiscard(BlockDriverState *bs, int64_t offset,
                             int64_t bytes)
{
    BlkdebugState *s = bdrv_opaque(bs);

    if (!is_whole_units(offset, bytes, s->opt_discard)) {
        return -ENOTSUP;
    }
    int ret = rules_request(s->rules, RULE_DISCARD, offset, bytes);
    return ret < 0 ? ret : bdrv_pdiscard(s->image, offset, bytes);
}

static int blkdebug_flush(BlockDriverState *bs)
{
    BlkdebugState *s = bdrv_opaque(bs);

    return rules_request(s->rules, RULE_FLUSH, RULE_NO_RANGE, 0);
}

static int blkdebug_truncate(BlockDriverState *bs, int64_t size, bool exact,
                             PreallocMode prealloc, GError **errp)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_TRUNCATE, RULE_NO_RANGE, 0);

    if (ret < 0) {
        block_error_set_errno(errp, -ret, "blkdebug: injected error");
        return ret;
    }
    return bdrv_truncate(s->image, size, exact, prealloc, errp);
}

static int blkdebug_block_status(BlockDriverState *bs, unsigned want,
                                 int64_t offset, int64_t bytes,
                                 BdrvBlockStatus *status)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_BLOCK_STATUS, offset, bytes);

    (void)want;
    if (ret < 0) {
        return ret;
    }
    status->flags = BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
    status->bytes = bytes;
    status->map = offset;
    status->file = bdrv_child_bs(s->image);
    return 0;
}

/* A copy reads here: rules for reading hold too. */
static int blkdebug_copy_range_from(BlockDriverState *bs, int64_t offset,
                                    BlockDriverState *dst, int64_t dst_offset,
                                    int64_t bytes, unsigned flags)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_COPY_RANGE | RULE_READ, offset,
                            bytes);

    return ret < 0 ? ret
                   : bdrv_copy_range_from_child(s->image, offset, dst,
                                                dst_offset, bytes, flags);
}

/* And here it writes. */
static int blkdebug_copy_range_to(BlockDriverState *bs, int fd,
                                  int64_t fd_offset, int64_t offset,
                                  int64_t bytes, unsigned flags)
{
    BlkdebugState *s = bdrv_opaque(bs);
    int ret = rules_request(s->rules, RULE_COPY_RANGE | RULE_WRITE, offset,
                            bytes);

    return ret < 0 ? ret
                   : bdrv_copy_range_to_child(s->image, fd, fd_offset, offset,
                                              bytes, flags);
}

static void blkdebug_debug_event(BlockDriverState *bs, const char *event)
{
    BlkdebugState *s = bdrv_opaque(bs);

    rules_event(s->rules, event);
}

static const char *const blkdebug_strong_opts[] = {
    "align",          "max-transfer",
    "opt-write-zero", "max-write-zero",
    "opt-discard",    "max-discard",
    "inject-error",   "inject-delay",
    "set-state",      NULL
};

const BlockDriver bdrv_blkdebug = {
    .format_name = "blkdebug",
    .protocol_name = "blkdebug",
    .instance_size = sizeof(BlkdebugState),
    .is_filter = true,
    .grows_by_write = true,
    .options = blkdebug_options,
    .strong_runtime_opts = blkdebug_strong_opts,
    .parse_filename = blkdebug_parse_filename,
    .open = blkdebug_open,
    .close = blkdebug_close,
    .refresh_limits = blkdebug_refresh_limits,
    .preadv = blkdebug_preadv,
    .pwritev = blkdebug_pwritev,
    .pwrite_zeroes = blkdebug_pwrite_zeroes,
    .pdiscard = blkdebug_pdiscard,
    .flush = blkdebug_flush,
    .truncate = blkdebug_truncate,
    .block_status = blkdebug_block_status,
    .copy_range_from = blkdebug_copy_range_from,
    .copy_range_to = blkdebug_copy_range_to,
    .debug_event = blkdebug_debug_event,
};
