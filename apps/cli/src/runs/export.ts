import { resolve } from 'node:path';
import type { ExportSettings } from '@gantry/config';
import { assertSamePrivacy, exportOptions, mergeSettings } from '@gantry/config';
import type { DescribedInstance, ExportResult, FrameCount, IncrementResult, Signers } from '@gantry/core';
import {
  assertDisksHere,
  assertSigningKey,
  checkLabels,
  chooseLevel,
  DEFAULT_CODEC,
  describeFrom,
  ERROR_EXIT_CODES,
  exportFromSource,
  exportInstance,
  GantryError,
  isSentBySource,
  planExport,
  readRecipients,
} from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import { formatBytes, formatDuration } from '@gantry/programs';
import type { Store } from '@gantry/transport';
import { wantsNewStore } from '../create-store.ts';
import { newPassphrase } from '../new-passphrase.ts';
import { describeChecks, describeExportPlan } from '../output/plan.ts';
import type { Session } from '../session.ts';
import { openStores } from './open-stores.ts';
import { signersOf } from './signers.ts';
import { snapshotChoiceOf } from './snapshot-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { EXPORT } from '../command-line/export-options.ts';
import type { CREATE_STORE, IDENTITY, PARALLEL, RATE, SCRIPTS } from '../command-line/options.ts';
import type { SIGN } from '../command-line/signature-options.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

type Options = OptionValues<
  typeof SCRIPTS & typeof RATE & typeof SNAPSHOTS & typeof EXPORT & typeof PARALLEL & typeof CREATE_STORE & typeof IDENTITY & typeof SIGN
> & {
  readonly disk: readonly number[] | undefined;
  readonly tag: readonly string[] | undefined;
  readonly note: string | undefined;
  readonly passphrase: true | undefined;
  readonly base: string | undefined;
  readonly throughSource: true | undefined;
  readonly listen: string | undefined;
  readonly dryRun: true | undefined;
  readonly storeBuffer: number | undefined;
};

/** Runs `gantry export`. */
export async function run(
  session: Session,
  [named, address, others]: readonly [string, string, readonly string[]],
  options: Options,
): Promise<void> {
  const started = performance.now();
  const settings = await settingsFor(session, [address, ...others], options);
  assertTogether(options, settings);
  assertReaders(options);
  assertStores([address, ...others], options);
  // What is wrong with the call is said before a store is asked.
  checkLabels({ tags: settings.tags, note: options.note });
  chooseLevel(settings.codec ?? DEFAULT_CODEC, settings.level);
  if (settings.signKey !== undefined) await assertSigningKey(settings.signKey);
  const listed = options.passphrase === true ? undefined : await readRecipients(settings, session.signal);
  const createStore = options.createStore === true || wantsNewStore(session.env);
  const { source, name } = await session.openSourceOf(named);
  await using _source = source;
  const described = await describeFrom(source, name, { signal: session.signal });
  const { instance, native } = described;
  const isRemote = isSentAsAsked(source, described, options);
  if (!isRemote) assertDisksHere(described);
  const snapshots = isRemote ? undefined : await snapshotChoiceOf(session, described, settings);
  await using stores = await openStores(session, [address, ...others], options.dryRun === true ? 'read' : 'write', {
    identity: options.identity,
  });
  const trackChanges = trackingOf(options, settings);
  const request = {
    ...session.operation,
    instance,
    native,
    store: stores.first,
    alsoInto: stores.others,
    storeSigners: await storeSignersOf(session, [address, ...others], [stores.first, ...stores.others]),
    storeBufferBytes: options.storeBuffer,
    ...exportOptions(settings),
    // Asked for when all else is known to be right.
    recipients: options.passphrase === true ? await readRecipients({ passphrase: await newPassphrase(session) }) : listed,
    labels: { tags: settings.tags, note: options.note },
    base: options.base,
    createStore,
  };
  if (options.dryRun === true) {
    const planned = await planExport({ ...request, ...snapshots, disks: options.disk, trackChanges });
    const lines = [...describeChecks(planned.checks), ...describeExportPlan(planned.plan), 'dry run: nothing was written'];
    if (planned.checks.some(({ code }) => code !== undefined)) session.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
    session.output.result({ operation: 'export', ...planned }, lines);
    return;
  }
  const result = await (isRemote
    ? exportFromSource({ ...request, source, listen: options.listen })
    : exportInstance({ ...request, ...snapshots, disks: options.disk, trackChanges }));
  showResult(session, result, performance.now() - started);
}

