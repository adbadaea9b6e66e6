# SPDX-License-Identifier: MIT
"""File systems that share blocks: a disk of a directory without a copy."""
import contextlib
import os
import time

import trees
from harness import Contender, Failed, Row, missing, remove, run

GIB = 1 << 30
MAKE = {
    'btrfs': ['mkfs.btrfs', '-q'],
    'xfs': ['mkfs.xfs', '-q', '-m', 'reflink=1'],
}


@contextlib.contextmanager
def mounted(kind):
    """A file system of 14 GiB in a sparse file, mounted."""
    run('truncate', '-s', '14G', 'disk.img')
    run(*MAKE[kind], 'disk.img')
    os.mkdir('mnt')
    try:
        run('mount', '-o', 'loop', 'disk.img', 'mnt')
        try:
            yield 'mnt'
        finally:
            run('umount', 'mnt')
    finally:
        remove('mnt', 'disk.img')


def used(top):
    """Bytes in use on the file system, which frees what is removed later."""
    last = None
    while True:
        run('sync', '-f', top)
        state = os.statvfs(top)
        now = (state.f_blocks - state.f_bfree) * state.f_frsize
        if now == last:
            return now
        last = now
        time.sleep(0.5)


def row(place, kind, top):
    directory, out = f'{top}/big', f'{top}/out'
    return Row(kind, f'convert 4 GiB on {kind}', [
        Contender('vvfat', lambda: run(
            place.img, 'convert', '-q', f'fat:{directory}', f'{out}.img')),
        Contender('cp --reflink=never', lambda: run(
            'cp', '-r', '--reflink=never', directory, out)),
        Contender('cp --reflink=always', lambda: run(
            'cp', '-r', '--reflink=always', directory, out)),
    ], limits={'cp --reflink=never': 0.05},
        after=lambda: remove(out, f'{out}.img'))


def new_space(place, kind, top):
    """What a disk of the directory takes on the file system."""
    def taken(*words):
        before = used(top)
        run(*words)
        return (used(top) - before) / (1 << 20)

    directory, out = f'{top}/big', f'{top}/out'
    return Row(f'{kind}-space', f'  new blocks on {kind}', [
        Contender('vvfat', lambda: taken(
            place.img, 'convert', '-q', f'fat:{directory}', f'{out}.img')),
        Contender('cp --reflink=never', lambda: taken(
            'cp', '-r', '--reflink=never', directory, out)),
    ], limits={'cp --reflink=never': 0.01}, unit='MiB',
        after=lambda: remove(out, f'{out}.img'))


def rows(place):
    for kind, words in MAKE.items():
        if missing(words[0]) or os.geteuid() != 0:
            print(f'| on {kind} | not measured: it needs {words[0]}, and the '
                  'right to mount | | | |')
            continue
        try:
            with mounted(kind) as top:
                trees.big(f'{top}/big', files=4, size=GIB)
                run('sync', '-f', top)
                yield row(place, kind, top)
                yield new_space(place, kind, top)
        except Failed as error:
            print(f'| on {kind} | not measured: {error} | | | |')
