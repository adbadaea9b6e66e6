# SPDX-License-Identifier: MIT
"""What the figures were measured on, and with which peers."""
import mmap
import os
import platform
import re

from harness import Failed, missing, run

VERSIONS = {
    'qemu-img': ['qemu-img', '--version'],
    'nbdkit': ['nbdkit', '--version'],
    'nbdcopy': ['nbdcopy', '--version'],
    'mtools': ['mtools', '--version'],
    'mkfs.fat': ['mkfs.fat', '--help'],
    'genimage': ['genimage', '--version'],
    'cp': ['cp', '--version'],
    'find': ['find', '--version'],
    'tar': ['tar', '--version'],
}


def first_match(path, pattern, default='unknown'):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return default
    return match.group(1).strip() if match else default


def use_memory():
    """Have most of the free memory used once. A virtual machine that gives
    what is free back to its host (free page reporting of virtio_balloon) waits
    for the host when it uses that again, and a copy may take ten times as
    long: whoever happens to be given such memory."""
    kib = int(first_match('/proc/meminfo', r'^MemAvailable:\s+(\d+)', '0'))
    part = bytes(1 << 20)
    mib = kib * 3 // 4 // 1024
    with mmap.mmap(-1, max(mib, 1) << 20) as memory:
        for _ in range(mib):
            memory.write(part)


def version_of(words):
    if missing(words[0]):
        return None
    try:
        output = run('sh', '-c', '"$@" 2>&1 || :', 'sh', *words, capture=True)
    except Failed:
        return 'unknown'
    match = re.search(r'\d+(\.\d+)*', output)
    return match.group(0) if match else 'unknown'


def describe(directory):
    """A dictionary of words, for JSON and for the head of a table."""
    kib = int(first_match('/proc/meminfo', r'^MemTotal:\s+(\d+)', '0'))
    kind = run('findmnt', '-n', '-o', 'FSTYPE', '-T', directory,
               capture=True).strip()
    return {
        'processor': first_match('/proc/cpuinfo', r'^model name\s*:(.*)$'),
        'processors': os.cpu_count(),
        'memory_gib': round(kib / 2**20, 1),
        'kernel': platform.release(),
        'file_system': kind,
        'load_at_start': round(os.getloadavg()[0], 2),
        'versions': {name: found for name, words in VERSIONS.items()
                     if (found := version_of(words))},
    }
