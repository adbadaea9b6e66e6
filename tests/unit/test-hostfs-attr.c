/* SPDX-License-Identifier: MIT */
/* Times, permissions and extended attributes of host files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "block/vvfat/hostfs-dos-attrib.h"
#include "block/vvfat/hostfs-xattr.h"
#include "fault-syscall.h"
#include "hostfs-fixture.h"

Test(hostfs_attr, the_modification_time_alone_is_set)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *path = temp_tree_path(host.t, "file");
    HostFs *fs = host.fs;
    struct stat before, after;

    test_host_create(fs, "file", "x");
    cr_assert_eq(fs->ops->mkdir(fs, "dir", 0777), 0);
    cr_assert_eq(stat(path, &before), 0);
    cr_assert_eq(fs->ops->set_times(fs, "file", 1234567890, 123456789), 0);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(after.st_mtim.tv_sec, 1234567890);
    cr_assert_eq(after.st_mtim.tv_nsec, 123456789);
    cr_assert_eq(after.st_atim.tv_sec, before.st_atim.tv_sec);
    cr_assert_eq(after.st_atim.tv_nsec, before.st_atim.tv_nsec);
    cr_assert_eq(fs->ops->set_times(fs, "dir", 1, 2), 0);
    cr_assert_eq(test_host_stat(fs, "dir").mtime, 1);
    cr_assert_eq(test_host_stat(fs, "dir").mtime_ns, 2);
    cr_assert_eq(fs->ops->set_times(fs, "none", 1, 2), -ENOENT);
}

Test(hostfs_attr, special_files_have_no_attributes_for_us)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *fifo = temp_tree_path(host.t, "fifo");
    unsigned attr;

    cr_assert_eq(mkfifo(fifo, 0666), 0);
    cr_assert_eq(host.fs->ops->set_times(host.fs, "fifo", 1, 0), -EINVAL);
    cr_assert_eq(host.fs->ops->set_mode(host.fs, "fifo", 0), -EINVAL);
    cr_assert_eq(host.fs->ops->get_dos_attrib(host.fs, "fifo", &attr),
                 -EINVAL);
}

Test(hostfs_attr, read_only_takes_and_gives_write_permission)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostStat st;

    test_host_create(fs, "file", "x");
    cr_assert_eq(fs->ops->set_mode(fs, "file", 0766), 0);
    cr_assert_eq(fs->ops->set_read_only(fs, "file", true), 0);
    st = test_host_stat(fs, "file");
    cr_assert_eq(st.mode, 0544);
    cr_assert(st.read_only);
    cr_assert_eq(fs->ops->set_read_only(fs, "file", false), 0);
    cr_assert_eq(test_host_stat(fs, "file").mode, 0744);

    /* Nothing to do is done without touching it. */
    cr_assert_eq(fs->ops->set_mode(fs, "file", 0464), 0);
    st = test_host_stat(fs, "file");
    cr_assert_eq(fs->ops->set_read_only(fs, "file", false), 0);
    cr_assert_eq(test_host_stat(fs, "file").mode, 0464);
    cr_assert_eq(test_host_stat(fs, "file").ctime_ns, st.ctime_ns);
}

/* ---- DOS attributes ---- */

static void assert_value(const uint8_t *old, size_t bytes, unsigned attr,
                         const uint8_t *want, size_t want_bytes)
{
    g_autoptr(GByteArray) value = dos_attrib_change(old, bytes, attr);

    cr_assert_eq(value->len, want_bytes, "%u", value->len);
    cr_assert_eq(memcmp(value->data, want, want_bytes), 0);
}

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

Test(hostfs_attr, dos_attributes_are_text_when_new)
{
    unsigned attr;

    assert_value(NULL, 0, 0x22, BYTES("0x22"));
    assert_value(BYTES("garbage"), 0x2, BYTES("0x2"));
    assert_value(BYTES("0x21"), 0x6, BYTES("0x6"));
    cr_assert_eq(dos_attrib_parse(BYTES("0x22"), &attr), 0);
    cr_assert_eq(attr, 0x22);
    cr_assert_eq(dos_attrib_parse(BYTES("0x22\0"), &attr), 0);
    cr_assert_eq(attr, 0x22);
    cr_assert_eq(dos_attrib_parse(BYTES(""), &attr), -EINVAL);
    cr_assert_eq(dos_attrib_parse(BYTES("0x"), &attr), -EINVAL);
    cr_assert_eq(dos_attrib_parse(BYTES("0x2g"), &attr), -EINVAL);
    cr_assert_eq(dos_attrib_parse(BYTES("0x123456789"), &attr), -EINVAL);
    cr_assert_eq(dos_attrib_parse(BYTES("22"), &attr), -EINVAL);
}

