/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver: options, opening and closing, permissions.
 *
 * A node holds two open files of one image: `fd` for the I/O, read-only or
 * read-write as the node is, and one for the locks alone. So reopening swaps
 * the first while the locks stay in place, and no moment is unlocked. The
 * second open goes through /proc/self/fd, which names the very inode; where
 * there is no /proc, through the path, and the inode is compared.
 */
#include "block/file-posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "block/drivers.h"

/* Copies below this are as fast by read and write. */
#define FILE_MIN_COPY_RANGE (INT64_C(64) * 1024)

enum { LOCKING_AUTO, LOCKING_ON, LOCKING_OFF };

static const char *const locking_values[] = { "auto", "on", "off", NULL };

static const OptionDesc file_options[] = {
    { .name = "filename",
      .type = OPTION_STRING,
      .help = "path of the file or block device" },
    { .name = "locking",
      .type = OPTION_ENUM,
      .def = "auto",
      .values = locking_values,
      .help = "lock the image against other processes (auto: where the host "
              "can)" },
    { .name = NULL },
};

static bool file_parse_filename(const char *filename, Options *options,
                                GError **errp)
{
    const char *path = filename;

    if (g_str_has_prefix(path, "file:")) {
        path += strlen("file:");
    }
    if (*path == '\0') {
        block_error_set(errp, EINVAL, "'%s' names no file", filename);
        return false;
    }
    options_set(options, "filename", path);
    return true;
}

/*
 * The path, or "file:PATH" when the path alone would be taken for a name with
 * a protocol: a colon before the first slash.
 */
static char *file_get_filename(BlockDriverState *bs)
{
    const FileState *s = bdrv_opaque(bs);

    if (s->filename[strcspn(s->filename, ":/")] == ':') {
        return g_strconcat("file:", s->filename, NULL);
    }
    return g_strdup(s->filename);
}

bool file_check_type(const struct stat *st, const char *name, GError **errp)
{
    const char *what;

    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return true;
    case S_IFDIR:
        block_error_set(errp, EISDIR,
                        "'%s' is a directory; to see it as a disk use fat:%s",
                        name, name);
        return false;
    case S_IFIFO:
        what = "a FIFO";
        break;
    case S_IFSOCK:
        what = "a socket";
        break;
    case S_IFCHR:
        what = "a character device";
        break;
    default:
        what = "a special file";
        break;
    }
    block_error_set(errp, EINVAL,
                    "'%s' is %s; an image is a regular file or a block device",
                    name, what);
    return false;
}

int64_t file_fd_length(int fd, bool is_device)
{
    struct stat st;
    uint64_t bytes;

    if (is_device) {
        if (ioctl(fd, BLKGETSIZE64, &bytes) < 0) {
            return -errno;
        }
        return bytes > INT64_MAX ? -EFBIG : (int64_t)bytes;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    return st.st_size;
}

/* Open the file behind `fd` once more. Gives the new descriptor or -errno. */
static int open_again(int fd, const char *filename, int mode)
{
    char path[32];
    struct stat old_st, new_st;

    g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, mode | O_CLOEXEC | O_NOCTTY);
    if (again >= 0 || errno != ENOENT) {
        return again >= 0 ? again : -errno;
    }
    again = open(filename, mode | O_CLOEXEC | O_NOCTTY);
    if (again < 0) {
        return -errno;
    }
    if (fstat(fd, &old_st) < 0 || fstat(again, &new_st) < 0 ||
        old_st.st_dev != new_st.st_dev || old_st.st_ino != new_st.st_ino) {
        close(again);
        return -ESTALE;
    }
    return again;
}

