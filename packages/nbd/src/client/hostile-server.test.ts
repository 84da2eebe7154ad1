import { makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { NbdErrorCode } from '../errors.ts';
import { NbdError } from '../errors.ts';
import type { Victim } from '../testing/hostile-server.ts';
import { chunk, dataChunk, greet, holeChunk, nextOption, nextRequest, shakeHands, startHostileServer } from '../testing/hostile-server.ts';
import { encodeError, encodeSimpleReply, encodeStatus } from '../wire/messages.ts';
import { encodeContext, encodeExportInfo, encodeListedExport, encodeOptionReply } from '../wire/options.ts';
import { CHUNK, OPTION, REPLY } from '../wire/protocol.ts';
import type { NbdClient } from './client.ts';
import { connectNbd, describeExport, listExports } from './connect.ts';

const KiB = 1024;
/** Long enough not to end a test that waits for something else; those that wait for it have a short one. */
const PATIENCE_MS = 60_000;
const IMPATIENCE_MS = 300;

type Attack = (victim: Victim) => Promise<void>;

/** What becomes of `use` when the server does this. Its connections must be gone afterwards. */
async function outcome(attack: Attack, use: (path: string) => Promise<unknown>): Promise<unknown> {
  await using scratch = await makeTemporaryDirectory();
  await using server = await startHostileServer(scratch.file('nbd.sock'), attack);
  const result = await use(server.path).catch((error: unknown) => error);
  await expect.poll(server.open, PATIENTLY).toBe(0);
  return result;
}

function connecting(timeoutMs = PATIENCE_MS, contexts: readonly string[] = ['base:allocation']) {
  return async (path: string): Promise<unknown> => {
    await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs, contexts });
    return client.size;
  };
}

/** Uses an export of a server that behaves until the export is chosen. */
function using(use: (client: NbdClient) => Promise<unknown>, timeoutMs = PATIENCE_MS) {
  return async (path: string): Promise<unknown> => {
    await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs, contexts: ['base:allocation'] });
    return await use(client);
  };
}

const reading = using((client) => client.read(4096, Buffer.alloc(8192)));
const asking = using((client) => client.blockStatus(4096, 8192));

function typed(code: NbdErrorCode, message: RegExp): unknown {
  return expect.objectContaining({ name: 'NbdError', code, message: expect.stringMatching(message) });
}

