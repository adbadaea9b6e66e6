/* SPDX-License-Identifier: MIT */
/*
 * Damaged volumes: tests/fixtures/volumes/ (see its README), each on every
 * FAT type. What guest-view finds must be exactly what the fixture says, and
 * fsck.fat must agree on whether anything is wrong.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/vvfat/fat.h"
#include "fat-volume.h"

typedef struct Fixture {
    const char *name;
    const char *dir;  /* scratch directory */
    FatVolume *sound; /* the volume before the damage */
    int fd;           /* of the volume being damaged */
    bool applies;
    bool fsck_differs;
    GPtrArray *expected; /* char *: "damage KIND PATH" */
} Fixture;

/* ---- Words of a line ---- */

/* Cut off the next word; "" at the end of the line. */
static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " ");
    size_t n = strcspn(word, " ");

    *line = word + n;
    if (word[n]) {
        word[n] = '\0';
        *line = word + n + 1;
    }
    return word;
}

static const TreeNode *find_node(const Fixture *f, const char *path)
{
    const TreeNode *node = tree_lookup(f->sound->view->tree, path);

    cr_assert_not_null(node, "%s: no '%s'", f->name, path);
    return node;
}

static uint32_t parse_cluster(const Fixture *f, const char *word)
{
    const BootInfo *info = volume_boot_info(f->sound->volume);
    const char *colon = strchr(word, ':');
    g_autofree char *path = NULL;
    ClusterRun run;

    if (!strcmp(word, "free")) {
        return FAT_ENTRY_FREE;
    }
    if (!strcmp(word, "bad")) {
        return FAT_ENTRY_BAD;
    }
    if (!strcmp(word, "end")) {
        return FAT_ENTRY_EOC;
    }
    if (!strcmp(word, "outside")) {
        return info->cluster_count + FAT_FIRST_CLUSTER;
    }
    if (!colon) {
        cr_assert(g_ascii_isdigit(*word), "%s: '%s'", f->name, word);
        return (uint32_t)strtoul(word, NULL, 10);
    }
    path = g_strndup(word, (size_t)(colon - word));
    cr_assert(chain_locate(&find_node(f, path)->chain,
                           strtoul(colon + 1, NULL, 10), &run),
              "%s: no '%s'", f->name, word);
    return run.first;
}

/* ---- Damage ---- */

static void write_bytes(const Fixture *f, int64_t offset, char *line)
{
    char *text = strchr(line, '"');
    char *end = text ? strrchr(line, '"') : NULL;

    if (text) {
        cr_assert_gt(end, text);
        cr_assert_eq(pwrite(f->fd, text + 1, (size_t)(end - text - 1), offset),
                     end - text - 1);
        offset += end - text - 1;
        line = end + 1;
    }
    for (char *word = next_word(&line); *word; word = next_word(&line)) {
        uint8_t byte = (uint8_t)strtoul(word, NULL, 16);

        cr_assert_eq(strlen(word), 2, "%s: '%s'", f->name, word);
        cr_assert_eq(pwrite(f->fd, &byte, 1, offset++), 1);
    }
}

static int64_t fat_offset(const Fixture *f, uint32_t fat)
{
    const BootInfo *info = volume_boot_info(f->sound->volume);

    return (int64_t)(info->reserved_sectors + fat * info->sectors_per_fat) *
           info->bytes_per_sector;
}

static void put_fat(const Fixture *f, uint32_t fat, uint32_t cluster,
                    uint32_t value)
{
    const BootInfo *info = volume_boot_info(f->sound->volume);
    size_t bytes = info->sectors_per_fat * info->bytes_per_sector;
    g_autofree uint8_t *table = g_malloc(bytes);

    cr_assert_eq(pread(f->fd, table, bytes, fat_offset(f, fat)),
                 (ssize_t)bytes);
    fat_entry_put(info->fat_type, table, bytes, 0, cluster, value);
    cr_assert_eq(pwrite(f->fd, table, bytes, fat_offset(f, fat)),
                 (ssize_t)bytes);
}

/* Byte offset of a 32-byte entry of a directory. */
static int64_t slot_offset(const Fixture *f, const TreeNode *dir,
                           unsigned slot)
{
    const BootInfo *info = volume_boot_info(f->sound->volume);
    uint32_t per_cluster = volume_cluster_size(f->sound->volume) /
                           FAT_DIRENT_SIZE;
    ClusterRun run;

    if (!dir->parent && info->fat_type != 32) {
        return (int64_t)info->root_start * info->bytes_per_sector +
               (int64_t)slot * FAT_DIRENT_SIZE;
    }
    cr_assert(chain_locate(&dir->chain, slot / per_cluster, &run));
    return volume_cluster_offset(f->sound->volume, run.first) +
           (int64_t)(slot % per_cluster) * FAT_DIRENT_SIZE;
}