/* Read-write if asked for and possible; sets s->fd and s->writable. */
static bool open_image(BlockDriverState *bs, unsigned flags, GError **errp)
{
    FileState *s = bdrv_opaque(bs);
    struct stat st;

    /* Before open(), which would wait for the other end of a FIFO. */
    if (stat(s->filename, &st) == 0 &&
        !file_check_type(&st, s->filename, errp)) {
        return false;
    }
    s->writable = (flags & BDRV_O_RDWR) != 0;
    if (s->writable) {
        s->fd = open(s->filename, O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (s->fd < 0 &&
            (errno == EACCES || errno == EPERM || errno == EROFS)) {
            g_autofree char *reason =
                g_strdup_printf("Could not open '%s' for writing: %s",
                                s->filename, g_strerror(errno));
            if (!bdrv_apply_auto_read_only(bs, reason, errp)) {
                return false;
            }
            s->writable = false;
        }
    }
    if (!s->writable) {
        s->fd = open(s->filename, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        block_error_set_errno(errp, errno, "Could not open '%s'", s->filename);
        return false;
    }
    s->is_device = S_ISBLK(st.st_mode);
    return file_check_type(&st, s->filename, errp);
}

static bool open_lock(FileState *s, int locking, GError **errp)
{
    if (locking == LOCKING_OFF) {
        return true;
    }
    int fd = open_again(s->fd, s->filename, O_RDONLY);
    if (fd < 0) {
        block_error_set_errno(errp, -fd, "Could not open '%s' for locking",
                              s->filename);
        return false;
    }
    if (file_lock_works(fd)) {
        s->image_lock.fd = fd;
        return true;
    }
    close(fd);
    if (locking == LOCKING_ON) {
        block_error_set(errp, ENOTSUP,
                        "The host cannot lock '%s'; locking=auto opens it "
                        "without locks",
                        s->filename);
        return false;
    }
    return true;
}

/* Local file systems that copy page by page. Others may have a server do it,
 * or share blocks. */
static bool copies_pages(const struct statfs *fs)
{
    switch (fs->f_type) {
    case BTRFS_SUPER_MAGIC:
    case EXT4_SUPER_MAGIC: /* ext2 and ext3, too */
    case F2FS_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case XFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* What the host's copies are like; see FileState. */
static void look_at_host(FileState *s)
{
    struct statfs fs;
    struct stat st;
    int sector;

    s->device = fstat(s->fd, &st) == 0 ? st.st_dev : 0;
    if (s->is_device) {
        bool known = ioctl(s->fd, BLKSSZGET, &sector) == 0 && sector > 0;

        s->block_size = known ? sector : 512;
        return;
    }
    bool known = fstatfs(s->fd, &fs) == 0;

    s->block_size = known && fs.f_bsize > 0 ? fs.f_bsize : 4096;
    s->copies_pages = known && copies_pages(&fs);
}

static void file_close(BlockDriverState *bs)
{
    FileState *s = bdrv_opaque(bs);

    if (s->image_lock.fd >= 0) {
        /* A process that another thread is just starting has the descriptor,
         * too, until it runs its program: closing alone is too late. */
        file_lock_keep(&s->image_lock, 0, BLK_PERM_ALL);
        close(s->image_lock.fd);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    pthread_mutex_destroy(&s->lock);
    g_clear_pointer(&s->filename, g_free);
}

static bool file_open(BlockDriverState *bs, Options *options, unsigned flags,
                      GError **errp)
{
    FileState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(file_options, options, errp);
    if (values == NULL) {
        return false;
    }
    const char *filename = option_values_string(values, "filename");
    if (filename == NULL || *filename == '\0') {
        block_error_set(errp, EINVAL,
                        "The 'file' driver needs the option 'filename'");
        return false;
    }
    s->filename = g_strdup(filename);
    s->fd = s->reopen_fd = s->image_lock.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    if (!open_image(bs, flags, errp) ||
        !open_lock(s, option_values_enum(values, "locking"), errp)) {
        file_close(bs);
        return false;
    }
    look_at_host(s);
    return true;
}

static int64_t file_getlength(BlockDriverState *bs)
{
    const FileState *s = bdrv_opaque(bs);

    return file_fd_length(s->fd, s->is_device);
}

static int64_t file_get_allocated_size(BlockDriverState *bs)
{
    const FileState *s = bdrv_opaque(bs);
    struct stat st;

    if (s->is_device) {
        return -ENOTSUP;
    }
    return fstat(s->fd, &st) < 0 ? -errno : (int64_t)st.st_blocks * 512;
}

static void file_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    const FileState *s = bdrv_opaque(bs);

    limits->min_copy_range = FILE_MIN_COPY_RANGE;
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    if (s->is_device) {
        limits->pwrite_zeroes_alignment = (uint32_t)s->block_size;
        limits->pdiscard_alignment = (uint32_t)s->block_size;
    }
}

static bool file_has_zero_init(BlockDriverState *bs)
{
    const FileState *s = bdrv_opaque(bs);

    return !s->is_device;
}

static bool file_check_perm(BlockDriverState *bs, unsigned perm,
                            unsigned shared, GError **errp)
{
    FileState *s = bdrv_opaque(bs);

    return file_lock_take(&s->image_lock, s->filename, perm, shared, errp);
}

static void file_set_perm(BlockDriverState *bs, unsigned perm, unsigned shared)
{
    FileState *s = bdrv_opaque(bs);

    file_lock_keep(&s->image_lock, perm, shared);
}

static void file_abort_perm(BlockDriverState *bs)
{
    FileState *s = bdrv_opaque(bs);

    file_lock_abort(&s->image_lock);
}

static bool file_reopen_prepare(BlockDriverState *bs, unsigned flags,
                                GError **errp)
{
    FileState *s = bdrv_opaque(bs);
    bool writable = (flags & BDRV_O_RDWR) != 0;

    /* The kernel reports a failed write-back to files that are open; the one
     * that wrote is about to be closed. */
    int ret = writable ? 0 : file_flush(bs);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not flush '%s'", s->filename);
        return false;
    }
    int fd = open_again(s->fd, s->filename, writable ? O_RDWR : O_RDONLY);
    if (fd < 0) {
        block_error_set_errno(errp, -fd, "Could not reopen '%s' %s",
                              s->filename,
                              writable ? "for writing" : "read-only");
        return false;
    }
    s->reopen_fd = fd;
    s->reopen_writable = writable;
    return true;
}

static void file_reopen_commit(BlockDriverState *bs)
{
    FileState *s = bdrv_opaque(bs);

    close(s->fd);
    s->fd = s->reopen_fd;
    s->writable = s->reopen_writable;
    s->reopen_fd = -1;
}

static void file_reopen_abort(BlockDriverState *bs)
{
    FileState *s = bdrv_opaque(bs);

    if (s->reopen_fd >= 0) {
        close(s->reopen_fd);
        s->reopen_fd = -1;
    }
}

static const char *const file_strong_opts[] = { "filename", NULL };

const BlockDriver bdrv_file = {
    .format_name = "file",
    .protocol_name = "file",
    .grows_by_write = true,
    .instance_size = sizeof(FileState),
    .options = file_options,
    .create_options = file_create_options,
    .strong_runtime_opts = file_strong_opts,
    .parse_filename = file_parse_filename,
    .open = file_open,
    .close = file_close,
    .create = file_create,
    .refresh_limits = file_refresh_limits,
    .getlength = file_getlength,
    .get_allocated_size = file_get_allocated_size,
    .preadv = file_preadv,
    .pwritev = file_pwritev,
    .pwrite_zeroes = file_pwrite_zeroes,
    .pdiscard = file_pdiscard,
    .flush = file_flush,
    .truncate = file_truncate,
    .block_status = file_block_status,
    .copy_range_from = file_copy_range_from,
    .copy_range_to = file_copy_range_to,
    .has_zero_init = file_has_zero_init,
    .check_perm = file_check_perm,
    .set_perm = file_set_perm,
    .abort_perm = file_abort_perm,
    .reopen_prepare = file_reopen_prepare,
    .reopen_commit = file_reopen_commit,
    .reopen_abort = file_reopen_abort,
    .get_filename = file_get_filename,
};
