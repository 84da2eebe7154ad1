/*
 * A process for tests of recovery: takes snapshots, says where they are (JSON) and keeps them until it is killed, or its stdin ends. Arguments: state
 * directory, mode, configuration (JSON, or empty), paths or URIs of disks. GANTRY_TEST_SINCE has the marks to go on from (JSON),
 * GANTRY_TEST_GUEST where their guest is controlled (JSON), GANTRY_TEST_NEEDS_PATH is set if scripts would read them. What it says before they are taken comes from the commands.
 */
import type { GuestControl } from '../../src/instances/inventory.ts';
import type { ChangeMark } from '../../src/snapshots/provider.ts';
import type { SnapshotMode } from '../../src/snapshots/registry.ts';
import { SNAPSHOT_MODES } from '../../src/snapshots/registry.ts';
import { parseSnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import { takeSnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { openRun } from '../../src/runs/journal.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';

const [state, mode = '', config = '', ...disks] = process.argv.slice(2);
const since: readonly ChangeMark[] | undefined = JSON.parse(process.env['GANTRY_TEST_SINCE'] ?? 'null') ?? undefined;
const guest: GuestControl | undefined = JSON.parse(process.env['GANTRY_TEST_GUEST'] ?? 'null') ?? undefined;
const run = await openRun({ stateDirectory: await openStateDirectory(state), operation: 'export', instance: 'web1' });
const set = await takeSnapshotSet({
  mode: SNAPSHOT_MODES.find((known): known is SnapshotMode => known === mode) ?? 'auto',
  ...(config === '' ? {} : { config: parseSnapshotConfig(config, 'argument') }),
  guest,
  instanceName: 'web1',
  requests: disks.map((place, index) => ({
    index,
    disk: place.startsWith('/') ? { path: place, access: 'rw' } : { uri: place, access: 'rw' },
    instanceName: 'web1',
    needsPath: process.env['GANTRY_TEST_NEEDS_PATH'] !== undefined,
    track: since === undefined ? undefined : { since: since[index] },
  })),
  run,
  warn: console.error,
  signal: new AbortController().signal,
});
console.log(JSON.stringify(set.snapshots.map(({ path, nbd }) => path ?? nbd?.socket)));
for await (const _ of process.stdin);
await set[Symbol.asyncDispose]();
