# SPDX-License-Identifier: MIT
"""A Linux guest that unpacks an archive onto NBD disks and syncs."""
import os

import trees
from harness import Contender, Failed, Row, fresh_directory, missing, remove, run

NEEDS = ['nbdkit', 'qemu-system-x86_64', 'busybox', 'cpio', 'mkfs.fat']
LIMIT = 600  # seconds until a run, much of which is booting, is ended


def untar_row(place):
    """By the guest's own clock. One guest has both disks, and uses them in
    turns, so that a busy moment of the machine hits both."""
    image = []

    def directory():
        image.clear()
        output = run('bash', f'{place.source}/tests/bench/guest-untar.sh',
                     fresh_directory(), capture=True, limit=LIMIT, env={
                         **os.environ, 'SRCDIR': place.source,
                         'PLUGIN': place.plugin, 'BUILD': place.build,
                         'VVFAT_IMG': place.img})
        ours, theirs = output.split()
        image.append(float(theirs))
        return float(ours)

    def image_beside():
        if not image:
            raise Failed('was not measured')
        return image[0]

    return Row('untar', 'a Linux guest unpacks 1,000 files and syncs', [
        Contender('vvfat', directory),
        Contender('nbdkit file, raw image', image_beside),
    ], limits={'nbdkit file, raw image': 1.2}, patience=LIMIT)


def rows(place):
    lacks = missing(*NEEDS)
    if lacks or not os.path.exists(place.plugin):
        print(f"| a guest's writes | not measured: no {lacks or 'plugin'} "
              '| | | |')
        return
    trees.grown('new', 1000, each=100, size=2000)
    run('tar', 'czf', 'new.tar.gz', 'new')
    remove('new')
    yield untar_row(place)
    remove('new.tar.gz', 'guest')
