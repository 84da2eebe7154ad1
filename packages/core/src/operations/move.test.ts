import { chmod, mkdir, open, readFile, readdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { PeerChannel } from '@gantry/transport';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { execa } from 'execa';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { ChannelPair } from '../../test/peer/channel-pair.ts';
import { failFiles, systemError } from '../../test/failing-files.ts';
import { channelOf, channelPair } from '../../test/peer/channel-pair.ts';
import type { GantryEvent } from '../report/events.ts';
import { GantryError } from '../report/errors.ts';
import { loadInstanceFile } from '../instances/load-instance-file.ts';
import type { MoveRequest, MoveResult } from './move.ts';
import { moveInstance } from './move.ts';
import { GREETING } from '../peer/greeting.ts';
import { windowFor } from '../peer/receiver-inboxes.ts';
import type { Incoming } from '../peer/wire.ts';
import { MessageSplitter, creditMessage, header } from '../peer/wire.ts';
import type { ReceiveRequest, ReceiveResult } from './receive.ts';
import { receiveInstance } from './receive.ts';
import { moveOutcome } from '../peer/move-ledger.ts';
import { lockDisk } from '../runs/locks.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

const MIB = 1024 * 1024;
const SCRIPTS = new Set(['create', 'export', 'import', 'rename', 'verify']);

interface Bench extends AsyncDisposable {
  readonly file: TemporaryDirectory['file'];
  readonly pair: ChannelPair;
  readonly events: { readonly source: GantryEvent[]; readonly receiver: GantryEvent[] };
  /** Both sides, to their ends. */
  move(request?: Partial<MoveRequest>, receive?: Partial<ReceiveRequest>): Promise<Outcome>;
  warnings(side: 'source' | 'receiver'): string;
}

interface Outcome {
  readonly source: PromiseSettledResult<MoveResult>;
  readonly receiver: PromiseSettledResult<ReceiveResult>;
}

/** `web1` with as many disks of random bytes as said, and its target; definitions as given, on each side. */
async function makeBench(
  disks: number,
  {
    source = {},
    target = {},
    os = 'raw',
    name = 'web1.example.com',
    targetDisks = disks,
    targetMib = 9,
  }: {
    readonly source?: Readonly<Record<string, string>>;
    readonly target?: Readonly<Record<string, string>>;
    readonly os?: string;
    readonly name?: string;
    readonly targetDisks?: number;
    readonly targetMib?: number;
  } = {},
): Promise<Bench> {
  const directory = await makeTemporaryDirectory();
  const file: TemporaryDirectory['file'] = (...names) => directory.file(...names);
  for (const [side, scripts, count, instance] of [
    ['here', source, disks, 'web1.example.com'],
    ['there', target, targetDisks, name],
  ] as const) {
    await mkdir(file(side));
    if (os !== 'raw') await defineOs(file(side, 'os', os), scripts);
    for (let disk = 0; disk < count; disk += 1) {
      if (side === 'here') await makeRandomFile(file(side, `${disk}.img`), 9 * MIB, `disk ${disk}`);
      else await makeSparseFile(file(side, `${disk}.img`), targetMib * MIB);
    }
    const list = Array.from({ length: count }, (_, disk) => `  - path: ${disk}.img\n`).join('');
    await writeFile(file(side, 'web1.yaml'), `name: ${instance}\nos: ${os}\nhypervisor: kvm\ndisks:\n${list}`);
  }
  const pair = channelPair();
  const events = { source: [] as GantryEvent[], receiver: [] as GantryEvent[] };
  const move: Bench['move'] = async (request, receive) => {
    const receiving = closing(
      pair.receiver,
      receiveInstance({
        channel: pair.receiver,
        cwd: file('there'),
        stateDirectory: file('there', 'state'),
        osSearchPath: [file('there', 'os')],
        onEvent: (event) => events.receiver.push(event),
        ...receive,
      }),
    );
    const sending = closing(
      pair.source,
      moveInstance({
        instance: await loadInstanceFile(file('here', 'web1.yaml')),
        peer: pair.source,
        to: 'web1.yaml',
        yes: true,
        snapshot: 'none',
        stateDirectory: file('here', 'state'),
        osSearchPath: [file('here', 'os')],
        onEvent: (event) => events.source.push(event),
        ...request,
      }),
    );
    const [source, receiver] = await Promise.allSettled([sending, receiving]);
    return { source, receiver };
  };
  return {
    file,
    pair,
    events,
    move,
    warnings: (side) =>
      events[side].flatMap((event) => (event.type === 'warning' ? [`${event.disk ?? ''} ${event.message}`] : [])).join('\n'),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** What comes of `work`, with the channel closed as soon as it does. */
async function closing<T>(channel: PeerChannel, work: Promise<T>): Promise<T> {
  await using _ = channel;
  return await work;
}

async function defineOs(home: string, scripts: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(home, { recursive: true });
  const files = { ganeti_api_version: '20\n', 'parameters.list': '', create: 'exit 0', verify: 'exit 0', ...scripts };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(home, name), SCRIPTS.has(name) ? `#!/bin/sh\n${text}\n` : text);
    if (SCRIPTS.has(name)) await chmod(join(home, name), 0o755);
  }
}

const CAT = { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' };

/** A control message as it goes over the channel. */
function control(message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  return Buffer.concat([header('control', 0, body.length), body]);
}

/** The error that one side failed with. */
function failureOf(result: PromiseSettledResult<unknown>): GantryError {
  if (result.status === 'rejected' && result.reason instanceof GantryError) return result.reason;
  throw new Error('no GantryError', { cause: result });
}

/** Processes whose command line has the path in it. */
async function processesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await execa('ps', ['-eo', 'pid=,args=']);
  return stdout.split('\n').filter((line) => line.includes(path) && !line.includes('ps -eo'));
}

async function isUntouched(bench: Bench, disk: number): Promise<boolean> {
  return (await readFile(bench.file('there', `${disk}.img`))).every((byte) => byte === 0);
}

describe('a move', () => {
  test('makes the disks there equal, and both sides agree on every digest', async () => {
    await using bench = await makeBench(3);
    const { source, receiver } = await bench.move();
    expect(source).toMatchObject({ status: 'fulfilled', value: { target: 'web1.example.com', plainBytes: 27 * MIB } });
    expect(receiver).toMatchObject({ status: 'fulfilled', value: { disks: [0, 1, 2] } });
    for (const disk of [0, 1, 2]) {
      expect(await sha256File(bench.file('there', `${disk}.img`))).toBe(await sha256File(bench.file('here', `${disk}.img`)));
    }
    const id = source.status === 'fulfilled' ? source.value.moveId : '';
    expect(await moveOutcome(id, { stateDirectory: bench.file('there', 'state') })).toMatchObject({ state: 'committed' });
  });

  test('renames on the peer when all disks are there, and tells the words of scripts there', async () => {
    const target = {
      ...CAT,
      rename: 'echo "$OLD_INSTANCE_NAME to $INSTANCE_NAME" >&2; cmp "$DISK_0_PATH" "$DISK_1_PATH" && exit 1; exit 0',
    };
    await using bench = await makeBench(2, { os: 'cat', source: { ...CAT, rename: 'exit 1' }, target, name: 'web2.example.com' });
    const { source } = await bench.move({ rename: true });
    expect(source).toMatchObject({ status: 'fulfilled', value: { instance: 'web1.example.com', target: 'web2.example.com' } });
    expect(bench.events.source).toContainEqual(
      expect.objectContaining({ type: 'message', script: 'rename', line: 'web1.example.com to web2.example.com' }),
    );
  });

  test('lets no slow import script hold up another disk', async () => {
    const slow =
      'if [ "$IMPORT_INDEX" = 0 ]; then while ! [ -e done1 ]; do sleep 0.05; done; fi; cat >"$IMPORT_DEVICE"; touch "done$IMPORT_INDEX"';
    const big = 'for i in 1 2 3 4 5 6 7; do cat "$EXPORT_DEVICE"; done';
    await using bench = await makeBench(2, { os: 'cat', source: { ...CAT, export: big }, target: { ...CAT, import: slow } });
    const { source } = await bench.move();
    expect(source).toMatchObject({ status: 'fulfilled', value: { plainBytes: 14 * 9 * MIB } });
  });

  test('starts export scripts in different seconds, since some name things after the date of a dump', async () => {
    await using bench = await makeBench(2, {
      os: 'cat',
      source: { ...CAT, export: `date +%s >>"$PWD/starts"; ${CAT.export}` },
      target: CAT,
    });
    const { source } = await bench.move();
    expect(source).toMatchObject({ status: 'fulfilled' });
    const starts = (await readFile(bench.file('here', 'os', 'cat', 'starts'), 'utf8')).trim().split('\n');
    expect(new Set(starts).size).toBe(2);
  });

  test('compresses as little as it can, unless a level is given', async () => {
    const storedBytes = async (level?: number): Promise<number> => {
      const text = { ...CAT, export: 'seq 400000' };
      await using bench = await makeBench(1, { os: 'cat', source: text, target: CAT });
      const { source } = await bench.move(level === undefined ? {} : { level });
      return source.status === 'fulfilled' ? source.value.storedBytes : Number.NaN;
    };
    const fastest = await storedBytes(1);
    expect(await storedBytes()).toBe(fastest);
    expect(await storedBytes(9)).toBeLessThan(fastest);
  });

  test('refuses a level that there is not before anything is done', async () => {
    await using bench = await makeBench(1);
    const { source, receiver } = await bench.move({ level: 99 });
    expect(failureOf(source)).toMatchObject({ code: 'USAGE', message: expect.stringContaining('no level 99') });
    expect(receiver.status).toBe('rejected');
    expect(await isUntouched(bench, 0)).toBe(true);
    expect(bench.events.source).toEqual([]);
  });

  test('keeps to a limit', async () => {
    await using bench = await makeBench(1);
    const started = performance.now();
    const { source } = await bench.move({ bytesPerSecond: 9 * MIB });
    expect(source.status).toBe('fulfilled');
    expect(performance.now() - started).toBeGreaterThan(700);
  });
});

describe('a move that fails', () => {
  test('for the export script: ends the import, and nothing counts', async () => {
    await using meeting = await makeTemporaryDirectory();
    await execa('mkfifo', [meeting.file('started')]);
    const source = { ...CAT, export: `head -c 9000000 "$EXPORT_DEVICE"; read line <${meeting.file('started')}; exit 3` };
    const target = { ...CAT, import: `echo >${meeting.file('started')}; cat >"$IMPORT_DEVICE"; sleep 1000` };
    await using bench = await makeBench(1, { os: 'cat', source, target });
    const outcome = await bench.move();
    expect(failureOf(outcome.source)).toMatchObject({ code: 'SCRIPT_FAILED' });
    expect(failureOf(outcome.receiver)).toMatchObject({
      code: 'SCRIPT_FAILED',
      message: expect.stringMatching(/on the source, stage transfer/),
    });
    for (const side of ['source', 'receiver'] as const) expect(bench.warnings(side)).toMatch(/0 .*written in part[\s\S]*stage: transfer/);
    expect(await processesOf(bench.file('there', 'os'))).toEqual([]);
  });

  test('for the import script: says so with its words, and which disks are how', async () => {
    const target = { ...CAT, import: 'cat >"$IMPORT_DEVICE"; if [ "$IMPORT_INDEX" = 1 ]; then echo no room >&2; exit 1; fi' };
    await using bench = await makeBench(3, { os: 'cat', source: CAT, target });
    const outcome = await bench.move({ parallel: 1 });
    const error = failureOf(outcome.source);
    expect(error).toMatchObject({ code: 'SCRIPT_FAILED', disk: 1 });
    expect(error.details.join()).toMatch(/no room/);
    expect(bench.warnings('source')).toMatch(
      /0 on peer: complete, but the move was not committed\n1 on peer: written in part.*\n2 on peer: untouched/,
    );
    expect(bench.warnings('source')).toMatch(/web1\.example\.com is unchanged here: keep it/);
    expect(await isUntouched(bench, 2)).toBe(true);
  });

  test('for a disk that somebody uses by the time of the rename: lets no script at it', async () => {
    const target = { ...CAT, rename: 'printf renamed >>"$DISK_0_PATH"' };
    await using bench = await makeBench(1, { os: 'cat', source: { ...CAT, rename: 'exit 0' }, target });
    await using guest = new AsyncDisposableStack();
    const peer: PeerChannel = {
      ...bench.pair.source,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes('"prepare"')) guest.use(await open(bench.file('there', '0.img'), 'r+'));
        await bench.pair.source.write(parts, o);
      },
    };
    const outcome = await bench.move({ peer, rename: true });
    expect(failureOf(outcome.receiver)).toMatchObject({ code: 'BUSY', disk: 0 });
    expect(outcome.source.status).toBe('rejected');
    expect((await readFile(bench.file('there', '0.img'))).equals(await readFile(bench.file('here', '0.img')))).toBe(true);
  });

  test('for a disk that the rename script may write and another operation has: does not begin', async () => {
    const scripts = { ...CAT, rename: 'exit 0' };
    await using bench = await makeBench(2, { os: 'cat', source: scripts, target: scripts });
    const stateDirectory = await openStateDirectory(bench.file('there', 'state'));
    const owner = { stateDirectory, operation: 'export', instance: 'other' } as const;
    const disk = { path: bench.file('there', '1.img'), access: 'rw' } as const;
    await using _held = await lockDisk(owner, 1, disk, 'shared');
    const outcome = await bench.move({ disks: [0], rename: true });
    expect(failureOf(outcome.receiver)).toMatchObject({ code: 'BUSY', disk: 1 });
    expect(await isUntouched(bench, 0)).toBe(true);
  });

  test('for the rename script: commits nothing', async () => {
    await using bench = await makeBench(1, { os: 'cat', source: { ...CAT, rename: 'exit 0' }, target: { ...CAT, rename: 'exit 1' } });
    const outcome = await bench.move({ rename: true });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'SCRIPT_FAILED', message: expect.stringMatching(/stage rename/) });
    expect(bench.warnings('receiver')).toMatch(/complete, but the move was not committed/);
  });

  test('for a signal: ends both sides at once', async () => {
    const bye = new AbortController();
    await using bench = await makeBench(1, { os: 'cat', source: { ...CAT, export: 'cat "$EXPORT_DEVICE"; sleep 1000' }, target: CAT });
    const moving = bench.move({
      signal: bye.signal,
      onEvent: (event) => {
        if (event.type === 'progress') bye.abort(new Error('stop'));
      },
    });
    const outcome = await moving;
    expect(outcome.source).toMatchObject({ status: 'rejected', reason: bye.signal.reason });
    expect(failureOf(outcome.receiver)).toMatchObject({ code: 'PEER_FAILED', message: expect.stringMatching(/stop/) });
  });

  test('for a connection that is cut in the middle: leaves nothing running', async () => {
    const scripts = { export: 'cat "$EXPORT_DEVICE"; sleep 1000', import: 'cat >"$IMPORT_DEVICE"' };
    await using bench = await makeBench(2, { os: 'cat', source: scripts, target: scripts });
    const cut = (event: GantryEvent): void => {
      if (event.type === 'progress' && event.disk === 1)
        for (const stream of [bench.pair.receiverStream, bench.pair.sourceStream]) stream.destroy();
    };
    const outcome = await bench.move({}, { onEvent: cut });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'PEER_LOST' });
    expect(failureOf(outcome.receiver)).toMatchObject({ code: 'PEER_LOST' });
    expect(await processesOf(bench.file(''))).toEqual([]);
  });

  test('for a damaged byte on the way: the script sees nothing of that frame', async () => {
    await using bench = await makeBench(1);
    const { input } = bench.pair.receiver;
    let passed = 0;
    const damaged = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of input) {
        if (passed < 3 * MIB && passed + chunk.length >= 3 * MIB) chunk[chunk.length - 1] = (chunk.at(-1) ?? 0) ^ 1;
        passed += chunk.length;
        yield chunk;
      }
    };
    const outcome = await bench.move({}, { channel: { ...bench.pair.receiver, input: damaged() } });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'DUMP_DAMAGED' });
    expect(await isUntouched(bench, 0)).toBe(true);
  });

  test('during the commit: says so, and the peer knows', async () => {
    await using bench = await makeBench(1);
    const channel: PeerChannel = {
      ...bench.pair.receiver,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes('"committed"')) bench.pair.receiverStream.destroy();
        else await bench.pair.receiver.write(parts, o);
      },
    };
    const outcome = await bench.move({}, { channel });
    const error = failureOf(outcome.source);
    expect(error).toMatchObject({ code: 'MOVE_UNDECIDED', exitCode: 13 });
    const id = /[0-9a-f]{32}/.exec(error.hint ?? '')?.[0] ?? '';
    expect(await moveOutcome(id, { stateDirectory: bench.file('there', 'state') })).toMatchObject({ state: 'committed' });
    expect(outcome.receiver.status).toBe('fulfilled');
    expect(bench.warnings('receiver')).toMatch(/did not acknowledge/);
  });

  test('for a record that can neither be made durable nor be taken back: says that the peer must be asked', async () => {
    await using bench = await makeBench(1);
    const receiver: PeerChannel = bench.pair.receiver;
    let broken: Disposable | undefined;
    const channel: PeerChannel = {
      ...receiver,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes('"prepared"')) {
          broken = await failFiles('sync', async (file) => ((await file.stat()).isDirectory() ? systemError('EIO') : undefined));
        }
        await receiver.write(parts, o);
      },
    };
    const outcome = await bench.move({}, { channel });
    broken?.[Symbol.dispose]();
    expect(failureOf(outcome.receiver)).toMatchObject({ code: 'MOVE_UNDECIDED', message: expect.stringContaining('EIO') });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'MOVE_UNDECIDED' });
    expect(bench.warnings('source')).not.toMatch(/is unchanged here/);
  });

  test('before the commit reaches the peer: the peer knows that it was not', async () => {
    await using bench = await makeBench(1);
    const peer: PeerChannel = {
      ...bench.pair.source,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes('"commit"')) bench.pair.sourceStream.destroy();
        else await bench.pair.source.write(parts, o);
      },
    };
    const outcome = await bench.move({ peer });
    const error = failureOf(outcome.source);
    expect(error.code).toBe('MOVE_UNDECIDED');
    const id = /[0-9a-f]{32}/.exec(error.hint ?? '')?.[0] ?? '';
    await expect(moveOutcome(id, { stateDirectory: bench.file('there', 'state') })).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED' });
  });
});

