import { createHash, randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';

import { writeOsDefinition } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { ScriptBench } from '../../test/scripts/script-bench.ts';
import type { PlainPiece } from '../frames/types.ts';
import type { ImportScriptOptions } from './import-script.ts';
import { runImportScript } from './import-script.ts';
import { runningMembers } from '../system/process-group.ts';
import type { ScriptOutcome } from './script-options.ts';
import type { SelectedOs } from './select.ts';
import { selectOs } from './select.ts';

const MiB = 1024 * 1024;

let bench: ScriptBench;

beforeEach(async () => {
  bench = await ScriptBench.make('');
});

afterEach(() => bench[Symbol.asyncDispose]());

async function importDisk(
  os: SelectedOs,
  pieces: AsyncIterable<PlainPiece>,
  options: Partial<ImportScriptOptions> = {},
): Promise<ScriptOutcome> {
  return runImportScript(os, {
    instance: bench.instance(),
    disk: 0,
    pieces,
    ...bench.hooks,
    ...options,
  });
}

async function* from(...pieces: readonly PlainPiece[]): AsyncGenerator<PlainPiece, void, undefined> {
  yield* pieces;
}

async function* endless(piece: PlainPiece): AsyncGenerator<PlainPiece, void, undefined> {
  for (;;) {
    yield piece;
    await turn();
  }
}

/** The first piece; then, when the script has ended, the others. */
async function* afterItsEnd(first: PlainPiece, ...others: readonly PlainPiece[]): AsyncGenerator<PlainPiece, void, undefined> {
  yield first;
  await expect.poll(() => bench.started.flatMap((group) => runningMembers(group))).toEqual([]);
  yield* others;
}

function disk(): Promise<Buffer> {
  return readFile(bench.file('disk0.img'));
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('an import script', () => {
  test('gets the data byte by byte, holes as zeros', async () => {
    const [one, two] = [randomBytes(5 * MiB + 3), randomBytes(17)];
    await importDisk(await bench.sample('cat'), from(one, { zeros: 3 * MiB + 1 }, new Uint8Array(0), two, { zeros: 0 }, { zeros: 7 }));
    expect((await disk()).equals(Buffer.concat([one, Buffer.alloc(3 * MiB + 1), two, Buffer.alloc(7)]))).toBe(true);
  });

  test('gets each piece whole, although the source uses one buffer for all of them', async () => {
    const buffer = Buffer.alloc(MiB);
    const expected = createHash('sha256');
    async function* reusing(): AsyncGenerator<PlainPiece, void, undefined> {
      for (let index = 0; index < 20; index += 1) {
        buffer.fill(index);
        expected.update(buffer);
        yield buffer.subarray(0, MiB);
      }
    }
    // Slowly, in odd portions, so that the pipe is full all the time.
    await importDisk(await bench.define('import', 'exec dd of="$IMPORT_DEVICE" bs=1001 status=none'), reusing());
    expect(
      createHash('sha256')
        .update(await disk())
        .digest('hex'),
    ).toBe(expected.digest('hex'));
  });

  test('gets an end at once where there is no data', async () => {
    await importDisk(await bench.define('import', 'cat >"$IMPORT_DEVICE"; echo end >>"$IMPORT_DEVICE"'), from());
    expect((await disk()).toString()).toBe('end\n');
  });

  test('can open its data by name', async () => {
    await importDisk(await bench.define('import', 'cat /dev/stdin >"$IMPORT_DEVICE"'), from(Buffer.from('data')));
    expect((await disk()).toString()).toBe('data');
  });

  test('gets the environment of the interface; what it says on both streams is kept', async () => {
    const lines: string[] = [];
    const os = await bench.sample('env-dump');
    await importDisk(os, from(Buffer.from('data')), { onMessage: ({ stream, line }) => lines.push(`${stream} ${line}`) });
    expect((await disk()).toString()).toBe('data');
    expect(lines.sort()).toEqual([
      'stdout DEBUG_LEVEL=0',
      'stdout DISK_0_ACCESS=rw',
      'stdout DISK_0_BACKEND_TYPE=file:loop',
      `stdout DISK_0_PATH=${bench.file('disk0.img')}`,
      'stdout DISK_0_SIZE=4',
      'stdout DISK_COUNT=1',
      'stdout EXP_SIZE_FD=3',
      'stdout HYPERVISOR=kvm',
      `stdout IMPORT_DEVICE=${bench.file('disk0.img')}`,
      `stdout IMPORT_DISK_PATH=${bench.file('disk0.img')}`,
      'stdout IMPORT_INDEX=0',
      'stdout INSTANCE_NAME=web1.example.com',
      'stdout INSTANCE_OS=env-dump+default',
      'stdout INSTANCE_PRIMARY_NODE=node1.example.com',
      'stdout INSTANCE_SECONDARY_NODES=',
      'stdout LC_ALL=C',
      'stdout NIC_COUNT=0',
      'stdout OS_API_VERSION=20',
      'stdout OS_NAME=env-dump',
      'stdout OS_VARIANT=default',
      'stdout PATH=/sbin:/bin:/usr/sbin:/usr/bin',
    ]);
  });

  test('may write to the descriptor for a size, as under Ganeti, and to no other', async () => {
    const os = await bench.define(
      'import',
      'set -e; echo 4711 >&"$EXP_SIZE_FD"; yes | head -c 1000000 >&"$EXP_SIZE_FD"; echo $(ls /proc/self/fd); cat >"$IMPORT_DEVICE"',
    );
    const { messages } = await importDisk(os, from(Buffer.from('data')));
    // 4 is the directory that ls reads.
    expect(messages).toEqual(['0 1 2 3 4']);
    expect((await disk()).toString()).toBe('data');
  });

  test('sets the pace: nothing is pulled that it has no room for', async () => {
    const go = bench.file('go');
    const os = await bench.define('import', `until [ -e ${go} ]; do sleep 0.01; done; cat >/dev/null`);
    let pulled = 0;
    async function* counting(): AsyncGenerator<PlainPiece, void, undefined> {
      for (; pulled < 100; pulled += 1) yield Buffer.alloc(MiB);
    }
    const running = importDisk(os, counting());
    await expect.poll(() => pulled).toBeGreaterThan(0);
    for (let round = 0; round < 100; round += 1) await turn();
    expect(pulled).toBeLessThan(4);
    await writeFile(go, '');
    await running;
    expect(pulled).toBe(100);
  });

  test('may stop by itself when it has read all, before it knows that this is all', async () => {
    // As a reader of archives does, that knows the end when it sees it.
    const os = await bench.define('import', 'head -c 1000000 >"$IMPORT_DEVICE"; exit 0');
    await importDisk(os, afterItsEnd(Buffer.alloc(1_000_000, 1)));
    expect(await disk()).toHaveLength(1_000_000);
  });
});

describe('an import that fails', () => {
  test.each([
    ['exit-status', 'SCRIPT_FAILED', 'the import script of exit-status (disk 0) failed with exit status 3'],
    ['killed', 'SCRIPT_SIGNALLED', 'the import script of killed (disk 0) was killed by SIGKILL'],
  ])('is reported with its status: %s', async (name, code, message) => {
    await expect(importDisk(await bench.sample(name), from(Buffer.alloc(100)))).rejects.toMatchObject({ code, message, disk: 0 });
  });

  test.each([
    ['more than fills the pipe', 'head -c 1000 >/dev/null', 8 * MiB],
    ['half of the data, which fits into the pipe', 'head -c 1000 >/dev/null', 2000],
    ['all of it', 'exit 0', 1],
    ['a hole of a million times a million bytes', 'head -c 1000000 >/dev/null', 1_000_000_000_000],
    ['more than the last bit', 'head -c 5000000 >/dev/null', 5_000_000 + 200_000],
    ['more than the last bit, having closed its stdin', 'head -c 5000000 >/dev/null; exec <&-; sleep 0.2', 5_000_000 + 200_000],
  ])('is one that ended well before it had read enough: it left %s', async (_, body, zeros) => {
    await expect(importDisk(await bench.define('import', body), from({ zeros }))).rejects.toMatchObject({
      code: 'SCRIPT_CLOSED_INPUT',
      message: 'the import script of mine (disk 0) stopped reading before the end of its data',
      disk: 0,
    });
  });

  test.each([
    ['as a reader of archives does', 'head -c 5000000 >/dev/null', 5_060_000],
    ['in one piece', 'head -c 5000000 >/dev/null', 5_060_000],
    ['and works on with its stdin closed', 'head -c 5000000 >/dev/null; exec <&-; sleep 0.2', 5_000_100],
    ['of little data', 'head -c 1000 >/dev/null', 1001],
  ])('is none where it left only the last bit, %s; that is warned of', async (how, body, bytes) => {
    const warnings: string[] = [];
    const os = await bench.define('import', body);
    const pieces =
      how === 'in one piece'
        ? from(Buffer.alloc(bytes))
        : from({ zeros: bytes - 60 }, ...Array.from({ length: 6 }, () => Buffer.alloc(10)));
    await importDisk(os, pieces, { onWarning: (warning) => warnings.push(warning) });
    expect(warnings).toEqual([
      expect.stringMatching(/^the import script of mine \(disk 0\) did not read the end of its data \(\d+ bytes\)$/),
    ]);
  });

  test('is none where it read just all', async () => {
    const warnings: string[] = [];
    await importDisk(await bench.sample('early-exit'), from(Buffer.alloc(1000)), { onWarning: (warning) => warnings.push(warning) });
    expect(warnings).toEqual([]);
  });

  test('is one that ended well while the data was still on its way', async () => {
    const late = afterItsEnd(Buffer.alloc(1000), { zeros: 1000 });
    await expect(importDisk(await bench.sample('early-exit'), late)).rejects.toMatchObject({ code: 'SCRIPT_CLOSED_INPUT' });
  });

  test('is reported with its status rather than by what it did not read', async () => {
    const os = await bench.define('import', 'head -c 10 >/dev/null; exec <&-; echo "no space" >&2; sleep 0.1; exit 7');
    await expect(importDisk(os, endless(Buffer.alloc(MiB)))).rejects.toMatchObject({
      code: 'SCRIPT_FAILED',
      message: expect.stringContaining('exit status 7'),
      details: ['no space'],
    });
  });

  test('is one that closed its stdin and does not end', async () => {
    const os = await bench.define('import', 'exec <&-; sleep 1000000');
    await expect(importDisk(os, endless(Buffer.alloc(MiB)), { graceMs: 100 })).rejects.toMatchObject({ code: 'SCRIPT_CLOSED_INPUT' });
  });

  test('is reported at once when the script fails while data is being waited for', async () => {
    let cleaned = false;
    const hung = Promise.withResolvers<undefined>();
    async function* hanging(): AsyncGenerator<PlainPiece, void, undefined> {
      try {
        await hung.promise;
      } finally {
        cleaned = true;
      }
      yield { zeros: 1 };
    }
    await expect(importDisk(await bench.define('import', 'exit 9'), hanging())).rejects.toMatchObject({ code: 'SCRIPT_FAILED' });
    hung.resolve(undefined);
    await expect.poll(() => cleaned).toBe(true);
  });

  test('is one whose source failed: the script is ended at once, and the source’s own error is reported', async () => {
    const damage = new Error('frame 7 is damaged');
    async function* damaged(): AsyncGenerator<PlainPiece, void, undefined> {
      yield Buffer.alloc(MiB);
      throw damage;
    }
    const os = await bench.define('import', `cat >/dev/null; touch ${bench.file('went-on')}`);
    await expect(importDisk(os, damaged())).rejects.toBe(damage);
    expect(existsSync(bench.file('went-on'))).toBe(false);
    expect(bench.ended).toHaveLength(1);
  });

  test('lets its source clean up', async () => {
    let cleaned = false;
    async function* owning(): AsyncGenerator<PlainPiece, void, undefined> {
      try {
        for (;;) yield Buffer.alloc(MiB);
      } finally {
        cleaned = true;
      }
    }
    await expect(importDisk(await bench.sample('early-exit'), owning())).rejects.toMatchObject({ code: 'SCRIPT_CLOSED_INPUT' });
    expect(cleaned).toBe(true);
  });

  test('is reported when the script could not be started; the source is not touched', async () => {
    await writeOsDefinition(bench.path, 'mine', { files: { import: '#!/no/such/shell\n' } });
    const os = await selectOs('mine', { searchPath: [bench.path] });
    let touched = false;
    async function* untouched(): AsyncGenerator<PlainPiece, void, undefined> {
      touched = true;
      yield { zeros: 1 };
    }
    await expect(importDisk(os, untouched())).rejects.toMatchObject({ code: 'SCRIPT_START', disk: 0 });
    expect(touched).toBe(false);
  });
});

describe('the end of an import', () => {
  test.each(['never-ends', 'stubborn'])('comes with the signal, wherever the script is: %s', async (name) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const running = importDisk(await bench.sample(name), from(Buffer.alloc(8 * MiB)), {
      signal: controller.signal,
      graceMs: 100,
      onMessage: () => controller.abort(reason),
    });
    await expect(running).rejects.toBe(reason);
    expect(bench.ended).toHaveLength(1);
  });

  test('comes with the signal while data is being waited for', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const pulling = Promise.withResolvers<undefined>();
    const never = Promise.withResolvers<undefined>();
    async function* hanging(): AsyncGenerator<PlainPiece, void, undefined> {
      yield Buffer.alloc(10);
      pulling.resolve(undefined);
      await never.promise;
    }
    const running = importDisk(await bench.sample('cat'), hanging(), { signal: controller.signal });
    const heard = expect(running).rejects.toBe(reason);
    await pulling.promise;
    controller.abort(reason);
    await heard;
    expect(bench.ended).toHaveLength(1);
    never.resolve(undefined);
  });

  test('comes with the signal while the script takes its time with the last bytes', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const os = await bench.define('import', 'echo waiting; sleep 1000000');
    const running = importDisk(os, from(Buffer.alloc(10)), { signal: controller.signal, onMessage: () => controller.abort(reason) });
    await expect(running).rejects.toBe(reason);
  });

  test('comes before the start when the signal was aborted before', async () => {
    const reason = new Error('enough');
    await expect(importDisk(await bench.sample('cat'), from(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(bench.started).toEqual([]);
  });

  test('leaves no descriptor open in us, and no listener on the signal', async () => {
    const controller = new AbortController();
    const [good, bad] = [await bench.sample('cat'), await bench.sample('early-exit')];
    const before = openDescriptors();
    for (let run = 0; run < 3; run += 1) {
      await importDisk(good, from({ zeros: 10 }), { signal: controller.signal });
      await expect(importDisk(bad, from({ zeros: 8 * MiB }), { signal: controller.signal })).rejects.toMatchObject({
        code: 'SCRIPT_CLOSED_INPUT',
      });
    }
    await expect.poll(openDescriptors).toBe(before);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});
