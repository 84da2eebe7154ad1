import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import type { OperationBench, OperationBenchOptions } from '../../test/operation-bench.ts';
import { put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { openExport } from '../exports/open-export.ts';
import { lastVerification } from '../exports/verification.ts';
import { VerificationRecords } from '../exports/verification-records.ts';
import { makeScratchDisks, scratchUndo } from '../flow/scratch-disks.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { openRun } from '../runs/journal.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { RehearsalResult } from './rehearse.ts';
import { dataBytes, rehearseExport } from './rehearse.ts';
import { verifyStore } from './verify-store.ts';

let bench: OperationBench;
let scratch: string;

afterEach(() => bench[Symbol.asyncDispose]());

async function setUp(options: OperationBenchOptions): Promise<string> {
  bench = await makeOperationBench(options);
  scratch = bench.directory.file('scratch');
  await mkdir(scratch);
  return (await bench.exportDisks()).reference;
}

function options(): { readonly store: OperationBench['store']; readonly stateDirectory: string; readonly osSearchPath: readonly string[] } {
  return { store: bench.store, stateDirectory: bench.directory.file('state'), osSearchPath: [bench.directory.file('os')] };
}

function rehearse(reference: string): Promise<RehearsalResult> {
  return rehearseExport({ ...options(), export: reference, directory: scratch, remember: true });
}

test('raw: exporting the scratch disks gives the bytes of the dumps', async () => {
  const reference = await setUp({ disks: 2 });
  const result = await rehearse(reference);
  const disk = { expectedBytes: DISK_BYTES, exportedBytes: DISK_BYTES, proof: 'equal' };
  expect(result).toMatchObject({
    reference,
    disks: [
      { disk: 0, ...disk },
      { disk: 1, ...disk },
    ],
    plainBytes: 2 * DISK_BYTES,
  });
  expect(await readdir(scratch)).toEqual([]);
  const records = new VerificationRecords(bench.store, options().stateDirectory);
  const [instance = '', id = ''] = reference.split('@');
  expect((await records.of(instance)).get(id)?.rehearsal).toMatchObject({ result: 'sound' });
  expect(await lastVerification({ instance, id }, (name) => records.of(name))).toMatchObject({ depth: 'rehearsal', result: 'sound' });
});

describe('scripts', () => {
  test('that give other bytes each time prove that the import works, and that about as much comes back', async () => {
    const reference = await setUp({ scripts: { export: 'head -c 65536 "$EXPORT_DEVICE"; date +%N' } });
    const [disk] = (await rehearse(reference)).disks;
    expect(disk).toMatchObject({ disk: 0, proof: 'imported' });
    expect(disk?.exportedBytes).toBeGreaterThan(DISK_BYTES);
  });

  test('that lose the data are found', async () => {
    const reference = await setUp({ scripts: { import: 'cat >/dev/null', export: 'tr -d "\\000" <"$EXPORT_DEVICE"' } });
    await expect(rehearse(reference)).rejects.toMatchObject({ code: 'REHEARSAL_FAILED', disk: 0 });
    expect(await readdir(scratch)).toEqual([]);
  });

  test('that fail are found, and are remembered as damage', async () => {
    const reference = await setUp({ scripts: { import: 'cat >/dev/null; echo no space >&2; exit 3' } });
    await expect(rehearse(reference)).rejects.toMatchObject({ code: 'SCRIPT_FAILED' });
    expect(await readdir(scratch)).toEqual([]);
    const result = await verifyStore({ ...options(), rehearseIn: scratch });
    expect(result).toMatchObject({ depth: 'rehearsal', damaged: 1, exports: [{ reference, code: 'SCRIPT_FAILED' }] });
  });

  test('get the name of a rehearsal, and see only scratch disks', async () => {
    const reference = await setUp({
      scripts: { import: 'cat >"$IMPORT_DEVICE"; echo "$INSTANCE_NAME $DISK_0_PATH" >"$(dirname "$0")/../../seen"' },
    });
    await rehearse(reference);
    const seen = await readFile(bench.directory.file('seen'), 'utf8');
    expect(seen).toMatch(new RegExp(`^rehearsal\\.${bench.instance.name} ${scratch}/gantry-rehearsal-.*/disk0\\.img\n$`));
  });
});

test('a whole store is rehearsed, what waits longest first', async () => {
  const first = await setUp({});
  const second = (await bench.exportDisks()).reference;
  const found = [];
  for (let run = 0; run < 2; run += 1) found.push(await verifyStore({ ...options(), rehearseIn: scratch, budget: { bytes: 1 } }));
  expect(found.map(({ exports }) => exports.map(({ reference, result }) => `${reference} ${result}`))).toEqual([
    [`${first} sound`],
    [`${second} sound`],
  ]);
});

test('an export of Ganeti is left out of the rehearsal of a store, and takes none of its budget', async () => {
  const reference = await setUp({});
  await put(
    bench.store,
    'a/config.ini',
    '[export]\nversion = 0\ntimestamp = 1479888900\nos = raw\ncompression = none\n[instance]\nname = a\ndisk0_dump = root.snap\n',
  );
  await put(bench.store, 'a/root.snap', Buffer.alloc(1000));
  const result = await verifyStore({ ...options(), rehearseIn: scratch, budget: { bytes: 1 } });
  expect(result).toMatchObject({ exports: [{ reference, result: 'sound' }], left: 0 });
});

test('raw needs room for data alone, not for zeros', async () => {
  bench = await makeOperationBench({});
  await truncate(bench.instance.disks[0]?.path ?? '', 3 * FRAME_SIZE);
  for (const incremental of [false, true, true]) {
    const { reference } = await bench.exportDisks({ incremental });
    expect(await dataBytes(await openExport(bench.store, reference), {})).toBe(FRAME_SIZE);
  }
});

describe('the scratch directory', () => {
  test('must have room, and exist', async () => {
    const reference = await setUp({});
    await using run = await openRun({
      stateDirectory: await openStateDirectory(options().stateDirectory),
      operation: 'verify',
      instance: 'x',
    });
    const asked = { directory: scratch, sizes: [DISK_BYTES], neededBytes: 2 ** 60, run };
    await expect(makeScratchDisks(asked)).rejects.toMatchObject({ code: 'PLATFORM', message: expect.stringContaining('too little room') });
    const nowhere = rehearseExport({ ...options(), export: reference, directory: `${scratch}/nowhere` });
    await expect(nowhere).rejects.toMatchObject({ code: 'PLATFORM' });
    expect(await readdir(scratch)).toEqual([]);
  });

  test('is looked at before anything is read', async () => {
    await setUp({});
    const file = `${scratch}/file`;
    await writeFile(file, '');
    for (const [directory, message] of [
      [`${scratch}/nowhere`, 'ENOENT'],
      [file, 'it is not a directory'],
    ] as const) {
      const refused = { code: 'PLATFORM', message: expect.stringContaining(message) };
      const calls: string[] = [];
      const store = watchedStore(bench.store, { before: (call) => void calls.push(call) });
      await expect(rehearseExport({ ...options(), store, export: 'web1', directory })).rejects.toMatchObject(refused);
      await expect(verifyStore({ ...options(), store, rehearseIn: directory })).rejects.toMatchObject(refused);
      expect(calls).toEqual([]);
    }
  });

  test('of a rehearsal that was killed is removed by the next run, with nothing else in it', async () => {
    await setUp({});
    const child = fork(new URL('../../test/rehearse-and-wait.ts', import.meta.url), [options().stateDirectory, scratch], {
      execArgv: ['--conditions=@gantry/source'],
    });
    await once(child, 'message');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const [directory = ''] = await readdir(scratch);
    await writeFile(`${scratch}/${directory}/mine`, '');
    const recover = {
      stateDirectory: await openStateDirectory(options().stateDirectory),
      undos: undoHandlers(),
      signal: new AbortController().signal,
    };
    expect((await recoverDeadRuns(recover)).leftovers).toMatchObject([{ outcome: 'kept' }]);
    expect(await readdir(`${scratch}/${directory}`)).toEqual(['mine']);
    await rm(`${scratch}/${directory}/mine`);
    expect((await recoverDeadRuns(recover)).leftovers).toMatchObject([{ outcome: 'cleared' }]);
    expect(await readdir(scratch)).toEqual([]);
  });

  test.each([
    ['another directory', { directory: '/srv/exports', disks: ['disk0.img'] }],
    ['a file of another name', { directory: '/srv/gantry-rehearsal-1', disks: ['../x'] }],
  ])('is removed only if a record names just that, not %s', async (_what, record) => {
    await setUp({});
    const undo = scratchUndo.undo({ kind: scratchUndo.kind, ...record }, { instance: 'x' }, new AbortController().signal);
    await expect(undo).rejects.toThrow();
  });
});