describe('a handshake against the rules', () => {
  const option = (wanted: number, answer: (victim: Victim, option: number) => void): Attack => {
    return async (victim) => {
      greet(victim);
      await victim.read(4);
      for (;;) {
        const option = await nextOption(victim);
        if (option === wanted) {
          answer(victim, option);
          return;
        }
        victim.socket.write(
          encodeOptionReply(
            option,
            option === OPTION.SET_META_CONTEXT ? REPLY.META_CONTEXT : REPLY.ACK,
            encodeContext(1, 'base:allocation'),
          ),
        );
        if (option === OPTION.SET_META_CONTEXT) victim.socket.write(encodeOptionReply(option, REPLY.ACK));
      }
    };
  };
  const replying = (type: number, data?: Uint8Array, wanted: number = OPTION.GO): Attack =>
    option(wanted, ({ socket }, option) => socket.write(encodeOptionReply(option, type, data)));
  const replyingAndMore = (type: number, data: Uint8Array, wanted: number): Attack =>
    option(wanted, ({ socket }, option) => {
      socket.write(encodeOptionReply(option, type, data));
      socket.write(encodeOptionReply(option, REPLY.ACK));
    });
  const header = (length: number): Buffer => {
    const bytes = encodeOptionReply(OPTION.GO, REPLY.INFO);
    bytes.writeUInt32BE(length, 16);
    return bytes;
  };

  test.each<[string, Attack, NbdErrorCode, RegExp]>([
    ['another protocol', async ({ socket }) => void socket.write('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'), 'protocol', /does not greet/],
    [
      'oldstyle',
      async ({ socket }) => void socket.write(Buffer.from('4e42444d414749430000420281861253'.padEnd(304, '0'), 'hex')),
      'unsupported',
      /oldstyle/,
    ],
    ['no fixed newstyle', async (victim) => greet(victim, 0), 'unsupported', /fixed newstyle/],
    ['a greeting that is cut', async ({ socket }) => void socket.end('NBDMAGICIHAV'), 'disconnected', /closed the connection/],
    ['closed at once', async ({ socket }) => void socket.destroy(), 'disconnected', /closed|broke/],
    [
      'an answer to another option',
      option(OPTION.GO, ({ socket }) => socket.write(encodeOptionReply(3, REPLY.ACK))),
      'protocol',
      /answered option 3/,
    ],
    [
      'an answer that is not one',
      option(OPTION.GO, ({ socket }) => socket.write(Buffer.alloc(20))),
      'protocol',
      /something else than a reply/,
    ],
    ['a reply of 4 GiB', option(OPTION.GO, ({ socket }) => socket.write(header(0xffffffff))), 'protocol', /a reply of 4294967295 bytes/],
    ['no size', replying(REPLY.ACK), 'protocol', /how large/],
    [
      'an export without flags',
      option(OPTION.GO, ({ socket }, option) => {
        socket.write(encodeOptionReply(option, REPLY.INFO, encodeExportInfo({ size: 4096, flags: 0 })));
        socket.write(encodeOptionReply(option, REPLY.ACK));
      }),
      'protocol',
      /first bit/,
    ],
    ['a size in too few bytes', replyingAndMore(REPLY.INFO, Buffer.alloc(5), OPTION.GO), 'protocol', /ends too early/],
    [
      'no such export',
      replying(REPLY.ERR_UNKNOWN, Buffer.from('no disk "\u001B[2Jdisk"')),
      'unknown-export',
      /does not have this export: no disk " \[2Jdisk"$/,
    ],
    ['TLS wanted', replying(REPLY.ERR_TLS_REQD), 'refused', /TLS/],
    ['a policy', replying(REPLY.ERR_POLICY, Buffer.from('not you')), 'refused', /policy forbids it: not you/],
    ['shutdown', replying(REPLY.ERR_SHUTDOWN), 'refused', /shutting down/],
    ['an unknown refusal', replying(0x80001234), 'refused', /error 4660/],
    [
      'a reply of an unknown type',
      option(OPTION.GO, ({ socket }, option) => {
        socket.write(encodeOptionReply(option, 99));
        socket.write(encodeOptionReply(option, REPLY.ACK));
      }),
      'protocol',
      /type 99/,
    ],
    [
      'a context that was not asked for',
      option(OPTION.SET_META_CONTEXT, ({ socket }, option) => {
        socket.write(encodeOptionReply(option, REPLY.META_CONTEXT, encodeContext(1, 'x:y')));
        socket.write(encodeOptionReply(option, REPLY.ACK));
      }),
      'protocol',
      /not asked for/,
    ],
    [
      'a context twice',
      option(OPTION.SET_META_CONTEXT, ({ socket }, option) => {
        for (const id of [1, 2]) socket.write(encodeOptionReply(option, REPLY.META_CONTEXT, encodeContext(id, 'base:allocation')));
        socket.write(encodeOptionReply(option, REPLY.ACK));
      }),
      'protocol',
      /twice/,
    ],
    [
      'no context',
      option(OPTION.SET_META_CONTEXT, ({ socket }, option) => socket.write(encodeOptionReply(option, REPLY.ACK))),
      'unsupported',
      /metadata context base:allocation/,
    ],
    [
      'replies without end',
      option(OPTION.GO, ({ socket }, option) => {
        for (let count = 0; count < 10_002; count += 1) socket.write(encodeOptionReply(option, REPLY.INFO, Buffer.from([0, 9])));
      }),
      'protocol',
      /more than 10000 replies/,
    ],
    [
      'a size beyond what numbers hold',
      async (victim) => {
        greet(victim);
        await victim.read(4);
        for (;;) {
          const option = await nextOption(victim);
          if (option === OPTION.SET_META_CONTEXT)
            victim.socket.write(encodeOptionReply(option, REPLY.META_CONTEXT, encodeContext(1, 'base:allocation')));
          if (option === OPTION.GO)
            victim.socket.write(encodeOptionReply(option, REPLY.INFO, Buffer.from(`0000${'f'.repeat(16)}0003`, 'hex')));
          victim.socket.write(encodeOptionReply(option, REPLY.ACK));
        }
      },
      'unsupported',
      /18446744073709551615 bytes/,
    ],
  ])('%s: a typed error', async (_, attack, code, message) => {
    expect(await outcome(attack, connecting())).toEqual(typed(code, message));
  });

  test.each([
    ['a minimum that is not a power of two', [3, 4096, 65_536]],
    ['a minimum of 0', [0, 4096, 65_536]],
    ['a minimum above 64 KiB', [131_072, 131_072, 1 << 20]],
    ['a preferred size below the minimum', [4096, 512, 65_536]],
    ['a maximum below the preferred size', [1, 4096, 1024]],
  ] as const)('impossible block sizes, %s: a typed error', async (_, blockSizes) => {
    const attack: Attack = (victim) => shakeHands(victim, { blockSizes });
    expect(await outcome(attack, connecting())).toEqual(typed('protocol', /impossible block sizes/));
  });

  test('a size that its own blocks cannot reach: a typed error, and no export without its end', async () => {
    const attack: Attack = (victim) => shakeHands(victim, { size: 4096 + 100, blockSizes: [512, 4096, 1 << 25] });
    expect(await outcome(attack, connecting())).toEqual(typed('unsupported', /last 100 bytes/));
  });

  test('silence, at any moment: a time-out', async () => {
    const attacks: readonly Attack[] = [
      async () => undefined,
      async (victim) => greet(victim),
      option(OPTION.STRUCTURED_REPLY, () => undefined),
      option(OPTION.SET_META_CONTEXT, () => undefined),
      option(OPTION.GO, ({ socket }) => socket.write(header(12))),
    ];
    for (const attack of attacks)
      expect(await outcome(attack, connecting(IMPATIENCE_MS))).toEqual(typed('timeout', /did not answer within 300 ms/));
  });

  test('bytes that trickle in: a time-out all the same', async () => {
    const trickle: Attack = async ({ socket }) => {
      const timer = setInterval(() => socket.write('N'), 20);
      socket.on('close', () => clearInterval(timer));
    };
    const attack: Attack = async (victim) => {
      greet(victim);
      await victim.read(4);
      victim.socket.write(header(16_000));
      await trickle(victim);
    };
    expect(await outcome(attack, connecting(IMPATIENCE_MS))).toEqual(typed('protocol', /answered option 7/));
    const inData: Attack = option(OPTION.GO, (victim) => {
      victim.socket.write(header(16_000));
      void trickle(victim);
    });
    expect(await outcome(inData, connecting(IMPATIENCE_MS))).toEqual(typed('timeout', /did not answer/));
  });

  test('an abort while the server is silent: its reason', async () => {
    const controller = new AbortController();
    const attack: Attack = async (victim) => {
      greet(victim);
      controller.abort(new Error('enough'));
    };
    const use = (path: string): Promise<unknown> =>
      connectNbd({ address: { path }, exportName: '', timeoutMs: PATIENCE_MS, signal: controller.signal });
    expect(await outcome(attack, use)).toEqual(new Error('enough'));
  });

  test('a server that knows neither structured replies nor NBD_OPT_GO is read all the same', async () => {
    const old: Attack = async (victim) => {
      greet(victim, 1);
      await victim.read(4);
      while ((await nextOption(victim)) !== OPTION.EXPORT_NAME) {
        // The next one.
      }
    };
    const attack: Attack = async (victim) => {
      greet(victim, 1);
      await victim.read(4);
      for (let option = await nextOption(victim); option !== OPTION.EXPORT_NAME; option = await nextOption(victim)) {
        victim.socket.write(encodeOptionReply(option, REPLY.ERR_UNSUP));
      }
      victim.socket.write(Buffer.concat([encodeExportInfo({ size: 4096, flags: 3 }).subarray(2), Buffer.alloc(124)]));
      const { cookie } = await nextRequest(victim);
      victim.socket.write(Buffer.concat([encodeSimpleReply({ errno: 0, cookie }), Buffer.alloc(4096, 'x')]));
    };
    const use = async (path: string): Promise<unknown> => {
      await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS });
      const into = Buffer.alloc(4096);
      await client.read(0, into);
      return into.toString();
    };
    expect(await outcome(attack, use)).toBe('x'.repeat(4096));
    expect(await outcome(old, connecting(IMPATIENCE_MS, []))).toEqual(typed('timeout', /did not answer/));
  });

  test('a list of more exports than anybody has, or of something else: a typed error', async () => {
    const listing = (path: string): Promise<unknown> => listExports({ address: { path }, timeoutMs: PATIENCE_MS });
    const entry = encodeListedExport({ name: 'a', description: '' });
    const many = option(OPTION.LIST, ({ socket }, option) => {
      for (let count = 0; count < 10_002; count += 1) socket.write(encodeOptionReply(option, REPLY.SERVER, entry));
    });
    expect(await outcome(many, listing)).toEqual(typed('protocol', /more than 10000 replies/));
    expect(await outcome(replying(REPLY.ERR_UNSUP, undefined, OPTION.LIST), listing)).toEqual(typed('unsupported', /does not list/));
    const longer = Buffer.from(entry);
    longer.writeUInt32BE(1000);
    expect(await outcome(replyingAndMore(REPLY.SERVER, longer, OPTION.LIST), listing)).toEqual(typed('protocol', /ends too early/));
    const describing = (path: string): Promise<unknown> => describeExport({ address: { path }, exportName: 'a', timeoutMs: PATIENCE_MS });
    expect(await outcome(replying(REPLY.ERR_UNSUP, undefined, OPTION.INFO), describing)).toEqual(typed('unsupported', /does not describe/));
  });
});

