import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { NbdError } from '../errors.ts';
import {
  decodeError,
  decodeReply,
  decodeRequest,
  decodeStatus,
  encodeChunkHeader,
  encodeError,
  encodeRequest,
  encodeSimpleReply,
  encodeStatus,
} from './messages.ts';
import {
  decodeContext,
  decodeContextQueries,
  decodeExportSize,
  decodeInfo,
  decodeInfoRequest,
  decodeListedExport,
  decodeOptionHeader,
  decodeOptionReplyHeader,
  encodeBlockSizes,
  encodeContext,
  encodeContextQueries,
  encodeDescription,
  encodeExportInfo,
  encodeInfoRequest,
  encodeListedExport,
  encodeOption,
  encodeOptionReply,
} from './options.ts';
import { CHUNK } from './protocol.ts';
import { decodeMessage, encodeText } from './text.ts';

const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const text = fc.string({ unit: 'grapheme', maxLength: 200 }).filter((name) => !name.includes('\0') && Buffer.byteLength(name) <= 4096);
const size = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const cookie = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('what is encoded decodes to the same', () => {
  const roundTrips: readonly [string, fc.IRawProperty<unknown>][] = [
    [
      'option',
      fc.property(uint(32), fc.uint8Array({ maxLength: 50 }), (option, data) => {
        const bytes = encodeOption(option, data);
        expect(decodeOptionHeader(bytes)).toEqual({ option, length: data.length });
        expect([...bytes.subarray(16)]).toEqual([...data]);
      }),
    ],
    [
      'option reply',
      fc.property(uint(32), uint(32), fc.uint8Array({ maxLength: 50 }), (option, type, data) => {
        expect(decodeOptionReplyHeader(encodeOptionReply(option, type, data))).toEqual({ option, type, length: data.length });
      }),
    ],
    [
      'request for information',
      fc.property(text, fc.array(uint(16)), (name, wanted) => {
        expect(decodeInfoRequest(encodeInfoRequest(name, wanted))).toEqual({ name, wanted });
      }),
    ],
    [
      'queries for contexts',
      fc.property(text, fc.array(text), (name, queries) => {
        expect(decodeContextQueries(encodeContextQueries(name, queries))).toEqual({ name, queries });
      }),
    ],
    [
      'context',
      fc.property(uint(32), text, (id, name) => {
        expect(decodeContext(encodeContext(id, name))).toEqual({ id, name });
      }),
    ],
    [
      'listed export',
      fc.property(text, text, (name, description) => {
        expect(decodeListedExport(encodeListedExport({ name, description }))).toEqual({ name, description });
      }),
    ],
    [
      'size',
      fc.property(size, uint(16), (size, flags) => {
        expect(decodeInfo(encodeExportInfo({ size, flags }))).toEqual({ type: 'export', export: { size, flags } });
      }),
    ],
    [
      'block sizes',
      fc.property(uint(32), uint(32), uint(32), (minimum, preferred, maximum) => {
        const blockSizes = { minimum, preferred, maximum };
        expect(decodeInfo(encodeBlockSizes(blockSizes))).toEqual({ type: 'block-size', blockSizes });
      }),
    ],
    [
      'description',
      fc.property(text, (description) => {
        expect(decodeInfo(encodeDescription(description))).toEqual({ type: 'description', description });
      }),
    ],
    [
      'request',
      fc.property(uint(16), uint(16), cookie, size, uint(32), (flags, command, cookie, offset, length) => {
        const request = { flags, command, cookie, offset, length };
        expect(decodeRequest(encodeRequest(request))).toEqual(request);
      }),
    ],
    [
      'replies',
      fc.property(uint(32), cookie, fc.boolean(), uint(16), (errno, cookie, done, chunk) => {
        expect(decodeReply(encodeSimpleReply({ errno, cookie }))).toEqual({ type: 'simple', errno, cookie });
        expect(decodeReply(encodeChunkHeader({ done, chunk, cookie, length: 1 }))).toEqual({ type: 'chunk', done, chunk, cookie });
      }),
    ],
    [
      'block status',
      fc.property(
        uint(32),
        uint(40),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 32 - 1 }), uint(32)), { minLength: 1 }),
        (context, offset, parts) => {
          let next = offset;
          const extents = parts.map(([length, flags]) => {
            next += length;
            return { offset: next - length, length, flags };
          });
          expect(decodeStatus(encodeStatus(context, extents), offset)).toEqual({ context, extents });
        },
      ),
    ],
    [
      'error',
      fc.property(fc.integer({ min: 1, max: 2 ** 32 - 1 }), fc.string({ unit: 'grapheme-ascii', maxLength: 100 }), (errno, message) => {
        expect(decodeError(CHUNK.ERROR, encodeError({ errno, message }))).toEqual({ errno, message: message.trim() });
      }),
    ],
  ];
  test.each(roundTrips)('%s', async (_, property) => {
    await fc.assert(property);
  });
});

test('decoders return a value or a typed error for all bytes', () => {
  const decoders = [
    decodeOptionHeader,
    decodeOptionReplyHeader,
    decodeInfoRequest,
    decodeContextQueries,
    decodeContext,
    decodeListedExport,
    decodeInfo,
    decodeExportSize,
    decodeRequest,
    decodeReply,
    (bytes: Buffer) => decodeStatus(bytes, 0),
    (bytes: Buffer) => decodeError(CHUNK.ERROR, bytes),
    (bytes: Buffer) => decodeError(CHUNK.ERROR_OFFSET, bytes),
  ];
  fc.assert(
    // Headers are always given as many bytes as they have.
    fc.property(fc.uint8Array({ minLength: 28, maxLength: 200 }), fc.constantFrom(...decoders), (bytes, decode) => {
      try {
        decode(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError);
      }
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), fc.constantFrom(...decoders.slice(2, 8), ...decoders.slice(10)), (bytes, decode) => {
      try {
        decode(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError);
      }
    }),
    { numRuns: 2000 },
  );
});

test.each(['a\0b', 'x'.repeat(4097), '\uD800'])('the name %j is refused before it is sent', (name) => {
  expect(() => encodeText(name, 'the name of an export')).toThrow(NbdError);
});

test('what a server writes for humans cannot steer a terminal', () => {
  expect(decodeMessage(Buffer.from('no\u001B[2J such\r\n \u202Edisk\0'))).toBe('no [2J such   disk');
});
