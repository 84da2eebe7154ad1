import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';

import { attachLoopDevice, makeRandomFile, makeSparseFile, mountNewTmpfs, mountNewXfs } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { Workbench } from '../../test/snapshots/workbench.ts';
import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { parseJournal } from '../runs/journal-file.ts';
import { openRun } from '../runs/journal.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import type { SnapshotProvider } from './provider.ts';
import { parseSnapshotConfig } from './snapshot-config.ts';

const MiB = 1024 * 1024;
const { signal } = new AbortController();

/** What the journal of the bench's run remembers now. */
async function remembered(bench: Workbench): Promise<string[]> {
  const journal = await readFile(`${bench.stateDirectory.runs}/${bench.run.id}.journal`);
  return [...parseJournal(journal).records.values()].map((record) => /"provider":"(\w+)"/.exec(JSON.stringify(record))?.[1] ?? record.kind);
}

/** Commands that write their names into the file `log`, each line with how many snapshots hold something at that moment. */
async function loggingConfig(bench: Workbench, directory: string, more: Record<string, unknown> = {}) {
  const log = bench.file('log.sh');
  await writeFile(log, `#!/bin/sh\necho "$@ with $(find '${directory}' -name '*snap' -size +0 | wc -l)" >> '${bench.file('log')}'\n`);
  await chmod(log, 0o755);
  return parseSnapshotConfig(JSON.stringify({ freeze: [log, 'freeze', '{instance}'], thaw: [log, 'thaw', '{instance}'], ...more }), 'test');
}

async function logOf(bench: Workbench): Promise<string[]> {
  return (await readFile(bench.file('log'), 'utf8')).trimEnd().split('\n');
}

describe('the best that each disk allows', () => {
  test('is a reflink where that works, else the configured commands, else none', async () => {
    await using bench = await openWorkbench();
    await using xfs = await mountNewXfs();
    await makeRandomFile(xfs.file('a'), MiB, 'a');
    await makeRandomFile(bench.file('b'), MiB, 'b');
    const config = parseSnapshotConfig('create: [cp, "{path}", "{path}.c"]\nremove: [rm, -f, "{path}.c"]\ndevice: "{path}.c"', 'test');
    const stages: string[] = [];
    const stage = (message: string): void => void stages.push(message);
    {
      await using set = await bench.take('auto', [bench.file('b'), xfs.file('a')], { config, stage });
      expect(set.snapshots.map(({ index, kind }) => [index, kind])).toEqual([
        [0, 'command'],
        [1, 'reflink'],
      ]);
      expect((await remembered(bench)).toSorted()).toEqual(['command', 'reflink']);
    }
    expect(stages).toEqual([
      'snapshot of 1 disk (command)',
      'snapshot of 1 disk (reflink)',
      expect.stringMatching(/^2 snapshots taken within \d+ ms$/),
    ]);
    expect(await remembered(bench)).toEqual([]);
    await using set = await bench.take('auto', [bench.file('b'), xfs.file('a')]);
    expect(set.snapshots.map(({ kind }) => kind)).toEqual(['none', 'reflink']);
  });
});

describe('one way for all disks', () => {
  test('is refused with every disk that it does not fit, and nothing is made', async () => {
    await using bench = await openWorkbench();
    await using xfs = await mountNewXfs();
    await makeRandomFile(xfs.file('a'), MiB, 'a');
    await makeRandomFile(bench.file('b'), MiB, 'b');
    await using loop = await attachLoopDevice(bench.file('b'), { readOnly: true });
    await expect(bench.take('reflink', [xfs.file('a'), bench.file('b'), loop.path])).rejects.toMatchObject({
      code: 'SNAPSHOT_UNSUPPORTED',
      disk: 1,
      message: expect.stringMatching(
        /^cannot take a reflink snapshot of disk 1 \(.*\/b\): the file system of .* does not support reflinks/,
      ),
      details: [`disk 2 (${loop.path}): it is not a regular file`],
      hint: expect.stringContaining('--snapshot auto'),
    });
    expect(await readdir(xfs.path)).toEqual(['a']);
  });
});

