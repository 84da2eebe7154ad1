import { GantryError } from '../report/errors.ts';
import type { SnapshotProvider, SnapshotRequest, Support } from './provider.ts';
import type { SnapshotMode } from './registry.ts';
import { whyNoFiles } from './snapshot-files.ts';

/** Disks, and the provider that takes their snapshots. */
export interface SnapshotPlan {
  readonly provider: SnapshotProvider;
  readonly requests: readonly SnapshotRequest[];
}

/** A provider's answer about one disk. */
export interface ProviderAnswer {
  readonly provider: SnapshotProvider;
  readonly support: Support;
}

/**
 * Chooses a provider for each disk. `auto`: the first that works for the disk. Any other mode: that provider for all disks.
 * @throws GantryError SNAPSHOT_UNSUPPORTED with each disk that the provider does not support, and why
 */
export async function chooseProviders(
  mode: SnapshotMode,
  requests: readonly SnapshotRequest[],
  providers: readonly SnapshotProvider[],
  signal: AbortSignal,
): Promise<readonly SnapshotPlan[]> {
  const plans = new Map<SnapshotProvider, SnapshotRequest[]>();
  const refused: Refusal[] = [];
  for (const request of requests) {
    const answer = await askUntilSettled(providersOf(mode, providers), request, signal);
    if (answer?.support.ok === true) plans.set(answer.provider, [...(plans.get(answer.provider) ?? []), request]);
    else refused.push({ request, answer });
  }
  const [first, ...others] = refused;
  if (first !== undefined) throw unsupported(mode, first, others);
  for (const [provider, wanted] of plans) await assertTogether(provider, wanted, signal);
  return [...plans].map(([provider, wanted]) => ({ provider, requests: wanted }));
}

function providersOf(mode: SnapshotMode, providers: readonly SnapshotProvider[]): readonly SnapshotProvider[] {
  return mode === 'auto' ? providers : providers.filter(({ name }) => name === mode);
}

/** Asks the providers in their order, until one settles it. */
async function askUntilSettled(
  providers: readonly SnapshotProvider[],
  request: SnapshotRequest,
  signal: AbortSignal,
): Promise<ProviderAnswer | undefined> {
  const answers: ProviderAnswer[] = [];
  for (const provider of providers) {
    const answer = { provider, support: await ask(provider, request, signal) };
    answers.push(answer);
    if (isSettled(answer, request)) break;
  }
  return pickAnswer(answers, request);
}

/** What a provider says of a disk, and scripts of it: they get a file of what is read over NBD, where this machine can show one. */
export async function ask(provider: SnapshotProvider, request: SnapshotRequest, signal: AbortSignal): Promise<Support> {
  const support = await provider.supports(request, signal);
  const reason = isFile(support, request) ? await whyNoFiles() : undefined;
  return reason === undefined ? support : { ok: false, reason };
}

/**
 * The first answer that settles it, or else the last. For scripts, a file of a snapshot that is read over NBD comes last, before the disk
 * itself: they may expect a block device.
 */
export function pickAnswer(answers: readonly ProviderAnswer[], request: SnapshotRequest): ProviderAnswer | undefined {
  const at = answers.findIndex((answer) => isSettled(answer, request));
  const asked = at === -1 ? answers : answers.slice(0, at + 1);
  const picked = asked.findLast(({ support }) => !isFile(support, request));
  const file = asked.find(({ support }) => isFile(support, request));
  return file !== undefined && (picked?.support.ok !== true || picked.provider.name === 'none') ? file : picked;
}

/** It supports the disk, or would if an obstacle were removed. */
function isSettled({ support }: ProviderAnswer, request: SnapshotRequest): boolean {
  return support.ok ? !isFile(support, request) : support.isObstacle === true;
}

function isFile(support: Support, { needsPath = false }: SnapshotRequest): boolean {
  return support.ok && support.isOverNbd === true && needsPath;
}

async function assertTogether(provider: SnapshotProvider, requests: readonly SnapshotRequest[], signal: AbortSignal): Promise<void> {
  const reason = requests.length > 1 ? await provider.whyNotTogether?.(requests, signal) : undefined;
  if (reason === undefined) return;
  throw new GantryError('SNAPSHOT_FULL', {
    message: `cannot take ${provider.name} snapshots of disks ${requests.map(({ index }) => index).join(', ')} together: ${reason}`,
    hint: 'Free space, or ask for less with --snapshot-size.',
  });
}

interface Refusal {
  readonly request: SnapshotRequest;
  readonly answer: ProviderAnswer | undefined;
}

function unsupported(mode: SnapshotMode, first: Refusal, others: readonly Refusal[]): GantryError {
  const name = first.answer?.provider.name ?? mode;
  const isObstacle = first.answer?.support.ok === false && first.answer.support.isObstacle === true;
  return new GantryError('SNAPSHOT_UNSUPPORTED', {
    message: `cannot take ${name === 'lvm' || name === 'rbd' ? 'an' : 'a'} ${name} snapshot of ${describeRefusal(first)}`,
    hint: isObstacle
      ? 'Remove the obstacle; or stop the instance and use --snapshot none, which reads the disk itself.'
      : 'Use --snapshot auto for the best kind that each disk supports, or --snapshot none to read the disk itself.',
    details: others.map(describeRefusal),
    disk: first.request.index,
  });
}

function describeRefusal({ request: { index, disk }, answer }: Refusal): string {
  const reason = answer === undefined || answer.support.ok ? 'no provider of this kind exists' : answer.support.reason;
  return `disk ${index} (${disk.path ?? disk.uri ?? ''}): ${reason}`;
}
