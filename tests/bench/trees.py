# SPDX-License-Identifier: MIT
"""Directories to make disks of; the same bytes and names every time."""
import os
import random

MIB = 1 << 20


def big(top, files=4, size=110 * MIB):
    """A few large files that do not compress."""
    os.makedirs(top)
    for number in range(files):
        source = random.Random(number)
        with open(f'{top}/file{number + 1}', 'wb') as file:
            left = size
            while left:
                part = min(left, MIB)
                file.write(source.randbytes(part))
                left -= part


def small(top, directories=100, files=200, largest=4096):
    """Many small files with long names."""
    source = random.Random(1)
    for directory in range(directories):
        path = f'{top}/directory number {directory:03}'
        os.makedirs(path)
        for number in range(files):
            name = f'{path}/a file with a long name {number:05}'
            with open(name, 'wb') as file:
                file.write(source.randbytes(source.randrange(largest + 1)))


def flat(top, files):
    """One directory; names alike in their first eight characters."""
    os.makedirs(top)
    for number in range(files):
        with open(f'{top}/alike-name-{number}.text', 'wb') as file:
            file.write(b'x')


def grown(top, files, each=1000, size=10):
    """`files` files of the same size, `each` in a directory."""
    for number in range(files):
        path = f'{top}/directory {number // each}'
        if number % each == 0:
            os.makedirs(path)
        with open(f'{path}/a file {number}.text', 'wb') as file:
            file.write(b'%0*d' % (size, number))


def text(path, mib):
    """A file of lines, of which half can be compressed away."""
    source = random.Random(1)
    with open(path, 'w', encoding='ascii') as file:
        left = mib * MIB
        while left > 0:
            lines = ''.join(
                f'{source.getrandbits(32):08x} a line of text, again {n:6}\n'
                for n in range(512))
            file.write(lines[:left])
            left -= len(lines)