/* As smbd wrote them. */
#define SAMBA_4                                                               \
    "\0\0\4\0\4\0\0\0\x51\0\0\0\x20\0\0\0"                                    \
    "\x9a\x02\x4c\xf4\xd1\x2f\xdc\x37\xda\x42\x4b\xf4\xd1\x2f\xdc\x01"
#define SAMBA_4_HIDDEN                                                        \
    "\0\0\4\0\4\0\0\0\x51\0\0\0\x02\0\0\0"                                    \
    "\x9a\x02\x4c\xf4\xd1\x2f\xdc\x37\xda\x42\x4b\xf4\xd1\x2f\xdc\x01"
#define SAMBA_5                                                               \
    "\0\0\5\0\5\0\0\0\x11\0\0\0\x20\0\0\0\0\x63\xda\xaa\x71\xb1\xd9\x01"
/* As version 3 is laid out: the text moves what follows. */
#define BODY_3                                                                \
    "\0\0\0\0"                                                                \
    "abcdefgh"                                                                \
    "ABCDEFGH"                                                                \
    "12345678"                                                                \
    "87654321"
#define SAMBA_3 "0x20\0\0\3\0\3\0\0\0\x11\0\0\0\x20\0\0\0" BODY_3
#define SAMBA_3_SYSTEM "0x4\0\3\0\3\0\x11\0\0\0\4\0\0\0" BODY_3
#define SAMBA_9 "0x20\0\0\x09\0\x09\0\0\0\x11\0\0\0\x04\0\0\0"

Test(hostfs_attr, what_samba_wrote_is_kept)
{
    unsigned attr;

    cr_assert_eq(dos_attrib_parse(BYTES(SAMBA_4), &attr), 0);
    cr_assert_eq(attr, 0x20);
    assert_value(BYTES(SAMBA_4), 0x2, BYTES(SAMBA_4_HIDDEN));
    assert_value(BYTES(SAMBA_4), 0x20, BYTES(SAMBA_4));
    cr_assert_eq(dos_attrib_parse(BYTES(SAMBA_5), &attr), 0);
    cr_assert_eq(attr, 0x20);
    assert_value(BYTES(SAMBA_5), 0x20, BYTES(SAMBA_5));
    cr_assert_eq(dos_attrib_parse(BYTES(SAMBA_3), &attr), 0);
    cr_assert_eq(attr, 0x20);
    assert_value(BYTES(SAMBA_3), 0x4, BYTES(SAMBA_3_SYSTEM));
    assert_value(BYTES(SAMBA_3_SYSTEM), 0x20, BYTES(SAMBA_3));

    /* A version to come: its text is all that we know. */
    cr_assert_eq(dos_attrib_parse(BYTES(SAMBA_9), &attr), 0);
    cr_assert_eq(attr, 0x20);
    assert_value(BYTES(SAMBA_9), 0x6, BYTES("0x6"));
}

Test(hostfs_attr, cut_off_values_are_read_within_their_bounds)
{
    for (size_t n = 0; n < sizeof(SAMBA_3); n++) {
        g_autofree uint8_t *part = g_memdup2(SAMBA_3, n);
        g_autoptr(GByteArray) value = dos_attrib_change(part, n, 2);
        unsigned attr;

        cr_assert_eq(dos_attrib_parse(value->data, value->len, &attr), 0);
        cr_assert_eq(attr, 2);
    }
}

static void need_xattrs(const TestHost *host, const char *name)
{
    g_autofree char *path = temp_tree_path(host->t, name);

    if (setxattr(path, "user.test", "1", 1, 0) != 0) {
        cr_skip_test("no extended attributes in %s: %s", host->t->top,
                     strerror(errno));
    }
}

Test(hostfs_attr, dos_attributes_are_kept_in_an_extended_attribute)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *path = temp_tree_path(host.t, "file");
    HostFs *fs = host.fs;
    char value[8];
    unsigned attr;

    test_host_create(fs, "file", "x");
    need_xattrs(&host, "file");
    cr_assert_eq(fs->ops->get_dos_attrib(fs, "file", &attr), -ENODATA);
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "file", 0x26), 0);
    cr_assert_eq(fs->ops->get_dos_attrib(fs, "file", &attr), 0);
    cr_assert_eq(attr, 0x26);
    cr_assert_eq(getxattr(path, "user.DOSATTRIB", value, sizeof(value)), 4);
    cr_assert_eq(memcmp(value, "0x26", 4), 0);
    cr_assert_eq(setxattr(path, "user.DOSATTRIB", "?", 1, 0), 0);
    cr_assert_eq(fs->ops->get_dos_attrib(fs, "file", &attr), -EINVAL);
    cr_assert_eq(fs->ops->mkdir(fs, "dir", 0777), 0);
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "dir", 0x12), 0);
    cr_assert_eq(fs->ops->get_dos_attrib(fs, "dir", &attr), 0);
    cr_assert_eq(attr, 0x12);
}

