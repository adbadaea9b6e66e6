# SPDX-License-Identifier: MIT
"""Rows of a benchmark: several programs at the same work, measured in turns.

A row has contenders; the first is ours. In each round every contender runs
once, so that a busy moment of the machine hits all alike, and the ratio to a
peer is the median of the ratios within the rounds.
"""
import contextlib
import glob
import os
import shutil
import statistics
import subprocess
import tempfile
import time

LIMIT = 100  # seconds until a run is ended


class Failed(Exception):
    """A contender could not do the work; the text says why."""


def run(*words, limit=LIMIT, capture=False, text='', **options):
    """Run a program to its end, with a text for it to read; its output is
    returned, or thrown away."""
    try:
        done = subprocess.run(
            [str(word) for word in words], timeout=limit, check=True,
            input=text, stderr=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE if capture else subprocess.DEVNULL,
            **options)
    except subprocess.TimeoutExpired:
        raise Failed(f'not done in {limit} s') from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ['no message'])[-1]
        raise Failed(last) from None
    return done.stdout


def missing(*programs):
    """The first of the programs that is not installed, or None."""
    for program in programs:
        if not shutil.which(program):
            return program
    return None


def remove(*paths):
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def spread(directory):
    """Have directories that are made in this one lie apart on the disk, where
    ext4 can: each in the group of blocks that its name says."""
    with contextlib.suppress(Failed, FileNotFoundError):
        run('chattr', '+T', directory)


def fresh_directory():
    """An empty directory for files that are made while it is measured; it is
    removed with the row. A file system without a journal (ext4) looks at each
    inode of a group that was freed in the last minutes before it gives out a
    new one: files that were removed just before, by us or by others in the
    directory for temporary files, would be part of the measure."""
    return os.path.basename(tempfile.mkdtemp(prefix='fresh.', dir='.'))


def read_anew(*tops):
    """Have the page cache hold the files as if they had just been read from
    the disk. Else the memory that they were written into, which lies as luck
    had it, makes a difference of half the time of reading them."""
    os.sync()
    for top in tops:
        files = [top] if os.path.isfile(top) else (
            f'{directory}/{name}' for directory, _, names in os.walk(top)
            for name in names)
        for name in files:
            with open(name, 'rb', buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0,
                                 os.POSIX_FADV_DONTNEED)
                while file.read(1 << 20):
                    pass


class Contender:
    """A program at a row's work.

    work() does it once; what it returns is its measure, in the row's unit,
    and None has the wall-clock seconds taken. before() is not measured.
    """

    def __init__(self, name, work, before=None, needs=()):
        self.name = name
        self.work = work
        self.before = before
        self.needs = needs
        self.values = []   # one a round; None: no result
        self.why_not = None

    def turn(self, patience):
        """One round. Who fails, or takes longer than patience, stays out."""
        if self.why_not:
            self.values.append(None)
            return
        try:
            if self.before:
                self.before()
            os.sync()  # what is yet to be written is nobody's to wait for
            began = time.perf_counter()
            value = self.work()
            taken = time.perf_counter() - began
            self.values.append(taken if value is None else value)
            if taken > patience:
                self.why_not = f'takes more than {patience:g} s a run'
        except Failed as error:
            self.values.append(None)
            self.why_not = str(error)

    def median(self):
        known = [value for value in self.values if value is not None]
        return statistics.median(known) if known else None


class Row:
    """One line of the results.

    limits: peer -> the ratio ours/peer that we mean to stay below.
    unit: 's', or another one; more_is_better turns ratios around, so that in
    either case a ratio below 1 says that we are better.
    patience: instead of that of all rows, where a run is mostly preparation.
    rotates: each round begins with the next contender, where it matters what
    has run just before.
    """

    def __init__(self, key, title, contenders, limits=None, unit='s',
                 more_is_better=False, after=None, patience=None,
                 rotates=False):
        self.key = key
        self.title = title
        self.unit = unit
        self.limits = limits or {}
        self.more_is_better = more_is_better
        self.after = after or (lambda: None)
        self.patience = patience
        self.rotates = rotates
        self.contenders = []
        for contender in contenders:
            lacks = missing(*contender.needs)
            if lacks:
                contender.why_not = f'{lacks} is not installed'
            self.contenders.append(contender)

    def measure(self, runs, patience):
        for turn in range(runs):
            first = turn % len(self.contenders) if self.rotates else 0
            for contender in (self.contenders[first:] +
                              self.contenders[:first]):
                contender.turn(self.patience or patience)
                self.after()
        remove(*glob.glob('fresh.*'))

    def ratios(self, peer):
        """Ours by the peer's, a number for each round that both finished."""
        found = []
        for ours, theirs in zip(self.contenders[0].values, peer.values):
            if ours and theirs:
                ratio = ours / theirs
                found.append(1 / ratio if self.more_is_better else ratio)
        return found

    def result(self):
        """What JSON and tables are made of."""
        contenders = {}
        for contender in self.contenders:
            contenders[contender.name] = entry = {
                'runs': contender.values, 'median': contender.median()}
            if contender.why_not:
                entry['note'] = contender.why_not
            ratios = self.ratios(contender)
            if ratios and contender is not self.contenders[0]:
                entry['ratio'] = {'median': statistics.median(ratios),
                                  'low': min(ratios), 'high': max(ratios)}
                if contender.name in self.limits:
                    entry['limit'] = self.limits[contender.name]
        return {'key': self.key, 'title': self.title, 'unit': self.unit,
                'contenders': contenders}
