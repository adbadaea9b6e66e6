/* SPDX-License-Identifier: MIT */
#include "tests/unit/machine.h"

#include <criterion/criterion.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/memory-hostfs.h"

#define OPTIONS                                                               \
    "driver=vvfat,dir=%D/host,rw=on,fat-type=12,size=1M,cluster-size=512,"    \
    "partition=none,timezone=utc,commit-delay=600000"

/* ---- The host ---- */

static HostFsOps lent_ops; /* the functions of a FaultFs, which stays */
static HostFs *lent_now;

static void lent_destroy(HostFs *fs)
{
    (void)fs;
}

static HostFs *lend(const char *dir, GError **errp)
{
    (void)dir;
    (void)errp;
    return lent_now;
}

Machine *machine_new(void)
{
    Machine *m = g_new0(Machine, 1);

    m->host = memory_hostfs_new();
    memory_hostfs_set_time(m->host, 1500000000);
    m->fault = fault_fs_new(m->host);
    lent_ops = *m->fault->fs.ops;
    lent_ops.destroy = lent_destroy;
    m->lent = (HostFs){ .ops = &lent_ops, .opaque = m->fault->fs.opaque };
    return m;
}

void machine_free(Machine *m)
{
    if (m) {
        if (m->disk) {
            g_free(machine_close(m));
        }
        cr_assert_eq(m->fault->n_open, 0, "files of the host stay open");
        hostfs_free(&m->fault->fs);
        g_free(m);
    }
}

/* ---- The disk ---- */

static void attach(Machine *m, BlockBackend *blk)
{
    char *why = NULL;

    m->disk = disk_new(blk, &why);
    cr_assert_not_null(m->disk, "%s", why);
    m->vol = fatvol_open(m->disk, &why);
    cr_assert_not_null(m->vol, "%s", why);
}

BlockBackend *machine_open_device(Machine *m, const char *more)
{
    g_autofree char *options = g_strconcat(OPTIONS, more ? "," : "", more,
                                           NULL);
    BlockBackend *blk;

    lent_now = &m->lent;
    hostfs_set_opener(lend);
    blk = image_open(BDRV_O_RDWR | BDRV_O_UNMAP, options);
    hostfs_set_opener(NULL);
    return blk;
}

void machine_open(Machine *m, const char *more)
{
    attach(m, machine_open_device(m, more));
}

void machine_open_image(Machine *m, const char *path)
{
    g_autofree char *options = g_strdup_printf(
        "driver=qcow2,file.driver=file,file.filename=%s", path);

    attach(m, image_open(BDRV_O_RDWR, options));
}

char *machine_close(Machine *m)
{
    g_autoptr(GError) error = NULL;
    int ret = blk_commit(m->disk->blk, true, &error);

    cr_assert_eq(ret < 0, error != NULL);
    fatvol_free(m->vol);
    disk_free(m->disk);
    m->vol = NULL;
    m->disk = NULL;
    return error ? g_strdup(error->message) : NULL;
}

char *machine_fact(Machine *m, const char *key)
{
    g_autoptr(BdrvInfo) info = blk_get_info(m->disk->blk, NULL);

    cr_assert(info && info->specific);
    return g_strdup(options_get(info->specific, key));
}

typedef struct Facts {
    const char *prefix;
    GString *text;
} Facts;

static void add_fact(const char *key, const char *value, void *opaque)
{
    Facts *facts = opaque;

    if (g_str_has_prefix(key, facts->prefix)) {
        g_string_append_printf(facts->text, "%s: %s\n", key, value);
    }
}

char *machine_facts_of(BlockBackend *blk, const char *prefix)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    Facts facts = { prefix, g_string_new(NULL) };

    cr_assert(info && info->specific);
    options_foreach(info->specific, add_fact, &facts);
    return g_string_free(facts.text, FALSE);
}

char *machine_facts(Machine *m, const char *prefix)
{
    return machine_facts_of(m->disk->blk, prefix);
}

/* ---- The guest ---- */

/* The directory of a path, and the last name. */
static uint32_t find_parent(Machine *m, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    g_autofree char *above = slash ? g_strndup(path, (size_t)(slash - path))
                                   : NULL;
    uint32_t dir = 0;

    *name = slash ? slash + 1 : path;
    if (above) {
        FatEntry entry;

        cr_assert(fatvol_walk(m->vol, above, &entry), "%s", above);
        dir = entry_cluster(m->vol, &entry);
        fatvol_entry_clear(&entry);
    }
    return dir;
}

static void find(Machine *m, const char *path, FatEntry *entry)
{
    cr_assert(fatvol_walk(m->vol, path, entry), "the guest has no '%s'", path);
}

static void add(Machine *m, const char *path, FatEntry *entry)
{
    const char *name;
    uint32_t dir = find_parent(m, path, &name);

    cr_assert(fatvol_add(m->vol, dir, name, false, SLOT_ANY, entry));
    entry->raw[E_ATTR] = ATTR_ARCHIVE;
    entry_set_time(m->vol, entry, 1600000000);
}

static void put(Machine *m, const char *path, uint32_t offset,
                const void *data, uint32_t bytes)
{
    FatEntry entry;

    find(m, path, &entry);
    cr_assert(fatvol_write(m->vol, &entry, offset, data, bytes));
    fatvol_entry_clear(&entry);
}

void guest_text(Machine *m, const char *path, const char *text)
{
    FatEntry entry;

    if (!fatvol_walk(m->vol, path, &entry)) {
        add(m, path, &entry);
    }
    cr_assert(fatvol_resize(m->vol, &entry, 0));
    cr_assert(fatvol_write(m->vol, &entry, 0, (const uint8_t *)text,
                           (uint32_t)strlen(text)));
    fatvol_entry_clear(&entry);
}

