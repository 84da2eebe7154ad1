import { PassThrough } from 'node:stream';
import type { SshChannel, SshEngine } from '../src/engine/channel.ts';
import { PACKET, STATUS } from '../src/sftp/protocol.ts';
import type { WireField } from '../src/sftp/wire.ts';
import { WireReader, encodePacket } from '../src/sftp/wire.ts';

/** A request: its type, its id, and its fields. */
export interface PlayedRequest {
  readonly type: number;
  readonly id: number;
  readonly fields: WireReader;
}

/** The type and fields of an answer, without its id; undefined for none. */
export type PlayedAnswer = readonly [type: number, ...fields: WireField[]] | undefined;

const DIRECTORY_MODE = 0o040700;
const HAS_PERMISSIONS = 4;

/** The attributes of every path: a directory. */
export const DIRECTORY_FIELDS: readonly WireField[] = [HAS_PERMISSIONS, DIRECTORY_MODE];

/**
 * A fake SFTP server that misbehaves as no real one can be made to. Requests that `play` answers with 'usual' get the answers of a server
 * with only directories.
 */
export function playedServer(play: (request: PlayedRequest) => PlayedAnswer | 'usual'): SshEngine {
  return { name: 'openssh', openChannel: async () => playedChannel(play), [Symbol.asyncDispose]: async () => undefined };
}

function playedChannel(play: (request: PlayedRequest) => PlayedAnswer | 'usual'): SshChannel {
  const [input, output] = [new PassThrough(), new PassThrough({ highWaterMark: 64 * 1024 })];
  const ended = Promise.withResolvers<{ exitCode: number; error: undefined; stderr: string }>();
  let received = Buffer.alloc(0);
  input.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4 && received.length >= 4 + received.readUInt32BE(0)) {
      const end = 4 + received.readUInt32BE(0);
      const answer = answerTo(new WireReader(received.subarray(5, end)), received.readUInt8(4), play);
      received = received.subarray(end);
      if (answer !== undefined) output.write(answer);
    }
  });
  return {
    input,
    output,
    release: () => undefined,
    ended: ended.promise,
    [Symbol.asyncDispose]: async () => {
      output.end();
      ended.resolve({ exitCode: 0, error: undefined, stderr: '' });
    },
  };
}

function answerTo(fields: WireReader, type: number, play: (request: PlayedRequest) => PlayedAnswer | 'usual'): Buffer | undefined {
  const id = fields.uint32();
  if (type === PACKET.init) return encodePacket(PACKET.version, [3]);
  const played = play({ type, id, fields });
  const answer = played === 'usual' ? usualAnswer(type) : played;
  if (answer === undefined) return undefined;
  const [answerType, ...rest] = answer;
  return encodePacket(answerType, [id, ...rest]);
}

function usualAnswer(type: number): PlayedAnswer {
  switch (type) {
    case PACKET.realpath:
      return [PACKET.name, 1, '/', '/', 0];
    case PACKET.stat:
    case PACKET.lstat:
    case PACKET.fstat:
      return [PACKET.attributes, ...DIRECTORY_FIELDS];
    case PACKET.open:
    case PACKET.opendir:
      return [PACKET.handle, 'handle'];
    case PACKET.readdir:
      return [PACKET.status, STATUS.endOfFile, '', ''];
    default:
      return [PACKET.status, STATUS.ok, '', ''];
  }
}
