/* SPDX-License-Identifier: MIT */
/* Extraction: what mcopy put into a volume comes out again, and nowhere else
 * than it should. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "block/vvfat/extract.h"
#include "block/vvfat/fat.h"
#include "fat-volume.h"
#include "image-fixture.h"

/* ---- Helpers ---- */

/* One extraction, and what it said. */
typedef struct Run {
    ExtractResult result;
    GPtrArray *said; /* char *: "path: text" */
    GError *error;
    bool ok;
    uint64_t stop_at; /* bytes after which progress() stops it; 0: never */
} Run;

static void run_clear(Run *run)
{
    g_ptr_array_unref(run->said);
    g_clear_error(&run->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static void on_problem(const char *path, const char *text, void *opaque)
{
    Run *run = opaque;

    g_ptr_array_add(run->said, g_strdup_printf("%s: %s", path, text));
}

static bool on_progress(uint64_t done, uint64_t total, void *opaque)
{
    const Run *run = opaque;

    cr_assert_leq(done, total);
    return !run->stop_at || done < run->stop_at;
}

static void extract(Run *run, FatVolume *v, const char *path, const char *dir,
                    const char *target, bool overwrite)
{
    const TreeNode *node = tree_lookup(v->view->tree, path);
    g_autofree char *host = g_build_filename(dir, target, NULL);
    ExtractOptions options = {
        .overwrite = overwrite,
        .utc = true,
        .problem = on_problem,
        .progress = on_progress,
        .opaque = run,
    };

    cr_assert_not_null(node, "no '%s'", path);
    run->said = g_ptr_array_new_with_free_func(g_free);
    run->ok = extract_tree(v->volume, v->view, node, host, &options,
                           &run->result, &run->error);
    cr_assert_eq(run->ok, run->error == NULL);
}

/* Fails unless all came out as it was. */
static void must_be_whole(const Run *run)
{
    cr_assert(run->ok, "%s", run->ok ? "" : run->error->message);
    cr_assert_eq(run->said->len, 0, "%s",
                 run->said->len ? (char *)g_ptr_array_index(run->said, 0)
                                : "");
    cr_assert_eq(run->result.problems, 0);
}

static bool has_said(const Run *run, const char *path, const char *words)
{
    for (guint i = 0; i < run->said->len; i++) {
        const char *line = g_ptr_array_index(run->said, i);

        if (g_str_has_prefix(line, path) && strstr(line, words)) {
            return true;
        }
    }
    return false;
}

static void make_volume(const char *dir)
{
    workdir_run(dir, "mkfs.fat -F 16 -s 1 -C disk.img 8192");
}

/* ---- Whole trees ---- */

ParameterizedTestParameters(extract, gives_the_tree_back)
{
    static unsigned types[] = { 12, 16, 32 };

    return cr_make_param_array(unsigned, types, G_N_ELEMENTS(types));
}

/* Times of the files below the working directory, in units of 2 seconds. */
#define LIST_TIMES                                                            \
    "find . -mindepth 1 -printf '%%T@ %%p\\n' | "                             \
    "awk '{ $1 = int($1 / 2); print }' | sort -k 2"

ParameterizedTest(unsigned *fat_type, extract, gives_the_tree_back)
{
    const char *mkfs = *fat_type == 12   ? "2000"
                       : *fat_type == 16 ? "-s 1 9000"
                                         : "-s 1 40000";
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    workdir_run(dir, "mkfs.fat -F %u -C disk.img %s", *fat_type, mkfs);
    workdir_run(dir,
                "mkdir -p 'src/A long directory/inner' src/EMPTY.DIR && "
                "cd src && : >empty && echo text >'gr\xc3\xbc\xc3\x9f.txt' && "
                "for n in 1 511 512 513 70000 300000; do "
                "head -c $n /dev/urandom >'A long directory/'$n; done && "
                "touch -d '2021-03-04 05:06:08' empty && "
                "touch -d '2107-12-31 23:59:58' 'A long directory/1' && "
                "touch -d '1999-01-02' EMPTY.DIR && "
                "touch -d '2000-02-29 12:00' 'A long directory' && "
                "mcopy -m -s -i ../disk.img * ::/");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    must_be_whole(&run);
    cr_assert_eq(run.result.files, 8);
    cr_assert_eq(run.result.directories, 3);
    cr_assert_eq(run.result.bytes, 5 + 1 + 511 + 512 + 513 + 370000);
    workdir_run(dir, "diff -r src out");
    /* mcopy does not keep the times of directories. */
    workdir_run(dir, "(cd src && " LIST_TIMES ") | grep -v -e inner -e DIR "
                     "-e 'directory$' >want && (cd out && " LIST_TIMES ") | "
                     "grep -v -e inner -e DIR -e 'directory$' >have && "
                     "cmp want have");
    workdir_free(dir);
}

Test(extract, directories_get_their_times)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "mkdir -p sub/deep && echo x >sub/deep/x && "
                     "mcopy -s -i disk.img sub ::/");
    /* 2001-09-09 01:46:40 into the times of all entries of sub */
    v = fat_volume_open(dir, "disk.img", false);
    tree_lookup(v->view->tree, "sub")->mtime = (FatTime){ 0x2b29, 0x0dd4 };
    extract(&run, v, "", dir, "out", false);
    must_be_whole(&run);
    workdir_run(dir, "test \"$(stat -c %%Y out/sub)\" = 1000000000");
    workdir_free(dir);
}

