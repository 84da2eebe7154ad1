import { chmod, copyFile, mkdir, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { rehearseExport } from '../../src/operations/rehearse.ts';
import type { ExportRequest } from '../../src/operations/export.ts';
import type { SnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import { parseSnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import type { FaultPoint, ScriptFault } from './faults.ts';
import { MEMORY } from './memory-place.ts';
import type { Operation, Parts } from './operations.ts';
import { exportNow } from './operations.ts';
import type { Medium } from './place.ts';
import type { World } from './world.ts';

/*
 * What operations make outside of stores, and must not leave there: scratch disks, and snapshots by commands, which fail in their own ways.
 */

/** With faults of their stores. */
export const LOCAL_OPERATIONS: readonly Operation[] = [
  {
    name: 'rehearse',
    left: ({ bench }) => readdir(bench.directory.file('scratch')),
    run: (parts) => rehearse(parts, parts.references[3]),
  },
  {
    name: 'rehearse of a sealed export of several disks',
    disks: 3,
    left: ({ bench }) => readdir(bench.directory.file('scratch')),
    run: (parts) => rehearse(parts, parts.references[2]),
  },
  { name: 'export from snapshots', left: snapshotsLeft, run: exportFromSnapshots },
  {
    name: 'incremental export from snapshots of several disks',
    disks: 3,
    left: snapshotsLeft,
    run: (parts) => exportFromSnapshots(parts, { incremental: true }),
  },
];

/** Restores into scratch disks, and removes these. */
async function rehearse({ world: { bench }, store, stateDirectory, signal }: Parts, reference: string): Promise<void> {
  const directory = bench.directory.file('scratch');
  await mkdir(directory, { recursive: true });
  await rehearseExport({ store, export: reference, directory, stateDirectory, remember: true, signal });
}

/** What a command does before its work, or after it. */
const FAULTS: Readonly<Partial<Record<ScriptFault, string>>> = {
  'script fails': 'exit 3',
  'script is killed': 'kill -KILL $$',
  'script is terminated': 'kill -TERM $$',
  'script never ends': 'exec "$own/sleep" 600',
  'script closes its data and lives on': 'exec </dev/null >/dev/null 2>&1; exec "$own/sleep" 600',
  'script fails and leaves a process': '"$own/sleep" 600 & exit 3',
  'script says much and fails': "head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1",
};
/** One that does not end is ended after this time; others have as long as they want. Seconds. */
const TIMEOUT_S = 3;
const NEVER_END: ReadonlySet<string> = new Set<ScriptFault>(['script never ends', 'script closes its data and lives on']);

/** Calls are commands, in the order in which an export runs them; byte 0 is before the work of one, and byte 1 after it. */
function stepsOf(disks: number): readonly string[] {
  const each = (verb: string): readonly string[] => Array.from({ length: disks }, (_, index) => `${verb}-${index}`);
  return ['freeze', ...each('create'), 'thaw', ...each('remove')];
}

function pointsOf(disks: number): readonly FaultPoint[] {
  const kinds = Object.keys(FAULTS).filter(isFault);
  return stepsOf(disks).flatMap((_, index) => kinds.flatMap((kind) => [0, 1].map((byte) => ({ call: index + 1, kind, byte }))));
}

function isFault(kind: string): kind is ScriptFault {
  return kind in FAULTS;
}

/** Stores in memory without any fault of theirs: what fails are the commands that make and remove snapshots, freeze and thaw. */
export const SNAPSHOTS: Medium = { ...MEMORY, name: 'snapshots' };

export const SNAPSHOT_OPERATIONS: readonly Operation[] = [
  { name: 'export', points: pointsOf(1), left: snapshotsLeft, run: (parts) => exportFromSnapshots(parts) },
  { name: 'export of several disks', disks: 3, points: pointsOf(3), left: snapshotsLeft, run: (parts) => exportFromSnapshots(parts) },
];

const COMMAND = `#!/bin/sh
own=$(dirname "$0")
step=$1
now() { if [ -e "$own/$step.$1" ]; then . "$own/$step.$1"; fi; }
now 0
case $step in
  freeze) : >"$own/frozen" ;;
  thaw) rm -f "$own/frozen" ;;
  create-*) cp "$2" "$3" ;;
  remove-*) rm -f "$3" ;;
esac
now 1
`;

async function exportFromSnapshots(parts: Parts, request: Partial<ExportRequest> = {}): Promise<void> {
  const { world, faults } = parts;
  const own = ownOf(world);
  await rm(own, { recursive: true, force: true });
  await mkdir(own);
  await writeFile(`${own}/command`, COMMAND);
  await chmod(`${own}/command`, 0o700);
  await copyFile('/bin/sleep', `${own}/sleep`);
  const { call = 0, kind = '', byte = 0 } = faults.point ?? {};
  const step = stepsOf(world.now.length)[call - 1];
  // Only once: who tries the command again later succeeds.
  const fault = isFault(kind) ? `rm "$own/$step.${byte}"; : >"$own/reached"; ${FAULTS[kind]}\n` : undefined;
  if (fault !== undefined) await writeFile(`${own}/${step}.${byte}`, fault);
  try {
    await exportNow(parts, { snapshot: 'command', snapshotConfig: configOf(own, NEVER_END.has(kind)), ...request });
    expect(fault === undefined || step === 'thaw' || step?.startsWith('remove') === true, 'the export may succeed').toBe(true);
  } finally {
    if ((await readdir(own)).includes('reached')) faults.reached(`${step}, ${byte === 0 ? 'before' : 'after'} its work`);
    expect(await processesOf(`${own}/sleep`), 'processes of the commands').toEqual([]);
  }
}

function configOf(own: string, isImpatient: boolean): SnapshotConfig {
  const [command, copy] = [`${own}/command`, `${own}/{index}.snap`];
  const timeouts = isImpatient ? { create: TIMEOUT_S, remove: TIMEOUT_S, freeze: TIMEOUT_S, thaw: TIMEOUT_S } : {};
  const config = {
    create: [command, 'create-{index}', '{path}', copy],
    remove: [command, 'remove-{index}', '{path}', copy],
    device: copy,
    freeze: [command, 'freeze'],
    thaw: [command, 'thaw'],
    timeouts,
  };
  return parseSnapshotConfig(JSON.stringify(config), 'the configuration');
}

function ownOf({ bench }: World): string {
  return bench.directory.file('snapshots');
}

/** Snapshots, and a guest that is still frozen. */
async function snapshotsLeft(world: World): Promise<readonly string[]> {
  return (await readdir(ownOf(world))).filter((name) => name === 'frozen' || name.endsWith('.snap'));
}

/** The processes that run a program. */
async function processesOf(program: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    if ((await readlink(`/proc/${pid}/exe`).catch(() => '')) === program) found.push(pid);
  return found;
}