describe('a reply against the rules', () => {
  const answering = (answer: (cookie: bigint, victim: Victim) => Uint8Array): Attack => {
    return async (victim) => {
      await shakeHands(victim);
      const { cookie } = await nextRequest(victim);
      victim.socket.write(answer(cookie, victim));
    };
  };
  const [half, all] = [Buffer.alloc(4096), Buffer.alloc(8192)];
  const wrongLength = (cookie: bigint, type: number, length: number): Buffer => {
    const bytes = chunk(cookie, type, Buffer.alloc(0));
    bytes.writeUInt32BE(length, 16);
    return bytes;
  };

  test.each<[string, (cookie: bigint) => Uint8Array, RegExp]>([
    ['something else', () => Buffer.alloc(20, 'x'), /something else than a reply/],
    ['to a request that was not sent', (cookie) => dataChunk(cookie + 1n, 4096, all), /was not sent/],
    ['a simple one', (cookie) => encodeSimpleReply({ errno: 0, cookie }), /simple reply/],
    ['before the range', (cookie) => dataChunk(cookie, 0, all), /8192 bytes at offset 0, but 8192 at 4096/],
    ['beyond the range', (cookie) => dataChunk(cookie, 8192, all), /8192 bytes at offset 8192/],
    ['far beyond', (cookie) => dataChunk(cookie, Number.MAX_SAFE_INTEGER, half), /bytes at offset 9007199254740991/],
    [
      '4 GiB of data',
      (cookie) => Buffer.concat([wrongLength(cookie, CHUNK.OFFSET_DATA, 0xffffffff), Buffer.alloc(8)]),
      /4294967287 bytes at offset 0/,
    ],
    ['data without a byte', (cookie) => dataChunk(cookie, 4096, Buffer.alloc(0)), /chunk of data of 8 bytes/],
    ['a hole without a byte', (cookie) => holeChunk(cookie, 4096, 0), /sent 0 bytes at offset 4096/],
    ['a hole that is too long', (cookie) => holeChunk(cookie, 4096, 0xffffffff), /4294967295 bytes at offset 4096/],
    ['a hole of the wrong form', (cookie) => chunk(cookie, CHUNK.OFFSET_HOLE, Buffer.alloc(16)), /hole in 16 bytes/],
    [
      'the same bytes twice',
      (cookie) => Buffer.concat([dataChunk(cookie, 4096, all, false), holeChunk(cookie, 8192, 4096)]),
      /offset 8192 twice/,
    ],
    [
      'an overlap from before',
      (cookie) => Buffer.concat([dataChunk(cookie, 8192, half, false), dataChunk(cookie, 4096, Buffer.alloc(5000))]),
      /offset 4096 twice/,
    ],
    ['half of what was asked for', (cookie) => dataChunk(cookie, 4096, half), /less than the 8192 bytes/],
    ['nothing', (cookie) => chunk(cookie, CHUNK.NONE, Buffer.alloc(0)), /less than the 8192 bytes/],
    ['an empty chunk that is not the last', (cookie) => chunk(cookie, CHUNK.NONE, Buffer.alloc(0), false), /empty chunk/],
    ['an empty chunk with bytes', (cookie) => chunk(cookie, CHUNK.NONE, Buffer.alloc(8)), /empty chunk/],
    ['a block status', (cookie) => chunk(cookie, CHUNK.BLOCK_STATUS, Buffer.alloc(12)), /chunk of type 5/],
    ['an unknown chunk', (cookie) => chunk(cookie, 77, Buffer.alloc(12)), /chunk of type 77/],
    ['an error without an error', (cookie) => chunk(cookie, CHUNK.ERROR, encodeError({ errno: 0, message: '' })), /without an error/],
    ['an error of 4 GiB', (cookie) => wrongLength(cookie, CHUNK.ERROR, 0xffffffff), /too long/],
    [
      'an error whose message is longer than it',
      (cookie) => chunk(cookie, CHUNK.ERROR_OFFSET, encodeError({ errno: 5, message: 'abcdefgh' })),
      /ends too early/,
    ],
    [
      'errors without end',
      (cookie) =>
        Buffer.concat(Array.from({ length: 1025 }, () => chunk(cookie, CHUNK.ERROR, encodeError({ errno: 5, message: '' }), false))),
      /too many/,
    ],
    [
      'a chunk for every byte',
      (cookie) => Buffer.concat(Array.from({ length: 8192 }, (_, at) => holeChunk(cookie, 4096 + ((at * 4099) % 8192), 1, false))),
      /more than 18 chunks/,
    ],
  ])('to a read, %s: a typed error, and the connection is closed', async (_, answer, message) => {
    expect(await outcome(answering(answer), reading)).toEqual(typed('protocol', message));
  });

  const extent = (length: number, flags = 0) => ({ offset: 0, length, flags });
  const status = (cookie: bigint, lengths: readonly number[], done = true, context = 7): Buffer =>
    chunk(
      cookie,
      CHUNK.BLOCK_STATUS,
      encodeStatus(
        context,
        lengths.map((length, at) => extent(length, at % 2)),
      ),
      done,
    );

  test.each<[string, (cookie: bigint) => Uint8Array, RegExp]>([
    ['of a context that was not selected', (cookie) => status(cookie, [8192], true, 8), /context 8/],
    ['twice', (cookie) => Buffer.concat([status(cookie, [8192], false), status(cookie, [8192])]), /context 7 twice/],
    ['an extent of length 0', (cookie) => status(cookie, [4096, 0]), /length 0/],
    ['no extent', (cookie) => chunk(cookie, CHUNK.BLOCK_STATUS, Buffer.alloc(4)), /block status of 4 bytes/],
    ['half an extent', (cookie) => chunk(cookie, CHUNK.BLOCK_STATUS, Buffer.alloc(16)), /block status of 16 bytes/],
    ['4 GiB of extents', (cookie) => wrongLength(cookie, CHUNK.BLOCK_STATUS, 0xfffffffc), /block status of 4294967292 bytes/],
    ['an extent that begins beyond the range', (cookie) => status(cookie, [8192, 4096]), /offset 12288, which is out of range/],
    ['an extent that ends beyond the export', (cookie) => status(cookie, [0x7fffffff]), /out of range/],
    ['none at all', (cookie) => chunk(cookie, CHUNK.NONE, Buffer.alloc(0)), /every metadata context/],
    ['data', (cookie) => dataChunk(cookie, 4096, all), /chunk of type 1/],
  ])('a block status, %s: a typed error, and the connection is closed', async (_, answer, message) => {
    expect(await outcome(answering(answer), asking)).toEqual(typed('protocol', message));
  });

  test('an extent that ends beyond the range, and not beyond the export, is cut to it', async () => {
    const use = using(async (client) => (await client.blockStatus(4096, 8192)).get('base:allocation'));
    expect(
      await outcome(
        answering((cookie) => status(cookie, [4096, 500 * KiB])),
        use,
      ),
    ).toEqual([
      { offset: 4096, length: 4096, flags: 0 },
      { offset: 8192, length: 4096, flags: 1 },
    ]);
  });

  test.each([
    ['base:allocation', [{ offset: 0, length: 8192, flags: 0 }]],
    ['x:y', typed('protocol', /does not say what x:y has at offset 100/)],
  ])('extents of %s that end within a block: what is not said of its rest is taken for data, or is an error', async (context, expected) => {
    const attack: Attack = async (victim) => {
      await shakeHands(victim, { size: 8192, blockSizes: [512, 4096, 1 << 25], context });
      for (;;) {
        const { cookie, offset } = await nextRequest(victim);
        victim.socket.write(chunk(cookie, CHUNK.BLOCK_STATUS, encodeStatus(7, [{ offset, length: 100, flags: 0 }])));
      }
    };
    const use = async (path: string): Promise<unknown> => {
      await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS, contexts: [context] });
      return await Array.fromAsync(client.extents(context));
    };
    expect(await outcome(attack, use)).toEqual(expected);
  });

  test('structured, where that was not agreed on: a typed error', async () => {
    const attack: Attack = async (victim) => {
      await shakeHands(victim, { structured: false });
      const { cookie } = await nextRequest(victim);
      victim.socket.write(dataChunk(cookie, 4096, all));
    };
    const use = async (path: string): Promise<void> => {
      await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS });
      await client.read(4096, Buffer.alloc(8192));
    };
    expect(await outcome(attack, use)).toEqual(typed('protocol', /not agreed on/));
  });

  test('chunks in any order, between those of another reply, data and holes: the right content', async () => {
    const attack: Attack = async (victim) => {
      await shakeHands(victim);
      const [a, b] = [await nextRequest(victim), await nextRequest(victim)];
      victim.socket.write(dataChunk(a.cookie, a.offset + 4096, Buffer.alloc(4096, 'a'), false));
      victim.socket.write(dataChunk(b.cookie, b.offset, Buffer.alloc(2048, 'b'), false));
      victim.socket.write(holeChunk(a.cookie, a.offset, 4096, false));
      victim.socket.write(holeChunk(b.cookie, b.offset + 2048, 6144));
      victim.socket.write(chunk(a.cookie, CHUNK.NONE, Buffer.alloc(0)));
    };
    const use = using(async (client) => {
      const buffers = [Buffer.alloc(8192, '?'), Buffer.alloc(8192, '?')];
      await Promise.all(buffers.map((buffer, at) => client.read(at * 8192, buffer)));
      return buffers.map((buffer) => buffer.toString());
    });
    expect(await outcome(attack, use)).toEqual(['\0'.repeat(4096) + 'a'.repeat(4096), 'b'.repeat(2048) + '\0'.repeat(6144)]);
  });

  test('an error fails its request alone', async () => {
    const attack: Attack = async (victim) => {
      await shakeHands(victim);
      const first = await nextRequest(victim);
      victim.socket.write(dataChunk(first.cookie, first.offset, half, false));
      victim.socket.write(chunk(first.cookie, CHUNK.ERROR, encodeError({ errno: 5, message: 'bad sector' })));
      const second = await nextRequest(victim);
      victim.socket.write(chunk(second.cookie, 0xabcd, encodeError({ errno: 1234, message: '' })));
      const third = await nextRequest(victim);
      victim.socket.write(dataChunk(third.cookie, third.offset, all));
    };
    const use = using(async (client) => {
      const outcomes: unknown[] = [];
      for (let round = 0; round < 3; round += 1)
        outcomes.push(
          await client.read(4096, Buffer.alloc(8192)).then(
            () => 'read',
            (error: unknown) => error,
          ),
        );
      return outcomes;
    });
    expect(await outcome(attack, use)).toEqual([
      expect.objectContaining({
        code: 'server-error',
        errno: 5,
        message: expect.stringMatching(/EIO: input\/output error \(bad sector\)$/),
      }),
      expect.objectContaining({ code: 'server-error', errno: 1234, message: expect.stringMatching(/error 1234$/) }),
      'read',
    ]);
  });
});

