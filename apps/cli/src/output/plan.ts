import type { WritePlan } from '@gantry/core';
import { formatBytes } from './format.ts';

/** What will be overwritten and with what, one line per disk. */
export function describePlan({ from, exported, into, disks }: WritePlan): readonly string[] {
  const title = into === exported ? `${from} goes back into ${into}:` : `${from} goes into another instance, ${into}:`;
  return [title, ...disks.map(describeDisk)];
}

function describeDisk({ disk, target, targetBytes, incomingBytes, holds }: WritePlan['disks'][number]): string {
  const size = targetBytes === undefined ? '' : `${formatBytes(targetBytes)}, `;
  const incoming = incomingBytes === undefined ? 'its data' : formatBytes(incomingBytes);
  return `  disk ${disk}: ${incoming} onto ${target} (${size}now: ${holds})`;
}
