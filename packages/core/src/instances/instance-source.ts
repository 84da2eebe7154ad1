import { hostname } from 'node:os';
import { isAbsolute } from 'node:path';
import type { CallOptions } from '@gantry/transport';
import { firstFailure } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';
import { isListed } from './instance-filter.ts';
import type {
  GuestControl,
  InstanceDescription,
  InstanceSource,
  InstanceSummary,
  ListInstancesOptions,
  NativeFile,
  RunState,
} from './inventory.ts';
import type { InventoryErrorCode } from './inventory-error.ts';
import { isInventoryError } from './inventory-error.ts';
import type { Instance } from './model.ts';
import { isNativeName, nativeListProblem } from './native-files.ts';
import { parseInstance } from './parse-instance.ts';
import { isSameHost } from './same-host.ts';

/*
 * Where core meets inventories: what they say is checked like an instance file, and what they fail with becomes core's.
 */

/** What keeps the disks of an instance from being written to: a source that says that it runs. */
export interface InstanceGuard {
  /** Who says so. */
  readonly source: string;
  readonly run: RunState;
  /** Absolute paths and URIs. */
  readonly guarded: readonly string[];
}

/** An instance, checked and complete, and what its source says besides. */
export interface DescribedInstance extends InstanceGuard {
  readonly instance: Instance;
  readonly native: readonly NativeFile[];
  readonly guest: GuestControl | undefined;
  readonly disksOn: string | undefined;
}

/**
 * Asks a source for one instance.
 *
 * @throws GantryError `INSTANCE_NOT_FOUND`, `INSTANCE_AMBIGUOUS`, `INSTANCE_INVALID`, `INVENTORY_*`; the reason of the signal
 */
export async function describeFrom(source: InstanceSource, name: string, options: CallOptions = {}): Promise<DescribedInstance> {
  const description = await withInventoryErrors(source.address, options.signal, () => source.describe(name, options));
  assertSound(source.address, description);
  const { instance, run, guarded, native = [], guest, disksOn } = description;
  const from = { baseDirectory: '/', hostName: hostname(), source: `${name} of ${labelOf(source.address)}` };
  return { instance: parseInstance(withoutUndefined(instance), from), run, guarded, native, guest, disksOn, source: source.address };
}

/** Whether the disks of an instance are on this host, or may be. */
export function areDisksHere({ disksOn }: Pick<DescribedInstance, 'disksOn'>): boolean {
  return disksOn === undefined || isSameHost(disksOn, hostname());
}

/** Whether a source sends the disks of an instance: it can, and they are on another host. */
export function isSentBySource({ transfers }: Pick<InstanceSource, 'transfers'>, described: Pick<DescribedInstance, 'disksOn'>): boolean {
  return transfers !== undefined && !areDisksHere(described);
}

/** Refuses an instance whose disks are on another host. @throws GantryError `INSTANCE_ELSEWHERE` */
export function assertDisksHere(described: DescribedInstance): void {
  if (areDisksHere(described)) return;
  const { instance, disksOn, source } = described;
  throw new GantryError('INSTANCE_ELSEWHERE', {
    message: `the disks of ${instance.name} are on ${disksOn}, says ${source}; this is ${hostname()}`,
    hint: `Run Gantry on ${disksOn}.`,
  });
}

/**
 * The instances of a source that the filter allows, by name.
 *
 * @throws GantryError `INVENTORY_*`; the reason of the signal
 */
