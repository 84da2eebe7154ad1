import { X509Certificate, createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { makeRandomFile, makeTemporaryDirectory, pseudoRandom, sha256File } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskReceiver } from './disk-receiver.ts';
import { DiskSender } from './disk-sender.ts';
import type { Identity } from './identity.ts';
import { createIdentity } from './identity.ts';
import { startExporter, startImporter } from './testing/import-export-daemon.ts';

const MIB = 1024 * 1024;
const signal = new AbortController().signal;
let scratch: Awaited<ReturnType<typeof makeTemporaryDirectory>>;
let ours: Identity;
let theirs: Identity;
let stranger: Identity;
let number = 0;

beforeAll(async () => {
  scratch = await makeTemporaryDirectory();
  [ours, theirs, stranger] = await Promise.all([createIdentity('127.0.0.1'), createIdentity(), createIdentity()]);
});
afterAll(() => scratch[Symbol.asyncDispose]());

const peer = (): X509Certificate => new X509Certificate(theirs.certificate);

async function files(magic = 'magic-of-disk-0', peer = ours) {
  const directory = scratch.file(`end-${(number += 1)}`);
  await mkdir(directory);
  return { directory, identity: theirs, peer: peer.certificate, magic, output: `${directory}/disk` };
}

async function* pieces(...all: (Uint8Array | { zeros: number })[]) {
  for (const piece of all) yield await Promise.resolve(piece);
}

describe('DiskSender, to the importer of Ganeti', () => {
  const bytes = Buffer.concat([...pseudoRandom('seven', 5 * MIB + 123)]);

  test('bytes and holes arrive, and the importer succeeds', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    await using sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
    await sender.send(pieces(bytes, { zeros: 3 * MIB + 5 }, bytes.subarray(0, 10)));
    expect((await importer.outcome()).status).toBe(0);
    const expected = createHash('sha256')
      .update(bytes)
      .update(new Uint8Array(3 * MIB + 5))
      .update(bytes.subarray(0, 10));
    expect(await sha256File(end.output)).toBe(expected.digest('hex'));
  });

  test('no data at all is a disk of no bytes', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    await using sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
    await sender.send(pieces());
    expect((await importer.outcome()).status).toBe(0);
    expect(await readFile(end.output)).toHaveLength(0);
  });

  test('data that fails in the middle makes the importer fail', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    await using sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
    const failing = async function* () {
      yield bytes;
      await Promise.resolve();
      throw new Error('the dump is damaged');
    };
    await expect(sender.send(failing())).rejects.toThrow('the dump is damaged');
    const { status, said } = await importer.outcome();
    expect(status).not.toBe(0);
    expect(said).toMatch(/reset/i);
  });

  test('a connection that is given up before any data makes the importer fail', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    const sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
    sender.reset();
    expect((await importer.outcome()).status).not.toBe(0);
    await expect(sender.send(pieces(bytes))).rejects.toMatchObject({ code: 'failed' });
  });

  test('another magic makes the importer fail', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: 'magic-of-disk-1' };
    await using sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
    await sender.send(pieces(bytes)).catch(() => {});
    const { status, said } = await importer.outcome();
    expect(status).not.toBe(0);
    expect(said).toContain('Magic value mismatch');
  });

  test('an importer with another certificate gets nothing', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    const other = new X509Certificate(stranger.certificate);
    await expect(DiskSender.connect(address, { identity: ours, peer: other, signal })).rejects.toMatchObject({ code: 'denied' });
  });

  test('an importer that knows another certificate takes nothing', async () => {
    const end = await files('magic-of-disk-0', stranger);
    await using importer = await startImporter(end, end.output);
    const address = { host: '127.0.0.1', port: await importer.port(), magic: end.magic };
    const send = async (): Promise<void> => {
      await using sender = await DiskSender.connect(address, { identity: ours, peer: peer(), signal });
      await sender.send(pieces({ zeros: 20 * MIB }));
    };
    await expect(send()).rejects.toMatchObject({ name: 'InventoryError' });
  });

  test('nobody there is said, with the address', async () => {
    const address = { host: '127.0.0.1', port: 1, magic: 'magic-of-disk-0' };
    await expect(DiskSender.connect(address, { identity: ours, peer: peer(), signal })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('127.0.0.1:1'),
    });
  });

  test('a sender that is killed in the middle makes the importer fail', async () => {
    const end = await files();
    await using importer = await startImporter(end, end.output);
    const port = await importer.port();
    const program = new URL('testing/endless-sender.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, ['--conditions=@gantry/source', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    child.stdin.end(JSON.stringify({ address: { host: '127.0.0.1', port, magic: end.magic }, identity: ours, peer: theirs.certificate }));
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await ended;
    const { status, said } = await importer.outcome();
    expect(status).not.toBe(0);
    expect(said).toMatch(/reset/i);
  });
});

