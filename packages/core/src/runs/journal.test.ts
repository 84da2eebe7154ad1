import { once } from 'node:events';
import { chmod, chown, mkdir, open, readdir, readFile, rename, rmdir, stat, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { makeRandomFile, makeTemporaryDirectory, mountNewTmpfs, readSystemCalls, strace } from '@gantry/testkit';
import { execa } from 'execa';
import { assert, nat, property, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';

import { failFiles, systemError } from '../../test/failing-files.ts';
import { parseJournal } from './journal-file.ts';
import { openRun } from './journal.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { recoverDeadRuns } from './recover.ts';
import type { RunRecord } from './run-record.ts';
import { openStateDirectory } from './state-directory.ts';

const header = {
  runId: 'gantry-1',
  operation: 'export',
  instance: 'web1',
  pid: 4711,
  startTime: 1,
  bootId: 'b',
  started: '2026-11-23T08:15:00.000Z',
};
const snapshot = (path: string): RunRecord => ({
  kind: 'snapshot',
  record: { provider: 'reflink', index: 0, description: path, data: { path } },
});

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

describe('a run', () => {
  test('has an id that says when and by which process, and that is safe in file names and LVM names', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await using one = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    await using other = await openRun({ stateDirectory, operation: 'export', instance: 'web2' });
    expect(one.id).toMatch(new RegExp(`^gantry-\\d{8}T\\d{6}Z-${process.pid}$`));
    expect(other.id).toMatch(/^gantry-[0-9TZ-]+$/);
    expect(other.id).not.toBe(one.id);
  });

  test('that cannot begin leaves neither a journal nor an open file', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    const before = await openDescriptors();
    {
      using _broken = await failFiles('stat', async () => systemError('EIO'));
      await expect(openRun({ stateDirectory, operation: 'export', instance: 'web1' })).rejects.toMatchObject({
        code: 'STATE_UNUSABLE',
        message: expect.stringMatching(/^cannot lock the journal .*: EIO/),
      });
    }
    expect(await readdir(stateDirectory.runs)).toEqual([]);
    expect(await openDescriptors()).toBe(before);
  });

  test('has on disk what it remembers before the call resolves, for its owner alone', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    const path = `${stateDirectory.runs}/${run.id}.journal`;
    const first = await run.remember(snapshot('/a'));
    const second = await run.remember(snapshot('/b'));
    const content = parseJournal(await readFile(path));
    expect(content.header).toMatchObject({ runId: run.id, operation: 'export', instance: 'web1', pid: process.pid });
    expect([...content.records.values()]).toEqual([snapshot('/a'), snapshot('/b')]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await run.forget(first);
    expect([...parseJournal(await readFile(path)).records.values()]).toEqual([snapshot('/b')]);
    await run.forget(second);
    await run.forget(second);
  });

  test('may remember something else in the place of what it remembered: at no moment both, or none', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    const id = await run.remember(snapshot('/a'));
    expect(await run.remember(snapshot('/b'), id)).toBe(id);
    const path = `${stateDirectory.runs}/${run.id}.journal`;
    expect([...parseJournal(await readFile(path)).records.values()]).toEqual([snapshot('/b')]);
    await run.forget(id);
    expect(parseJournal(await readFile(path)).records.size).toBe(0);
  });

  test('leaves no file when everything was forgotten', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    {
      await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
      await run.forget(await run.remember(snapshot('/a')));
    }
    expect(await readdir(stateDirectory.runs)).toEqual([]);
  });

  test('leaves its file when something was not', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    const run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    await run.remember(snapshot('/a'));
    await run[Symbol.asyncDispose]();
    await run[Symbol.asyncDispose]();
    expect(await readdir(stateDirectory.runs)).toEqual([`${run.id}.journal`]);
  });

  test('remembers in order what is remembered at once', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    const records = Array.from({ length: 20 }, (_, index) => snapshot(`/${index}`));
    await Promise.all(records.map((record) => run.remember(record)));
    expect([...parseJournal(await readFile(`${stateDirectory.runs}/${run.id}.journal`)).records.values()]).toEqual(records);
  });

  test('one that cannot be removed at the end does not fail what succeeded, and is ignored by the next run', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    {
      await using _run = await openRun({ stateDirectory, operation: 'export', instance: 'a.example.com' });
      await rename(stateDirectory.runs, scratch.file('away'));
    }
    await rename(scratch.file('away'), stateDirectory.runs);
    expect(await readdir(stateDirectory.runs)).toHaveLength(1);
    const report = await recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal: new AbortController().signal });
    expect(report).toMatchObject({ leftovers: [], damaged: [] });
    expect(await readdir(stateDirectory.runs)).toEqual([]);
  });

  test('cannot be looked for where the directory of the journals is gone', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await rmdir(stateDirectory.runs);
    const recovering = recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal: new AbortController().signal });
    await expect(recovering).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
  });

  test('says so when the directory of the journals cannot be made durable, and leaves none', async () => {
    await using scratch = await makeTemporaryDirectory();
    await chmod(scratch.path, 0o755);
    const runs = scratch.file('runs');
    await mkdir(runs);
    await chown(runs, 65_534, 65_534);
    await chmod(runs, 0o300);
    process.seteuid?.(65_534);
    try {
      const opening = openRun({
        stateDirectory: { path: scratch.path, locks: runs, runs },
        operation: 'export',
        instance: 'a.example.com',
      });
      await expect(opening).rejects.toMatchObject({ code: 'STATE_UNUSABLE', message: expect.stringContaining(runs) });
    } finally {
      process.seteuid?.(0);
    }
    expect(await readdir(runs)).toEqual([]);
  });

  test('says so when the journal cannot be written, and goes on when there is room again', async () => {
    await using small = await mountNewTmpfs(128 * 1024);
    const stateDirectory = await openStateDirectory(small.file('state'));
    const run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    await run.remember(snapshot('/kept'));
    await makeRandomFile(small.file('big'), 1024 * 1024, 'full').catch(() => undefined);
    await expect(run.remember(snapshot('x'.repeat(8192)))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/ENOSPC|no space/),
      hint: expect.stringMatching(/^Free space/),
    });
    await writeFile(small.file('big'), '');
    await run.remember(snapshot('/later'));
    const content = parseJournal(await readFile(`${stateDirectory.runs}/${run.id}.journal`));
    expect([...content.records.values()]).toEqual([snapshot('/kept'), snapshot('/later')]);
    await run[Symbol.asyncDispose]();
  });
});