Test(extract, part_of_a_volume)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) tree = { 0 };
    g_auto(Run) file = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "mkdir -p sub/deep && echo x >sub/deep/x && "
                     "echo y >y && mcopy -s -i disk.img sub y ::/");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&tree, v, "sub", dir, "tree", false);
    must_be_whole(&tree);
    workdir_run(dir, "diff -r sub tree");
    extract(&file, v, "sub/deep/x", dir, "file", false);
    must_be_whole(&file);
    workdir_run(dir, "cmp sub/deep/x file/x && test $(ls file | wc -l) = 1");
    workdir_free(dir);
}

Test(extract, zeroes_become_holes)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "truncate -s 4M sparse && "
                     "printf data | dd of=sparse bs=1 seek=2000000 "
                     "conv=notrunc && mcopy -i disk.img sparse ::/");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    must_be_whole(&run);
    workdir_run(dir, "cmp sparse out/sparse && "
                     "test $(stat -c %%b out/sparse) -le 64");
    workdir_free(dir);
}

Test(extract, deeper_than_path_max)
{
    enum { DEPTH = 5000 };
    g_autoptr(FatVolume) v = NULL;
    g_autofree char *image = NULL;
    g_auto(Run) run = { 0 };
    g_autofree char *deep = NULL;
    char *dir = workdir_new();
    uint8_t sector[512], fat[64 * 512] = { 0 };
    FatDirent *entry = (FatDirent *)sector;
    int fd;

    make_volume(dir);
    /* A chain of directories "D", one in the other, written by hand. */
    v = fat_volume_open(dir, "disk.img", false);
    image = g_build_filename(dir, "disk.img", NULL);
    fd = open(image, O_RDWR | O_CLOEXEC);
    for (uint32_t i = 0; i <= DEPTH; i++) {
        uint32_t own = i + 1; /* of the directory written; 1: the root */

        memset(sector, 0, sizeof(sector));
        memcpy(entry[0].name, ".          ", 11);
        le16_put(&entry[0].cluster_low, own);
        memcpy(entry[1].name, "..         ", 11);
        le16_put(&entry[1].cluster_low, i < 2 ? 0 : own - 1);
        memcpy(entry[2].name, "D          ", 11);
        le16_put(&entry[2].cluster_low, own + 1);
        for (int j = 0; j < 3; j++) {
            entry[j].attr = FAT_ATTR_DIRECTORY;
        }
        if (i == DEPTH) {
            memset(&entry[2], 0, sizeof(entry[2]));
        }
        if (i == 0) {
            cr_assert_eq(
                pwrite(fd, &entry[2], 32,
                       (int64_t)volume_boot_info(v->volume)->root_start * 512),
                32);
            continue;
        }
        cr_assert_eq(
            pwrite(fd, sector, 512, volume_cluster_offset(v->volume, own)),
            512);
        fat_entry_put(16, fat, sizeof(fat), 0, own, FAT_ENTRY_EOC);
    }
    fat_entry_put(16, fat, sizeof(fat), 0, 0, fat_entry_0(16, 0xf8));
    fat_entry_put(16, fat, sizeof(fat), 0, 1, fat_entry_1(16));
    for (uint32_t i = 0; i < 2; i++) {
        const BootInfo *info = volume_boot_info(v->volume);

        cr_assert_geq(info->sectors_per_fat, sizeof(fat) / 512);
        cr_assert_eq(
            pwrite(fd, fat, sizeof(fat),
                   (info->reserved_sectors + i * info->sectors_per_fat) * 512),
            (ssize_t)sizeof(fat));
    }
    close(fd);
    fat_volume_close(g_steal_pointer(&v));
    cr_assert_eq(workdir_status(dir, "fsck.fat -n disk.img"), 0);

    v = fat_volume_open(dir, "disk.img", true);
    cr_assert_eq(v->view->problems->len, 0);
    extract(&run, v, "", dir, "out", false);
    must_be_whole(&run);
    cr_assert_eq(run.result.directories, DEPTH);
    deep = workdir_output(dir, "find out -type d | wc -l");
    cr_assert_eq(atoi(deep), DEPTH + 1);
    workdir_free(dir);
}

