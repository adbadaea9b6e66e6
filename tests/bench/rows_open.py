# SPDX-License-Identifier: MIT
"""Opening a directory: everything is known of it when that is over."""
import trees
from harness import Contender, Row, remove, run


def row(place, key, title, directory, limit):
    return Row(key, title, [
        Contender('vvfat', lambda: run(place.img, 'info', f'fat:{directory}')),
        Contender('find -printf', needs=['find'], work=lambda: run(
            'find', directory, '-printf', '%s\n')),
        Contender('qemu-img', needs=['qemu-img'], work=lambda: run(
            'qemu-img', 'info', f'fat:{directory}')),
    ], limits={'find -printf': limit})


def rows(place):
    trees.small('small')
    yield row(place, 'small', 'open 20,000 files', 'small', 1.5)
    remove('small')
    trees.flat('flat20k', 20000)
    yield row(place, 'flat20k', 'open 20,000 alike names', 'flat20k', 1.5)
    remove('flat20k')