export async function listFrom(source: InstanceSource, options: ListInstancesOptions = {}): Promise<readonly InstanceSummary[]> {
  const { onProblem } = options;
  const translated = onProblem && ((error: unknown): void => onProblem(asInventoryFailure(error, source.address)));
  const asked = { ...options, onProblem: translated };
  const all = await withInventoryErrors(source.address, options.signal, () => Array.fromAsync(source.list(asked)));
  return all.filter((summary) => isListed(summary, options)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What an inventory failed with, in core's terms; any other error (and the reason of a signal) comes back as it is. */
export function asInventoryFailure(error: unknown, address: string): unknown {
  const first = firstFailure(error);
  if (!isInventoryError(first)) return asFirstError(error);
  const { code, hint } = TRANSLATIONS[first.code];
  return new GantryError(code, {
    message: `${labelOf(address)}: ${first.message}`,
    hint: first.hint ?? hint,
    details: first.details,
    cause: error,
  });
}

const TRANSLATIONS: Readonly<Record<InventoryErrorCode, { readonly code: GantryErrorCode; readonly hint?: string }>> = {
  ambiguous: { code: 'INSTANCE_AMBIGUOUS', hint: 'Give the full name, or the UUID.' },
  denied: { code: 'INVENTORY_DENIED', hint: 'Give the user who runs Gantry access to it.' },
  exists: { code: 'INSTANCE_EXISTS', hint: 'Choose another name, or remove the other instance first.' },
  failed: { code: 'INVENTORY_FAILED' },
  'invalid-address': { code: 'INVENTORY_ADDRESS' },
  'not-found': { code: 'INSTANCE_NOT_FOUND', hint: 'gantry instances lists the instances of a source.' },
  'source-not-found': { code: 'INVENTORY_NOT_FOUND' },
  unavailable: { code: 'INVENTORY_UNAVAILABLE', hint: 'Try again when it can be reached.' },
};

/** Runs a call of a source. @throws GantryError `INSTANCE_*`, `INVENTORY_*`; the reason of the signal */
export async function withInventoryErrors<T>(address: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    signal?.throwIfAborted();
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw asInventoryFailure(error, address);
  }
}

/** An address in front of a colon. */
function labelOf(address: string): string {
  return address.replace(/:$/, '');
}

/** What has no schema of its own. Who relies on `guarded` must not find that it was something else. */
function assertSound(address: string, { run, guarded, native = [], guest, disksOn }: InstanceDescription): void {
  const problem =
    runProblem(run) ??
    (!Array.isArray(guarded) || guarded.some((place) => typeof place !== 'string' || !/^(\/|[A-Za-z][0-9A-Za-z+.-]*:)/.test(place))
      ? 'something in "guarded" is neither an absolute path nor a URI'
      : undefined) ??
    nativeProblem(native) ??
    (guest !== undefined && !isGuestControl(guest) ? '"guest" says neither a domain of libvirt nor a QMP socket' : undefined) ??
    (disksOn !== undefined && (typeof disksOn !== 'string' || disksOn === '') ? '"disksOn" is not a host name' : undefined);
  if (problem === undefined) return;
  throw new GantryError('INVENTORY_FAILED', { message: `${labelOf(address)}: ${problem}`, hint: 'Tell the authors of its inventory.' });
}

function nativeProblem(native: readonly NativeFile[]): string | undefined {
  if (!Array.isArray(native) || !native.every(({ name, bytes }) => isNativeName(name) && bytes instanceof Uint8Array))
    return 'the native description is not a list of named files';
  const unsaid = native.find(({ secret }) => typeof secret !== 'boolean');
  if (unsaid !== undefined) return `whether ${unsaid.name} of the native description is secret is missing`;
  return nativeListProblem(native.map(({ name, bytes }) => ({ name, size: bytes.length })));
}

function isGuestControl(guest: GuestControl): boolean {
  if (guest.kind === 'qmp') return typeof guest.socket === 'string' && isAbsolute(guest.socket);
  const { uri, uuid, targets } = guest;
  return (
    [uri, uuid].every((text) => typeof text === 'string') && Array.isArray(targets) && targets.every((text) => typeof text === 'string')
  );
}

function runProblem(run: RunState): string | undefined {
  if (run.state === 'running' && typeof run.node !== 'string') return 'the node on which the instance runs is missing';
  return RUN_STATES.has(run.state) ? undefined : 'whether the instance runs is neither running, stopped nor unknown';
}

const RUN_STATES: ReadonlySet<unknown> = new Set(
  Object.keys({ running: true, stopped: true, unknown: true } satisfies Record<RunState['state'], true>),
);

/** The schema of instance files knows absent fields, not undefined ones. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, withoutUndefined(inner)] as const])),
  );
}
