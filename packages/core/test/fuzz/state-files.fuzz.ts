import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { readKeptHeader, readKeptText } from '../../src/exports/kept-text-file.ts';
import { moveOutcome } from '../../src/peer/move-ledger.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';
import type { StateDirectory } from '../../src/runs/state-directory.ts';
import { DISTRUST, KeptFile, MARKS } from '../../src/snapshots/kept-marks.ts';
import { assertRefused } from './refusal.ts';

const OWNER = { store: 's', instance: 'web1' };
const MOVE = 'ab'.repeat(16);

let state: Promise<StateDirectory> | undefined;

async function makeState(): Promise<StateDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const made = await openStateDirectory(path);
  for (const name of ['marks', 'moves']) await mkdir(join(path, name), { recursive: true });
  return made;
}

const time = '2026-11-23T08:15:00.000Z';
const process1 = { pid: 4_000_000, startTime: 1, bootId: 'b', host: 'node1', machine: 'm', pidNamespace: '' };
const text = 'gantry-frame-map 1\nend 0 0\n';
const kept = {
  format: 'gantry-kept-map',
  version: 1,
  lineage: 'l',
  readers: 'r',
  exportId: '20261122T081500Z',
  disk: 0,
  size: text.length,
};

/** What this machine remembers: of moves, of changes on disks, and frame maps. A crash or another version may have left anything there. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    JSON.stringify({
      moveId: MOVE,
      instance: 'web1',
      target: 'web2',
      node: 'node1',
      time,
      state: 'failed',
      receiver: process1,
      disks: [{ disk: 0, state: 'partial' }],
      reason: 'r',
    }),
    JSON.stringify({ moveId: MOVE, instance: 'web1', target: 'web2', node: 'node1', time, state: 'open', receiver: process1, disks: [] }),
    JSON.stringify({
      format: MARKS.format,
      version: 1,
      ...OWNER,
      disks: [{ index: 0, mark: { provider: 'qemu', name: 'n' }, map: '0'.repeat(64), partial: 1 }],
      stale: [],
    }),
    JSON.stringify({ format: DISTRUST.format, version: 1, ...OWNER, distrusted: [{ provider: 'qemu', since: time, reason: 'r' }] }),
    `${JSON.stringify({ ...kept, sha256: createHash('sha256').update(text).digest('hex') })}\n${text}`,
  ],
  words: ['gantry-marks', 'gantry-distrust', 'gantry-kept-map', 'open', 'failed', 'committed'],
  oneOf: 5,
  async run(input) {
    const directory = await (state ??= makeState());
    for (const kind of [MARKS, DISTRUST]) {
      const file = new KeptFile<object>(directory, OWNER, kind);
      await writeFile(file.path, input);
      await file.read();
    }
    const path = join(directory.path, 'kept');
    await writeFile(path, input);
    await readKeptHeader(path);
    await using source = await readKeptText(path, 'r');
    if (source !== undefined) for await (const _chunk of source);
    await writeFile(join(directory.path, 'moves', `${MOVE}.json`), input);
    try {
      await moveOutcome(MOVE, { stateDirectory: directory.path });
    } catch (error) {
      assertRefused(error, 'STATE_UNUSABLE', 'MOVE_NOT_COMMITTED', 'MOVE_NOT_FOUND', 'BUSY');
    }
  },
});

export default target;
