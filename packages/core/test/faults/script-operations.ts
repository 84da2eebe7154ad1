import { access, rm, writeFile } from 'node:fs/promises';
import { processesWithVariable } from '@gantry/testkit';
import { expect } from 'vitest';
import type { ExportRequest } from '../../src/operations/export.ts';
import type { GantryEvent } from '../../src/report/events.ts';
import { DISK_BYTES } from '../operation-bench.ts';
import type { FaultPoint, ScriptFault } from './faults.ts';
import { MEMORY } from './memory-place.ts';
import { moveAway } from './move-operation.ts';
import type { Operation, Parts } from './operations.ts';
import { exportNow, importAway, targetPaths } from './operations.ts';
import type { Medium } from './place.ts';
import { pathsOf } from './world.ts';

/*
 * Scripts that fail in every way at every byte. Beside its disk, a script finds what goes wrong: a file with the suffix `.fault`.
 */

export const FAULTY_SCRIPTS = {
  export: 'if [ -e "$EXPORT_DEVICE.fault" ]; then . "$EXPORT_DEVICE.fault"; fi; cat "$EXPORT_DEVICE"',
  import: 'if [ -e "$IMPORT_DEVICE.fault" ]; then . "$IMPORT_DEVICE.fault"; fi; cat >"$IMPORT_DEVICE"',
};

/** What a script says when it never ends: then the operation is cancelled. */
const STUCK = 'stuck for ever';

/** What a script does after some bytes. */
const FAULTS: Readonly<Record<ScriptFault, string>> = {
  'script fails': 'exit 3',
  'script is killed': 'kill -KILL $$',
  'script is terminated': 'kill -TERM $$',
  'script never ends': `echo ${STUCK} >&2; exec sleep 600`,
  'script closes its data and lives on': `exec </dev/null >/dev/null; echo ${STUCK} >&2; exec sleep 600`,
  'script fails and leaves a process': 'sleep 600 & exit 3',
  'script says much and fails': "head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1",
  'script succeeds early': 'exit 0',
};

const EXPORT_KINDS: readonly ScriptFault[] = [
  'script fails',
  'script is killed',
  'script is terminated',
  'script never ends',
  'script closes its data and lives on',
  'script fails and leaves a process',
  'script says much and fails',
];
/** An export ends where its script says that it does; an import script may leave a last bit alone. */
const IMPORT_KINDS: readonly ScriptFault[] = [...EXPORT_KINDS, 'script succeeds early'];

const PLACES: readonly number[] = [1, DISK_BYTES - 1, ...Array.from({ length: 17 }, (_, index) => (index * DISK_BYTES) / 16)];

function pointsOf(kinds: readonly ScriptFault[]): readonly FaultPoint[] {
  return kinds.flatMap((kind) => PLACES.map((byte) => ({ call: 1, kind, byte })));
}

const [EXPORT, IMPORT] = [{ points: pointsOf(EXPORT_KINDS) }, { points: pointsOf(IMPORT_KINDS) }];

/** Stores in memory without any fault of theirs: what fails are scripts. */
export const SCRIPTS: Medium = { ...MEMORY, name: 'scripts' };

export const SCRIPT_OPERATIONS: readonly Operation[] = [
  { ...EXPORT, name: 'export', run: (parts) => faultyExport(parts) },
  { ...EXPORT, name: 'incremental export', run: (parts) => faultyExport(parts, { incremental: true }) },
  { ...EXPORT, name: 'sealed export', run: (parts) => faultyExport(parts, { incremental: true, recipients: parts.world.recipients }) },
  { ...EXPORT, name: 'export into two stores', run: (parts) => faultyExport(parts, { alsoInto: [parts.other] }) },
  { ...EXPORT, name: 'export of several disks', disks: 3, run: (parts) => faultyExport(parts, { incremental: true }) },
  { ...IMPORT, name: 'import', run: (parts) => faultyImport(parts) },
  { ...IMPORT, name: 'import of several disks', disks: 3, run: (parts) => faultyImport(parts) },
  {
    ...EXPORT,
    name: 'move from a faulty script',
    run: (parts) => withFaultAt(parts, firstDisk(parts), 'EXPORT', (onEvent) => moveAway(parts, { onEvent })),
  },
  {
    ...IMPORT,
    name: 'move to a faulty script',
    run: (parts) =>
      withFaultAt(parts, firstTarget(parts), 'IMPORT', (onEvent) => moveAway(parts, { onEvent, mayDiffer: mayDiffer(parts) })),
  },
];

function firstDisk({ world }: Parts): string {
  return pathsOf(world.bench)[0] ?? '';
}

function firstTarget(parts: Parts): string {
  return targetPaths(parts)[0] ?? '';
}

/** The script says that it has done its work, and has not, but has taken more than it left: that counts as success, as under Ganeti. */
function mayDiffer({ faults: { point } }: Parts): boolean {
  return point?.kind === 'script succeeds early' && (point.byte ?? 0) > DISK_BYTES / 2;
}

function faultyExport(parts: Parts, request: Partial<ExportRequest> = {}): Promise<unknown> {
  return withFaultAt(parts, firstDisk(parts), 'EXPORT', (onEvent) => exportNow(parts, { ...request, onEvent }));
}

function faultyImport(parts: Parts): Promise<unknown> {
  return withFaultAt(parts, firstTarget(parts), 'IMPORT', (onEvent) =>
    importAway(parts, parts.references[3], { onEvent }, { mayDiffer: mayDiffer(parts) }),
  );
}

/** Makes the script of a disk fail, and looks for what it leaves. */
async function withFaultAt(
  parts: Parts,
  path: string,
  script: 'EXPORT' | 'IMPORT',
  work: (onEvent: (event: GantryEvent) => void) => Promise<unknown>,
): Promise<void> {
  const { point } = parts.faults;
  const [file, reached] = [`${path}.fault`, `${path}.reached`];
  for (const each of [file, reached]) await rm(each, { force: true });
  if (point !== undefined) await writeFile(file, faultText(point, script));
  try {
    await work((event) => {
      if (event.type === 'message' && event.line.includes(STUCK)) parts.faults.cancel();
    });
    expect(point === undefined || mayDiffer(parts), 'the operation may succeed').toBe(true);
  } finally {
    await rm(file, { force: true });
    const isReached = await access(reached).then(
      () => true,
      () => false,
    );
    if (isReached) parts.faults.reached(`byte ${point?.byte} of the script`);
    expect(await processesWithVariable(`${script}_DEVICE`, path), 'processes of the script').toEqual([]);
  }
}

function faultText({ kind, byte = 0 }: FaultPoint, script: 'EXPORT' | 'IMPORT'): string {
  const some = script === 'EXPORT' ? `head -c ${byte} "$EXPORT_DEVICE"` : `head -c ${byte} >"$IMPORT_DEVICE"`;
  return `${some}; : >"$${script}_DEVICE.reached"; ${isScriptFault(kind) ? FAULTS[kind] : ''}\n`;
}

function isScriptFault(kind: FaultPoint['kind']): kind is ScriptFault {
  return kind in FAULTS;
}
