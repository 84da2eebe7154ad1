import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readFile, truncate, writeFile } from 'node:fs/promises';

import { piecesOf } from '../frames/testing/streams.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { ScriptBench } from '../../test/scripts/script-bench.ts';
import type { PlainPiece } from '../frames/types.ts';
import type { DiskData, ExportScriptOptions } from './export-script.ts';
import { runExportScript } from './export-script.ts';
import { runningMembers } from '../system/process-group.ts';
import type { SelectedOs } from './select.ts';

const DISK_BYTES = 3 * 1024 * 1024 + 17;

let bench: ScriptBench;
let content: Buffer;

beforeEach(async () => {
  content = randomBytes(DISK_BYTES);
  bench = await ScriptBench.make(content);
});

afterEach(() => bench[Symbol.asyncDispose]());

function exportDisk(os: SelectedOs, options: Partial<ExportScriptOptions> = {}): DiskData {
  return runExportScript(os, {
    instance: bench.instance(),
    disk: 0,
    view: { path: bench.file('disk0.img') },
    ...bench.hooks,
    ...options,
  });
}

/** All of a dump in one buffer. Copies each piece at once: the next one may overwrite it. */
async function collect(pieces: AsyncIterable<PlainPiece>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of pieces) parts.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  return Buffer.concat(parts);
}

async function errorOf(dump: DiskData): Promise<unknown> {
  return collect(piecesOf(dump)).then(
    () => 'no error',
    (error: unknown) => error,
  );
}