/* ---- All of it ---- */

/* user::rw-, user:1:r--, group::r--, mask::r--, other::--- */
static const char ACL[] = "\2\0\0\0"
                          "\1\0\6\0\xff\xff\xff\xff"
                          "\2\0\4\0\1\0\0\0"
                          "\4\0\4\0\xff\xff\xff\xff"
                          "\x10\0\4\0\xff\xff\xff\xff"
                          "\x20\0\0\0\xff\xff\xff\xff";
#define ACL_NAME "system.posix_acl_access"

/* From the file "from"; what stays behind. */
static void check_copied(HostFs *fs, const char *to, const char *behind)
{
    g_autofree char *left = NULL;

    cr_assert_eq(fs->ops->copy_metadata(fs, "from", to, &left), 0);
    cr_assert(g_strcmp0(left, behind) == 0, "'%s', not '%s'", left, behind);
}

Test(hostfs_attr, metadata_is_copied)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *from = temp_tree_path(host.t, "from");
    g_autofree char *to = temp_tree_path(host.t, "to");
    HostFs *fs = host.fs;
    bool acl;
    char value[64];

    test_host_create(fs, "from", "x");
    test_host_create(fs, "to", "y");
    need_xattrs(&host, "from");
    cr_assert_eq(setxattr(from, "user.empty", "", 0, 0), 0);
    cr_assert_eq(setxattr(to, "user.extra", "1", 1, 0), 0);
    acl = setxattr(from, ACL_NAME, ACL, sizeof(ACL) - 1, 0) == 0;
    cr_assert_eq(fs->ops->set_dos_attrib(fs, "from", 4), 0);
    cr_assert_eq(fs->ops->set_read_only(fs, "from", true), 0);
    cr_assert_eq(fs->ops->set_times(fs, "from", 1, 0), 0);
    if (geteuid() == 0) {
        cr_assert_eq(chown(from, 12, 34), 0);
    }
    check_copied(fs, "to", NULL);

    cr_assert_eq(getxattr(to, "user.test", value, sizeof(value)), 1);
    cr_assert_eq(getxattr(to, "user.empty", value, sizeof(value)), 0);
    cr_assert_eq(getxattr(to, "user.DOSATTRIB", value, sizeof(value)), 3);
    cr_assert_eq(getxattr(to, "user.extra", value, sizeof(value)), -1);
    cr_assert_eq(errno, ENODATA);
    if (acl) {
        cr_assert_eq(getxattr(to, ACL_NAME, value, sizeof(value)),
                     sizeof(ACL) - 1);
    }
    cr_assert_neq(test_host_stat(fs, "to").mtime, 1);
    cr_assert_eq(test_host_stat(fs, "to").mode, acl ? 0440 : 0444);
    cr_assert_eq(fs->ops->set_mode(fs, "from", 04751), 0);
    check_copied(fs, "to", NULL);
    cr_assert_eq(test_host_stat(fs, "to").mode, 0751);
    cr_assert_eq(run_command(NULL,
                             "cd '%s' && test \"$(stat -c %%u:%%g from)\" = "
                             "\"$(stat -c %%u:%%g to)\"",
                             host.t->dir),
                 0);
}

Test(hostfs_attr, what_a_new_file_inherited_goes)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *dir = temp_tree_path(host.t, "dir");
    g_autofree char *to = temp_tree_path(host.t, "dir/to");
    HostFs *fs = host.fs;
    char value[64];

    test_host_create(fs, "from", "x");
    cr_assert_eq(fs->ops->mkdir(fs, "dir", 0777), 0);
    if (setxattr(dir, "system.posix_acl_default", ACL, sizeof(ACL) - 1, 0) !=
        0) {
        cr_skip_test("no access lists here: %s", strerror(errno));
    }
    test_host_create(fs, "dir/to", "y");
    cr_assert_gt(getxattr(to, ACL_NAME, value, sizeof(value)), 0);
    cr_assert_eq(fs->ops->set_mode(fs, "from", 0664), 0);
    check_copied(fs, "dir/to", NULL);
    cr_assert_lt(getxattr(to, ACL_NAME, value, sizeof(value)), 0);
    cr_assert_eq(test_host_stat(fs, "dir/to").mode, 0664);
}