describe('a server that stops', () => {
  test('silent after the request: every read times out, and none hangs', async () => {
    const use = using(
      async (client) => Promise.all([0, 1, 2].map((at) => client.read(at * 8192, Buffer.alloc(8192)).catch((error: unknown) => error))),
      IMPATIENCE_MS,
    );
    const late = typed('timeout', /did not answer within 300 ms/);
    expect(await outcome((victim) => shakeHands(victim), use)).toEqual([late, late, late]);
  });

  test('that answers others, but never the first: a time-out', async () => {
    const attack: Attack = async (victim) => {
      await shakeHands(victim);
      await nextRequest(victim);
      for (;;) {
        const { cookie, offset } = await nextRequest(victim);
        victim.socket.write(dataChunk(cookie, offset, Buffer.alloc(4096)));
      }
    };
    const use = using(async (client) => {
      const forgotten = client.read(0, Buffer.alloc(4096)).catch((error: unknown) => error);
      let isUsable = true;
      while (isUsable) {
        isUsable = await client.read(4096, Buffer.alloc(4096)).then(
          () => true,
          () => false,
        );
      }
      return await forgotten;
    }, IMPATIENCE_MS);
    expect(await outcome(attack, use)).toEqual(typed('timeout', /did not answer/));
  });

  test('cut after any number of bytes of its reply: disconnected, and the call after that too', async () => {
    const replies = (cookie: bigint): Buffer =>
      Buffer.concat([dataChunk(cookie, 4096, Buffer.alloc(4096, 'x'), false), holeChunk(cookie, 8192, 4096)]);
    const { length } = replies(1n);
    for (const bytes of [0, 1, 15, 16, 19, 20, 27, 28, 29, 2000, 4123, 4124, 4125, 4150, length - 1]) {
      const attack: Attack = async (victim) => {
        await shakeHands(victim);
        const { cookie } = await nextRequest(victim);
        victim.socket.end(replies(cookie).subarray(0, bytes));
      };
      const use = using(async (client) => [
        await client.read(4096, Buffer.alloc(8192)).catch((error: unknown) => error),
        await client.read(4096, Buffer.alloc(8192)).catch((error: unknown) => error),
      ]);
      const ended = expect.objectContaining({ name: 'NbdError', code: 'disconnected' });
      expect(await outcome(attack, use), `${bytes} bytes`).toEqual([ended, ended]);
    }
  });

  test('an abort while a reply is due: its reason, nothing is written into the memory afterwards, and others are disconnected', async () => {
    const controller = new AbortController();
    const into = Buffer.alloc(256 * KiB);
    const use = using(async (client) => {
      const other = client.read(512 * KiB, Buffer.alloc(4096)).catch((error: unknown) => error);
      const [aborted] = await Promise.allSettled([client.read(0, into, { signal: controller.signal })]);
      return [aborted, await other];
    });
    const attack: Attack = async (victim) => {
      await shakeHands(victim);
      const requests = [await nextRequest(victim), await nextRequest(victim)];
      const mine = requests.find(({ offset }) => offset === 0);
      if (mine === undefined) throw new Error('not sent');
      const reply = dataChunk(mine.cookie, 0, Buffer.alloc(256 * KiB, 'x'));
      victim.socket.write(reply.subarray(0, 128 * KiB));
      await expect.poll(() => into.subarray(0, 1000).toString(), PATIENTLY).toBe('x'.repeat(1000));
      controller.abort(new Error('enough'));
      into.fill('y');
      victim.socket.write(reply.subarray(128 * KiB));
    };
    expect(await outcome(attack, use)).toEqual([
      { status: 'rejected', reason: new Error('enough') },
      expect.objectContaining({ code: 'disconnected', message: expect.stringMatching(/abort of another call/) }),
    ]);
    expect(into.every((byte) => byte === 'y'.charCodeAt(0))).toBe(true);
  });

  test('an abort of a read that has not been sent disturbs nobody', async () => {
    const proceed = Promise.withResolvers<void>();
    const attack: Attack = async (victim) => {
      await shakeHands(victim);
      const { cookie, offset } = await nextRequest(victim);
      await proceed.promise;
      victim.socket.write(dataChunk(cookie, offset, Buffer.alloc(4096, 'x')));
    };
    const use = async (path: string): Promise<unknown> => {
      await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS, maxInFlight: 1 });
      const controller = new AbortController();
      const into = Buffer.alloc(4096);
      const first = client.read(0, into);
      const second = client.read(0, Buffer.alloc(4096), { signal: controller.signal });
      controller.abort(new Error('enough'));
      await expect(second).rejects.toThrow('enough');
      proceed.resolve();
      await first;
      return into.toString();
    };
    expect(await outcome(attack, use)).toBe('x'.repeat(4096));
  });

  test('no more requests are sent at once than was agreed on, however much is asked for', async () => {
    let sent = 0;
    const attack: Attack = async (victim) => {
      await shakeHands(victim, { size: 1 << 24 });
      const waiting: { readonly cookie: bigint; readonly offset: number; readonly length: number }[] = [];
      for (;;) {
        waiting.push(await nextRequest(victim));
        sent += 1;
        expect(waiting.length).toBeLessThanOrEqual(3);
        if (waiting.length < 3 && sent < 256) continue;
        const oldest = waiting.shift();
        if (oldest !== undefined) victim.socket.write(holeChunk(oldest.cookie, oldest.offset, oldest.length));
        if (sent === 256)
          for (const { cookie, offset, length } of waiting.splice(0)) victim.socket.write(holeChunk(cookie, offset, length));
      }
    };
    const use = async (path: string): Promise<unknown> => {
      const limits = { maxInFlight: 3, maxRequestBytes: 65_536 };
      await using client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS, ...limits });
      await client.read(0, Buffer.alloc(1 << 24));
      return sent;
    };
    expect(await outcome(attack, use)).toBe(256);
  });

  test('closing with a read under way rejects it, and ends', async () => {
    const use = async (path: string): Promise<unknown> => {
      const client = await connectNbd({ address: { path }, exportName: 'disk', timeoutMs: PATIENCE_MS });
      const read = client.read(0, Buffer.alloc(4096)).catch((error: unknown) => error);
      await client[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      return read;
    };
    expect(await outcome((victim) => shakeHands(victim), use)).toEqual(typed('disconnected', /closed/));
  });
});

test.each([
  ['before the beginning', -512, 512],
  ['beyond the end', 1 << 20, 512],
  ['a part of a block', 0, 100],
  ['from within a block', 100, 512],
  ['half a byte', 0.5, 512],
])('a read %s is refused before it is sent', async (_, offset, length) => {
  const attack: Attack = async (victim) => {
    await shakeHands(victim, { blockSizes: [512, 4096, 1 << 25] });
    await nextRequest(victim);
    expect.unreachable();
  };
  const use = using((client) => client.read(offset, Buffer.alloc(length)));
  expect(await outcome(attack, use)).toEqual(typed('invalid-argument', /outside|multiple/));
});

test('nobody listens: unreachable, with the address', async () => {
  await using scratch = await makeTemporaryDirectory();
  const address = { path: scratch.file('nobody') };
  const error = await connectNbd({ address, exportName: '', timeoutMs: PATIENCE_MS }).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(NbdError);
  expect(error).toEqual(typed('unreachable', new RegExp(`cannot connect to ${address.path}: .*ENOENT`)));
});
