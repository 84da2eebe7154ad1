import type { FuzzTarget } from '@gantry/testkit';
import type { Control } from '../../src/peer/messages.ts';
import { knownCode, parseControl } from '../../src/peer/messages.ts';
import { sha256 } from '../sample-export.ts';
import { recordTarget } from './records.ts';

const messages: readonly Control[] = [
  {
    kind: 'order',
    moveId: 'ab'.repeat(16),
    instance: 'web1.example.com',
    node: 'node1',
    os: 'raw',
    instanceFile: '/etc/gantry/web1.yaml',
    disks: [{ disk: 0, size: 64, plainBytes: 1 }],
    rename: false,
    define: { source: 'libvirt:', start: true, newIdentity: false },
    allowOtherOs: false,
    forceVariant: false,
    forceInUse: false,
    dryRun: false,
    debug: false,
    peerTimeout: 60,
    live: { blockBytes: 65_536, compare: true },
  },
  { kind: 'ready', instance: 'web1', node: 'node2', window: 100, disks: [{ disk: 0, target: '/dev/x', targetBytes: 5, holds: 'ext4' }] },
  { kind: 'end', disk: 0, frames: 1, plainBytes: 2, storedBytes: 3, sha256: sha256('x'), contents: sha256('y') },
  { kind: 'event', script: 'import', stream: 'stderr', disk: 1, text: 'hello' },
  { kind: 'native', file: 0, data: 'aGVsbG8=' },
  { kind: 'described', files: [{ name: 'domain.xml', secret: false, size: 3 }] },
  {
    kind: 'fail',
    stage: 'check',
    code: 'DISK_IO',
    message: 'no',
    hint: 'yes',
    disk: 0,
    details: ['a'],
    states: [{ disk: 0, state: 'partial' }],
  },
  { kind: 'round', isLast: true },
  { kind: 'started', problem: 'no memory' },
  { kind: 'commit' },
];

/** What the other side of a move says. */
const target: FuzzTarget = recordTarget({
  seeds: () => messages.map((message) => JSON.stringify(message)),
  words: messages.map(({ kind }) => kind),
  parse: parseControl,
  use(message) {
    if (message.kind === 'fail') knownCode(message.code);
    const text = JSON.stringify(message);
    // Of the two zeros of JSON, only one is written.
    if (JSON.stringify(parseControl(text)) !== text) throw new Error('it changed on its round trip');
  },
});

export default target;
