import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { NbdError } from '../../src/errors.ts';
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
} from '../../src/wire/messages.ts';
import {
  decodeContext,
  decodeContextQueries,
  decodeInfo,
  decodeInfoRequest,
  decodeListedExport,
  decodeOptionHeader,
  decodeOptionReplyHeader,
  encodeBlockSizes,
  encodeContext,
  encodeContextQueries,
  encodeExportInfo,
  encodeInfoRequest,
  encodeListedExport,
  encodeOption,
  encodeOptionReply,
} from '../../src/wire/options.ts';

const decoders: readonly ((bytes: Buffer) => void)[] = [
  (bytes) => checkSame(decodeListedExport(bytes), (value) => decodeListedExport(encodeListedExport(value))),
  (bytes) => checkSame(decodeContext(bytes), ({ id, name }) => decodeContext(encodeContext(id, name))),
  (bytes) => checkSame(decodeInfoRequest(bytes), ({ name, wanted }) => decodeInfoRequest(encodeInfoRequest(name, wanted))),
  (bytes) => checkSame(decodeContextQueries(bytes), ({ name, queries }) => decodeContextQueries(encodeContextQueries(name, queries))),
  (bytes) => void decodeInfo(bytes),
  (bytes) => checkSame(decodeStatus(bytes, 0), ({ context, extents }) => decodeStatus(encodeStatus(context, extents), 0)),
  (bytes) => void decodeError(0x8001, bytes),
  (bytes) => void decodeError(0x8002, bytes),
  // What follows has a size that was read as a whole.
  (bytes) => bytes.length >= 28 && void decodeRequest(bytes),
  (bytes) => bytes.length >= 16 && void decodeReply(bytes),
  (bytes) => bytes.length >= 16 && void decodeOptionHeader(bytes),
  (bytes) => bytes.length >= 20 && void decodeOptionReplyHeader(bytes),
];

function checkSame<T>(value: T, again: (value: T) => T): void {
  if (!isDeepStrictEqual(again(value), value)) throw new Error('it changed on its round trip');
}

/** The messages of both sides of NBD. */
const target: FuzzTarget = {
  seeds: () => [
    encodeListedExport({ name: 'disk0', description: 'a disk' }),
    encodeContext(7, 'base:allocation'),
    encodeInfoRequest('disk0', [0, 3]),
    encodeContextQueries('disk0', ['base:allocation', 'qemu:']),
    encodeExportInfo({ size: 1 << 20, flags: 3 }),
    encodeBlockSizes({ minimum: 1, preferred: 4096, maximum: 1 << 25 }),
    encodeStatus(7, [
      { offset: 0, length: 4096, flags: 3 },
      { offset: 4096, length: 512, flags: 0 },
    ]),
    encodeError({ errno: 5, message: 'no' }),
    encodeRequest({ flags: 0, command: 0, cookie: 1n, offset: 512, length: 4096 }),
    encodeSimpleReply({ errno: 0, cookie: 1n }),
    encodeChunkHeader({ done: true, chunk: 1, cookie: 1n, length: 9 }),
    encodeOption(7, Buffer.from('x')),
    encodeOptionReply(7, 3, Buffer.from('x')),
  ],
  maxBytes: 512,
  run(input) {
    for (const decode of decoders) {
      try {
        decode(Buffer.from(input));
      } catch (error) {
        assertRefusal(error, (each) => each instanceof NbdError);
      }
    }
  },
};

export default target;