Test(hostfs_attr, rights_of_another_owner_are_not_copied)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *from = temp_tree_path(host.t, "from");
    HostFs *fs = host.fs;

    if (geteuid() != 0) {
        cr_skip_test("only root has files of two owners");
    }
    test_host_create(fs, "to", "y");
    test_host_create(fs, "from", "x");
    cr_assert_eq(run_command(NULL,
                             "chown -R 65534:65534 '%s' && "
                             "chown 1:1 '%s' && chmod 6755 '%s'",
                             host.t->top, from, from),
                 0);
    cr_assert_eq(setresgid(65534, 65534, 65534), 0);
    cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    check_copied(fs, "to", "owner, group");
    cr_assert_eq(test_host_stat(fs, "to").mode, 0755);
}

/* ---- What cannot be copied ---- */

Test(hostfs_attr, what_stays_behind)
{
    /* The system's, which it does not let us give. */
    cr_assert(xattr_may_stay_behind("security.selinux", -EPERM, true));
    cr_assert(xattr_may_stay_behind("security.selinux", -EACCES, false));
    cr_assert(xattr_may_stay_behind("trusted.test", -EPERM, true));
    cr_assert(xattr_may_stay_behind("system.nfs4_acl", -ENOTSUP, true));
    /* The user's, which need no right but that to the file. */
    cr_assert_not(xattr_may_stay_behind("user.test", -EPERM, true));
    cr_assert_not(xattr_may_stay_behind("user.test", -EACCES, true));
    cr_assert(xattr_may_stay_behind("user.test", -ENOTSUP, false));
    cr_assert(
        xattr_may_stay_behind("system.posix_acl_access", -ENOTSUP, true));
    /* A full disk, and one with room where attributes have none. */
    cr_assert_not(xattr_may_stay_behind("user.test", -ENOSPC, false));
    cr_assert(xattr_may_stay_behind("user.test", -ENOSPC, true));
    cr_assert_not(xattr_may_stay_behind("user.test", -EDQUOT, true));
    cr_assert_not(xattr_may_stay_behind("security.selinux", -EIO, true));
    /* What was said of the old bytes is not said of the new ones. */
    cr_assert(xattr_is_of_contents("security.ima"));
    cr_assert(xattr_is_of_contents("security.capability"));
    cr_assert_not(xattr_is_of_contents("security.selinux"));
}

Test(hostfs_attr, a_label_that_we_may_not_set_is_no_error)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *from = temp_tree_path(host.t, "from");
    g_autofree char *to = temp_tree_path(host.t, "to");
    HostFs *fs = host.fs;
    char value[8];

    test_host_create(fs, "to", "y");
    test_host_create(fs, "from", "x");
    if (setxattr(from, "security.test", "1", 1, 0) != 0) {
        cr_skip_test("no labels for us here: %s", strerror(errno));
    }
    need_xattrs(&host, "from");
    cr_assert_eq(run_command(NULL, "chown -R 65534:65534 '%s'", host.t->top),
                 0);
    cr_assert_eq(setresgid(65534, 65534, 65534), 0);
    cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    check_copied(fs, "to", "security.test");
    cr_assert_eq(getxattr(to, "user.test", value, sizeof(value)), 1);
}

Test(hostfs_attr, without_its_access_list_a_group_gets_nothing)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *from = temp_tree_path(host.t, "from");
    HostFs *fs = host.fs;
    g_autofree char *left = NULL;

    test_host_create(fs, "to", "y");
    test_host_create(fs, "from", "x");
    if (setxattr(from, ACL_NAME, ACL, sizeof(ACL) - 1, 0) != 0) {
        cr_skip_test("no access lists here: %s", strerror(errno));
    }
    cr_assert_eq(test_host_stat(fs, "from").mode, 0640);
    fault_arm(FAULT_FSETXATTR, 0, -1, ENOTSUP);
    check_copied(fs, "to", ACL_NAME);
    cr_assert_eq(test_host_stat(fs, "to").mode, 0600);

    /* A failure is one, and the file does not get its place. */
    fault_arm(FAULT_FSETXATTR, 0, -1, EIO);
    cr_assert_eq(fs->ops->copy_metadata(fs, "from", "to", &left), -EIO);
}
