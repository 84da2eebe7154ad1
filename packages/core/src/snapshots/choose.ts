import { GantryError } from '../report/errors.ts';
import type { SnapshotProvider, SnapshotRequest } from './provider.ts';
import type { SnapshotMode } from './registry.ts';

/** Disks, and the provider that holds them still. */
export interface SnapshotPlan {
  readonly provider: SnapshotProvider;
  readonly requests: readonly SnapshotRequest[];
}

/**
 * Says which provider holds which disks still. `auto`: for each disk the first that works. Another mode: that provider for all.
 * @throws GantryError SNAPSHOT_UNSUPPORTED with each disk that it cannot hold still, and why
 */
export async function chooseProviders(
  mode: SnapshotMode,
  requests: readonly SnapshotRequest[],
  providers: readonly SnapshotProvider[],
  signal: AbortSignal,
): Promise<readonly SnapshotPlan[]> {
  const plans = new Map<SnapshotProvider, SnapshotRequest[]>();
  const refused: { readonly index: number; readonly reason: string }[] = [];
  for (const request of requests) {
    const choice = await chooseProvider(mode, request, providers, signal);
    if ('reason' in choice)
      refused.push({ index: request.index, reason: `disk ${request.index} (${addressOf(request)}): ${choice.reason}` });
    else plans.set(choice, [...(plans.get(choice) ?? []), request]);
  }
  const [first] = refused;
  if (first !== undefined)
    throw unsupported(
      mode,
      first.index,
      refused.map(({ reason }) => reason),
    );
  return [...plans].map(([provider, wanted]) => ({ provider, requests: wanted }));
}

async function chooseProvider(
  mode: SnapshotMode,
  request: SnapshotRequest,
  providers: readonly SnapshotProvider[],
  signal: AbortSignal,
): Promise<SnapshotProvider | { readonly reason: string }> {
  let reason = 'there is no such way';
  for (const provider of providers) {
    if (mode !== 'auto' && provider.name !== mode) continue;
    const answer = await provider.supports(request, signal);
    if (answer.ok) return provider;
    reason = answer.reason;
  }
  return { reason };
}

function addressOf({ disk }: SnapshotRequest): string {
  return disk.path ?? disk.uri ?? '';
}

function unsupported(mode: SnapshotMode, disk: number, reasons: readonly string[]): GantryError {
  return new GantryError('SNAPSHOT_UNSUPPORTED', {
    message: `cannot take a ${mode} snapshot of ${reasons[0] ?? 'the disks'}`,
    hint: 'Use --snapshot auto for the best that each disk allows, or --snapshot none for the disk as it is.',
    details: reasons.slice(1),
    disk,
  });
}
