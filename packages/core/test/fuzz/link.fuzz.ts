import type { FuzzTarget } from '@gantry/testkit';
import type { PeerChannel } from '@gantry/transport';
import { GREETING } from '../../src/peer/greeting.ts';
import { Link } from '../../src/peer/link.ts';
import type { Control } from '../../src/peer/messages.ts';
import { header, WireProblem } from '../../src/peer/wire.ts';
import { sha256 } from '../sample-export.ts';
import { assertRefused } from './refusal.ts';

const SIGNAL = new AbortController().signal;

/** A peer that says what the input says, takes everything, and ends. */
function channelOf(input: Uint8Array): PeerChannel {
  return {
    address: 'ssh://peer',
    input: (async function* () {
      for (let at = 0; at < input.length; at += 50) yield input.subarray(at, at + 50);
    })(),
    write: async () => undefined,
    ended: Promise.resolve({ exitCode: 1, error: undefined, text: Buffer.from(input.subarray(0, 200)).toString('latin1') }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function message(control: Control): Buffer {
  const body = Buffer.from(JSON.stringify(control));
  return Buffer.concat([header('control', 0, body.length), body]);
}

/** One side of a move, whose other side says what it likes: it ends with the reason, which can be shown. */
const target: FuzzTarget = {
  seeds: () => [
    Buffer.concat([
      Buffer.from(GREETING),
      message({ kind: 'ready', instance: 'web1', node: 'node2', window: 100, disks: [{ disk: 0, target: '/dev/x', holds: 'ext4' }] }),
      header('alive', 0, 0),
      message({ kind: 'event', script: 'import', stream: 'stderr', text: 'hello' }),
      message({ kind: 'taken', disk: 0, frames: 1, plainBytes: 2, storedBytes: 3, sha256: sha256('x') }),
      message({ kind: 'committed' }),
    ]),
    Buffer.concat([
      Buffer.from(GREETING),
      message({
        kind: 'fail',
        stage: 'check',
        code: 'DISK_IO',
        message: 'no',
        hint: 'yes',
        details: ['a'],
        states: [{ disk: 0, state: 'partial' }],
      }),
    ]),
    Buffer.from('bash: gantry: command not found\n'),
  ],
  words: ['"kind":"ready"', '"kind":"fail"', '"code":"BUSY"', 'gantry-pipe 2 0.1.0\n'],
  async run(input) {
    const listener = {
      data: (disk: number) => {
        if (disk > 3) throw new WireProblem('it sent data of a disk that was not asked for');
      },
      credit: () => undefined,
      control: ({ kind }: Control) => kind === 'event',
      waits: () => true,
      where: () => [],
    };
    using link = new Link(channelOf(input), { peer: 'ssh://peer', listener, peerTimeoutMs: 60_000 });
    try {
      await link.expect('ready', SIGNAL);
      await link.expect('taken', SIGNAL);
      await link.expect('committed', SIGNAL);
    } catch (error) {
      assertRefused(error, ...PEER_CODES);
    }
  },
};

/** What the peer may give as its reason, too. */
const PEER_CODES = [
  'PEER_NO_GANTRY',
  'PEER_VERSION',
  'PEER_PROTOCOL',
  'PEER_REFUSED',
  'PEER_LOST',
  'PEER_FAILED',
  'PEER_UNAVAILABLE',
  'DISK_IO',
  'BUSY',
] as const;

export default target;
