import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { ALL_VARIANTS, makeRandomFile, PATIENTLY } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Tmux } from './tmux.ts';
import { openTmux } from './tmux.ts';
import type { Workbench } from './workbench.ts';
import { MAIN, makeWorkbench, waitForFile } from './workbench.ts';

/*
 * What a user sees: the command runs on a terminal of tmux, which wraps, scrolls and reflows as terminals do, and its screen is checked.
 */

let bench: Workbench;
let terminal: Tmux;

beforeEach(async () => {
  bench = await makeWorkbench();
  terminal = openTmux(bench.file('tmux'));
  await makeRandomFile(bench.file('disk0'), 4096, 'a');
  await makeRandomFile(bench.file('disk1'), 4096, 'b');
  // Announces its size, writes a part, and waits until the test lets it go on.
  await bench.defineOs('slow', {
    export: `echo 40000000 >&"$EXP_SIZE_FD"; head -c 9000000 /dev/urandom; : >"$PWD/started"; until [ -e "$PWD/go" ]; do sleep 0.1; done; head -c 31000000 /dev/urandom`,
    import: 'cat >/dev/null',
  });
  await bench.describeInstance('web1', { os: 'slow', disks: [bench.file('disk0'), bench.file('disk1')] });
});

afterEach(async () => {
  await terminal[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

/** Starts an export on a terminal of that size; its exit status is written to the file `status`. */
async function startOnTerminal(columns: number, rows: number): Promise<void> {
  const command = [process.execPath, MAIN, 'export', 'web1.yaml', bench.store].map((word) => `'${word}'`).join(' ');
  const env = `GANTRY_STATE_DIR='${bench.file('state')}' GANTRY_OS_PATH='${bench.file('os')}' GANTRY_CREATE_STORE=1`;
  await writeFile(
    bench.file('run'),
    `cd '${bench.path}'; echo marker; ${env} ${command}; echo $? >status.tmp; mv status.tmp status; exec sleep 1000\n`,
  );
  await terminal.run('new-session', '-d', '-x', String(columns), '-y', String(rows), `sh '${bench.file('run')}'`);
}

describe.each(ALL_VARIANTS ? [40, 60, 80, 200] : [40, 200])('on a terminal of %i columns', (columns) => {
  test('progress takes one line per disk and one for the total, and disappears at the end', async () => {
    await startOnTerminal(columns, 24);
    await waitForFile(bench.file('os', 'slow', 'started'));
    const lines = await terminal.screen(/no data for \d+ s/);
    const bars = lines.filter((line) => /^(disk \d|total) /.test(line));
    expect(bars.map((line) => line.slice(0, 6))).toEqual(['disk 0', 'disk 1', 'total ']);
    // Nothing else is below them, and no line was wrapped.
    expect(lines.slice(-3)).toEqual(bars);
    for (const line of bars) expect(line.length).toBeLessThan(columns);
    await writeFile(bench.file('os', 'slow', 'go'), '');
    expect((await waitForFile(bench.file('status'))).trim()).toBe('0');
    const end = await terminal.screen(/web1@\d+T/);
    expect(end.filter((line) => /no data|total/.test(line))).toEqual([]);
    expect(end.join('\n')).toContain('marker');
  });
});

/**
 * Waits until the bars were just drawn, and are not again for about a second: no program can know the width in which a terminal will show
 * what it writes at the moment when that changes.
 */
async function nextSecond(): Promise<void> {
  const seconds = async (): Promise<string> =>
    /total .*no data for (?<seconds>\d+) s/.exec(await terminal.run('capture-pane', '-p'))?.groups?.['seconds'] ?? '';
  const now = await seconds();
  await expect.poll(seconds, PATIENTLY).not.toBe(now);
}

test('a terminal that becomes narrower and wider again shows each line once', async () => {
  await startOnTerminal(120, 24);
  await waitForFile(bench.file('os', 'slow', 'started'));
  await terminal.screen(/total .*no data/);
  for (const columns of [50, 140, 41, 90]) {
    await nextSecond();
    await terminal.run('resize-window', '-x', String(columns), '-y', '24');
    const lines = await terminal.screen(new RegExp(`^(?=[^]*total .*no data)[^]{0,${columns * 24}}$`));
    await terminal.screen(/total .*no data for \d+ s/);
    expect({ columns, bars: lines.filter((line) => /^(disk \d {2}|total )/.test(line)).length }).toEqual({ columns, bars: 3 });
    // Earlier output is still there, on the screen or above it.
    const all = await terminal.run('capture-pane', '-p', '-S', '-');
    expect({ columns, all }).toEqual({ columns, all: expect.stringMatching(/^marker$/m) });
    expect({ columns, all: all.replaceAll('\n', '') }).toEqual({ columns, all: expect.stringContaining('no snapshot of 2 disks') });
  }
});

test('a terminal with few rows shows only what fits', async () => {
  await startOnTerminal(80, 3);
  await waitForFile(bench.file('os', 'slow', 'started'));
  const lines = await terminal.screen(/total .*no data/);
  expect(lines.length).toBeLessThanOrEqual(3);
});

test('a log has complete lines and no bars', async () => {
  const running = bench.start('export', 'web1.yaml', bench.store);
  await waitForFile(bench.file('os', 'slow', 'started'));
  await writeFile(bench.file('os', 'slow', 'go'), '');
  const { stderr, exitCode } = await running.outcome;
  expect(exitCode, stderr).toBe(0);
  // oxlint-disable-next-line no-control-regex -- they are what must not be there
  expect(stderr).not.toMatch(/[\u001B\r]/);
  expect(stderr).toMatch(/^disk 0 {2}done /m);
  expect(await readFile(bench.file('web1.yaml'), 'utf8')).toContain('web1');
});
