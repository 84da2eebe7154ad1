import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect } from 'node:net';

import { allocatedBytes, makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { execa } from 'execa';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { connectNbd, describeExport, listExports } from '../client/connect.ts';
import { NbdError } from '../errors.ts';
import { memoryExport } from '../testing/memory-export.ts';
import { encodeRequest } from '../wire/messages.ts';
import { encodeOption } from '../wire/options.ts';
import { ALLOCATION_CONTEXT, COMMAND, OPTION } from '../wire/protocol.ts';
import { serveNbd } from './serve.ts';
import type { ServedExport } from './served-export.ts';
import { SocketReader } from './socket-reader.ts';

const MiB = 1 << 20;
const timeoutMs = 60_000;

function sparse(size: number): Buffer {
  const content = Buffer.alloc(size);
  randomBytes(200_000).copy(content, 0);
  randomBytes(MiB).copy(content, 3 * MiB);
  randomBytes(500).copy(content, size - 500);
  return content;
}

describe.each([8 * MiB, 8 * MiB + 512])('the tools of others, on an export of %i bytes', (size) => {
  const content = sparse(size);
  const uri = (path: string): string => `nbd+unix:///disk?socket=${path}`;

  test('nbdinfo lists and maps it', async () => {
    await using scratch = await makeTemporaryDirectory();
    const exports = [memoryExport('disk', content, 'the first'), memoryExport('other', Buffer.alloc(512))];
    await using server = await serveNbd({ path: scratch.file('s'), exports });
    const list = await execa('nbdinfo', ['--list', '--json', `nbd+unix:///?socket=${server.path}`]);
    expect(JSON.parse(list.stdout)).toMatchObject({
      exports: [
        { 'export-name': 'disk', description: 'the first', 'export-size': size, is_read_only: true, contexts: [ALLOCATION_CONTEXT] },
        { 'export-name': 'other', 'export-size': 512 },
      ],
    });
    const map = await execa('nbdinfo', ['--map', '--json', uri(server.path)]);
    await using client = await connectNbd({
      address: { path: server.path },
      exportName: 'disk',
      contexts: [ALLOCATION_CONTEXT],
      timeoutMs,
    });
    const extents = await Array.fromAsync(client.extents(ALLOCATION_CONTEXT));
    expect(JSON.parse(map.stdout)).toMatchObject(extents.map(({ offset, length, flags }) => ({ offset, length, type: flags })));
    expect(extents).toHaveLength(5);
  });

  test('nbdcopy and qemu-img copy it, holes as holes; qemu-img compares it', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using server = await serveNbd({ path: scratch.file('s'), exports: [memoryExport('disk', content)] });
    await execa('nbdcopy', ['--destination-is-zero', uri(server.path), scratch.file('copy')]).catch(() =>
      execa('nbdcopy', [uri(server.path), scratch.file('copy')]),
    );
    await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri(server.path), scratch.file('image')]);
    for (const copy of ['copy', 'image']) {
      expect((await readFile(scratch.file(copy))).subarray(0, size).equals(content)).toBe(true);
      expect(await allocatedBytes(scratch.file(copy))).toBeLessThan(3 * MiB);
    }
    const { stdout } = await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', uri(server.path), scratch.file('image')]);
    expect(stdout).toContain('identical');
  });
});

test('many clients at once read the same, and no more are let in than that', async () => {
  await using scratch = await makeTemporaryDirectory();
  const content = sparse(4 * MiB + 500);
  await using server = await serveNbd({ path: scratch.file('s'), exports: [memoryExport('disk', content)], maxClients: 8 });
  const address = { path: server.path };
  await using stack = new AsyncDisposableStack();
  const clients = await Promise.all(
    Array.from({ length: 8 }, async () => stack.use(await connectNbd({ address, exportName: '', timeoutMs }))),
  );
  const copies = await Promise.all(
    clients.map(async (client) => {
      const copy = Buffer.alloc(client.size);
      await client.read(0, copy);
      return copy.equals(content);
    }),
  );
  expect(copies).toEqual(Array(8).fill(true));
  await expect(connectNbd({ address, exportName: '', timeoutMs })).rejects.toMatchObject({ code: 'disconnected' });
  await clients[0]?.[Symbol.asyncDispose]();
  await expect.poll(() => listExports({ address, timeoutMs }).catch(() => []), PATIENTLY).toHaveLength(1);
});

test('the socket is for its owner alone, and gone at the end; a path that is taken is left as it is', async () => {
  await using scratch = await makeTemporaryDirectory();
  const path = scratch.file('s');
  const exports = [memoryExport('disk', Buffer.alloc(512))];
  const server = await serveNbd({ path, exports });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await expect(serveNbd({ path, exports })).rejects.toMatchObject({ code: 'unreachable', message: expect.stringContaining('EADDRINUSE') });
  expect(await describeExport({ address: { path }, exportName: 'disk', timeoutMs })).toMatchObject({ size: 512, readOnly: true });
  await server[Symbol.asyncDispose]();
  await expect(stat(path)).rejects.toThrow('ENOENT');
});