describe('a line of a journal', () => {
  test('is on disk before the thing that it describes may be made, as is the name of the journal', async () => {
    await using scratch = await makeTemporaryDirectory();
    const state = scratch.file('state');
    const driver = fileURLToPath(import.meta.resolve('../../test/runs/remember.ts'));
    const records = JSON.stringify([snapshot('/a'), snapshot('/b')]);
    const calls = ['write', 'pwrite64', 'fsync', 'fdatasync', 'mkdir'];
    const [program, ...before] = strace({ record: scratch.file('record'), calls });
    const run = execa(program, [...before, process.execPath, '--conditions=@gantry/source', driver, state, records], { reject: false });
    await once(createInterface(run.stdout), 'line');
    const [journal = ''] = await readdir(scratch.file('state', 'runs'));
    process.kill(Number(/-(\d+)\.journal$/.exec(journal)?.[1]), 'SIGKILL');
    await run;

    const record = await readSystemCalls(scratch.file('record'));
    const at = (name: RegExp, text: string, after = -1): number => {
      const found = record.find((call) => call.began > after && name.test(call.name) && call.parameters.includes(text));
      expect(found, `${name.source} ${text} after ${after}`).toMatchObject({ result: expect.not.stringMatching(/^-1|^\?/) });
      return found?.ended ?? -1;
    };
    const path = `${state}/runs/${journal}`;
    const header = at(/write/, 'runId');
    const headerKept = at(/^fdatasync$/, `<${path}>`, header);
    const named = at(/^fsync$/, `<${state}/runs>`, header);
    at(/^fsync$/, `<${state}>`, at(/^mkdir/, `"${state}/runs"`));
    const first = at(/write/, '/a', Math.max(headerKept, named));
    const second = at(/write/, '/b', at(/^fdatasync$/, `<${path}>`, first));
    const secondKept = at(/^fdatasync$/, `<${path}>`, second);
    // Killed as soon as that was read: whether the call itself has returned by then depends on the moment.
    const said = record.find(({ name, parameters }) => name === 'write' && parameters.includes(String.raw`"remembered\n"`));
    expect(secondKept).toBeLessThan(said?.began ?? -1);
  });

  test('that could not be made durable is not in the way of the next', async () => {
    await using scratch = await makeTemporaryDirectory();
    const stateDirectory = await openStateDirectory(scratch.file('state'));
    await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
    const first = await run.remember(snapshot('/first'));
    {
      using _broken = await failFiles('datasync', async () => systemError('EIO'));
      const remembering = run.remember(snapshot(`/lost-${'x'.repeat(500)}`));
      await expect(remembering).rejects.toMatchObject({ code: 'STATE_UNUSABLE', hint: expect.stringContaining('dmesg') });
    }
    const last = await run.remember(snapshot('/last'));
    const content = parseJournal(await readFile(`${stateDirectory.runs}/${run.id}.journal`));
    expect([...content.records.values()]).toEqual([snapshot('/first'), snapshot('/last')]);
    for (const id of [first, last]) await run.forget(id);
  });
});