describe('a move that is interrupted at the last moment', () => {
  /** A channel that calls `before` before a message with that text goes out. */
  function watched(channel: PeerChannel, text: string, before: () => void): PeerChannel {
    return {
      ...channel,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes(text)) before();
        await channel.write(parts, o);
      },
    };
  }

  test.each(['"commit"', '"acknowledged"'])('while the source says %s: is committed on both sides, and both say so', async (message) => {
    await using bench = await makeBench(1);
    const bye = new AbortController();
    const peer = watched(bench.pair.source, message, () => bye.abort(new Error('stop')));
    const { source, receiver } = await bench.move({ peer, signal: bye.signal });
    expect(bye.signal.aborted).toBe(true);
    expect(source).toMatchObject({ status: 'fulfilled', value: { target: 'web1.example.com' } });
    expect(receiver.status).toBe('fulfilled');
    expect(bench.warnings('source')).toBe('');
    const waiting = expect.objectContaining({ type: 'stage', message: expect.stringMatching(/gantry receive --outcome [0-9a-f]{32}$/) });
    expect(bench.events.source.some((event) => waiting.asymmetricMatch(event))).toBe(message === '"commit"');
  });

  test('while the receiver says "committed": is committed on both sides', async () => {
    await using bench = await makeBench(1);
    const bye = new AbortController();
    const channel = watched(bench.pair.receiver, '"committed"', () => bye.abort(new Error('stop')));
    const { source, receiver } = await bench.move({}, { channel, signal: bye.signal });
    expect(bye.signal.aborted).toBe(true);
    expect([source.status, receiver.status]).toEqual(['fulfilled', 'fulfilled']);
  });

  test('of which only the plan was asked for: the receiver waits until the source has checked its own side', async () => {
    await using bench = await makeBench(1);
    const closed = vi.spyOn(bench.pair.receiver, Symbol.asyncDispose);
    const acknowledged = vi.fn(() => expect(closed).not.toHaveBeenCalled());
    const outcome = await bench.move({ peer: watched(bench.pair.source, '"acknowledged"', acknowledged), dryRun: true });
    expect(acknowledged).toHaveBeenCalledOnce();
    expect(outcome.source).toMatchObject({ status: 'fulfilled', value: { dryRun: true } });
    expect(outcome.receiver).toMatchObject({ status: 'fulfilled', value: { dryRun: true } });
  });

  test('while the source says "prepare": is committed on neither', async () => {
    await using bench = await makeBench(1);
    const bye = new AbortController();
    const peer = watched(bench.pair.source, '"prepare"', () => bye.abort(new Error('stop')));
    const { source, receiver } = await bench.move({ peer, signal: bye.signal });
    expect(source).toMatchObject({ status: 'rejected', reason: bye.signal.reason });
    expect(failureOf(receiver)).toMatchObject({ code: 'PEER_FAILED' });
    const [record = ''] = await readdir(bench.file('there', 'state', 'moves'));
    const asked = moveOutcome(record.replace('.json', ''), { stateDirectory: bench.file('there', 'state') });
    await expect(asked).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED' });
  });

  test('after the commit, when cleaning up fails: is committed anyway, with a warning', async () => {
    await using bench = await makeBench(1);
    let broken: Disposable | undefined;
    const start = async (): Promise<void> => {
      const locks = bench.file('here', 'state', 'locks');
      broken = await failFiles('stat', async (file) =>
        (await readlink(`/proc/self/fd/${file.fd}`)).startsWith(locks) ? systemError('EIO') : undefined,
      );
    };
    const channel: PeerChannel = {
      ...bench.pair.receiver,
      write: async (parts, o) => {
        if (Buffer.concat(parts).includes('"committed"')) await start();
        await bench.pair.receiver.write(parts, o);
      },
    };
    const { source } = await bench.move({}, { channel });
    broken?.[Symbol.dispose]();
    expect(source).toMatchObject({ status: 'fulfilled' });
    expect(bench.warnings('source')).toMatch(/the move is committed, but cleaning up after it failed: EIO/);
  });
});