test('the end of the server ends its clients, in the middle of a read too, and the read learns of it', async () => {
  await using scratch = await makeTemporaryDirectory();
  const reading = Promise.withResolvers<AbortSignal>();
  const stuck: ServedExport = {
    name: 'disk',
    size: MiB,
    read: (_offset, _into, signal) => {
      reading.resolve(signal);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  const server = await serveNbd({ path: scratch.file('s'), exports: [stuck] });
  await using client = await connectNbd({ address: { path: server.path }, exportName: 'disk', timeoutMs });
  const read = client.read(0, Buffer.alloc(4096)).catch((error: unknown) => error);
  const signal = await reading.promise;
  await server[Symbol.asyncDispose]();
  expect(signal.aborted).toBe(true);
  expect(await read).toMatchObject({ code: 'disconnected' });
});

test('an export that cannot be read fails the request alone, and says why to the server, not to the client', async () => {
  await using scratch = await makeTemporaryDirectory();
  const errors: unknown[] = [];
  const broken: ServedExport = {
    name: 'disk',
    size: MiB,
    async read(offset) {
      if (offset < 4096) throw new Error('secret path');
    },
  };
  await using server = await serveNbd({ path: scratch.file('s'), exports: [broken], onError: (error) => errors.push(error) });
  await using client = await connectNbd({ address: { path: server.path }, exportName: 'disk', timeoutMs });
  const error = await client.read(0, Buffer.alloc(4096)).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'server-error', errno: 5, message: expect.not.stringContaining('secret') });
  await client.read(4096, Buffer.alloc(4096));
  expect(errors).toEqual([new Error('secret path')]);
});

test('names that are twice the same, or cannot be sent, are refused', async () => {
  await using scratch = await makeTemporaryDirectory();
  const path = scratch.file('s');
  for (const exports of [[memoryExport('a', Buffer.alloc(1)), memoryExport('a', Buffer.alloc(1))], [memoryExport('a\0', Buffer.alloc(1))]])
    await expect(serveNbd({ path, exports })).rejects.toMatchObject({ code: 'invalid-argument' });
});

/** A client that sends what it likes. */
class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly reader: SocketReader;

  constructor(path: string) {
    this.socket = connect({ path });
    this.socket.on('error', () => undefined);
    this.reader = new SocketReader(this.socket);
  }

  /** Chooses the export without structured replies. */
  async choose(): Promise<void> {
    await this.reader.read(18);
    this.socket.write(Buffer.from('00000003', 'hex'));
    this.socket.write(encodeOption(OPTION.EXPORT_NAME, Buffer.from('disk')));
    await this.reader.read(10);
  }

  /** The error value of a simple reply to this. */
  async ask(command: number, offset: number, length: number, flags = 0): Promise<number | undefined> {
    this.socket.write(encodeRequest({ flags, command, cookie: 9n, offset, length }));
    return (await this.reader.read(16))?.readUInt32BE(4);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }
}

test('what a client may not do is refused with the error values of the protocol, and the connection stays', async () => {
  await using scratch = await makeTemporaryDirectory();
  await using server = await serveNbd({ path: scratch.file('s'), exports: [memoryExport('disk', sparse(4 * MiB))] });
  await using client = new RawClient(server.path);
  await client.choose();
  const payload = Buffer.alloc(512, 'w');
  client.socket.write(Buffer.concat([encodeRequest({ flags: 0, command: COMMAND.WRITE, cookie: 1n, offset: 0, length: 512 }), payload]));
  expect((await client.reader.read(16))?.readUInt32BE(4)).toBe(1);
  expect(await client.ask(4, 0, 512)).toBe(1);
  expect(await client.ask(6, 0, 512)).toBe(1);
  expect(await client.ask(3, 0, 0)).toBe(22);
  expect(await client.ask(77, 0, 512)).toBe(22);
  expect(await client.ask(COMMAND.READ, 4 * MiB - 1, 2)).toBe(22);
  expect(await client.ask(COMMAND.READ, Number.MAX_SAFE_INTEGER, 1)).toBe(22);
  expect(await client.ask(COMMAND.READ, 0, 0)).toBe(22);
  expect(await client.ask(COMMAND.READ, 0, 512, 1)).toBe(22);
  expect(await client.ask(COMMAND.BLOCK_STATUS, 0, 512)).toBe(22);
  expect(await client.ask(COMMAND.READ, 4 * MiB - 1, 1)).toBe(0);
  expect(await client.reader.read(1)).toHaveLength(1);
});

test('a read of 33 MiB is refused: memory is bounded', async () => {
  await using scratch = await makeTemporaryDirectory();
  const huge: ServedExport = { name: 'disk', size: 2 ** 40, read: async () => undefined };
  await using server = await serveNbd({ path: scratch.file('s'), exports: [huge] });
  await using client = new RawClient(server.path);
  await client.choose();
  expect(await client.ask(COMMAND.READ, 0, 33 * MiB)).toBe(75);
});