static int64_t entry_offset(const Fixture *f, const TreeNode *node)
{
    unsigned n_long = 0;

    if (node->has_long_name) { /* ASCII: as many units as bytes */
        n_long = (unsigned)(strlen(node->name) + FAT_LONG_UNITS - 1) /
                 FAT_LONG_UNITS;
    }
    return slot_offset(f, node->parent, node->slot + n_long);
}

static void damage_start(const Fixture *f, const TreeNode *node,
                         uint32_t cluster)
{
    int64_t entry = entry_offset(f, node);
    le16 low, high;

    le16_put(&low, (uint16_t)cluster);
    le16_put(&high, (uint16_t)(cluster >> 16));
    cr_assert_eq(pwrite(f->fd, &low, 2, entry + 26), 2);
    cr_assert_eq(pwrite(f->fd, &high, 2, entry + 20), 2);
}

/* ---- Lines ---- */

static void run_fat_line(const Fixture *f, const char *word, char *line)
{
    uint32_t cluster = parse_cluster(f, next_word(&line));
    uint32_t value = parse_cluster(f, next_word(&line));

    if (!strcmp(word, "fat")) {
        put_fat(f, 0, cluster, value);
    }
    put_fat(f, 1, cluster, value);
}

static void run_fat_bytes_line(const Fixture *f, const char *word, char *line)
{
    int64_t at = atoll(next_word(&line));
    g_autofree char *copy = g_strdup(line);

    if (!strcmp(word, "fat-bytes")) {
        write_bytes(f, fat_offset(f, 1) + at, copy);
    }
    write_bytes(f, fat_offset(f, 0) + at, line);
}

static bool run_damage_line(const Fixture *f, const char *word, char *line)
{
    const TreeNode *node;
    int64_t offset;

    if (!strcmp(word, "fat") || !strcmp(word, "fat2")) {
        run_fat_line(f, word, line);
        return true;
    }
    if (!strcmp(word, "fat-bytes") || !strcmp(word, "fat1-bytes")) {
        run_fat_bytes_line(f, word, line);
        return true;
    }
    if (!strcmp(word, "sector")) {
        offset = atoll(next_word(&line)) * SECTOR_SIZE;
    } else if (!strcmp(word, "start")) {
        node = find_node(f, next_word(&line));
        damage_start(f, node, parse_cluster(f, next_word(&line)));
        return true;
    } else if (!strcmp(word, "entry")) {
        offset = entry_offset(f, find_node(f, next_word(&line)));
    } else if (!strcmp(word, "long")) {
        node = find_node(f, next_word(&line));
        offset = slot_offset(f, node->parent,
                             node->slot + atoi(next_word(&line)));
    } else if (!strcmp(word, "slot")) {
        node = find_node(f, next_word(&line));
        offset = slot_offset(f, node, atoi(next_word(&line)));
    } else {
        return false;
    }
    offset += atoll(next_word(&line));
    write_bytes(f, offset, line);
    return true;
}

static void run_line(Fixture *f, char *line)
{
    const BootInfo *info = volume_boot_info(f->sound->volume);
    g_autofree char *type = g_strdup_printf("%u", info->fat_type);
    char *word = next_word(&line);

    if (!*word || *word == '#') {
        return;
    }
    if (!strcmp(word, "types")) {
        f->applies = strstr(line, type);
    } else if (!strcmp(word, "damage") || !strcmp(word, "note")) {
        g_ptr_array_add(f->expected, g_strdup_printf("%s %s", word, line));
    } else if (!strcmp(word, "fsck")) {
        f->fsck_differs = true;
    } else if (f->applies) {
        cr_assert(run_damage_line(f, word, line), "%s: unknown '%s'", f->name,
                  word);
    }
}

