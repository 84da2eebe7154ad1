import { policyNamed } from '@gantry/config';
import type { RehearsalResult, Signers, VerifyRequest, VerifyBudget, VerifyDepth, VerifyResult, VerifyStoreResult } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, rehearseExport, verifyExport, verifyStore } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import type { Store } from '@gantry/transport';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { PARALLEL, POLICY, RATE, SCRIPTS, UNSEAL } from '../command-line/options.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';
import { signersOf } from './signers.ts';

type Options = OptionValues<typeof SCRIPTS & typeof RATE & typeof PARALLEL & typeof POLICY & typeof UNSEAL & typeof SIGNERS> & {
  readonly depth: VerifyDepth | undefined;
  readonly budget: VerifyBudget | undefined;
  readonly rehearse: string | undefined;
};

/** Runs `gantry verify`. */
export async function run(session: Session, [address, reference]: readonly [string, string | undefined], given: Options): Promise<void> {
  assertTogether(reference, given);
  const options = { ...(await withPolicy(session, given)), parallel: await parallelOf(session, given, address) };
  const signers = await signersFor(session, [address, reference], options);
  // For what is remembered: a store that cannot be written is verified anyway.
  await using store = await session.openSealed(address, 'write', options);
  if (reference === undefined) await verifyAll(session, { store, signers }, options);
  else if (options.rehearse === undefined) await verifyOne(session, { store, signers, reference }, options);
  else await rehearseOne(session, { store, signers, reference }, { ...options, rehearse: options.rehearse });
}

function assertTogether(reference: string | undefined, { budget, depth, rehearse }: Options): void {
  if (reference !== undefined && budget !== undefined) {
    throw new GantryError('USAGE', {
      message: '--budget is for all exports of a store, and one export is named',
      hint: 'Leave out the export or the budget.',
    });
  }
  if (depth === undefined || rehearse === undefined) return;
  throw new GantryError('USAGE', {
    message: '--rehearse has no --depth: every frame that is imported is checked',
    hint: 'Use one of them.',
  });
}

/** What the policy says of verifying, where the options do not. A rehearsal has no depth. */
async function withPolicy(session: Session, options: Options): Promise<Options> {
  if (options.policy === undefined) return options;
  const { verify } = policyNamed(await session.configuration(), options.policy);
  const depth = options.depth ?? (options.rehearse === undefined ? verify?.depth : undefined);
  return { ...options, depth, budget: options.budget ?? verify?.budget };
}

/** Whose signatures are good. What is configured is for what is read; an option that has no effect is refused later. */
async function signersFor(
  session: Session,
  [address, reference]: readonly [string, string | undefined],
  options: Options,
): Promise<Signers> {
  const isAsked = options.allowedSigners !== undefined || options.requireSignature === true;
  if (reference === undefined && options.depth === 'present' && !isAsked) return {};
  return await signersOf(session, options, address, 'write');
}

interface VerifiedStore {
  readonly store: Store;
  readonly signers: Signers;
}

function namesIdentity({ identity, passphrase }: Options): boolean {
  return identity !== undefined || passphrase === true;
}

/** Somebody who names an identity takes success for a proof that it reads the exports. */
function warnOfUnused({ warn }: Session, options: Options, depth: VerifyDepth): void {
  if (!namesIdentity(options)) return;
  const option = options.identity === undefined ? '--passphrase' : '--identity';
  warn(`${option} is not used at the depth ${depth}, and nothing is decrypted: --depth frames shows whether it reads the exports`);
}

async function verifyOne(
  session: Session,
  { store, signers, reference }: VerifiedStore & { readonly reference: string },
  options: Options & Pick<VerifyRequest, 'parallel'>,
): Promise<void> {
  const { signal, onEvent, stateDirectory } = session.operation;
  const { parallel } = options;
  // Who names an identity wants to know whether it reads the export. One that is configured may be for others.
  const depth = options.depth ?? (namesIdentity(options) ? 'frames' : undefined);
  if (depth !== undefined && depth !== 'frames') warnOfUnused(session, options, depth);
  const request = { store, export: reference, parallel, depth, ...signers, remember: { stateDirectory } };
  const result = await verifyExport({ ...request, signal, onEvent });
  const { output } = session;
  output.result({ operation: 'verify', ...result }, [
    describeOne(result),
    ...describeSignature(result, signers),
    ...describeProtection(result),
  ]);
}

async function rehearseOne(
  session: Session,
  { store, signers, reference }: VerifiedStore & { readonly reference: string },
  options: Options & Pick<VerifyRequest, 'parallel'> & { readonly rehearse: string },
): Promise<void> {
  const { parallel, rehearse: directory } = options;
  const request = { ...session.operation, ...signers, store, export: reference, parallel, directory };
  const result = await rehearseExport({ ...request, remember: true });
  session.output.result({ operation: 'verify', depth: 'rehearsal', ...result }, describeRehearsal(result));
}

