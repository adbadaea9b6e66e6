#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure vvfat beside other programs that do the same work.

Prints a table of medians and ratios, and leaves results.json, results.md and
ratios.svg in BUILD/bench. Everything happens in the page cache.
"""
import argparse
import contextlib
import os
import sys
import tempfile

import machine
import rows_clone
import rows_commit
import rows_convert
import rows_guest
import rows_images
import rows_open
import rows_reads
import rows_serve
import show
from harness import spread

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# Each has rows(place): a generator of rows. It makes what a row works on
# before it gives the row, and removes it after.
GROUPS = {
    'open': rows_open,
    'convert': rows_convert,
    'clone': rows_clone,
    'images': rows_images,
    'reads': rows_reads,
    'serve': rows_serve,
    'commit': rows_commit,
    'guest': rows_guest,
}


class Place:
    """Where things are."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.img = f'{self.build}/vvfat-img'
        self.plugin = f'{self.build}/nbdkit-vvfat-plugin.so'
        self.bench = f'{self.build}/tests/bench'
        self.source = SOURCE


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', default=f'{SOURCE}/build',
                        help='directory of the programs (%(default)s)')
    parser.add_argument('--runs', type=int, default=5,
                        help='rounds of each row (%(default)s)')
    parser.add_argument('--patience', type=float, default=20,
                        help='seconds; who takes longer runs once only '
                        '(%(default)s)')
    parser.add_argument('--dir', help='where to work; needs 4 GB '
                        '(a directory in $TMPDIR)')
    parser.add_argument('--out', help='directory of the results (BUILD/bench)')
    parser.add_argument('groups', nargs='*', metavar='GROUP[.ROW]',
                        help='what to measure: ' + ' '.join(GROUPS) +
                        ' (default: all)')
    options = parser.parse_args()
    for name in options.groups:
        if name.partition('.')[0] not in GROUPS:
            parser.error(f"no group '{name}'; there are {' '.join(GROUPS)}")
    if options.runs < 1:
        parser.error('--runs must be at least 1')
    return options


def wanted(group, row, names):
    return (not names or group in names or f'{group}.{row.key}' in names)


def measure_all(place, options):
    results = {'machine': machine.describe('.'), 'runs': options.runs,
               'rows': []}
    machine.use_memory()
    print(show.machine_lines(results['machine'], options.runs))
    print(show.HEAD, flush=True)
    for group, module in GROUPS.items():
        if options.groups and group not in {
                name.partition('.')[0] for name in options.groups}:
            continue
        with contextlib.closing(module.rows(place)) as rows:
            for row in rows:
                if wanted(group, row, options.groups):
                    row.measure(options.runs, options.patience)
                    results['rows'].append(row.result())
                    print('\n'.join(show.row_lines(row.result())), flush=True)
    return results


def main():
    options = arguments()
    place = Place(options.build)
    out = os.path.abspath(options.out or f'{place.build}/bench')
    os.makedirs(out, exist_ok=True)
    os.environ.update(LC_ALL='C.UTF-8', TZ='UTC', MTOOLS_SKIP_CHECK='1')
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    with tempfile.TemporaryDirectory(prefix='vvfat-bench.',
                                     dir=options.dir) as work:
        os.chdir(work)
        spread('.')
        try:
            results = measure_all(place, options)
        finally:
            os.chdir('/')
    show.write_json(results, f'{out}/results.json')
    with open(f'{out}/results.md', 'w', encoding='utf-8') as file:
        file.write(show.table(results))
    show.plot_ratios(results, f'{out}/ratios.svg')
    print(f'in {out}: results.json results.md ratios.svg')


if __name__ == '__main__':
    sys.exit(main())
