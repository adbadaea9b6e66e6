# SPDX-License-Identifier: MIT
"""qcow2 images: commands that vvfat-img and qemu-img both understand."""
import os
import shutil

import trees
from harness import Contender, Row, missing, remove, run

MIB = 512
WHOLE = MIB << 20
# A step that is no divisor of the size visits 4 KiB blocks all over it.
SCATTERED = 4096 * 40503
FOUR = ['-f', 'qcow2', '-s', 4096, '-S', SCATTERED]

ROWS = [
    ('read4k', 'qcow2: random reads of 4 KiB',
     ['bench', '-c', 200000, *FOUR, 'full.qcow2']),
    ('read4k-1', 'qcow2: the same, depth 1',
     ['bench', '-c', 100000, '-d', 1, *FOUR, 'full.qcow2']),
    ('write4k', 'qcow2: random writes of 4 KiB',
     ['bench', '-w', '-c', 200000, *FOUR, 'own.qcow2']),
    ('write4k-fresh', 'qcow2: the same, fresh image',
     ['bench', '-w', '-c', 20000, *FOUR, 'fresh.qcow2']),
    ('write4k-flush', 'qcow2: the same, a flush for each 100',
     ['bench', '-w', '-c', 5000, '--flush-interval=100', *FOUR,
      'fresh.qcow2']),
    ('read1m', 'qcow2: stream of reads of 1 MiB',
     ['bench', '-c', 4 * MIB, '-f', 'qcow2', '-s', 1 << 20, 'full.qcow2']),
    ('write64k', 'qcow2: stream of writes of 64 KiB, fresh',
     ['bench', '-w', '-c', WHOLE >> 16, '-f', 'qcow2', '-s', 1 << 16,
      'fresh.qcow2']),
    ('write1m', 'qcow2: stream of writes of 1 MiB, fresh',
     ['bench', '-w', '-c', MIB, '-f', 'qcow2', '-s', 1 << 20,
      'fresh.qcow2']),
    ('to-qcow2', 'convert raw to qcow2',
     ['convert', '-f', 'raw', '-O', 'qcow2', 'source.raw', 'out.img']),
    ('to-raw', 'convert qcow2 to raw',
     ['convert', '-f', 'qcow2', '-O', 'raw', 'full.qcow2', 'out.img']),
    ('compress', 'convert to compressed qcow2',
     ['convert', '-c', '-f', 'raw', '-O', 'qcow2', 'source.raw', 'out.img']),
    ('compress-w', 'the same, in any order',
     ['convert', '-c', '-W', '-m', 8, '-f', 'raw', '-O', 'qcow2',
      'source.raw', 'out.img']),
    ('inflate', 'convert compressed qcow2 to raw',
     ['convert', '-f', 'qcow2', '-O', 'raw', 'packed.qcow2', 'out.img']),
]
LIMITED = {'compress', 'compress-w'}


def prepare(words):
    """fresh.qcow2 is empty before each run, own.qcow2 a copy."""
    remove('out.img')
    if 'fresh.qcow2' in words:
        remove('fresh.qcow2')
        run('qemu-img', 'create', '-f', 'qcow2', 'fresh.qcow2', f'{MIB}M')
    elif 'own.qcow2' in words:
        shutil.copy('full.qcow2', 'own.qcow2')


def row(place, key, title, words):
    limits = {'qemu-img': 1.0} if key in LIMITED else {}
    return Row(key, title, [
        Contender('vvfat', lambda: run(place.img, *words),
                  before=lambda: prepare(words)),
        Contender('qemu-img', lambda: run('qemu-img', *words),
                  before=lambda: prepare(words)),
    ], limits=limits, rotates=True)


def sizes(place):
    """What compression yields: a ratio of sizes, not of times."""
    def size(program):
        run(program, 'convert', '-c', '-f', 'raw', '-O', 'qcow2',
            'source.raw', 'out.img')
        return os.path.getsize('out.img') / (1 << 20)

    return Row('compressed-size', '  its size', [
        Contender('vvfat', lambda: size(place.img)),
        Contender('qemu-img', lambda: size('qemu-img')),
    ], limits={'qemu-img': 1.01}, unit='MiB')


def rows(place):
    if missing('qemu-img'):
        print('| qcow2 images | not measured: no qemu-img | | | |')
        return
    trees.text('source.raw', MIB)
    run('qemu-img', 'convert', '-O', 'qcow2', 'source.raw', 'full.qcow2')
    run('qemu-img', 'convert', '-c', '-W', '-O', 'qcow2', 'source.raw',
        'packed.qcow2')
    for key, title, words in ROWS:
        yield row(place, key, title, words)
        if key == 'compress':
            yield sizes(place)
    remove('source.raw', 'full.qcow2', 'packed.qcow2', 'own.qcow2',
           'fresh.qcow2', 'out.img')
