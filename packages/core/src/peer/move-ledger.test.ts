import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import type { SystemCall, TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, OWN_MOUNTS, readSystemCalls, strace } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { failFiles, systemError } from '../../test/failing-files.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { MoveLedger, moveOutcome } from './move-ledger.ts';
import { readMoveRecord, sweepMoveRecords } from './move-record.ts';

const ID = '0123456789abcdef0123456789abcdef';
const ORDER = { moveId: ID, instance: 'web1', node: 'node1' };
const DISKS = [{ disk: 0, state: 'complete' }] as const;
const DRIVER = ['--conditions=@gantry/source', fileURLToPath(import.meta.resolve('../../test/peer/keep-record.ts'))];

async function withState(): Promise<TemporaryDirectory & { readonly stateDirectory: string }> {
  const scratch = await makeTemporaryDirectory();
  return { ...scratch, file: (...names) => scratch.file(...names), stateDirectory: scratch.file('state') };
}

const open = (stateDirectory: string): Promise<MoveLedger> => MoveLedger.open(stateDirectory, ORDER, { target: 'web2', disks: DISKS });

/** A receiver in a process of its own, whose record is there. */
async function startReceiver(stateDirectory: string): Promise<{ readonly pid: number; commit(): Promise<void>; kill(): Promise<void> }> {
  const child = spawn(process.execPath, [...DRIVER, stateDirectory, ID], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(createInterface(child.stdout), 'line');
  return {
    pid: child.pid ?? 0,
    async commit() {
      child.stdin.end();
      await ended;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('what came of a move', () => {
  test('is known when it was committed, or its receiver failed or is gone, and not before', async () => {
    await using state = await withState();
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'MOVE_NOT_FOUND' });
    const receiver = await startReceiver(state.stateDirectory);
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({
      code: 'BUSY',
      message: `the move ${ID} is not decided yet: its receiver is process ${receiver.pid}`,
    });
    await receiver.kill();
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED' });
  });

  test('is that it was committed, also when the receiver commits and ends between two looks', async () => {
    await using state = await withState();
    const receiver = await startReceiver(state.stateDirectory);
    const real = fsPromises.readFile;
    let delayed = 0;
    // The look at the process comes late: what it finds is that the process is gone.
    Object.assign(fsPromises, {
      readFile: async (...parameters: Parameters<typeof real>) => {
        if (parameters[0] === `/proc/${receiver.pid}/stat` && (delayed += 1) === 1) await receiver.commit();
        return real(...parameters);
      },
    });
    syncBuiltinESMExports();
    try {
      expect(await moveOutcome(ID, state)).toMatchObject({ state: 'committed', target: 'web2' });
      expect(delayed).toBeGreaterThan(0);
    } finally {
      Object.assign(fsPromises, { readFile: real });
      syncBuiltinESMExports();
    }
  });

  test('is unknown while the receiver may run where it cannot be seen', async () => {
    await using state = await withState();
    const program = [...OWN_MOUNTS, '--fork', '--pid', '--mount-proc', process.execPath, ...DRIVER, state.stateDirectory, ID];
    const child = spawn('unshare', program, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(createInterface(child.stdout), 'line');
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'BUSY', hint: expect.stringContaining('Ask there') });
    child.stdin.end();
    await once(child, 'exit');
    expect(await moveOutcome(ID, state)).toMatchObject({ state: 'committed' });
  });

  test('can be read from a record of the first version, which names no host', async () => {
    await using state = await withState();
    const ledger = await open(state.stateDirectory);
    const path = state.file('state', 'moves', `${ID}.json`);
    const { receiver, ...record }: { receiver: { pid: number; startTime: number; bootId: string } } = JSON.parse(
      await readFile(path, 'utf8'),
    );
    const { pid, startTime, bootId } = receiver;
    await writeFile(path, JSON.stringify({ ...record, receiver: { pid, startTime, bootId } }));
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'BUSY' });
    await writeFile(path, JSON.stringify({ ...record, receiver: { pid, startTime: startTime + 1, bootId } }));
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED' });
    await ledger.commit(DISKS);
  });
});

/** The place in the order of the first call that fits. */
function placeOf(calls: readonly SystemCall[], name: RegExp, parameters: string, after = -1): number {
  const found = calls.find((call) => call.began > after && name.test(call.name) && call.parameters.includes(parameters));
  expect(found, `${name.source} ${parameters} after ${after}`).toMatchObject({ result: expect.not.stringMatching(/^-1|^\?/) });
  return found?.ended ?? -1;
}