/** How far dd, which opens its input as descriptor 0, has come in the disk. */
function inputPosition(): number {
  return Number(/^pos:\s+(\d+)/.exec(readFileSync(`/proc/${String(bench.started[0]?.pgid)}/fdinfo/0`, 'utf8'))?.[1]);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('an export script', () => {
  test('gives the disk byte by byte, and its size before its end', async () => {
    await using dump = exportDisk(await bench.sample('cat'));
    expect(dump.expectedBytes()).toBeUndefined();
    expect((await collect(piecesOf(dump))).equals(content)).toBe(true);
    expect(dump.expectedBytes()).toBe(DISK_BYTES);
  });

  test('gets the environment of the interface, and nothing else', async () => {
    const os = await bench.sample('env-dump');
    const withParameters = { ...bench.instance(), osparams: { filesystem: 'ext4' }, osparams_private: { 'root-password': 'one\ntwo ü' } };
    await using dump = exportDisk(os, { instance: withParameters, view: { path: '/dev/vg/snap' }, debug: true });
    const text = (await collect(piecesOf(dump))).toString();
    expect(text.endsWith('\0')).toBe(true);
    expect(text.slice(0, -1).split('\0').sort()).toEqual([
      'DEBUG_LEVEL=1',
      'DISK_0_ACCESS=rw',
      'DISK_0_BACKEND_TYPE=file:loop',
      `DISK_0_PATH=${bench.file('disk0.img')}`,
      'DISK_0_SIZE=4',
      'DISK_COUNT=1',
      'EXPORT_DEVICE=/dev/vg/snap',
      'EXPORT_DISK_PATH=/dev/vg/snap',
      'EXPORT_INDEX=0',
      'EXP_SIZE_FD=3',
      'HYPERVISOR=kvm',
      'INSTANCE_NAME=web1.example.com',
      'INSTANCE_OS=env-dump+default',
      'INSTANCE_PRIMARY_NODE=node1.example.com',
      'INSTANCE_SECONDARY_NODES=',
      'LC_ALL=C',
      'NIC_COUNT=0',
      'OSP_FILESYSTEM=ext4',
      'OSP_ROOT_PASSWORD=one\ntwo ü',
      'OS_API_VERSION=20',
      'OS_NAME=env-dump',
      'OS_VARIANT=default',
      'PATH=/sbin:/bin:/usr/sbin:/usr/bin',
    ]);
  });

  test('gets an empty stdin, real pipes, and no descriptor besides', async () => {
    const os = await bench.define(
      'export',
      'cat; echo $(ls /proc/self/fd); for f in 0 1 2 3; do readlink /proc/$$/fd/$f | cut -d: -f1; done >/dev/stdout',
    );
    await using dump = exportDisk(os);
    // 4 is the directory that ls reads.
    expect((await collect(piecesOf(dump))).toString()).toBe('0 1 2 3 4\n/dev/null\npipe\npipe\npipe\n');
  });

  test('creates files for its own user alone, and leaves the umask of this process as it was', async () => {
    const before = process.umask();
    const os = await bench.define('export', 'umask; : >"$EXPORT_DEVICE.made"; stat -c %a "$EXPORT_DEVICE.made"');
    await using dump = exportDisk(os);
    expect((await collect(piecesOf(dump))).toString()).toBe('0077\n600\n');
    expect(process.umask()).toBe(before);
  });

  test('is not started before its data is asked for', async () => {
    await using dump = exportDisk(await bench.sample('cat'));
    await dump[Symbol.asyncDispose]();
    expect(bench.started).toEqual([]);
    expect(await collect(piecesOf(dump))).toHaveLength(0);
  });

  test('may give nothing', async () => {
    await using dump = exportDisk(await bench.sample('silent'));
    expect(await collect(piecesOf(dump))).toHaveLength(0);
  });

  test('speaks on stderr meanwhile', async () => {
    const lines: string[] = [];
    const os = await bench.define('export', 'echo one >&2; cat "$EXPORT_DEVICE"; echo two >&2');
    await using dump = exportDisk(os, { onMessage: ({ stream, line }) => lines.push(`${stream} ${line}`) });
    await collect(piecesOf(dump));
    expect(lines).toEqual(['stderr one', 'stderr two']);
    expect(dump.messages()).toEqual(['one', 'two']);
  });

  test('waits for the consumer of its data', async () => {
    // A disk much larger than all the buffers on the way, and a script that says how much of it is through.
    await truncate(bench.file('disk0.img'), 64 * 1024 * 1024);
    const os = await bench.define('export', 'exec dd if="$EXPORT_DEVICE" bs=64k status=none');
    await using dump = exportDisk(os);
    const pieces = piecesOf(dump)[Symbol.asyncIterator]();
    await pieces.next();
    let last = -1;
    await expect
      .poll(() => {
        const still = inputPosition() === last;
        last = inputPosition();
        return still;
      })
      .toBe(true);
    expect(last).toBeGreaterThan(0);
    expect(last).toBeLessThan(8 * 1024 * 1024);
  });

  test('cannot be run without one', async () => {
    const os = await bench.sample('create-only');
    expect(() => exportDisk(os)).toThrow(expect.objectContaining({ code: 'OS_OPERATION_UNSUPPORTED' }));
  });
});

describe('the expected size', () => {
  test.each([
    ['rubbish', 'echo "a lot" >&"$EXP_SIZE_FD"'],
    ['nothing', ':'],
    ['an early close', 'exec 3>&-'],
    ['endless writing', 'yes 5x >&3 & spammer=$!; trap "kill $spammer" EXIT'],
    ['a second line', 'echo 12 >&3; echo 13 >&3'],
    ['a lot without an end', 'head -c 1000000 /dev/zero >&3'],
  ])('changes nothing with %s', async (what, first) => {
    const os = await bench.define('export', `${first}\ncat "$EXPORT_DEVICE"`);
    await using dump = exportDisk(os);
    expect((await collect(piecesOf(dump))).equals(content)).toBe(true);
    expect(dump.expectedBytes()).toBe(what === 'a second line' ? 12 : undefined);
  });

  test('changes nothing when a background process that has left the session holds the descriptor', async () => {
    const pidFile = bench.file('pid');
    const os = await bench.define(
      'export',
      `setsid sh -c 'echo $$ >${pidFile}; exec sleep 1000000' >/dev/null 2>&1 & until [ -s ${pidFile} ]; do sleep 0.01; done\ncat "$EXPORT_DEVICE"`,
    );
    try {
      await using dump = exportDisk(os);
      expect((await collect(piecesOf(dump))).equals(content)).toBe(true);
    } finally {
      process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGKILL');
    }
  });

  test('is known while the data still comes', async () => {
    const go = bench.file('go');
    const os = await bench.define('export', `echo 4711 >&3; echo first; until [ -e ${go} ]; do sleep 0.01; done; echo second`);
    await using dump = exportDisk(os);
    const pieces = piecesOf(dump)[Symbol.asyncIterator]();
    await pieces.next();
    await expect.poll(() => dump.expectedBytes()).toBe(4711);
    await writeFile(go, '');
    expect((await pieces.next()).done).toBe(false);
  });
});

describe('an export that fails', () => {
  test.each([
    ['exit-status', 'SCRIPT_FAILED', 'the export script of exit-status (disk 0) failed with exit status 3'],
    ['killed', 'SCRIPT_SIGNALLED', 'the export script of killed (disk 0) was killed by SIGKILL'],
    ['closes-stdout', 'SCRIPT_FAILED', 'the export script of closes-stdout (disk 0) failed with exit status 4'],
  ])('is not a dump, however much data came: %s', async (name, code, message) => {
    await using dump = exportDisk(await bench.sample(name));
    expect(await errorOf(dump)).toMatchObject({ code, message, disk: 0, details: name === 'killed' ? [] : ['the disk is on fire'] });
  });

  test('is reported at once, although a process left behind still holds the data open', async () => {
    const os = await bench.define('export', 'sleep 1000000 &\nexit 5');
    await using dump = exportDisk(os);
    expect(await errorOf(dump)).toMatchObject({ code: 'SCRIPT_FAILED', message: expect.stringContaining('status 5') });
  });

  test('cannot be distinguished from an incomplete one: a process left behind holds the data open', async () => {
    const os = await bench.sample('holds-stdout');
    await using dump = exportDisk(os, { graceMs: 100 });
    expect(await errorOf(dump)).toMatchObject({
      code: 'SCRIPT_FAILED',
      message: expect.stringContaining('keeps its stdout open'),
      disk: 0,
    });
  });

  test('is not one where what was left behind gives the rest of the data', async () => {
    const os = await bench.define('export', '(sleep 0.2; cat "$EXPORT_DEVICE") &\nexit 0');
    await using dump = exportDisk(os);
    expect((await collect(piecesOf(dump))).equals(content)).toBe(true);
  });

  test('is reported when the script could not be started', async () => {
    const os = await bench.define('export', '', { export: '#!/no/such/shell\n' });
    await using dump = exportDisk(os);
    expect(await errorOf(dump)).toMatchObject({
      code: 'SCRIPT_START',
      disk: 0,
      message: expect.stringContaining('the export script of mine (disk 0)'),
    });
  });
});

describe('what a script that fails wrote to stdout', () => {
  test.each([
    ['before it exits', 'echo "its licence forbids it"; exit 1', ['its licence forbids it']],
    ['in colours, without a line end', String.raw`printf "\033[31mits licence\033[0m forbids it"; exit 1`, ['its licence forbids it']],
    ['beside stderr', 'echo one >&2; sleep 0.1; echo; echo two; exit 1', ['one', 'two']],
    ['and then died by a signal', 'echo "its licence forbids it"; kill -KILL $$', ['its licence forbids it']],
    ['with a private parameter', 'echo "no access with $OSP_TOKEN"; exit 1', ['no access with ***']],
    ['in many lines', 'seq 1 100; exit 1', Array.from({ length: 20 }, (_, index) => String(index + 81))],
  ])('is shown where it is little and plain text: %s', async (_what, body, lines) => {
    await using dump = exportDisk(await bench.define('export', body), {
      instance: { ...bench.instance(), osparams_private: { token: 's3cr3t' } },
    });
    expect(await errorOf(dump)).toMatchObject({ details: lines, hint: expect.not.stringContaining('no message') });
  });

  test.each([
    ['data', 'head -c 100 "$EXPORT_DEVICE"; exit 1'],
    ['zeros', 'head -c 100 /dev/zero; exit 1'],
    ['more than a message', 'seq 1 2000; exit 1'],
    ['much more than a message', 'seq 1 1000000; exit 1'],
    ['nothing', 'exit 1'],
  ])('is not shown where it is something else: %s', async (_what, body) => {
    await using dump = exportDisk(await bench.define('export', body));
    expect(await errorOf(dump)).toMatchObject({ code: 'SCRIPT_FAILED', details: [], hint: expect.stringContaining('no message') });
  });

  test('is read to its end although the script had ended before it was asked for', async () => {
    const go = bench.file('go');
    await using dump = exportDisk(await bench.define('export', `echo one; until [ -e ${go} ]; do sleep 0.01; done; echo two; exit 1`));
    const pieces = piecesOf(dump)[Symbol.asyncIterator]();
    await pieces.next();
    await writeFile(go, '');
    await expect.poll(() => bench.started.flatMap((group) => runningMembers(group))).toEqual([]);
    // Whether it is known by now that the script failed depends on the moment: if not, the text first comes as data.
    await expect(Array.fromAsync(pieces)).rejects.toMatchObject({ code: 'SCRIPT_FAILED', details: ['one', 'two'] });
  });

  test('is not waited for when something left behind holds stdout open', async () => {
    const os = await bench.define('export', "echo 'its licence forbids it'; sleep 1000000 2>/dev/null & exit 1");
    await using dump = exportDisk(os);
    expect(await errorOf(dump)).toMatchObject({ code: 'SCRIPT_FAILED', details: ['its licence forbids it'] });
  });
});

describe('the end of an export', () => {
  test.each(['never-ends', 'stubborn'])('comes with the signal, wherever the script is: %s', async (name) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    await using dump = exportDisk(await bench.sample(name), {
      signal: controller.signal,
      graceMs: 100,
      onMessage: () => controller.abort(reason),
    });
    expect(await errorOf(dump)).toBe(reason);
    expect(dump.messages()).toEqual([expect.stringMatching(/^at it/)]);
  });

  test('comes with the signal while nobody asks for data', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    await using dump = exportDisk(await bench.define('export', 'cat /dev/zero'), { signal: controller.signal });
    const pieces = piecesOf(dump)[Symbol.asyncIterator]();
    await pieces.next();
    controller.abort(reason);
    await expect(pieces.next()).rejects.toBe(reason);
    await dump[Symbol.asyncDispose]();
    expect(bench.ended).toHaveLength(1);
  });

  test('comes before the start when the signal was aborted before', async () => {
    const reason = new Error('enough');
    await using dump = exportDisk(await bench.define('export', `touch ${bench.file('started')}`), { signal: AbortSignal.abort(reason) });
    expect(await errorOf(dump)).toBe(reason);
    expect(existsSync(bench.file('started'))).toBe(false);
  });

  test('comes with the signal while the script has not started', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    await using dump = exportDisk(await bench.define('export', `touch ${bench.file('started')}`), {
      signal: controller.signal,
      graceMs: 1,
      onStart: async (group) => {
        await bench.hooks.onStart(group);
        // As where its file is on a server that does not answer.
        process.kill(-group.pgid, 'SIGSTOP');
        setImmediate(() => controller.abort(reason));
      },
    });
    expect(await errorOf(dump)).toBe(reason);
    expect(existsSync(bench.file('started'))).toBe(false);
  });

  test('comes when the data is no longer taken', async () => {
    const dump = exportDisk(await bench.define('export', 'cat /dev/zero'));
    for await (const _piece of piecesOf(dump)) break;
    await dump[Symbol.asyncDispose]();
    expect(bench.ended).toHaveLength(1);
  });

  test('comes when the dump is disposed of while data is being waited for', async () => {
    const dump = exportDisk(await bench.define('export', 'echo data; sleep 1000000'));
    const pieces = piecesOf(dump)[Symbol.asyncIterator]();
    await pieces.next();
    const waiting = pieces.next();
    const heard = expect(waiting).rejects.toThrow('no longer exported');
    await dump[Symbol.asyncDispose]();
    expect(bench.ended).toHaveLength(1);
    await heard;
    await dump[Symbol.asyncDispose]();
  });

  test('comes when the start cannot be remembered', async () => {
    const failure = new Error('no space in the journal');
    await using dump = exportDisk(await bench.define('export', 'cat /dev/zero'), {
      onStart: async (group) => {
        await bench.hooks.onStart(group);
        throw failure;
      },
    });
    expect(await errorOf(dump)).toBe(failure);
  });

  test('comes for what the script leaves behind', async () => {
    const warnings: string[] = [];
    await using dump = exportDisk(await bench.sample('leaves-children'), { onWarning: (warning) => warnings.push(warning) });
    expect((await collect(piecesOf(dump))).equals(content)).toBe(true);
    expect(warnings).toEqual([expect.stringContaining('left processes behind')]);
  });

  test('leaves no descriptor open in us', async () => {
    const os = await bench.sample('cat');
    const before = openDescriptors();
    for (let run = 0; run < 3; run += 1) {
      await using whole = exportDisk(os);
      await collect(piecesOf(whole));
      await using part = exportDisk(os);
      for await (const _piece of piecesOf(part)) break;
    }
    await expect.poll(openDescriptors).toBe(before);
  });
});
