# SPDX-License-Identifier: MIT
"""A Linux guest that unpacks an archive onto an NBD disk and syncs."""
import os

import trees
from harness import Contender, Row, missing, remove, run

NEEDS = ['nbdkit', 'qemu-system-x86_64', 'busybox', 'cpio', 'mkfs.fat']
LIMIT = 600  # seconds until a run, most of which is booting, is ended


def guest_seconds(place, server):
    """By the guest's own clock, the median of several turns of one boot."""
    output = run('bash', f'{place.source}/tests/bench/guest-untar.sh', server,
                 capture=True, limit=LIMIT, env={
                     **os.environ, 'SRCDIR': place.source,
                     'PLUGIN': place.plugin, 'BUILD': place.build,
                     'VVFAT_IMG': place.img})
    return float(output.split()[-1])


def rows(place):
    lacks = missing(*NEEDS)
    if lacks or not os.path.exists(place.plugin):
        print(f"| a guest's writes | not measured: no {lacks or 'plugin'} "
              '| | | |')
        return
    trees.grown('new', 1000, each=100, size=2000)
    run('tar', 'czf', 'new.tar.gz', 'new')
    remove('new')
    yield Row('untar', 'a Linux guest unpacks 1,000 files and syncs', [
        Contender('vvfat', lambda: guest_seconds(place, 'vvfat')),
        Contender('nbdkit file, raw image',
                  lambda: guest_seconds(place, 'file')),
    ], limits={'nbdkit file, raw image': 1.2}, patience=LIMIT)
    remove('new.tar.gz', 'guest')
