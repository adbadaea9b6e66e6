#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the cost grows with the number of files, the size of the volume, and
fragmentation.

Prints tables and leaves scale.json, scale.md and an SVG of each curve in
BUILD/bench. A million files take 10 GB of disk, and their while.
"""
import argparse
import glob
import json
import os
import resource
import statistics
import sys
import tempfile
import time

import machine
import show
import trees
from bench import SOURCE, Place
from harness import Failed, fresh_directory, remove, run, spread
from rows_commit import Guest, touched

GIB = [1, 4, 16, 64, 256, 1024, 2047]  # the last is the most an MBR holds
LARGE = '8G'  # room for a million files
FRAGMENTED = 64 << 20
FRAGMENTS = [1, 16, 256, 4096]
COMMIT_LIMIT = 600  # seconds


def measured(runs, work, *undo):
    """The median of the seconds that work takes, or of what it returns."""
    values = []
    for _ in range(runs):
        os.sync()
        began = time.perf_counter()
        value = work()
        values.append(time.perf_counter() - began if value is None else value)
        remove(*undo)
    return statistics.median(values)


def timed(spent, work):
    """Work of child processes; adds their processor seconds to a list. Where
    more is written than the kernel keeps, waiting for the disk is the rest."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.append(after.ru_utime + after.ru_stime - before.ru_utime -
                 before.ru_stime)


def by_files(place, runs, most):
    """files -> seconds, and bytes of memory a file."""
    points = []
    files = 1000
    while files <= most:
        trees.grown('tree', files)
        find = measured(runs, lambda: run('find', 'tree', '-printf', '%s\n'))
        opened = measured(runs, lambda: run(place.img, 'info', 'fat:tree'))
        memory = measured(1, lambda: float(run(
            f'{place.bench}/writable-times', 'open', 'tree', 'ro',
            capture=True).split()[1]) / files)
        spent = []
        convert = measured(runs, lambda: timed(spent, lambda: run(
            place.img, 'convert', '-q', 'fat:tree', 'out.img')), 'out.img')
        lookup = measured(runs, lambda: run(
            place.img, 'cat', 'fat:tree',
            f'/directory {files // 2000}/a file {files // 2}.text'))
        read = 1 / measured(runs, lambda: float(run(
            f'{place.bench}/read-times', 'files', 'fat:tree', 4096,
            capture=True)))
        whole = commit_all(place, runs)
        guest = touched(place, 'tree')
        commit = measured(runs, lambda: guest.times('replay', 2)[-1])
        guest.close()
        points.append({'files': files, 'find': find, 'open': opened,
                       'convert': convert,
                       'its processor time': statistics.median(spent),
                       'open and lookup': lookup,
                       'read of one file': read, 'commit one file': commit,
                       'commit all files': whole,
                       'bytes a file': memory})
        print(points[-1], flush=True)
        files *= 10
    return points


def commit_all(place, runs):
    """A guest with an empty directory writes all of `tree`."""
    os.mkdir('empty')
    guest = Guest(place, 'empty', LARGE)
    run(place.img, 'convert', '-q', '--image-opts',
        f'driver=vvfat,dir=tree,size={LARGE}', guest.after)
    seconds = measured(runs, lambda: fresh_commit(guest))
    guest.close()
    remove('empty', *glob.glob('fresh.*'))
    return seconds


def by_size(place, runs, most_gib):
    """The size of the volume, with the same 1,000 files on it."""
    points = []
    trees.grown('tree', 1000)
    for gib in [size for size in GIB if size <= most_gib]:
        options = f'driver=vvfat,dir=tree,size={gib}G'
        opened = measured(runs, lambda: run(
            place.img, 'info', '--image-opts', options))
        convert = measured(runs, lambda: run(
            place.img, 'convert', '-q', '--image-opts', options, 'out.img'),
            'out.img')
        memory = float(run(
            f'{place.bench}/writable-times', 'open', 'tree', 'ro',
            capture=True, env={**os.environ, 'DISK_SIZE': f'{gib}G'}
        ).split()[1])
        points.append({'GiB': gib, 'open': opened, 'convert': convert,
                       'bytes of memory': memory})
        print(points[-1], flush=True)
    remove('tree')
    return points


