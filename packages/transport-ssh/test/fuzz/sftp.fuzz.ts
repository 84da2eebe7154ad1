import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { PacketSplitter } from '../../src/sftp/packet-splitter.ts';
import { PACKET, STATUS } from '../../src/sftp/protocol.ts';
import { readReply } from '../../src/sftp/reply.ts';
import { SftpStatusError } from '../../src/sftp/status-error.ts';
import { encodePacket, SftpProtocolError, WireReader } from '../../src/sftp/wire.ts';

const MODE = 0o100644;

/** What was understood of a stream, as text. */
function read(input: Uint8Array, chunk: number): readonly string[] {
  const seen: string[] = [];
  const splitter = new PacketSplitter({
    packet(type, bytes) {
      const fields = new WireReader(bytes);
      if (type !== PACKET.version) seen.push(`${fields.uint32()}`);
      const reply = readReply(type, fields);
      seen.push(reply instanceof SftpStatusError ? reply.message : JSON.stringify(reply));
    },
    dataTarget: (id, length) => (length > 100 ? undefined : Buffer.alloc(id % 2 === 0 ? length : 100)),
    dataEnd: (id, length) => seen.push(`data ${id} ${length}`),
  });
  try {
    for (let at = 0; at < input.length; at += chunk) splitter.push(input.subarray(at, at + chunk));
  } catch (error) {
    assertRefusal(error, (each) => each instanceof SftpProtocolError);
    seen.push('refused');
  }
  return seen;
}

/** The packets that a server of SFTP sends: the same in every division into chunks. */
const target: FuzzTarget = {
  seeds: () => [
    Buffer.concat([
      encodePacket(PACKET.status, [1, STATUS.ok, 'fine', 'en']),
      encodePacket(PACKET.status, [2, STATUS.permissionDenied, 'no\u001B[2J', 'en']),
      encodePacket(PACKET.handle, [3, 'handle']),
      encodePacket(PACKET.attributes, [4, 0x8000000f, 12n, 1, 2, MODE, 5, 6, 1, 'name', 'value']),
      encodePacket(PACKET.name, [5, 1, 'file', '-rw file', 4, MODE]),
      encodePacket(PACKET.data, [6, 'hello']),
      encodePacket(PACKET.extendedReply, [7, 1n, 2n]),
    ]),
    Buffer.from('Welcome to this host\n'),
  ],
  maxBytes: 2048,
  run(input) {
    const [whole, pieces] = [read(input, Math.max(1, input.length)), read(input, 5)];
    if (whole.join('\n') !== pieces.join('\n')) throw new Error('it depends on how it is divided');
  },
};

export default target;
