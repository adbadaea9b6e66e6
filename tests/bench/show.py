# SPDX-License-Identifier: MIT
"""Results as a table (Markdown), as JSON and as a plot (SVG, by gnuplot)."""
import json

from harness import Failed, missing, run


def number(value, unit):
    if value is None:
        return '-'
    if unit == 's' and value < 1e-3:
        return f'{value * 1e6:.3g} us'
    if unit == 's' and value < 1:
        return f'{value * 1e3:.3g} ms'
    if abs(value) >= 1000:
        return f'{value:,.0f} {unit}'
    return f'{value:.3g} {unit}'


def ratio_words(entry):
    """'0.42 (0.40-0.47)', with what the limit says of it."""
    ratio = entry.get('ratio')
    if not ratio:
        return entry.get('note', '-')
    words = f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
    if 'limit' in entry:
        kept = ratio['median'] <= entry['limit']
        words += f", limit {entry['limit']:g}{'' if kept else ' MISSED'}"
    return words


def row_lines(row):
    """A row of Markdown for each peer."""
    entries = list(row['contenders'].items())
    (_, ours), peers = entries[0], entries[1:]
    mine = number(ours['median'], row['unit'])
    if ours['median'] is None:
        mine = ours.get('note', '-')
    for name, entry in peers or [('', {})]:
        yield ' | '.join([
            f"| {row['title']}", mine, name,
            number(entry.get('median'), row['unit']),
            ratio_words(entry) + ' |' if name else '|'])


HEAD = ('| work | vvfat | peer | peer takes | ours / peer (lowest-highest) |\n'
        '|---|---|---|---|---|')


def machine_lines(machine, runs):
    versions = ', '.join(f'{name} {version}' for name, version
                         in machine['versions'].items())
    return (f"{machine['processor']}, {machine['processors']} processors, "
            f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, "
            f"{machine['file_system']}; {versions}; "
            f"load at the start {machine['load_at_start']}; "
            f"medians of {runs} rounds.")


def table(results):
    lines = [machine_lines(results['machine'], results['runs']), '', HEAD]
    for row in results['rows']:
        lines.extend(row_lines(row))
    return '\n'.join(lines) + '\n'


def write_json(results, path):
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(results, file, indent=1)
        file.write('\n')


def quoted(text):
    return '"' + text.replace('"', "'").replace('_', ' ') + '"'


def gnuplot(path, height, *lines):
    """Draw into path; false when there is no gnuplot, or it could not."""
    if missing('gnuplot'):
        return False
    head = [f"set terminal svg size 900,{height} font 'sans,12' "
            "background 'white'", f"set output '{path}'"]
    try:
        run('gnuplot', '-', text='\n'.join([*head, *lines]) + '\n')
    except Failed as error:
        print(f'no plot: {error}')
        return False
    return True


def data_block(name, lines):
    return f'${name} << EOD\n' + '\n'.join(lines) + '\nEOD'


def plot_ratios(results, path):
    """A bar for each peer of each row, and a line at 1."""
    bars = [(f"{row['title']}: {name}", entry['ratio'])
            for row in results['rows']
            for name, entry in row['contenders'].items() if 'ratio' in entry]
    if not bars:
        return False
    bars.reverse()
    tics = ', '.join(f'{quoted(title)} {place + 1}'
                     for place, (title, _) in enumerate(bars))
    return gnuplot(
        path, 120 + 22 * len(bars),
        data_block('bars', (
            f"{place + 1} {ratio['median']:.4f} {ratio['low']:.4f} "
            f"{ratio['high']:.4f}" for place, (_, ratio) in enumerate(bars))),
        'set logscale x', f'set yrange [0:{len(bars) + 1}]',
        f'set ytics ({tics})', 'set grid x', 'unset key',
        'set xlabel "ours / peer: left of 1 we are faster"',
        'set arrow from 1, graph 0 to 1, graph 1 nohead lw 2',
        'plot $bars using 2:1:3:4 with xerrorbars pt 7 ps 0.8 lw 2')


def plot_curves(curves, path, xlabel, ylabel):
    """curves: name -> list of (x, y). Both axes are logarithmic."""
    blocks = [data_block(f'curve{place}', (f'{x} {y}' for x, y in points if y))
              for place, points in enumerate(curves.values())]
    plots = [f'$curve{place} using 1:2 with linespoints lw 2 '
             f'title {quoted(name)}' for place, name in enumerate(curves)]
    return gnuplot(
        path, 500, *blocks, 'set logscale xy', 'set grid', 'set key left top',
        f'set xlabel {quoted(xlabel)}', f'set ylabel {quoted(ylabel)}',
        'plot ' + ', '.join(plots))