describe('the two sides of a move', () => {
  test('do not agree where the receiver took something else than was sent: nothing is committed', async () => {
    await using bench = await makeBench(1);
    const { receiver } = bench.pair;
    const channel: PeerChannel = {
      ...receiver,
      write: async (parts, o) => {
        const text = Buffer.concat(parts).toString('latin1');
        const other = text.includes('"taken"')
          ? text.replace(/("sha256":")(.)/, (_, key: string, digit) => key + (digit === '0' ? '1' : '0'))
          : text;
        await receiver.write(other === text ? parts : [Buffer.from(other, 'latin1')], o);
      },
    };
    const outcome = await bench.move({}, { channel });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'DUMP_DAMAGED', disk: 0, message: expect.stringContaining('sha256') });
    expect(outcome.receiver.status).toBe('rejected');
    const [record = ''] = await readdir(bench.file('there', 'state', 'moves'));
    const asked = moveOutcome(record.replace('.json', ''), { stateDirectory: bench.file('there', 'state') });
    await expect(asked).rejects.toMatchObject({ code: 'MOVE_NOT_COMMITTED' });
  });

  /** What a side sends, message by message. */
  async function* messagesOf(
    input: AsyncIterable<Uint8Array>,
    greeting: RegExp,
    on: (message: Incoming) => void,
  ): AsyncGenerator<Uint8Array> {
    const splitter = new MessageSplitter();
    let greeted = false;
    for await (const chunk of input) {
      const rest = greeted ? chunk : chunk.subarray(greeting.exec(Buffer.from(chunk).toString('latin1'))?.[0].length ?? 0);
      greeted = true;
      for (const message of splitter.push(rest)) on(message);
      yield chunk;
    }
  }

  test('keep to the credit: the source never has more on the way than the receiver has allowed', async () => {
    const slow = 'sleep 1; cat >/dev/null';
    await using bench = await makeBench(1, {
      os: 'cat',
      source: { ...CAT, export: 'head -c 20000000 /dev/urandom' },
      target: { ...CAT, import: slow },
    });
    let allowed = 0;
    let sent = 0;
    let most = 0;
    const { source, receiver } = bench.pair;
    const peer = {
      ...source,
      input: messagesOf(source.input, /^.*\n/, (message) => {
        if (message.type === 'credit') allowed += message.bytes;
        const window = message.type === 'control' ? /"window":(\d+)/.exec(message.text)?.[1] : undefined;
        if (window !== undefined) allowed = Number(window);
      }),
    };
    const channel = {
      ...receiver,
      input: messagesOf(receiver.input, /^.*\n/, (message) => {
        if (message.type === 'data') sent += message.bytes.length;
        most = Math.max(most, sent - allowed);
      }),
    };
    const outcome = await bench.move({ peer }, { channel });
    expect(outcome.source.status).toBe('fulfilled');
    expect(sent).toBeGreaterThan(2 * windowFor(1));
    expect(most).toBeLessThanOrEqual(0);
  });

  test('keep to the credit: a receiver to which more is sent refuses it', async () => {
    await using bench = await makeBench(1, {
      os: 'cat',
      source: { ...CAT, export: 'cat /dev/urandom' },
      target: { ...CAT, import: 'sleep 1000' },
    });
    const { source } = bench.pair;
    const generous = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of source.input) {
        yield Buffer.from(Buffer.from(chunk).toString('latin1').replace('"window":8388608', '"window":9388608'), 'latin1');
      }
    };
    const outcome = await bench.move({ peer: { ...source, input: generous() } });
    expect(failureOf(outcome.receiver)).toMatchObject({
      code: 'PEER_PROTOCOL',
      message: expect.stringContaining('more data than it was allowed'),
    });
    expect(failureOf(outcome.source)).toMatchObject({ code: 'PEER_PROTOCOL' });
  });
});

