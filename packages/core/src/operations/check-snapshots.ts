import { inspectDisks } from '../disks/inspect-disks.ts';
import type { Instance } from '../instances/model.ts';
import { BUILTIN_DEFINITIONS } from '../scripts/definition.ts';
import { parseOsName } from '../scripts/os-name.ts';
import type { ProviderAnswer } from '../snapshots/choose.ts';
import { ask, pickAnswer } from '../snapshots/choose.ts';
import type { SnapshotProvider, SnapshotRequest } from '../snapshots/provider.ts';
import { createProviders } from '../snapshots/registry.ts';
import { selectDisks } from '../flow/select-disks.ts';
import type { SnapshotChoice } from '../flow/take-snapshots.ts';
import { choiceOptions } from '../flow/take-snapshots.ts';

export interface CheckSnapshotsRequest extends SnapshotChoice {
  readonly instance: Instance;
  /** These disks alone, by index. */
  readonly disks?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What an export would take of one disk. */
export interface DiskCheck {
  readonly disk: number;
  /** Its path, or its URI. */
  readonly target: string;
  /** Which provider would hold it still; absent where an export would fail. */
  readonly provider?: string;
  /** What it would make, or why an export would fail. */
  readonly what: string;
  /** What the other providers say: what each would make, or why it cannot. */
  readonly others: readonly { readonly provider: string; readonly possible: boolean; readonly what: string }[];
}

export interface SnapshotCheck {
  readonly disks: readonly DiskCheck[];
  /** Why snapshots that are each possible are not possible together. */
  readonly problems: readonly string[];
}

/**
 * Says which snapshots an export of an instance would take, and why not others. Takes none.
 * @throws GantryError `DISK_UNKNOWN`, `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `INSTANCE_INVALID`; the signal's reason
 */
export async function checkSnapshots(request: CheckSnapshotsRequest): Promise<SnapshotCheck> {
  const signal = request.signal ?? new AbortController().signal;
  const indices = selectDisks(request.instance, request.disks);
  const { instance } = await inspectDisks(request.instance, { purpose: 'export', disks: indices, signal });
  const { mode, config, size, guest } = choiceOptions(request);
  const providers = await createProviders({ config, size, guest }, mode);
  const needsPath = !BUILTIN_DEFINITIONS.has(parseOsName(instance.os).name);
  const disks: DiskCheck[] = [];
  const chosen = new Map<SnapshotProvider, SnapshotRequest[]>();
  for (const index of indices) {
    const disk = instance.disks[index];
    if (disk === undefined) continue;
    const request = { index, disk, instanceName: instance.name, needsPath };
    const answers: ProviderAnswer[] = [];
    for (const provider of providers) answers.push({ provider, support: await ask(provider, request, signal) });
    const settling = pickAnswer(answers, request);
    if (settling?.support.ok === true) chosen.set(settling.provider, [...(chosen.get(settling.provider) ?? []), { index, disk }]);
    disks.push(describeDisk({ index, disk }, settling, answers));
  }
  const problems: string[] = [];
  for (const [provider, requests] of chosen) {
    const reason = requests.length > 1 ? await provider.whyNotTogether?.(requests, signal) : undefined;
    if (reason !== undefined) problems.push(`${provider.name}: ${reason}`);
  }
  return { disks, problems };
}

function describeDisk(
  { index, disk }: SnapshotRequest,
  settling: ProviderAnswer | undefined,
  answers: readonly ProviderAnswer[],
): DiskCheck {
  return {
    disk: index,
    target: disk.path ?? disk.uri ?? '',
    ...(settling?.support.ok === true ? { provider: settling.provider.name } : {}),
    what: settling === undefined ? 'there is no such way' : describeAnswer(settling),
    others: answers
      .filter((answer) => answer !== settling)
      .map((answer) => ({ provider: answer.provider.name, possible: answer.support.ok, what: describeAnswer(answer) })),
  };
}

function describeAnswer({ provider: { name }, support }: ProviderAnswer): string {
  if (support.ok) return support.what;
  return support.isObstacle === true ? `${name} is the way for it, but ${support.reason}` : support.reason;
}