test('a client that asks without end and takes no answer gets no more than two answers of 32 MiB prepared', async () => {
  await using scratch = await makeTemporaryDirectory();
  let [running, most] = [0, 0];
  const counted: ServedExport = {
    name: 'disk',
    size: 2 ** 40,
    async read(_offset, into) {
      running += into.length;
      most = Math.max(most, running);
    },
  };
  await using server = await serveNbd({ path: scratch.file('s'), exports: [counted] });
  await using client = new RawClient(server.path);
  await client.choose();
  client.socket.pause();
  for (let count = 0; count < 500; count += 1)
    client.socket.write(encodeRequest({ flags: 0, command: COMMAND.READ, cookie: 1n, offset: 0, length: 32 * MiB }));
  await expect.poll(() => running, PATIENTLY).toBe(64 * MiB);
  // Others are served all the while.
  await using other = await connectNbd({ address: { path: server.path }, exportName: 'disk', timeoutMs });
  await other.read(0, Buffer.alloc(4096));
  expect(most).toBe(64 * MiB + 4096);
});

test('a client that chooses nothing is sent away when its time is over', async () => {
  await using scratch = await makeTemporaryDirectory();
  await using server = await serveNbd({
    path: scratch.file('s'),
    exports: [memoryExport('disk', Buffer.alloc(512))],
    handshakeTimeoutMs: 100,
  });
  await using client = new RawClient(server.path);
  const closed = once(client.socket, 'close');
  client.socket.resume();
  await closed;
});

test('the server goes on serving others, no matter what a client sends', async () => {
  await using scratch = await makeTemporaryDirectory();
  const content = sparse(4 * MiB);
  await using server = await serveNbd({ path: scratch.file('s'), exports: [memoryExport('disk', content)] });
  const handshake = Buffer.concat([Buffer.from('00000003', 'hex'), encodeOption(OPTION.EXPORT_NAME, Buffer.from('disk'))]);
  const requests = fc.array(
    fc
      .record({ flags: fc.nat(9), command: fc.nat(9), cookie: fc.bigInt(0n, 9n), offset: fc.nat(2 ** 23), length: fc.nat(2 ** 31) })
      .map((request) => encodeRequest(request)),
    { maxLength: 5 },
  );
  const junk = fc.uint8Array({ maxLength: 100 });
  const option = fc.tuple(fc.nat(12), junk).map(([option, data]) => encodeOption(option, data));
  const messages = fc.oneof(
    fc.tuple(junk),
    fc.tuple(
      fc.constant(Buffer.from('00000003', 'hex')),
      fc.array(option).map((options) => Buffer.concat(options)),
      junk,
    ),
    fc.tuple(
      fc.constant(handshake),
      requests.map((requests) => Buffer.concat(requests)),
      junk,
    ),
  );
  await fc.assert(
    fc.asyncProperty(messages, async (messages) => {
      await using client = new RawClient(server.path);
      const closed = once(client.socket, 'close');
      client.socket.resume();
      client.socket.end(Buffer.concat(messages));
      await closed;
    }),
    { numRuns: 300 },
  );
  await using client = await connectNbd({ address: { path: server.path }, exportName: 'disk', timeoutMs });
  const copy = Buffer.alloc(content.length);
  await client.read(0, copy);
  expect(copy.equals(content)).toBe(true);
});

test('a client whose bytes are changed on the way gets the content, or a typed error, and never hangs', async () => {
  await using scratch = await makeTemporaryDirectory();
  const content = sparse(4 * MiB);
  await using server = await serveNbd({ path: scratch.file('s'), exports: [memoryExport('disk', content)] });
  await fc.assert(
    fc.asyncProperty(fc.nat(1200), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      await using relay = await startChangingRelay(scratch.file(`r${at}-${change}-${Math.random()}`), server.path, at, change);
      const use = async (): Promise<void> => {
        await using client = await connectNbd({
          address: { path: relay.path },
          exportName: 'disk',
          contexts: [ALLOCATION_CONTEXT],
          timeoutMs: 200,
        });
        await client.blockStatus(0, 4 * MiB);
        await client.read(0, Buffer.alloc(2048));
      };
      const error = await use().catch((error: unknown) => error);
      if (error !== undefined) expect(error).toBeInstanceOf(NbdError);
    }),
    { numRuns: 150 },
  );
});

/** Passes everything on, but for one byte from the server. */
async function startChangingRelay(
  path: string,
  target: string,
  at: number,
  change: number,
): Promise<AsyncDisposable & { readonly path: string }> {
  const { createServer } = await import('node:net');
  const sockets = new Set<Socket>();
  const relay = createServer((socket) => {
    const upstream = connect({ path: target });
    let seen = 0;
    for (const each of [socket, upstream]) {
      sockets.add(each);
      each.on('error', () => undefined);
      each.on('close', () => {
        socket.destroy();
        upstream.destroy();
      });
    }
    socket.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      const index = at - seen;
      const byte = chunk[index];
      if (byte !== undefined) chunk[index] = byte ^ change;
      seen += chunk.length;
      socket.write(chunk);
    });
  }).listen(path);
  await once(relay, 'listening');
  return {
    path,
    async [Symbol.asyncDispose]() {
      relay.close();
      for (const socket of sockets) socket.destroy();
      await once(relay, 'close');
    },
  };
}
