# SPDX-License-Identifier: MIT
"""Random reads in the process: with threads, and asynchronous ones."""
import os

import trees
from harness import Contender, Row, remove, run

SPAN = 96 << 20
SOURCES = [('null', 'null:', 4096), ('fat', 'fat:tree', 4096),
           ('fat64k', 'fat:tree', 65536), ('raw', 'disk.raw', 4096),
           ('qcow2', 'disk.qcow2', 4096)]


def rows(place):
    def rate(*words):
        return float(run(f'{place.bench}/read-times', *words, capture=True))

    trees.big('tree', files=1, size=SPAN)
    run(place.img, 'convert', '-q', 'fat:tree', 'disk.raw')
    run(place.img, 'convert', '-q', '-O', 'qcow2', 'fat:tree', 'disk.qcow2')
    threads = os.cpu_count()
    for key, name, size in SOURCES:
        where = ('threads', name, size, SPAN)
        queue = ('queue', name, size, SPAN)
        yield Row(key, f'reads of {size >> 10} KiB a second, {name}', [
            Contender(f'{threads} threads, one node',
                      lambda where=where: rate(*where, threads, 1)),
            Contender(f'{threads} threads, a node each',
                      lambda where=where: rate(*where, threads, threads)),
            Contender('one thread', lambda where=where: rate(*where, 1, 1)),
            Contender('asynchronous, depth 32',
                      lambda queue=queue: rate(*queue, 32)),
            Contender('asynchronous, depth 1',
                      lambda queue=queue: rate(*queue, 1)),
        ], unit='/s', more_is_better=True)
    remove('tree', 'disk.raw', 'disk.qcow2')
