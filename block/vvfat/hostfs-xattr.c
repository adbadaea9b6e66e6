/* SPDX-License-Identifier: MIT */
#include "block/vvfat/hostfs-xattr.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

bool xattr_is_of_contents(const char *name)
{
    static const char *const names[] = { "security.capability", "security.evm",
                                         "security.ima", NULL };

    return g_strv_contains(names, name);
}

bool xattr_is_own(const char *name)
{
    return g_str_has_prefix(name, "user.") ||
           g_str_has_prefix(name, "system.posix_acl_");
}

bool xattr_may_stay_behind(const char *name, int error, bool has_room)
{
    switch (error) {
    case -ENOTSUP: /* another file system */
    case -E2BIG:
    case -ERANGE:
        return true;
    case -ENOSPC:
        return has_room;
    case -EPERM:
    case -EACCES:
    case -EINVAL: /* a label that the system does not know */
        return !xattr_is_own(name);
    default:
        return false;
    }
}