/* ---- Verdicts ---- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted_lines(GPtrArray *lines)
{
    GString *text = g_string_new(NULL);

    g_ptr_array_sort(lines, compare_strings);
    for (guint i = 0; i < lines->len; i++) {
        g_string_append_printf(text, "\n  %s",
                               (char *)g_ptr_array_index(lines, i));
    }
    return g_string_free(text, FALSE);
}

static void judge(const Fixture *f)
{
    g_autoptr(FatVolume) v = fat_volume_open(f->dir, "damaged.img", true);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *all = fat_volume_describe(v);
    g_autofree char *found_text = NULL;
    g_autofree char *expected_text = sorted_lines(f->expected);
    bool fsck_finds = workdir_status(f->dir, "fsck.fat -n damaged.img") != 0;

    for (guint i = 0; i < v->view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(v->view->problems, i);
        const char *path = p->path && !*p->path ? "/" : p->path;

        g_ptr_array_add(found,
                        g_strdup_printf("%s %s%s%s",
                                        p->is_damage ? "damage" : "note",
                                        problem_kind_name(p->kind),
                                        path ? " " : "", path ? path : ""));
    }
    found_text = sorted_lines(found);
    cr_expect_str_eq(
        found_text, expected_text, "%s on FAT%u: expected%s\nfound%s", f->name,
        volume_boot_info(v->volume)->fat_type, expected_text, all);
    cr_expect_eq(fsck_finds == (v->view->n_damage > 0), !f->fsck_differs,
                 "%s on FAT%u: fsck.fat %s, we say%s", f->name,
                 volume_boot_info(v->volume)->fat_type,
                 fsck_finds ? "finds errors" : "finds nothing", all);
}

static void run_fixture(const char *dir, FatVolume *sound, const char *name)
{
    g_autofree char *path = g_build_filename("tests/fixtures/volumes", name,
                                             NULL);
    g_autofree char *image = g_build_filename(dir, "damaged.img", NULL);
    g_autoptr(GPtrArray) expected = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Fixture f = {
        .name = name,
        .dir = dir,
        .sound = sound,
        .applies = true,
        .expected = expected,
    };

    cr_assert(g_file_get_contents(path, &text, NULL, NULL), "%s", path);
    workdir_run(dir, "cp --sparse=always sound.img damaged.img");
    f.fd = open(image, O_RDWR | O_CLOEXEC);
    cr_assert(f.fd >= 0);
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        run_line(&f, *line);
    }
    close(f.fd);
    if (f.applies) {
        judge(&f);
    }
}

static void run_all(const char *mkfs)
{
    g_autoptr(FatVolume) sound = NULL;
    g_autoptr(GDir) fixtures = g_dir_open("tests/fixtures/volumes", 0, NULL);
    const char *only = g_getenv("FIXTURE");
    char *dir = workdir_new();
    const char *name;
    unsigned n = 0;

    cr_assert_not_null(fixtures, "run this from the top of the source");
    workdir_run(
        dir,
        "mkfs.fat %s -n SOUND && mkdir -p src/sub/deep && cd src && : >EMPTY && "
        "yes A | head -c 2500 >a.bin && "
        "yes B | head -c 1500 >b.bin && "
        "yes text | head -c 1000 >long-file-name.text && "
        "yes inner | head -c 1000 >sub/inner.bin && "
        "mmd -i ../sound.img ::/x && mrd -i ../sound.img ::/x && "
        "mcopy -i ../sound.img a.bin b.bin long-file-name.text EMPTY "
        "::/ && mmd -i ../sound.img ::/sub && "
        "mcopy -i ../sound.img sub/inner.bin ::/sub && "
        "mmd -i ../sound.img ::/sub/deep",
        mkfs);
    if (strstr(mkfs, "-F 32")) {
        /* FSInfo: the count is not known. Else every lost cluster is a wrong
         * count, too. */
        workdir_run(dir, "printf '\\377\\377\\377\\377' | dd of=sound.img "
                         "bs=1 seek=1000 conv=notrunc");
    }
    sound = fat_volume_open(dir, "sound.img", true);
    cr_assert_eq(sound->view->problems->len, 0);
    while ((name = g_dir_read_name(fixtures))) {
        if (g_str_has_suffix(name, ".txt") && (!only || strstr(name, only))) {
            run_fixture(dir, sound, name);
            n++;
        }
    }
    cr_assert_gt(n, 0);
    workdir_free(dir);
}

Test(guest_defects, fat12)
{
    run_all("-F 12 -s 1 -C sound.img 512");
}

Test(guest_defects, fat16)
{
    run_all("-F 16 -s 1 -C sound.img 4096");
}

Test(guest_defects, fat32)
{
    run_all("-F 32 -s 1 -C sound.img 36000");
}