describe('a move record', () => {
  test('is on disk with its name before anybody knows: opened, and committed', async () => {
    await using state = await withState();
    const calls = ['write', 'pwrite64', 'fsync', 'rename', 'link', 'mkdir'];
    const [program, ...before] = strace({ record: state.file('record'), calls });
    await execa(program, [...before, process.execPath, ...DRIVER, state.stateDirectory, ID], { input: '' });
    const record = await readSystemCalls(state.file('record'));
    const moves = state.file('state', 'moves');
    const made = placeOf(record, /^mkdir/, `"${moves}"`);
    placeOf(record, /^fsync$/, `<${state.stateDirectory}>`, made);
    let at = -1;
    for (const [content, place, message] of [
      ['open', /^link/, 'opened'],
      ['committed', /^rename/, 'committed'],
    ] as const) {
      at = placeOf(record, /write/, String.raw`\"state\":\"${content}\"`, at);
      at = placeOf(record, /^fsync$/, `<${moves}/${ID}.json.`, at);
      at = placeOf(record, place, `"${moves}/${ID}.json"`, at);
      const durable = placeOf(record, /^fsync$/, `<${moves}>`, at);
      const said = placeOf(record, /^write$/, String.raw`"${message}\n"`);
      expect(durable).toBeLessThan(said);
      at = durable;
    }
  });

  test('is not replaced by a move that uses its id again, not even at the same moment', async () => {
    await using state = await withState();
    const both = await Promise.allSettled([open(state.stateDirectory), open(state.stateDirectory)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const ledger = both.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))[0];
    await ledger?.commit(DISKS);
    await expect(open(state.stateDirectory)).rejects.toMatchObject({ code: 'BUSY', message: expect.stringContaining(ID) });
    expect(await moveOutcome(ID, state)).toMatchObject({ state: 'committed' });
    expect(await readdir(state.file('state', 'moves'))).toEqual([`${ID}.json`]);
  });

  test('is written although a sweep removes its temporary file before it is locked', async () => {
    await using state = await withState();
    const directory = await openStateDirectory(state.stateDirectory);
    const ledger = await open(state.stateDirectory);
    const real = fsPromises.open;
    const swept: unknown[] = [];
    // The sweep of another receiver comes just after the file was created.
    Object.assign(fsPromises, {
      open: async (...parameters: Parameters<typeof real>) => {
        const file = await real(...parameters);
        if (String(parameters[0]).endsWith('.new') && parameters[1] !== 'r' && swept.push(parameters[0]) === 1)
          await sweepMoveRecords(directory);
        return file;
      },
    });
    syncBuiltinESMExports();
    try {
      await ledger.commit(DISKS);
    } finally {
      Object.assign(fsPromises, { open: real });
      syncBuiltinESMExports();
    }
    expect(swept).toHaveLength(2);
    expect(await moveOutcome(ID, state)).toMatchObject({ state: 'committed' });
    expect(await readdir(state.file('state', 'moves'))).toEqual([`${ID}.json`]);
  });

  test('that cannot be written is not a commit, and the move has failed', async () => {
    await using state = await withState();
    const ledger = await open(state.stateDirectory);
    using _broken = await failFiles('sync', async () => systemError('ENOSPC'));
    await expect(ledger.commit(DISKS)).rejects.toMatchObject({ code: 'STATE_UNUSABLE', hint: expect.stringContaining('Free space') });
    expect(await ledger.fail('no room', DISKS)).toBe(true);
    const { state: found } = (await readMoveRecord(await openStateDirectory(state.stateDirectory), ID)) ?? {};
    expect(found).toBe('open');
    expect(await readdir(state.file('state', 'moves'))).toEqual([`${ID}.json`]);
  });

  test('whose name cannot be made durable is taken back, and the move has failed', async () => {
    await using state = await withState();
    const ledger = await open(state.stateDirectory);
    {
      let calls = 0;
      using _broken = await failFiles('sync', async (file) =>
        (await file.stat()).isDirectory() && (calls += 1) === 1 ? systemError('EIO') : undefined,
      );
      await expect(ledger.commit(DISKS)).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
      expect(await ledger.fail('damaged', DISKS)).toBe(true);
    }
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED', message: expect.stringContaining('damaged') });
  });

  test.each([
    ['its file system is broken from then on', 1, 'committed'],
    ['its directory cannot be made durable again', 2, 'MOVE_NOT_COMMITTED'],
  ])('that can neither be made durable nor be taken back is undecided: %s', async (_, syncsThatWork, outcome) => {
    await using state = await withState();
    const ledger = await open(state.stateDirectory);
    {
      let calls = 0;
      using _broken = await failFiles('sync', async (file) =>
        (await file.stat()).isDirectory() || (calls += 1) > syncsThatWork ? systemError('EIO') : undefined,
      );
      await expect(ledger.commit(DISKS)).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
      expect(await ledger.fail('damaged', DISKS)).toBe(false);
    }
    // What is found from now on is durable before it is reported.
    const found = await moveOutcome(ID, state).catch((error: unknown) => error);
    expect(found).toMatchObject(outcome === 'committed' ? { state: outcome } : { code: outcome });
  });

  test('is not called committed before it is durable', async () => {
    await using state = await withState();
    await (await open(state.stateDirectory)).commit(DISKS);
    using _broken = await failFiles('sync', async (file) => ((await file.stat()).isDirectory() ? systemError('EIO') : undefined));
    await expect(moveOutcome(ID, state)).rejects.toMatchObject({ code: 'STATE_UNUSABLE', hint: expect.stringContaining('dmesg') });
  });

  test('goes after three months, as does what a killed process had started to write', async () => {
    await using state = await withState();
    const path = state.file('state', 'moves', `${ID}.json`);
    await open(state.stateDirectory);
    await writeFile(`${path}.1.new`, '{');
    const directory = await openStateDirectory(state.stateDirectory);
    await sweepMoveRecords(directory);
    expect(await readdir(state.file('state', 'moves'))).toEqual([`${ID}.json`]);
    const old = (await stat(path)).mtimeMs / 1000 - 91 * 24 * 3600;
    await utimes(path, old, old);
    await sweepMoveRecords(directory);
    expect(await readdir(state.file('state', 'moves'))).toEqual([]);
  });
});