void guest_put(Machine *m, const char *path, uint32_t offset, const char *text)
{
    put(m, path, offset, text, (uint32_t)strlen(text));
}

void guest_fill(Machine *m, const char *path, uint32_t bytes, uint8_t byte)
{
    g_autofree uint8_t *data = g_malloc(bytes);

    memset(data, byte, bytes);
    guest_text(m, path, "");
    put(m, path, 0, data, bytes);
}

void guest_resize(Machine *m, const char *path, uint32_t size)
{
    FatEntry entry;

    find(m, path, &entry);
    cr_assert(fatvol_resize(m->vol, &entry, size));
    fatvol_entry_clear(&entry);
}

void guest_mkdir(Machine *m, const char *path)
{
    const char *name;
    uint32_t dir = find_parent(m, path, &name);
    FatEntry entry;

    add(m, path, &entry);
    cr_assert(fatvol_mkdir(m->vol, dir, &entry));
    fatvol_entry_clear(&entry);
}

void guest_delete(Machine *m, const char *path)
{
    FatEntry entry;

    find(m, path, &entry);
    fatvol_delete_tree(m->vol, &entry);
    fatvol_entry_clear(&entry);
}

void guest_move(Machine *m, const char *path, const char *to)
{
    const char *name;
    uint32_t dir = find_parent(m, to, &name);
    FatEntry entry;

    find(m, path, &entry);
    cr_assert(fatvol_move(m->vol, &entry, dir, name, false, true));
    fatvol_entry_clear(&entry);
}

static void find_two(Machine *m, const char *path, const char *other,
                     FatEntry *a, FatEntry *b)
{
    find(m, path, a);
    find(m, other, b);
}

void guest_replace(Machine *m, const char *path, const char *to)
{
    FatEntry entry, target;

    find_two(m, path, to, &entry, &target);
    cr_assert(fatvol_replace(m->vol, &entry, &target, true));
    fatvol_entry_clear(&entry);
    fatvol_entry_clear(&target);
}

void guest_exchange(Machine *m, const char *path, const char *other)
{
    FatEntry a, b;

    find_two(m, path, other, &a, &b);
    fatvol_exchange(m->vol, &a, &b);
    fatvol_entry_clear(&a);
    fatvol_entry_clear(&b);
}

void guest_defragment(Machine *m, const char *path)
{
    FatEntry entry;

    find(m, path, &entry);
    cr_assert(fatvol_defragment(m->vol, &entry));
    fatvol_entry_clear(&entry);
}

void guest_attr(Machine *m, const char *path, uint8_t attr)
{
    FatEntry entry;

    find(m, path, &entry);
    entry.raw[E_ATTR] = (uint8_t)((entry.raw[E_ATTR] & ATTR_DIR) | attr);
    entry_touch(m->vol, &entry);
    fatvol_entry_clear(&entry);
}

void guest_time(Machine *m, const char *path, int64_t seconds)
{
    FatEntry entry;

    find(m, path, &entry);
    entry_set_time(m->vol, &entry, seconds);
    fatvol_entry_clear(&entry);
}

void guest_write_out(Machine *m, unsigned order)
{
    g_autofree char *why = disk_write(m->disk, order, 0, 0, UINT32_MAX);

    cr_assert_null(why, "%s", why);
}

int guest_sync(Machine *m, unsigned order)
{
    guest_write_out(m, order);
    return blk_flush(m->disk->blk);
}

/* ---- Comparing ---- */

static void extract_dir(Machine *m, uint32_t dir, const char *path, HostFs *to)
{
    unsigned slot = 0;
    FatEntry entry;

    while (fatvol_read_dir(m->vol, dir, &slot, &entry)) {
        g_autofree char *name = g_strconcat(path, *path ? "/" : "", entry.name,
                                            NULL);
        uint32_t size = get32(entry.raw + E_SIZE);
        g_autofree uint8_t *data = g_malloc(size + 1);

        if (entry_is_dir(&entry)) {
            cr_assert_eq(host_tree_dir(to, name), 0);
            extract_dir(m, entry_cluster(m->vol, &entry), name, to);
        } else {
            cr_assert(fatvol_read(m->vol, &entry, data));
            cr_assert_eq(host_tree_file(to, name, data, size), 0);
        }
        fatvol_entry_clear(&entry);
    }
}

HostFs *machine_guest_tree(Machine *m)
{
    HostFs *copy = memory_hostfs_new();

    extract_dir(m, 0, "", copy);
    return copy;
}

char *machine_guest_dump(Machine *m)
{
    g_autoptr(HostFs) copy = machine_guest_tree(m);

    return host_tree_dump(copy, 0);
}

char *machine_host_dump(HostFs *fs)
{
    return host_tree_dump(fs, 0);
}

char *machine_difference(Machine *m)
{
    g_autofree char *guest = machine_guest_dump(m);
    g_autofree char *host = machine_host_dump(m->host);

    return host_tree_diff(guest, host);
}

void machine_check_same(Machine *m, const char *fmt, ...)
{
    g_autofree char *difference = machine_difference(m);
    g_autofree char *why = disk_verify(m->disk, true, 0);
    g_autofree char *when = NULL;
    g_autofree char *pending = NULL;
    va_list args;

    va_start(args, fmt);
    when = g_strdup_vprintf(fmt, args);
    va_end(args);
    pending = machine_facts(m, "pending.");
    cr_assert_null(difference, "%s: guest (-) and host (+) differ:\n%s\n%s",
                   when, difference, pending);
    cr_assert_null(why, "%s: %s", when, why);
}