/* ---- Attributes ---- */

Test(extract, attributes)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();
    g_autofree char *hidden = g_build_filename(dir, "out/hidden", NULL);
    g_autofree char *read_only = g_build_filename(dir, "out/ro", NULL);
    g_autofree char *none = g_build_filename(dir, "out/none", NULL);
    g_autofree char *plain = g_build_filename(dir, "out/plain", NULL);
    char text[16] = "";
    struct stat st;

    make_volume(dir);
    workdir_run(dir, "for f in hidden ro none plain; do echo $f >$f; "
                     "mcopy -i disk.img $f ::/; done; "
                     "mattrib -i disk.img +h +s +r ::/hidden && "
                     "mattrib -i disk.img +r ::/ro && "
                     "mattrib -i disk.img -a ::/none");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    cr_assert(run.ok);
    cr_assert_eq(run.result.problems, 0);
    cr_assert_eq(stat(read_only, &st), 0);
    cr_assert_eq(st.st_mode & 0222, 0);
    cr_assert_eq(stat(plain, &st), 0);
    cr_assert_neq(st.st_mode & 0200, 0);
    if (run.result.unstored) {
        cr_assert_eq(run.said->len, 1);
        workdir_free(dir);
        cr_skip_test("no extended attributes here");
    }
    cr_assert_eq(getxattr(hidden, "user.DOSATTRIB", text, 16), 4);
    cr_assert_eq(memcmp(text, "0x27", 4), 0);
    cr_assert_eq(getxattr(none, "user.DOSATTRIB", text, 16), 3);
    cr_assert_eq(memcmp(text, "0x0", 3), 0);
    cr_assert_lt(getxattr(plain, "user.DOSATTRIB", text, 16), 0);
    cr_assert_lt(getxattr(read_only, "user.DOSATTRIB", text, 16), 0);
    workdir_free(dir);
}

/* ---- Targets ---- */

Test(extract, refuses_a_directory_that_is_not_empty)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "echo new >x && mcopy -i disk.img x ::/ && "
                     "mkdir out && echo old >out/other");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    cr_assert_not(run.ok);
    cr_assert_eq(run.error->code, ENOTEMPTY);
    workdir_run(dir, "test $(ls out | wc -l) = 1");
    workdir_free(dir);
}

Test(extract, target_that_cannot_be)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) missing = { 0 };
    g_auto(Run) file = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&missing, v, "", dir, "no/where", false);
    cr_assert_eq(missing.error->code, ENOENT);
    extract(&file, v, "", dir, "disk.img", true);
    cr_assert_eq(file.error->code, ENOTDIR);
    workdir_free(dir);
}

Test(extract, overwriting_replaces_files_and_links)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "for f in file link hard; do echo new >$f; "
                     "mcopy -i disk.img $f ::/; done; "
                     "mkdir -p sub && echo new >sub/x && "
                     "mcopy -s -i disk.img sub ::/ && "
                     "echo precious >outside && mkdir -p out/sub && "
                     "echo old and longer >out/file && "
                     "ln -s ../outside out/link && ln outside out/hard && "
                     "echo kept >out/kept");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", true);
    must_be_whole(&run);
    workdir_run(dir, "for f in file link hard sub/x; do "
                     "test \"$(cat out/$f)\" = new || exit 1; done; "
                     "test ! -L out/link && test $(cat outside) = precious "
                     "&& test $(cat out/kept) = kept");
    workdir_free(dir);
}