describe('a receiver refuses before any script runs', () => {
  const loud = { export: 'cat "$EXPORT_DEVICE"', import: 'touch ran; cat >"$IMPORT_DEVICE"', verify: 'touch ran' };

  test.each([
    ['an instance that is not allowed', {}, { limits: { instances: ['db*', '*.example.org'] } }, 'PEER_REFUSED'],
    ['an OS definition that is not allowed', {}, { limits: { osDefinitions: ['debootstrap'] } }, 'PEER_REFUSED'],
    ['an instance file out of its directory', { to: '../here/web1.yaml' }, { limits: { instanceDirectory: '.' } }, 'PEER_REFUSED'],
    ['a link out of its directory', { to: 'link.yaml' }, { limits: { instanceDirectory: 'sub' } }, 'PEER_REFUSED'],
    ['an instance file that is not there', { to: 'web9.yaml' }, {}, 'INSTANCE_FILE_UNREADABLE'],
    ['an OS definition that it has not', {}, { osSearchPath: [] }, 'OS_NOT_FOUND'],
    ['a rename without a script', { rename: true }, {}, 'OS_OPERATION_UNSUPPORTED'],
  ] as const)('%s', async (_, request, receive, code) => {
    await using bench = await makeBench(1, { os: 'loud', source: { ...loud, rename: 'exit 0', verify: 'exit 0' }, target: loud });
    await mkdir(bench.file('there', 'sub'));
    await symlink('../../here/web1.yaml', bench.file('there', 'sub', 'link.yaml'));
    const outcome = await bench.move(request, receive);
    expect(failureOf(outcome.source)).toMatchObject({ code, message: expect.stringMatching(/^on peer, stage check: /) });
    expect(failureOf(outcome.receiver).code).toBe(code);
    expect(await readdir(bench.file('there', 'os', 'loud'))).not.toContain('ran');
    expect(await isUntouched(bench, 0)).toBe(true);
  });

  test.each([
    ['fewer disks', { targetDisks: 1 }, 'DISK_TOO_FEW'],
    ['a smaller disk', { targetMib: 8 }, 'DISK_TOO_SMALL'],
  ] as const)('%s', async (_, sketch, code) => {
    await using bench = await makeBench(2, sketch);
    expect(failureOf((await bench.move()).source).code).toBe(code);
    expect(await isUntouched(bench, 0)).toBe(true);
  });

  test('and takes what its limits allow', async () => {
    await using bench = await makeBench(1, { os: 'cat', source: CAT, target: CAT });
    const limits = { instances: ['db*', 'web*.*.com'], osDefinitions: ['cat'], instanceDirectory: '.' };
    expect((await bench.move({}, { limits })).source.status).toBe('fulfilled');
  });
});

