import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PacketSplitter } from './packet-splitter.ts';
import { PACKET } from './protocol.ts';
import { readReply } from './reply.ts';
import { SftpProtocolError, WireReader, encodePacket } from './wire.ts';

/** The output: packets by type and fields, data by id and content. */
interface Taken {
  readonly splitter: PacketSplitter;
  readonly packets: unknown[];
}

function take(): Taken {
  const packets: unknown[] = [];
  const targets = new Map<number, Buffer>();
  const splitter = new PacketSplitter({
    packet: (type, fields) => packets.push([type, fields.toString('hex')]),
    dataTarget: (id, length) => {
      const target = Buffer.alloc(length);
      targets.set(id, target);
      return target;
    },
    dataEnd: (id) => packets.push([PACKET.data, id, targets.get(id)?.toString('hex')]),
  });
  return { splitter, packets };
}

const bytes = fc.uint8Array({ maxLength: 3000 }).map((array) => Buffer.from(array));
const otherType = fc.integer({ min: 0, max: 255 }).filter((type) => type !== PACKET.data);
const packet = fc.oneof(
  fc.record({ type: otherType, content: bytes }),
  fc.record({ type: fc.constant(PACKET.data), id: fc.integer({ min: 0, max: 0xffffffff }), content: bytes }),
);

test('packets are complete, for any division of the stream into chunks', () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (sent, chunkSizes) => {
      const stream = Buffer.concat(
        sent.map((each) => ('id' in each ? encodePacket(each.type, [each.id, each.content]) : encodePacket(each.type, [each.content]))),
      );
      const { splitter, packets } = take();
      for (let at = 0, turn = 0; at < stream.length; turn += 1) {
        const size = chunkSizes[turn % chunkSizes.length] ?? 1;
        splitter.push(stream.subarray(at, at + size));
        at += size;
      }
      const expected = sent.map((each) =>
        'id' in each
          ? [each.type, each.id, each.content.toString('hex')]
          : [each.type, encodePacket(0, [each.content]).subarray(5).toString('hex')],
      );
      expect(packets).toEqual(expected);
    }),
  );
});

test('anything other than SFTP is refused, and shown', () => {
  expect(() => take().splitter.push(Buffer.from('Welcome!'))).toThrow(/does not speak SFTP: it sent "Welco"/);
  expect(() => take().splitter.push(Buffer.from('0000000065', 'hex'))).toThrow(SftpProtocolError);
});

test('data of the wrong length is refused', () => {
  const wrong = encodePacket(PACKET.data, [1, Buffer.from('abc')]);
  wrong.writeUInt32BE(2, 9);
  expect(() => take().splitter.push(wrong)).toThrow(/wrong length/);
});

test('any answer is parsed or refused with SftpProtocolError, and no size is trusted', () => {
  const types = fc.constantFrom(PACKET.status, PACKET.handle, PACKET.name, PACKET.attributes, PACKET.extendedReply, 77);
  fc.assert(
    fc.property(types, bytes, (type, fields) => {
      try {
        readReply(type, new WireReader(fields));
      } catch (error) {
        expect(error).toBeInstanceOf(SftpProtocolError);
      }
    }),
  );
});
