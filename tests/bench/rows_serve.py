# SPDX-License-Identifier: MIT
"""A directory served over NBD, beside its finished image and other servers."""
import contextlib
import os
import subprocess
import time

import trees
from harness import Contender, Failed, Row, missing, read_anew, remove, run

SCATTERED = 4096 * 40503


@contextlib.contextmanager
def serving(*words, socket):
    """A server in the foreground that makes the socket."""
    remove(socket)
    with subprocess.Popen([str(word) for word in words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 120
            while not os.path.exists(socket):
                if server.poll() is not None or time.monotonic() > until:
                    raise Failed(f'{words[0]} does not serve')
                time.sleep(0.01)
            yield 'nbd+unix:///?socket=' + os.path.abspath(socket)
        finally:
            server.terminate()


def nbdkit(*plugin, socket):
    return serving('nbdkit', '-f', '-U', os.path.abspath(socket), *plugin,
                   socket=socket)


def storage_daemon(directory, socket):
    """QEMU's own vvfat behind QEMU's own NBD server."""
    return serving(
        'qemu-storage-daemon', '--blockdev',
        f'driver=vvfat,node-name=disk,dir={directory},read-only=on',
        '--nbd-server', f'addr.type=unix,addr.path={socket}',
        '--export', 'type=nbd,id=e,node-name=disk,name=', socket=socket)


def copy(uri):
    run('nbdcopy', uri, 'null:')


def random_reads(uri, size, count=50000):
    run('qemu-img', 'bench', '-f', 'raw', '-c', count, '-d', 32, '-s', 4096,
        '-S', SCATTERED % (size // 4096 * 4096), uri)


@contextlib.contextmanager
def served(place):
    """Name -> URI of a server, of the directory or its finished image."""
    with contextlib.ExitStack() as servers:
        uris = {'vvfat': servers.enter_context(
                    nbdkit(place.plugin, 'dir=tree', socket='vvfat.sock')),
                'nbdkit file': servers.enter_context(
                    nbdkit('file', 'disk.img', socket='file.sock')),
                'nbdkit floppy': servers.enter_context(
                    nbdkit('floppy', 'tree', socket='floppy.sock'))}
        if not missing('qemu-storage-daemon'):
            with contextlib.suppress(Failed):
                uris['qemu-storage-daemon'] = servers.enter_context(
                    storage_daemon('tree', 'qsd.sock'))
        yield uris


def row(key, title, uris, work, limit):
    contenders = [Contender(name, lambda uri=uri: work(uri))
                  for name, uri in uris.items()]
    contenders[0].before = lambda: read_anew('tree', 'disk.img')
    return Row(key, title, contenders,
               limits={'nbdkit file': limit} if limit else None,
               rotates=True)


def rows(place):
    lacks = missing('nbdkit', 'nbdcopy', 'qemu-img')
    if lacks or not os.path.exists(place.plugin):
        print(f"| over NBD | not measured: no {lacks or 'plugin'} | | | |")
        return
    for key, what, make, limit in (
            ('', '4 files, 440 MiB', trees.big, 1.0),
            ('-small', '20,000 small files', trees.small, None)):
        make('tree')
        run(place.img, 'convert', '-q', 'fat:tree', 'disk.img')
        size = os.path.getsize('disk.img')
        with served(place) as uris:
            yield row('copy' + key, f'nbdcopy of {what}', uris, copy, limit)
            yield row('random' + key, f'random 4 KiB of {what} over NBD, '
                      'depth 32', uris,
                      lambda uri, size=size: random_reads(uri, size), limit)
        remove('tree', 'disk.img')