function showResult(session: Session, result: ExportResult, tookMs: number): void {
  const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} stored`;
  session.output.event({ type: 'stage', operation: 'export', message: `exported ${amount} in ${formatDuration(tookMs)}` });
  if (result.incremental !== undefined) {
    session.output.event({ type: 'stage', operation: 'export', message: describeIncrement(result.incremental) });
  }
  if (result.stores?.some(({ outcome }) => outcome === 'failed') === true) session.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  session.output.result({ operation: 'export', ...result }, result.reference);
}

/**
 * Exports into several stores are made as the first one has it; secrets must be allowed in all of them.
 *
 * @throws GantryError `USAGE` if they differ in that, and no option says it
 */
async function settingsFor(session: Session, addresses: readonly string[], options: Options): Promise<ExportSettings> {
  const asked = settingsOf(session, options);
  const each: { readonly store: string; readonly settings: ExportSettings }[] = [];
  for (const store of addresses) each.push({ store, settings: mergeSettings([await session.settings({ store }), asked]) });
  assertSamePrivacy(each);
  return each[0]?.settings ?? asked;
}

/** Whose signatures are good in each of several stores, for those that get a copy. @param opened in the order of the addresses */
async function storeSignersOf(
  session: Session,
  addresses: readonly string[],
  opened: readonly Store[],
): Promise<ReadonlyMap<Store, Signers>> {
  const signers = new Map<Store, Signers>();
  for (const [index, store] of opened.entries()) {
    const address = addresses[index];
    if (address !== undefined) signers.set(store, await signersOf(session, NO_SIGNERS, address, 'write'));
  }
  return signers;
}

/** An export has no options for that: the settings count. */
const NO_SIGNERS = { allowedSigners: undefined, requireSignature: undefined };

/** What the options say of what gantry.yaml may say, too. */
function settingsOf({ cwd }: Session, { tag: tags, sign, recipient: recipients, recipientsFile, ...options }: Options): ExportSettings {
  const absolute = (file: string): string => resolve(cwd, file);
  return { ...options, tags, signKey: sign && absolute(sign), recipients, recipientsFiles: recipientsFile?.map(absolute) };
}

/** What is set for many instances applies to those for which it is possible. */
function trackingOf({ trackChanges: asked }: Options, { trackChanges }: ExportSettings): boolean | 'where-possible' | undefined {
  return asked ?? (trackChanges === true ? 'where-possible' : undefined);
}

/** A passphrase stands alone, and no later export can be for the same one. @throws GantryError `USAGE` */
function assertReaders({ passphrase, recipient, recipientsFile, incremental }: Options): void {
  const given = { recipient, 'recipients-file': recipientsFile, incremental: incremental === true ? true : undefined };
  const [other] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (passphrase === undefined || other === undefined) return;
  throw new GantryError('USAGE', { message: `--passphrase does not go with --${other}`, hint: 'Leave one of them out.' });
}

/**
 * Options that are for incremental exports alone need one; what gantry.yaml has for them waits until it is asked for.
 *
 * @throws GantryError `USAGE`
 */
function assertTogether({ base, fullEvery, trackChanges, patches }: Options, { incremental }: ExportSettings): void {
  if (incremental === true) return;
  const ifTrue = (flag: boolean | undefined): true | undefined => (flag === true ? flag : undefined);
  const given = { base, 'full-every': fullEvery, 'track-changes': ifTrue(trackChanges), patches: ifTrue(patches) };
  const [alone] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (alone === undefined) return;
  throw new GantryError('USAGE', { message: `--${alone} goes with --incremental`, hint: `Add --incremental, or leave --${alone} out.` });
}

/** @throws GantryError `USAGE` for a store that is named twice, and an option that goes with several */
function assertStores(addresses: readonly string[], { storeBuffer }: { readonly storeBuffer: number | undefined }): void {
  const twice = addresses.find((address, place) => addresses.indexOf(address) < place);
  if (twice !== undefined) throw new GantryError('USAGE', { message: `${twice} is named twice`, hint: 'Name each store once.' });
  if (storeBuffer === undefined || addresses.length > 1) return;
  throw new GantryError('USAGE', { message: '--store-buffer goes with several stores', hint: 'Name another store, or leave it out.' });
}

/** What of an export was stored before, such as `of web1@20261123T081500Z: 500 frames known (2 GiB), 3 new (12 MiB), 0 patched (0 B)`. */
function describeIncrement({ parents, known, new: added, patched }: IncrementResult): string {
  const count = ({ frames, bytes }: FrameCount, what: string): string => `${frames} ${what} (${formatBytes(bytes)})`;
  const parts = [count(known, 'frames known'), count(added, 'new'), count(patched, 'patched')].join(', ');
  return parents.length === 0 ? `no parent: ${parts}` : `based on ${parents.join(', ')}: ${parts}`;
}

/** Options that say how disks are read here. */
interface DiskFlags extends Partial<OptionValues<typeof SNAPSHOTS>> {
  readonly disk: readonly number[] | undefined;
  readonly trackChanges: boolean | undefined;
  readonly dryRun: true | undefined;
  readonly throughSource: true | undefined;
  readonly listen: string | undefined;
}

/** Whether the source sends the disks. @throws GantryError `USAGE` for options that do not go with that */
function isSentAsAsked(source: InstanceSource, described: DescribedInstance, options: DiskFlags): boolean {
  const { instance } = described;
  const isRemote = options.throughSource === true || isSentBySource(source, described);
  const { disk, snapshot, snapshotConfig, snapshotSize, trackChanges, dryRun } = options;
  const wrong = isRemote
    ? Object.entries({
        disk,
        snapshot: snapshot === 'auto' ? undefined : snapshot,
        'snapshot-config': snapshotConfig,
        'snapshot-size': snapshotSize,
        'track-changes': trackChanges === true ? true : undefined,
        'dry-run': dryRun,
      })
    : Object.entries({ listen: options.listen });
  const [option] = wrong.find(([, value]) => value !== undefined) ?? [];
  if (option === undefined) return isRemote;
  const why = isRemote
    ? `${source.address} sends all disks of ${instance.name}, which it holds still itself`
    : `the disks of ${instance.name} are read on this host`;
  throw new GantryError('USAGE', { message: `--${option} does not go with this export: ${why}`, hint: `Leave --${option} out.` });
}