Test(extract, links_to_directories_are_not_followed)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "mkdir sub && echo new >sub/x && echo last >z && "
                     "mcopy -s -i disk.img sub z ::/ && "
                     "mkdir out outside && ln -s ../outside out/sub");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", true);
    cr_assert(run.ok);
    cr_assert_eq(run.result.problems, 1);
    cr_assert(has_said(&run, "sub:", "cannot create"));
    workdir_run(dir, "test -z \"$(ls outside)\" && cmp z out/z");
    workdir_free(dir);
}

/* ---- Hostile names ---- */

/* Extract a volume whose file "evil-long-name" got another long name; there
 * must be nothing new beside `out`. */
static void extract_renamed(const char *units, size_t bytes, Run *run,
                            char *dir)
{
    g_autoptr(FatVolume) v = NULL;

    make_volume(dir);
    workdir_run(dir, "mkdir src out && echo evil >src/evil-long-name && "
                     "echo good >src/good && mcopy -i disk.img src/* ::/ && "
                     "rm -r src && ls >before");
    workdir_replace(dir, "disk.img", "\1e\0v\0i\0l\0-", units, bytes);
    v = fat_volume_open(dir, "disk.img", false);
    extract(run, v, "", dir, "out", false);
    cr_assert(run->ok);
    workdir_run(dir, "test -z \"$(ls | grep -v -x -F -f before)\" && "
                     "test -z \"$(find out -mindepth 2)\" && "
                     "test \"$(cat out/good)\" = good");
}

Test(extract, names_with_slashes_stay_inside)
{
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    extract_renamed("\1.\0.\0/\0l\0-", 10, &run, dir);
    cr_assert(has_said(&run, "EVIL-L~1", "slash"));
    workdir_run(dir, "test \"$(cat out/EVIL-L~1)\" = evil");
    workdir_free(dir);
}

Test(extract, names_that_end_early_stay_inside)
{
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    /* "..", a NUL, and the rest of the name */
    extract_renamed("\1.\0.\0\0\0\0\0", 10, &run, dir);
    cr_assert_gt(run.result.problems + run.result.damages, 0);
    workdir_run(dir, "test \"$(cat out/EVIL-L~1)\" = evil");
    workdir_free(dir);
}

Test(extract, name_no_host_can_hold_is_reported)
{
    g_autofree char *name = g_strnfill(100, 'q');
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir,
                "echo x >x && mcopy -i disk.img x '::/%s' && "
                "mcopy -i disk.img x ::/",
                name);
    workdir_replace(dir, "disk.img", "q", "\x42\x30", 2);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    cr_assert(run.ok);
    cr_assert_eq(run.result.problems, 1);
    cr_assert(has_said(&run, "\xe3\x81\x82", "skipped"));
    workdir_run(dir, "test $(ls out) = x");
    workdir_free(dir);
}

Test(extract, mapped_characters_come_back)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "echo x >x && mcopy -i disk.img x '::/what qx when'");
    workdir_replace(dir, "disk.img", "q\0x", "\x3a\xf0\x3f\xf0", 4);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    must_be_whole(&run);
    workdir_run(dir, "test \"$(cat 'out/what :? when')\" = x");
    workdir_free(dir);
}

Test(extract, second_file_of_a_name_does_not_replace_the_first)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) fresh = { 0 };
    g_auto(Run) over = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "echo first >FIRST && echo second >SECOND && "
                     "mcopy -i disk.img FIRST SECOND ::/");
    workdir_replace(dir, "disk.img", "SECOND     ", "FIRST      ", 11);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&fresh, v, "", dir, "out", false);
    extract(&over, v, "", dir, "out", true);
    for (int i = 0; i < 2; i++) {
        const Run *run = i ? &over : &fresh;

        cr_assert(run->ok);
        cr_assert_eq(run->result.files, 1);
        cr_assert(has_said(run, "FIRST:", "short name"));
        cr_assert(has_said(run, "FIRST:", "File exists"));
    }
    workdir_run(dir, "cmp FIRST out/FIRST");
    workdir_free(dir);
}

Test(extract, second_directory_of_a_name_is_not_mixed_with_the_first)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "mkdir FIRST SECOND && echo 1 >FIRST/A && "
                     "echo 2 >SECOND/A && echo 2 >SECOND/B && "
                     "mcopy -s -i disk.img FIRST SECOND ::/ && "
                     "mkdir -p out/FIRST && echo kept >out/FIRST/C");
    workdir_replace(dir, "disk.img", "SECOND     ", "FIRST      ", 11);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", true);
    cr_assert(run.ok);
    cr_assert_eq(run.result.directories, 1);
    cr_assert(has_said(&run, "FIRST:", "File exists"));
    workdir_run(dir, "cmp FIRST/A out/FIRST/A && test ! -e out/FIRST/B && "
                     "test $(cat out/FIRST/C) = kept");
    workdir_free(dir);
}