describe('a source gives up on a peer', () => {
  test.each([
    ['that greets with something else', 'Welcome to node2!\nhave a nice day', 'PEER_PROTOCOL', /does not answer with gantry's protocol/],
    ['of another version', 'gantry-pipe 7 9.1.0\n', 'PEER_VERSION', /gantry 9\.1\.0 with version 7/],
    ['that speaks no messages', `${GREETING}${'x'.repeat(100)}`, 'PEER_PROTOCOL', /unknown type/],
  ] as const)('%s', async (_, words, code, message) => {
    await using bench = await makeBench(1);
    bench.pair.receiverStream.write(words);
    const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
    const moving = moveInstance({ instance, peer: bench.pair.source, to: 'x', stateDirectory: bench.file('here', 'state') });
    await expect(moving).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each([
    [127, 'sh: 1: gantry: not found', 'PEER_NO_GANTRY'],
    [2, "error: unknown command 'receive'", 'PEER_VERSION'],
    [1, 'something else', 'PEER_FAILED'],
    [undefined, '', 'PEER_LOST'],
  ] as const)('that ends with status %s and says %j', async (exitCode, text, code) => {
    await using bench = await makeBench(1);
    const peer = channelOf(bench.pair.sourceStream, 'peer', { exitCode, text });
    bench.pair.receiverStream.destroy();
    const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
    const moving = moveInstance({ instance, peer, to: 'x', stateDirectory: bench.file('here', 'state') });
    await expect(moving).rejects.toMatchObject({ code });
  });

  test('that says nothing at all', async () => {
    await using bench = await makeBench(1);
    bench.pair.receiverStream.resume();
    const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
    const moving = moveInstance({
      instance,
      peer: bench.pair.source,
      to: 'x',
      stateDirectory: bench.file('here', 'state'),
      peerTimeout: 1,
    });
    await expect(moving).rejects.toMatchObject({ code: 'PEER_STALLED', exitCode: 12 });
  });

  /** A peer that says these messages, each after something has come, and from then on gives signs of life alone. */
  async function playPeer(stream: Duplex, messages: readonly Buffer[]): Promise<void> {
    const left = [...messages];
    const signs = setInterval(() => stream.write(header('alive', 0, 0)), 100);
    try {
      for await (const _ of stream) {
        const next = left.shift();
        if (next !== undefined) stream.write(next);
      }
    } catch {
      // The source has closed the channel.
    } finally {
      clearInterval(signs);
    }
  }

  const READY = control({ kind: 'ready', instance: 'web1.example.com', node: 'node2', window: 64 * MIB, disks: [] });

  test.each([
    ['its answer to the order', [], {}, 'ready'],
    ['that it has taken a disk', [READY], {}, 'waiting for the import script'],
    ['its answer to the order, with a short stall time-out', [], { peerTimeout: 600, stallTimeout: 1 }, 'ready'],
  ] as const)('that lives, and never gives %s', async (_, messages, request, where) => {
    await using bench = await makeBench(1);
    bench.pair.receiverStream.write(GREETING);
    const playing = playPeer(bench.pair.receiverStream, messages);
    const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
    const moving = closing(
      bench.pair.source,
      moveInstance({
        instance,
        peer: bench.pair.source,
        to: 'x',
        stateDirectory: bench.file('here', 'state'),
        snapshot: 'none',
        peerTimeout: 2,
        onEvent: (event) => bench.events.source.push(event),
        ...request,
      }),
    );
    await expect(moving).rejects.toMatchObject({
      code: 'PEER_STALLED',
      message: expect.stringMatching(/only signs of life came from peer for \d+ s/),
      details: [expect.stringContaining(where)],
    });
    await playing;
    expect(await readdir(bench.file('here', 'state', 'runs'))).toEqual([]);
    expect(await readdir(bench.file('here', 'state', 'locks'))).toEqual([]);
  });

  const TAKEN = { kind: 'taken', disk: 0, frames: 1, plainBytes: 1, storedBytes: 1, sha256: '0'.repeat(64) };

  test.each([
    ['answers with another step', [control({ kind: 'prepared' })], /sent prepared instead of ready/],
    [
      'sends more steps than there are',
      [Buffer.concat([READY, ...Array.from({ length: 5 }, () => control({ kind: 'prepared' }))])],
      /more steps/,
    ],
    ['has taken what was not sent', [Buffer.concat([READY, control(TAKEN)])], /has taken disk 0, which was not sent/],
    [
      'allows more than can be',
      [READY, header('alive', 0, 0), Buffer.concat([creditMessage(0, 2 ** 31), creditMessage(0, 2 ** 31)])],
      /allows more data than the protocol does/,
    ],
    ['sends data', [READY, Buffer.concat([header('data', 0, 1), Buffer.alloc(1)])], /sent data although it is the receiver/],
  ] as const)('that %s', async (_, messages, problem) => {
    await using bench = await makeBench(1);
    bench.pair.receiverStream.write(GREETING);
    const playing = playPeer(bench.pair.receiverStream, messages);
    const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
    const request = { instance, peer: bench.pair.source, to: 'x', stateDirectory: bench.file('here', 'state'), snapshot: 'none' } as const;
    const error: unknown = await closing(bench.pair.source, moveInstance(request)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PEER_PROTOCOL', message: expect.stringMatching(problem) });
    await playing;
  });

  test('that lives, and never answers the commit: nobody but the peer knows', async () => {
    await using bench = await makeBench(1);
    const { receiver } = bench.pair;
    const silent: PeerChannel = {
      ...receiver,
      write: async (parts, o) => {
        if (!Buffer.concat(parts).includes('"committed"')) await receiver.write(parts, o);
      },
    };
    const { source, receiver: received } = await bench.move({ peerTimeout: 2 }, { channel: silent });
    expect(failureOf(source)).toMatchObject({
      code: 'MOVE_UNDECIDED',
      details: [expect.anything(), expect.stringMatching(/signs of life|was lost/)],
    });
    expect(received.status).toBe('fulfilled');
  });

  test('not while its script works, and neither does the receiver while the one here does', async () => {
    const slow = { export: 'sleep 6; cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"; sleep 6', rename: 'sleep 6' };
    await using bench = await makeBench(1, { os: 'slow', source: slow, target: slow, name: 'web2.example.com' });
    const { source, receiver } = await bench.move({ peerTimeout: 2, rename: true });
    expect([source.status, receiver.status]).toEqual(['fulfilled', 'fulfilled']);
  });

  test('whose import script takes nothing, where a stall time-out was asked for, and says what each disk waits for', async () => {
    const source = { ...CAT, export: 'cat /dev/urandom' };
    await using bench = await makeBench(1, { os: 'cat', source, target: { ...CAT, import: 'sleep 1000' } });
    const error = failureOf((await bench.move({ stallTimeout: 1 })).source);
    expect(error).toMatchObject({ code: 'PEER_STALLED' });
    expect(error.details.join()).toMatch(/disk 0: \d+ stored bytes sent, waiting for the peer/);
  });
});

describe('a receiver gives up on a source', () => {
  const ORDER = {
    kind: 'order',
    moveId: '0'.repeat(32),
    instance: 'web1.example.com',
    node: 'node1',
    os: 'raw',
    instanceFile: 'web1.yaml',
    disks: [{ disk: 0 }],
    rename: false,
    allowOtherOs: false,
    forceVariant: false,
    forceInUse: false,
    dryRun: false,
    debug: false,
    peerTimeout: 1,
  };
  const DATA = Buffer.concat([header('data', 5, 1), Buffer.alloc(1)]);

  /** What becomes of a receiver whose source says this at once, and from then on gives signs of life alone. */
  async function receiveFrom(bench: Bench, ...messages: readonly Uint8Array[]): Promise<unknown> {
    const { sourceStream, receiver } = bench.pair;
    sourceStream.resume();
    sourceStream.write(Buffer.concat([Buffer.from(GREETING), ...messages]));
    const signs = setInterval(() => sourceStream.write(header('alive', 0, 0)), 100);
    const stateDirectory = bench.file('there', 'state');
    try {
      return await closing(receiver, receiveInstance({ channel: receiver, cwd: bench.file('there'), stateDirectory, firstTimeout: 1 }));
    } catch (error) {
      return error;
    } finally {
      clearInterval(signs);
    }
  }

  test.each([
    ['orders nothing', [], 'waiting for the answer "order"'],
    ['sends no data', [control(ORDER)], 'disk 0: waiting for data'],
  ] as const)('that lives, and %s', async (_, messages, where) => {
    await using bench = await makeBench(1);
    expect(await receiveFrom(bench, ...messages)).toMatchObject({
      code: 'PEER_STALLED',
      message: expect.stringMatching(/only signs of life came from the source/),
      details: [where],
    });
    if (messages.length > 0) expect(await readdir(bench.file('there', 'state', 'runs'))).toEqual([]);
    expect(await isUntouched(bench, 0)).toBe(true);
  });

  test.each([
    ['names a disk twice', [control({ ...ORDER, disks: [{ disk: 0 }, { disk: 0 }] })], /named a disk twice/],
    [
      'compares so small blocks that their digests would need too much memory',
      [control({ ...ORDER, disks: [{ disk: 0, plainBytes: 2 ** 38 }], live: { blockBytes: 64 * 1024, compare: false } })],
      /blocks of 65536 bytes, and 131072 are the least/,
    ],
    ['sends data of a disk that it has not announced', [control(ORDER), DATA], /data of disk 5, which was not announced/],
    ['allows data', [control(ORDER), creditMessage(0, 1)], /sent a credit although it is the source/],
  ] as const)('that %s', async (_, messages, problem) => {
    await using bench = await makeBench(1);
    expect(await receiveFrom(bench, ...messages)).toMatchObject({ code: 'PEER_PROTOCOL', message: expect.stringMatching(problem) });
    expect(await isUntouched(bench, 0)).toBe(true);
  });
});

test('either side meets any bytes at all with a typed error, and no hang', async () => {
  await using bench = await makeBench(1);
  const instance = await loadInstanceFile(bench.file('here', 'web1.yaml'));
  const junk = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Buffer.from(GREETING), bytes])),
    fc.constantFrom('order', 'ready', 'commit', 'fail', 'end').map((kind) => {
      const body = Buffer.from(JSON.stringify({ kind }));
      return Buffer.concat([Buffer.from(GREETING), header('control', 0, body.length), body]);
    }),
  );
  await fc.assert(
    fc.asyncProperty(junk, async (bytes) => {
      const [one, two] = [channelPair(), channelPair()];
      one.receiverStream.end(bytes);
      two.sourceStream.end(bytes);
      for (const stream of [one.receiverStream, two.sourceStream]) stream.resume();
      const both = await Promise.allSettled([
        moveInstance({ instance, peer: one.source, to: 'x', stateDirectory: bench.file('here', 'state'), peerTimeout: 5 }),
        receiveInstance({ channel: two.receiver, cwd: '/', stateDirectory: bench.file('there', 'state') }),
      ]);
      await Promise.all([one.source, two.receiver].map((channel) => channel[Symbol.asyncDispose]()));
      for (const side of both) expect(failureOf(side).code).toMatch(/^PEER_/);
    }),
    { numRuns: 40 },
  );
});
