# SPDX-License-Identifier: MIT
"""A directory served over NBD, beside its finished image and other servers."""
import contextlib
import os
import subprocess
import time

import trees
from harness import Contender, Failed, Row, missing, remove, run

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


def rows(place):
    lacks = missing('nbdkit', 'nbdcopy', 'qemu-img')
    if lacks or not os.path.exists(place.plugin):
        print(f"| over NBD | not measured: no {lacks or 'plugin'} | | | |")
        return
    trees.big('tree/big')
    trees.small('tree/small', directories=20)
    run(place.img, 'convert', '-q', 'fat:tree', 'disk.img')
    size = os.path.getsize('disk.img')
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
        yield Row('copy', 'nbdcopy of 450 MB', [
            Contender(name, lambda uri=uri: copy(uri))
            for name, uri in uris.items()], limits={'nbdkit file': 1.0})
        yield Row('random', 'random reads of 4 KiB over NBD, depth 32', [
            Contender(name, lambda uri=uri: random_reads(uri, size))
            for name, uri in uris.items()], limits={'nbdkit file': 1.0})
    remove('tree', 'disk.img')
