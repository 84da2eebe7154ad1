import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { blockBytesFor } from '../frames/block-digests.ts';
import type { DescribedInstance, InstanceGuard } from '../instances/instance-source.ts';
import type { InstanceSource } from '../instances/inventory.ts';
import { loadInstanceFile } from '../instances/load-instance-file.ts';
import type { Instance } from '../instances/model.ts';
import type { Order } from '../peer/messages.ts';
import { garbageError } from '../peer/peer-errors.ts';
import type { ReceiveLimits } from '../peer/receive-limits.ts';
import { allowedInstanceFile, assertDefineAllowed, assertInstanceAllowed, assertOsAllowed } from '../peer/receive-limits.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { assertOperation } from '../scripts/select.ts';
import { chooseOs } from './choose-os.ts';
import { assertEnoughDisks, assertRoom, assertSameOs } from './import-checks.ts';
import type { Call } from './session.ts';
import { inspectFor } from './session.ts';

/** What a receiver lets the source ask for. */
export interface OrderLimits extends OperationOptions {
  readonly limits?: ReceiveLimits | undefined;
  /** Relative paths of instance files count from here, unless a limit names a directory. */
  readonly cwd: string;
  /** Describes the target by the address that the source gave. Where it is absent, or a directory is a limit, instance files alone. */
  readonly describe?: ((address: string) => Promise<DescribedInstance>) | undefined;
  /** Opens the source in which the target is to be defined. Where it is absent, that is refused. */
  readonly openSource?: ((address: string) => Promise<InstanceSource>) | undefined;
}

/** What an order comes to here. */
export interface CheckedOrder {
  readonly os: SelectedOs;
  readonly inspected: InspectedDisks;
  readonly guard: InstanceGuard | undefined;
  readonly disks: readonly number[];
  /** Those of the move, and others that could be looked at where a rename script may write to any. */
  readonly writable: readonly number[];
}

/** All refusals come from here, before any disk is written and any script runs. */
export async function checkOrder(order: Order, request: OrderLimits, call: Call): Promise<CheckedOrder> {
  const { reporter, signal } = call;
  const limits = request.limits ?? {};
  const disks = order.disks.map(({ disk }) => disk);
  if (new Set(disks).size < disks.length) throw garbageError('the source', 'it named a disk twice');
  assertBlocksLargeEnough(order);
  const { instance: described, guard } = await describeTarget(order.instanceFile, request, signal);
  assertInstanceAllowed(described.name, limits);
  if (order.define !== undefined) assertDefineAllowed(order.define.source, limits);
  const os = await chooseOs(described, 'import', { ...request, forceVariant: order.forceVariant });
  assertOsAllowed(os.definition.name, limits);
  if (order.rename) assertOperation(os, 'rename');
  const from = `the instance ${terminalSafe(order.instance)}`;
  assertSameOs(os, order.os, from, order.allowOtherOs);
  assertEnoughDisks(disks, from, described);
  const inspected = await inspectFor(call, described, { purpose: 'import', disks });
  const originals = order.disks.map(({ disk, size, plainBytes }) => ({ index: disk, size, plainBytes }));
  assertRoom(os, originals, from, inspected, reporter);
  const others = inspected.diskBytes.flatMap((bytes, index) => (bytes === undefined || disks.includes(index) ? [] : [index]));
  return { os, inspected, guard, disks, writable: order.rename ? [...disks, ...others] : disks };
}

/** The digests of all blocks are kept in memory: their number is for us to limit. @throws GantryError `PEER_PROTOCOL` */
function assertBlocksLargeEnough({ live, disks }: Order): void {
  const least = blockBytesFor(disks.reduce((total, { plainBytes = 0 }) => total + plainBytes, 0));
  if (live !== undefined && live.blockBytes < least)
    throw garbageError('the source', `it compares disks of this size in blocks of ${live.blockBytes} bytes, and ${least} are the least`);
}

async function describeTarget(
  address: string,
  { describe, limits = {}, cwd }: OrderLimits,
  signal: AbortSignal,
): Promise<{ readonly instance: Instance; readonly guard?: InstanceGuard }> {
  if (describe === undefined || limits.instanceDirectory !== undefined)
    return { instance: await loadInstanceFile(await allowedInstanceFile(address, limits, cwd), { signal }) };
  const described = await describe(address);
  return { instance: described.instance, guard: described };
}