describe('DiskReceiver, from the exporter of Ganeti', () => {
  const magics = ['magic-of-disk-0', 'magic-of-disk-1'];
  const listen = async (warnings: string[] = []) =>
    await DiskReceiver.listen({
      identity: ours,
      peer: peer(),
      magics,
      host: '127.0.0.1',
      port: 0,
      warn: (text) => warnings.push(text),
      signal,
    });

  async function digest(data: AsyncIterable<Uint8Array>): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of data) hash.update(chunk);
    return hash.digest('hex');
  }

  test('two disks arrive, each in its place', async () => {
    await using receiver = await listen();
    const [first, second] = [scratch.file('first'), scratch.file('second')];
    await makeRandomFile(first, 9 * MIB + 1, 'first');
    await makeRandomFile(second, 4 * MIB, 'second');
    // The second connects first.
    await using exporter1 = await startExporter(await files(magics[1]), receiver.port, `cat '${second}'`);
    await using exporter0 = await startExporter(await files(magics[0]), receiver.port, `cat '${first}'`);
    const digests = await Promise.all([digest(receiver.data(0)), digest(receiver.data(1))]);
    expect(digests).toEqual([await sha256File(first), await sha256File(second)]);
    expect([(await exporter0.outcome()).status, (await exporter1.outcome()).status]).toEqual([0, 0]);
  });

  test('a slow reader slows the exporter down', async () => {
    await using receiver = await listen();
    await using exporter = await startExporter(await files(magics[0]), receiver.port, 'head -c 300M /dev/zero');
    const before = process.memoryUsage().rss;
    let most = 0;
    let total = 0;
    for await (const chunk of receiver.data(0)) {
      total += chunk.length;
      if (total % MIB < chunk.length) await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(total).toBe(300 * MIB);
    expect(most).toBeLessThan(100 * MIB);
    expect((await exporter.outcome()).status).toBe(0);
  });

  test('an export script that fails ends its stream like any other: the job alone knows', async () => {
    await using receiver = await listen();
    await using exporter = await startExporter(await files(magics[0]), receiver.port, '(head -c 1M /dev/zero; exit 3)');
    expect(await digest(receiver.data(0))).toHaveLength(64);
    expect((await exporter.outcome()).status).not.toBe(0);
  });

  test('a wrong magic, a wrong certificate and garbage cost the stranger its connection, not the disk', async () => {
    const warnings: string[] = [];
    await using receiver = await listen(warnings);
    await using wrongMagic = await startExporter(await files('magic-of-disk-9'), receiver.port, 'head -c 1M /dev/zero');
    await wrongMagic.outcome();
    const garbage = connect({ host: '127.0.0.1', port: receiver.port });
    garbage.on('error', () => {});
    garbage.end('GET / HTTP/1.0\r\n\r\n');
    await once(garbage, 'close');
    const other = connectTls({
      host: '127.0.0.1',
      port: receiver.port,
      key: stranger.key,
      cert: stranger.certificate,
      rejectUnauthorized: false,
    });
    other.on('error', () => {});
    other.resume();
    await once(other, 'close');
    await using exporter = await startExporter(await files(magics[0]), receiver.port, 'head -c 1M /dev/zero');
    expect(await digest(receiver.data(0))).toBe(createHash('sha256').update(new Uint8Array(MIB)).digest('hex'));
    expect((await exporter.outcome()).status).toBe(0);
    expect(warnings.join('\n')).toMatch(/wrong magic/);
    expect(warnings.join('\n')).toMatch(/before it showed a certificate/);
    expect(warnings.join('\n')).toMatch(/another certificate/);
  });

  test('a connection that is reset in the middle is an error', async () => {
    await using receiver = await listen();
    const address = { host: '127.0.0.1', port: receiver.port, magic: 'magic-of-disk-0' };
    const options = { identity: theirs, peer: new X509Certificate(ours.certificate), signal };
    const failing = async function* () {
      yield new Uint8Array(MIB);
      await Promise.resolve();
      throw new Error('in the middle');
    };
    await using sender = await DiskSender.connect(address, options);
    const reading = digest(receiver.data(0));
    await expect(sender.send(failing())).rejects.toThrow('in the middle');
    await expect(reading).rejects.toMatchObject({ code: 'failed' });
  });

  test('a failure elsewhere ends those who wait, and those who read', async () => {
    await using receiver = await listen();
    await using _exporter = await startExporter(await files(magics[0]), receiver.port, '(head -c 1M /dev/zero; sleep 60)');
    const data = receiver.data(0)[Symbol.asyncIterator]();
    await data.next();
    const drained = (async () => {
      while ((await data.next()).done !== true);
    })();
    const waiting = digest(receiver.data(1));
    receiver.fail(new Error('the job failed'));
    await expect(drained).rejects.toThrow('the job failed');
    await expect(waiting).rejects.toThrow('the job failed');
  });

  test('a reader that is aborted ends at once, whether somebody has connected or not', async () => {
    await using receiver = await listen();
    await using _exporter = await startExporter(await files(magics[0]), receiver.port, '(head -c 1M /dev/zero; sleep 60)');
    const controller = new AbortController();
    const data = receiver.data(0, { signal: controller.signal });
    await data.next();
    const drained = (async () => {
      while ((await data.next()).done !== true);
    })();
    const waiting = digest(receiver.data(1, { signal: controller.signal }));
    controller.abort(new Error('no more'));
    await expect(drained).rejects.toThrow('no more');
    await expect(waiting).rejects.toThrow('no more');
  });

  test('a port that is taken is said', async () => {
    await using receiver = await listen();
    const again = DiskReceiver.listen({
      identity: ours,
      peer: peer(),
      magics,
      host: '127.0.0.1',
      port: receiver.port,
      warn: () => {},
      signal,
    });
    await expect(again).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining(`127.0.0.1:${receiver.port}`) });
  });

  test('an address of another machine is listened for on all of this one', async () => {
    await using receiver = await DiskReceiver.listen({
      identity: ours,
      peer: peer(),
      magics,
      host: '192.0.2.1',
      port: 0,
      warn: () => {},
      signal,
    });
    expect(receiver.port).toBeGreaterThan(0);
  });
});