describe('freezing', () => {
  test('is done once around the snapshots of all disks', async () => {
    await using bench = await openWorkbench();
    await using xfs = await mountNewXfs();
    for (const name of ['a', 'b', 'c']) await makeRandomFile(xfs.file(name), MiB, name);
    const config = await loggingConfig(bench, xfs.path);
    {
      await using _set = await bench.take('reflink', [xfs.file('a'), xfs.file('b'), xfs.file('c')], { config });
      expect(await remembered(bench)).toEqual(['reflink', 'reflink', 'reflink']);
    }
    expect(await logOf(bench)).toEqual(['freeze web1 with 0', 'thaw web1 with 3']);
  });

  test('is left out where no snapshot is taken', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    const config = await loggingConfig(bench, bench.file());
    await using _set = await bench.take('auto', [bench.file('disk')], { config });
    await expect(stat(bench.file('log'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('is undone when a snapshot fails', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    const config = await loggingConfig(bench, bench.file(), { create: ['false'], remove: ['true'] });
    await expect(bench.take('command', [bench.file('disk')], { config })).rejects.toMatchObject({ code: 'SNAPSHOT_FAILED' });
    expect(await logOf(bench)).toEqual(['freeze web1 with 0', 'thaw web1 with 0']);
    expect(await remembered(bench)).toEqual([]);
  });

  test('that fails fails the export, and is undone all the same', async () => {
    await using bench = await openWorkbench();
    await using xfs = await mountNewXfs();
    await makeRandomFile(xfs.file('a'), MiB, 'a');
    const config = await loggingConfig(bench, xfs.path, { freeze: ['sh', '-c', 'echo no agent >&2; exit 1'] });
    await expect(bench.take('reflink', [xfs.file('a')], { config })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: 'cannot freeze instance web1 for its snapshots: sh failed with status 1: no agent',
    });
    expect(await logOf(bench)).toEqual(['thaw web1 with 0']);
    expect(await readdir(xfs.path)).toEqual(['a']);
  });

  test('that cannot be undone is reported at once, tried again at the end, and left to the next run', async () => {
    await using bench = await openWorkbench();
    await using xfs = await mountNewXfs();
    await makeRandomFile(xfs.file('a'), MiB, 'a');
    const config = await loggingConfig(bench, xfs.path, {
      thaw: ['sh', '-c', `echo thaw >> '${bench.file('log')}'; test -e '${bench.file('ready')}'`],
    });
    {
      await using set = await bench.take('reflink', [xfs.file('a')], { config });
      expect(set.snapshots).toHaveLength(1);
      expect(bench.warnings).toEqual([
        expect.stringMatching(/^could not undo: instance web1 frozen, thawed by sh -c .*: sh failed with status 1/s),
      ]);
    }
    expect(bench.warnings).toHaveLength(2);
    expect(await remembered(bench)).toEqual(['freeze']);
    await bench.run[Symbol.asyncDispose]();
    await writeFile(bench.file('ready'), '');
    const report = await recoverDeadRuns({ stateDirectory: bench.stateDirectory, undos: undoHandlers(), signal });
    expect(report.leftovers.map(({ outcome }) => outcome)).toEqual(['cleared']);
    expect(await logOf(bench)).toEqual(['freeze web1 with 0', 'thaw', 'thaw', 'thaw']);
  });
});

describe('snapshots are dropped', () => {
  /** Takes what is noted, and fails as asked. */
  function notingProvider(events: string[], fail: { readonly take?: number; readonly drop?: number }): SnapshotProvider {
    return {
      name: 'noting',
      supports: async () => ({ ok: true, what: 'a note' }),
      prepare: async (requests, { remember }) => ({
        async take() {
          for (const { index } of requests) {
            await remember({ provider: 'noting', index, description: `snapshot ${index}`, data: {} });
            if (fail.take === index) throw new Error(`cannot take ${index}`);
            events.push(`take ${index}`);
          }
        },
        open: async () => requests.map(({ index }) => ({ index, kind: 'noting', path: `/${index}` })),
      }),
      async drop({ index }, dropSignal) {
        dropSignal.throwIfAborted();
        if (fail.drop === index) throw new Error(`cannot drop ${index}`);
        events.push(`drop ${index}`);
      },
    };
  }

  test('the last one first, when the set is disposed, also after the operation was cancelled', async () => {
    await using bench = await openWorkbench();
    const events: string[] = [];
    const cancel = new AbortController();
    {
      await using _set = await bench.take('auto', ['/a', '/b'], { providers: [notingProvider(events, {})], signal: cancel.signal });
      cancel.abort(new Error('enough'));
    }
    expect(events).toEqual(['take 0', 'take 1', 'drop 1', 'drop 0']);
    expect(await remembered(bench)).toEqual([]);
  });

  test('once, however often the set is disposed', async () => {
    await using bench = await openWorkbench();
    const events: string[] = [];
    const set = await bench.take('auto', ['/a'], { providers: [notingProvider(events, {})] });
    await set[Symbol.asyncDispose]();
    await set[Symbol.asyncDispose]();
    expect(events).toEqual(['take 0', 'drop 0']);
  });

  test('when a later one cannot be taken, that one too, which may be there in part', async () => {
    await using bench = await openWorkbench();
    const events: string[] = [];
    await expect(bench.take('auto', ['/a', '/b', '/c'], { providers: [notingProvider(events, { take: 1 })] })).rejects.toThrow(
      'cannot take 1',
    );
    expect(events).toEqual(['take 0', 'drop 1', 'drop 0']);
  });

  test('all but the one that cannot be: that is reported and stays in the journal', async () => {
    await using bench = await openWorkbench();
    const events: string[] = [];
    {
      await using _set = await bench.take('auto', ['/a', '/b', '/c'], { providers: [notingProvider(events, { drop: 1 })] });
    }
    expect(events.slice(3)).toEqual(['drop 2', 'drop 0']);
    expect(bench.warnings).toEqual(['disk 1: could not undo: snapshot 1: cannot drop 1; the next run tries again']);
    expect(await remembered(bench)).toEqual(['noting']);
  });
});

test('no snapshot is made when the journal cannot be written', async () => {
  await using bench = await openWorkbench();
  await using xfs = await mountNewXfs();
  await using full = await mountNewTmpfs(64 * 1024);
  await makeRandomFile(xfs.file('a'), MiB, 'a');
  await using run = await openRun({ stateDirectory: await openStateDirectory(full.file('state')), operation: 'export', instance: 'web1' });
  await makeRandomFile(full.file('big'), MiB, 'full').catch(() => undefined);
  // The rest of the journal's own page, with records that are smaller than that of a snapshot.
  const fill = async (): Promise<never> => {
    for (;;) await run.remember({ kind: 'pending', storeAddress: 'x' });
  };
  await expect(fill()).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
  await expect(bench.take('reflink', [xfs.file('a')], { run })).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
  expect(await readdir(xfs.path)).toEqual(['a']);
});