test('what neither became durable nor could be removed does not spoil the journal', async () => {
  await using scratch = await makeTemporaryDirectory();
  const stateDirectory = await openStateDirectory(scratch.file('state'));
  await using run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
  const first = await run.remember(snapshot('/first'));
  {
    using _unsynced = await failFiles('datasync', async () => systemError('EIO'));
    using _kept = await failFiles('truncate', async () => systemError('EIO'));
    await expect(run.remember(snapshot(`/lost-${'x'.repeat(500)}`))).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
    // Still in the way, so that nothing can be written.
    await expect(run.remember(snapshot('/short'))).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
  }
  const last = await run.remember(snapshot('/last'));
  const content = parseJournal(await readFile(`${stateDirectory.runs}/${run.id}.journal`));
  expect([...content.records.values()]).toEqual([snapshot('/first'), snapshot('/last')]);
  for (const id of [first, last]) await run.forget(id);
});

describe('reading a journal', () => {
  const lines = [header, { remember: 1, record: snapshot('/a') }, { remember: 2, record: snapshot('/ü') }, { forget: 1 }];
  const whole = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

  test('gives what was remembered and not forgotten', () => {
    expect(parseJournal(whole)).toEqual({ header, records: new Map([[2, snapshot('/ü')]]), bytes: whole.length });
  });

  test('cut short anywhere, it says what the whole lines say', () => {
    assert(
      property(nat(whole.length), (length) => {
        const wholeLines = whole.subarray(0, length).toString('latin1').split('\n').length - 1;
        const content = parseJournal(whole.subarray(0, length));
        expect(content.records.size).toBe([0, 0, 1, 2, 1][wholeLines]);
        expect(content.header === undefined).toBe(wholeLines === 0);
      }),
    );
  });

  test('refuses everything that is not a journal, and never fails in another way', () => {
    assert(
      property(uint8Array({ maxLength: 300 }), (bytes) => {
        const buffer = Buffer.from(bytes);
        if (!buffer.includes('\n')) expect(parseJournal(buffer).records.size).toBe(0);
        else expect(() => parseJournal(buffer)).toThrow('line 1 is not a line of a journal');
      }),
    );
  });

  test.each([
    ['a record without a kind', { remember: 1, record: { pgid: 4711 } }],
    ['something else beside', { forget: 1, remember: 1, record: snapshot('/a') }],
  ])('refuses %s', (_, line) => {
    expect(() => parseJournal(Buffer.from(`${JSON.stringify(header)}\n${JSON.stringify(line)}\n`))).toThrow(
      'line 2 is not a line of a journal',
    );
  });

  test('refuses one that is larger than any run writes, without reading it', async () => {
    const { readJournal } = await import('./journal-file.ts');
    await using scratch = await makeTemporaryDirectory();
    await using file = await open(scratch.file('journal'), 'w+');
    await file.truncate(2 ** 40);
    await expect(readJournal(file)).rejects.toThrow('more than any run writes');
  });
});