async function verifyAll(session: Session, { store, signers }: VerifiedStore, options: Options): Promise<void> {
  const { parallel, depth, budget, rehearse: rehearseIn } = options;
  if (rehearseIn === undefined && depth !== 'frames') warnOfUnused(session, options, depth ?? 'stored');
  const result = await verifyStore({ ...session.operation, ...signers, store, parallel, depth, budget, rehearseIn });
  if (result.damaged > 0) session.exitWith(ERROR_EXIT_CODES.DUMP_DAMAGED);
  else if (result.refused > 0) session.exitWith(ERROR_EXIT_CODES.SIGNATURE_INVALID);
  else if (result.unreadable > 0) session.exitWith(ERROR_EXIT_CODES.STORE_FAILED);
  else if (result.noneOpened) session.exitWith(ERROR_EXIT_CODES.IDENTITY_MISMATCH);
  session.output.result({ operation: 'verify', store: store.address, ...result }, describeAll(result));
}

function describeProtection({ protectedUntil }: VerifyResult): readonly string[] {
  return protectedUntil === undefined ? [] : [`protected until ${protectedUntil.toISOString()}`];
}

/** What a rehearsal proves depends on the scripts, so it is said of each disk. */
function describeRehearsal({ reference, disks, plainBytes }: RehearsalResult): readonly string[] {
  const proofs = disks.map(({ disk, proof, expectedBytes, exportedBytes }) =>
    proof === 'equal'
      ? `disk ${disk}: imported, and exporting it again gives the same bytes`
      : `disk ${disk}: imported, and exporting it again gives ${formatBytes(exportedBytes)} instead of ${formatBytes(expectedBytes)}`,
  );
  return [...proofs, `${reference}: restored into scratch disks (${formatBytes(plainBytes)})`];
}

function describeOne({ reference, depth, sealed, checksums, plainBytes }: VerifyResult): string {
  if (depth === 'stored' && sealed === 'closed')
    return `${reference}: every digest is correct; it is sealed: its frames can be checked with --identity FILE`;
  if (depth === 'present') return `${reference}: every file is there with its size`;
  if (!checksums) return `${reference}: readable, but it has no checksums (${formatBytes(plainBytes)})`;
  if (depth === 'stored') return `${reference}: every digest is correct`;
  return `${reference}: every frame and digest is correct (${formatBytes(plainBytes)})`;
}

/** That an export is not signed matters to those who ask. */
function describeSignature({ reference, signature }: VerifyResult, { allowedSigners }: Signers): readonly string[] {
  if (signature.state === 'signed') return [`${reference}: signed by ${signature.by.join(', ')}`];
  if (signature.state === 'unchecked') return [`${reference}: has a signature, which was not checked (--allowed-signers)`];
  return allowedSigners === undefined ? [] : [`${reference}: not signed`];
}

/** What holds for all that was looked at, where nothing is wrong. */
const FOUND: Readonly<Record<VerifyStoreResult['depth'], string>> = {
  rehearsal: 'restored into scratch disks',
  present: 'every file is there with its size',
  stored: 'every digest is correct',
  frames: 'every frame and digest is correct',
};

function describeAll(result: VerifyStoreResult): readonly string[] {
  const { depth, exports, left, unfinished, readBytes, storedBytes, closed, noneOpened } = result;
  const problems = exports
    .filter((each) => each.result !== 'sound')
    .map((each) => `${each.reference} is ${each.result}: ${each.reason ?? ''} [${each.code ?? ''}]`);
  const bad = (['damaged', 'refused', 'unreadable'] as const).flatMap((what) => (result[what] === 0 ? [] : [`${result[what]} ${what}`]));
  const notOpened = closed === 0 ? [] : [`${countOf(closed, 'sealed export')} not opened`];
  const found = exports.length === 0 ? [] : [bad.length === 0 ? describeSound(result) : bad.join(', ')];
  const says = [...found, ...notOpened].join('; ');
  const read = depth === 'present' ? '' : ` (${formatBytes(readBytes)} read of ${formatBytes(storedBytes)})`;
  return [
    ...problems,
    `${describeCount(exports)} verified${read}: ${says === '' ? 'nothing to verify' : says}`,
    ...(noneOpened ? ['none of the identities opens any of the sealed exports: gantry keys check names their recipients'] : []),
    ...(left === 0 ? [] : [`${left} left for later runs, ${describeOldest(result)}`]),
    ...(unfinished === 0 ? [] : [`${countOf(unfinished, 'export')} unfinished: gantry list shows them`]),
  ];
}

/** Nothing is said of frames that were not read: those of closed exports, and of packs alone. */
function describeSound({ depth, exports }: VerifyStoreResult): string {
  if (depth !== 'frames') return FOUND[depth];
  const byFrames = exports.filter(({ kind, sealed }) => kind === 'export' && sealed !== 'closed').length;
  if (byFrames === 0) return FOUND.stored;
  return byFrames === exports.length ? FOUND.frames : `${FOUND.stored}, and every frame of ${countOf(byFrames, 'export')}`;
}

/** Packs are what is left of exports that are not there any more. */
function describeCount(exports: VerifyStoreResult['exports']): string {
  const packs = exports.filter(({ kind }) => kind === 'packs').length;
  const count = countOf(exports.length - packs, 'export');
  return packs === 0 ? count : `${count} and the packs of ${countOf(packs, 'removed export')}`;
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function describeOldest({ oldestLeft }: VerifyStoreResult): string {
  return typeof oldestLeft === 'string' ? `the oldest of them verified ${oldestLeft.slice(0, 10)}` : 'some of them never verified';
}
