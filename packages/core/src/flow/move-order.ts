import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { Order, Ready } from '../peer/messages.ts';
import type { WritePlan } from '../report/events.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { Session } from './session.ts';
import type { LiveRequest } from './live-request.ts';
import { liveOrder } from './live-request.ts';
import type { ConsentOptions } from './write-plan.ts';
import { planDisk } from './write-plan.ts';

export const DEFAULT_PEER_TIMEOUT_SECONDS = 60;

/** Where the target of a move becomes known. */
export interface RemoteDefinition {
  /** Address of a source of instances, as the peer names it. */
  readonly source: string;
  readonly start?: boolean | undefined;
  /** A new UUID and new MAC addresses, because the original may go on. */
  readonly newIdentity?: boolean | undefined;
}

/** What is asked of a move that the receiver has to know. */
export interface OrderRequest extends Pick<OperationOptions, 'forceVariant' | 'debug'>, Pick<ConsentOptions, 'dryRun'> {
  /** The target as the peer names it: an instance file there, or another address of an instance. */
  readonly to: string;
  /** Runs the `rename` script of the definition on the peer, which gives the installed system the name of the target. */
  readonly rename?: boolean | undefined;
  /** Makes the target known on the peer before the commit, with the native description from the origin, and starts it after the commit. */
  readonly define?: RemoteDefinition | undefined;
  /** Allows another OS definition on the peer than the one that exports the data. */
  readonly allowOtherOs?: boolean | undefined;
  /** Writes disks of the target that are in use, with a warning. */
  readonly forceInUse?: boolean | undefined;
  /** Seconds without any message from the peer after which the move fails; default 60. */
  readonly peerTimeout?: number | undefined;
  /** Moves in rounds, all but the last while the instance runs. */
  readonly live?: LiveRequest | undefined;
}

/** What the source asks of the receiver. */
export function composeOrder(request: OrderRequest, { os, instance, inspected: { diskBytes }, disks }: Session, moveId: string): Order {
  const { define } = request;
  return {
    kind: 'order',
    moveId,
    instance: instance.name,
    node: instance.primary_node,
    os: os.fullName,
    instanceFile: request.to,
    disks: disks.map((disk) => {
      const size = instance.disks[disk]?.size;
      const bytes = os.definition.builtin ? diskBytes[disk] : undefined;
      return { disk, ...(size === undefined ? {} : { size }), ...(bytes === undefined ? {} : { plainBytes: bytes }) };
    }),
    rename: request.rename === true,
    ...(define === undefined
      ? {}
      : { define: { source: define.source, start: define.start === true, newIdentity: define.newIdentity === true } }),
    allowOtherOs: request.allowOtherOs === true,
    forceVariant: request.forceVariant === true,
    forceInUse: request.forceInUse === true,
    dryRun: request.dryRun === true,
    debug: request.debug === true,
    peerTimeout: request.peerTimeout ?? DEFAULT_PEER_TIMEOUT_SECONDS,
    ...(request.live === undefined
      ? {}
      : {
          live: liveOrder(
            request.live,
            disks.map((disk) => diskBytes[disk]),
          ),
        }),
  };
}

/** The peer's description of its disks comes from another machine: it is not trusted. */
export function makePlan({ instance, diskBytes }: InspectedDisks, os: SelectedOs, ready: Ready): WritePlan {
  const disks = ready.disks.map(({ disk, target, holds, targetBytes }) => {
    const size = targetBytes === undefined ? {} : { targetBytes };
    const safe = { disk, target: terminalSafe(target), holds: terminalSafe(holds), ...size };
    return planDisk(safe, os.definition.builtin ? diskBytes[disk] : undefined);
  });
  return { from: instance.name, exported: instance.name, into: ready.instance, disks };
}
