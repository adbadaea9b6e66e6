/* SPDX-License-Identifier: MIT */
/*
 * Signatures at the beginning of images that other programs make. Taken as
 * raw, such an image would be a disk of garbage.
 */
#include "block/probe-foreign.h"

#include <glib.h>
#include <string.h>

typedef struct Signature {
    const char *format;
    size_t offset;
    size_t length;
    const char *bytes;
} Signature;

#define SIGNATURE(name, at, text)                                             \
    {                                                                         \
        .format = name, .offset = at, .length = sizeof(text) - 1,             \
        .bytes = text                                                         \
    }

static const Signature signatures[] = {
    SIGNATURE("Bochs", 0, "Bochs Virtual HD Image"),
    SIGNATURE("Parallels", 0, "WithoutFreeSpace"),
    SIGNATURE("Parallels", 0, "WithouFreSpacExt"),
    SIGNATURE("QED", 0, "QED\0"),
    SIGNATURE("VDI", 64, "\x7f\x10\xda\xbe"),
    SIGNATURE("VHD", 0, "conectix"),
    SIGNATURE("VHDX", 0, "vhdxfile"),
    SIGNATURE("VMDK", 0, "# Disk DescriptorFile"),
    SIGNATURE("VMDK", 0, "COWD"),
    SIGNATURE("VMDK", 0, "KDMV"),
};

const char *probe_foreign(const uint8_t *buf, size_t size)
{
    for (size_t i = 0; i < G_N_ELEMENTS(signatures); i++) {
        const Signature *s = &signatures[i];

        if (s->offset + s->length <= size &&
            memcmp(buf + s->offset, s->bytes, s->length) == 0) {
            return s->format;
        }
    }
    return NULL;
}
