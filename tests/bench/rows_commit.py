# SPDX-License-Identifier: MIT
"""What committing costs.

What a guest would write is made by mtools on a raw image of the disk; the
sectors that differ are then written onto fat:rw:DIR (writable-times.c).
"""
import os
import shutil
import struct

import trees
from harness import (LIMIT, Contender, Row, fresh_directory, missing, remove,
                     run)

FILES = 100000


class Guest:
    """Two images of a directory's disk: as it is, and as it becomes."""

    def __init__(self, place, directory, size=None):
        self.place = place
        self.directory = directory
        self.environment = {**os.environ}
        if size:
            self.environment['DISK_SIZE'] = size
        self.before, self.after = f'{directory}.before', f'{directory}.after'
        run(place.img, 'convert', '-q', '--image-opts',
            f'driver=vvfat,dir={directory}' + (f',size={size}' if size else ''),
            self.before)
        run('cp', '--sparse=always', self.before, self.after)
        with open(self.after, 'rb') as file:
            file.seek(454)  # the first partition's first sector
            offset = struct.unpack('<I', file.read(4))[0] * 512
        self.volume = f'{self.after}@@{offset}'

    def mcopy(self, *words):
        run('mcopy', '-D', 'o', '-s', '-Q', '-i', self.volume, *words)

    def times(self, mode, *words, limit=LIMIT):
        output = run(f'{self.place.bench}/writable-times', mode,
                     self.directory, self.before, self.after, *words,
                     capture=True, env=self.environment, limit=limit)
        return [float(word) for word in output.split()]

    def close(self):
        remove(self.directory, self.before, self.after)


def touched(place, directory):
    """A guest that writes one file of a tree (trees.grown) anew."""
    guest = Guest(place, directory)
    with open('new.text', 'w', encoding='ascii') as file:
        file.write('other contents\n')
    guest.mcopy('new.text', '::/directory 0/a file 7.text')
    return guest


def touch_row(place):
    """The second flush of each run: the first one warms up."""
    trees.grown('large', FILES)
    trees.grown('few', 100)
    trees.grown('flat', 20000, each=20000)
    guests = {f'{FILES:,} files': touched(place, 'large'),
              '100 files': touched(place, 'few'),
              '20,000 in its directory': touched(place, 'flat')}
    yield Row('touch', f'commit one file of {FILES:,}', [
        Contender(name, lambda guest=guest: guest.times('replay', 2)[-1])
        for name, guest in guests.items()], limits={'100 files': 2})
    for guest in guests.values():
        guest.close()


def batch_row(place):
    trees.grown('new', 1000)
    run('tar', 'cf', 'new.tar', 'new')
    os.mkdir('host')
    guest = Guest(place, 'host')
    guest.mcopy('new', '::/')

    def clean():
        guest.directory = fresh_directory()
        run('sync', '-f', '.')

    def commit():
        seconds = guest.times('replay', 1)[0]
        run('diff', '-r', 'new', f'{guest.directory}/new')
        return seconds

    yield Row('batch', 'commit 1,000 small files in one flush', [
        Contender('vvfat', commit, before=clean),
        Contender('tar x, syncfs', before=clean, work=lambda: run(
            'sh', '-c', 'tar xf new.tar -C "$0" && sync -f "$0"',
            guest.directory)),
    ], limits={'tar x, syncfs': 2})
    guest.close()
    remove('new', 'new.tar', 'host')


def busy_row(place):
    """Requests of a guest while 1 GiB is committed: 99th percentiles."""
    os.mkdir('host')
    trees.big('large', files=1, size=1 << 30)
    trees.big('scratch', files=1, size=256 << 20)
    shutil.move('scratch/file1', 'host/scratch')
    guest = Guest(place, 'host', '2G')
    guest.mcopy('large/file1', '::/new')
    measured = {}

    def clean():
        remove('host/new')
        run('sync', '-f', '.')

    def during():
        at_rest, busy, _ = guest.times('busy', 'scratch', 5)
        run('cmp', 'large/file1', 'host/new')
        measured['at rest'] = at_rest
        return busy

    yield Row('busy', '99 % of 4 KiB requests while 1 GiB is committed', [
        Contender('during the commit', during, before=clean),
        Contender('at rest', lambda: measured['at rest']),
    ], limits={'at rest': 5}, unit='us')
    guest.close()
    remove('large', 'scratch')


def rows(place):
    lacks = missing('mcopy', 'tar')
    if lacks:
        print(f'| commits | not measured: no {lacks} | | | |')
        return
    yield from touch_row(place)
    yield from batch_row(place)
    yield from busy_row(place)