def by_fragments(place, runs):
    """A guest's file of 64 MiB in more and more pieces: its commit."""
    points = []
    for pieces in FRAGMENTS:
        os.mkdir('tree')
        guest = Guest(place, 'tree', '240M')
        fragment(guest, pieces)
        commit = measured(runs, lambda: fresh_commit(guest))
        points.append({'fragments': pieces, 'commit': commit})
        print(points[-1], flush=True)
        guest.close()
        remove('tree', *glob.glob('fresh.*'))
    return points


def fragment(guest, pieces):
    """Of files side by side every second one goes, and one takes their places.
    (On FAT16 mtools takes the first cluster that is free.)"""
    names = [f'{number:06}' for number in range(2 * pieces)]
    os.mkdir('parts')
    for number, name in enumerate(names):
        with open(f'parts/{name}', 'wb') as file:
            file.write(b'%016d' % number * (FRAGMENTED // pieces // 16))
    run('mmd', '-i', guest.volume, '::/parts')
    for some in portions(names):
        guest.mcopy(*[f'parts/{name}' for name in some], '::/parts')
    delete(guest, names[::2])
    trees.big('large', files=1, size=FRAGMENTED)
    guest.mcopy('large/file1', '::/fragmented')
    delete(guest, names[1::2])
    found = run('mshowfat', '-i', guest.volume, '::/fragmented',
                capture=True).count('<')
    if found < pieces:
        raise Failed(f'mtools made {found} fragments of {pieces}')
    remove('parts', 'large')


def portions(names):
    """As many as fit on a command line."""
    return [names[start:start + 500] for start in range(0, len(names), 500)]


def delete(guest, names):
    for some in portions(names):
        run('mdel', '-i', guest.volume, *[f'::/parts/{name}' for name in some])


def fresh_commit(guest):
    guest.directory = fresh_directory()
    return guest.times('replay', 1, limit=COMMIT_LIMIT)[0]


def table(points):
    columns = list(points[0])
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    for point in points:
        cells = [f'{point[columns[0]]:,}']
        cells += [show.number(point[name], 's' if 'bytes' not in name else 'B')
                  for name in columns[1:]]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def curves(points, out, name):
    first = next(iter(points[0]))
    lines = {key: [(point[first], point[key]) for point in points]
             for key in points[0] if key != first and 'bytes' not in key}
    show.plot_curves(lines, f'{out}/{name}.svg', first, 'seconds')


def main():
    parser = argparse.ArgumentParser(
        description=' '.join(__doc__.split('\n\n', maxsplit=1)[0].split()))
    parser.add_argument('--build', default=f'{SOURCE}/build')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--files', type=int, default=1000000,
                        help='the largest tree (%(default)s)')
    parser.add_argument('--gib', type=int, default=GIB[-1],
                        help='the largest volume (%(default)s)')
    parser.add_argument('--dir', help='where to work')
    parser.add_argument('--out', help='directory of the results')
    options = parser.parse_args()
    place = Place(options.build)
    out = os.path.abspath(options.out or f'{place.build}/bench')
    os.makedirs(out, exist_ok=True)
    os.environ.update(LC_ALL='C.UTF-8', TZ='UTC', MTOOLS_SKIP_CHECK='1')
    parts = {}
    with tempfile.TemporaryDirectory(prefix='vvfat-bench.',
                                     dir=options.dir) as work:
        os.chdir(work)
        spread('.')
        about = machine.describe('.')
        print(show.machine_lines(about, options.runs), flush=True)
        try:
            parts['files'] = by_files(place, options.runs, options.files)
            parts['size'] = by_size(place, options.runs, options.gib)
            parts['fragments'] = by_fragments(place, options.runs)
        except Failed as error:
            print(f'ended early: {error}', file=sys.stderr)
            return 1
        finally:
            os.chdir('/')
    with open(f'{out}/scale.json', 'w', encoding='utf-8') as file:
        json.dump({'machine': about, **parts}, file, indent=1)
    with open(f'{out}/scale.md', 'w', encoding='utf-8') as file:
        file.write(show.machine_lines(about, options.runs) + '\n\n')
        file.write('\n'.join(table(points) for points in parts.values()))
    for name, points in parts.items():
        curves(points, out, f'scale-{name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