/* ---- Damage and failures ---- */

Test(extract, damaged_file_as_far_as_it_goes)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();
    TreeNode *node;

    make_volume(dir);
    workdir_run(dir, "head -c 9000 /dev/urandom >CUT && echo whole >WHOLE && "
                     "mcopy -i disk.img CUT WHOLE ::/");
    v = fat_volume_open(dir, "disk.img", false);
    node = tree_lookup(v->view->tree, "CUT");
    node->chain.one.count = 7;
    extract(&run, v, "", dir, "out", false);
    cr_assert(run.ok);
    cr_assert_eq(run.result.problems, 1);
    cr_assert(has_said(&run, "CUT:", "first 3584 of its 9000 bytes"));
    workdir_run(dir, "head -c 3584 CUT | cmp - out/CUT && "
                     "cmp WHOLE out/WHOLE");
    workdir_free(dir);
}

Test(extract, damage_found_by_loading_is_reported)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) all = { 0 };
    g_auto(Run) part = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "mkdir sub && head -c 9000 /dev/urandom >BAD && "
                     "echo whole >sub/x && mcopy -s -i disk.img BAD sub ::/");
    workdir_replace(dir, "disk.img", "\x28\x23\0", "\x00\x93\0", 3);
    v = fat_volume_open(dir, "disk.img", false);
    extract(&all, v, "", dir, "out", false);
    cr_assert(all.ok);
    cr_assert_eq(all.result.problems + all.result.damages, 2);
    cr_assert(has_said(&all, "BAD:", "its clusters hold only 9216"));
    cr_assert(has_said(&all, "BAD:", "first 9216 of its 37632 bytes"));
    extract(&part, v, "sub", dir, "part", false);
    must_be_whole(&part);
    workdir_free(dir);
}

Test(extract, unreadable_cluster_ends_one_file)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "head -c 90000 /dev/urandom >CUT && echo whole >WHOLE && "
                     "mcopy -i disk.img CUT WHOLE ::/");
    v = fat_volume_open(dir, "disk.img", false);
    v->bad_offset = volume_cluster_offset(v->volume, 2) + 40000;
    extract(&run, v, "", dir, "out", false);
    cr_assert(run.ok);
    cr_assert_eq(run.result.problems, 1);
    cr_assert(has_said(&run, "CUT:", "first 39936 of its 90000 bytes"));
    cr_assert(has_said(&run, "CUT:", "Input/output error"));
    workdir_run(dir, "head -c 39936 CUT | cmp - out/CUT && "
                     "cmp WHOLE out/WHOLE");
    workdir_free(dir);
}

Test(extract, stops_when_told)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { .stop_at = 1 << 20 };
    char *dir = workdir_new();

    make_volume(dir);
    workdir_run(dir, "head -c 3000000 /dev/urandom >BIG && "
                     "mcopy -i disk.img BIG ::/");
    v = fat_volume_open(dir, "disk.img", false);
    extract(&run, v, "", dir, "out", false);
    cr_assert_not(run.ok);
    cr_assert_eq(run.error->code, ECANCELED);
    workdir_run(dir, "test -z \"$(ls out)\"");
    workdir_free(dir);
}

Test(extract, full_host_file_system, .init = image_dir_init,
     .fini = image_dir_fini)
{
    g_autoptr(FatVolume) v = NULL;
    g_auto(Run) run = { 0 };

    if (!image_mount_tmpfs("full", "size=64k")) {
        cr_skip_test("cannot mount a file system here");
    }
    make_volume(image_dir);
    workdir_run(image_dir, "mkdir src && echo a >src/a && "
                           "head -c 200000 /dev/urandom >src/b && "
                           "echo c >src/c && mcopy -i disk.img src/* ::/");
    v = fat_volume_open(image_dir, "disk.img", false);
    extract(&run, v, "", image_dir, "full", false);
    cr_assert_not(run.ok);
    cr_assert_eq(run.error->code, ENOSPC);
    cr_assert_not_null(strstr(run.error->message, "'b'"));
    /* What was extracted before is whole, and nothing is there in part. */
    workdir_run(image_dir, "test $(ls full) = a && cmp src/a full/a");
}
