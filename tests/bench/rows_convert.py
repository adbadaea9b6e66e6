# SPDX-License-Identifier: MIT
"""A directory to a raw image, by every program that can."""
import os

import trees
from harness import Contender, Row, remove, run

GENIMAGE = '''image out.img {{
    vfat {{ files = {{ "{0}" }} }}
    size = 1G
}}
'''


def genimage(directory):
    with open('genimage.cfg', 'w', encoding='utf-8') as file:
        file.write(GENIMAGE.format(directory))
    os.makedirs('empty', exist_ok=True)
    run('genimage', '--config', 'genimage.cfg', '--inputpath', '.',
        '--outputpath', '.', '--rootpath', 'empty', '--tmppath', 'tmp')


def mtools(directory):
    run('truncate', '-s', '1G', 'out.img')
    run('mkfs.fat', '-F', '32', 'out.img')
    run('mcopy', '-s', '-i', 'out.img', directory, '::')


def nbdcopy(*plugin):
    run('nbdcopy', '--', '[', 'nbdkit', '--exit-with-parent', *plugin, ']',
        'out.img')


def row(place, key, title, directory, limits):
    return Row(key, title, [
        Contender('vvfat', lambda: run(
            place.img, 'convert', '-q', f'fat:{directory}', 'out.img')),
        Contender('cp -a', lambda: run('cp', '-a', directory, 'out')),
        Contender('qemu-img', needs=['qemu-img'], work=lambda: run(
            'qemu-img', 'convert', '-O', 'raw', f'fat:{directory}',
            'out.img')),
        Contender('nbdkit floppy', needs=['nbdkit', 'nbdcopy'],
                  work=lambda: nbdcopy('floppy', directory)),
        Contender('mkfs.fat + mcopy', needs=['mkfs.fat', 'mcopy'],
                  work=lambda: mtools(directory)),
        Contender('genimage', needs=['genimage', 'mcopy'],
                  work=lambda: genimage(directory)),
    ], limits=limits, rotates=True,
        after=lambda: remove('out', 'out.img', 'tmp'))


def rows(place):
    trees.big('big')
    yield row(place, 'big', 'convert 4 files, 440 MiB', 'big',
              {'cp -a': 1.05})
    remove('big')
    trees.small('small')
    yield row(place, 'small', 'convert 20,000 small files', 'small',
              {'cp -a': 0.5})
    remove('small')
    for thousands in 5, 20:
        trees.flat('flat', thousands * 1000)
        yield row(place, f'flat{thousands}k',
                  f'convert {thousands},000 alike names', 'flat',
                  {'cp -a': 0.5})
        remove('flat')
