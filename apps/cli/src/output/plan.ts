import type { PlanCheck, WritePlan } from '@gantry/core';
import { formatBytes } from '@gantry/programs';

/** What will be overwritten and with what, one line per disk. */
export function describePlan({ from, exported, into, disks }: WritePlan): readonly string[] {
  const title = into === exported ? `${from} goes back into ${into}:` : `${from} goes into another instance, ${into}:`;
  return [title, ...disks.map(describeDisk)];
}

function describeDisk({ disk, target, targetBytes, incomingBytes, holds, action }: WritePlan['disks'][number]): string {
  const size = targetBytes === undefined ? '' : `${action === 'enlarge' ? 'enlarged to ' : ''}${formatBytes(targetBytes)}, `;
  const incoming = incomingBytes === undefined ? 'its data' : formatBytes(incomingBytes);
  return `  disk ${disk}: ${incoming} onto ${target} (${size}now: ${holds})`;
}

/** What a dry run has checked, one line for each thing. */
export function describeChecks(checks: readonly PlanCheck[]): readonly string[] {
  return checks.map(({ check, disk, says, code }) => {
    if (code !== undefined) return `would fail: ${says} [${code}]`;
    return `checked ${check}${disk === undefined ? '' : ` ${check === 'disk' ? '' : 'of disk '}${disk}`}: ${says}`;
  });
}

/** What an export would make, one line for each disk. */
export function describeExportPlan({ from, into, disks }: WritePlan): readonly string[] {
  return [
    `${from} would be exported to ${into}:`,
    ...disks.map(({ disk, target, incomingBytes }) => {
      const size = incomingBytes === undefined ? '' : ` (${formatBytes(incomingBytes)})`;
      return `  disk ${disk}${size}: ${target}`;
    }),
  ];
}

/** What would be removed of an export, one line for each dump. */
export function describeRemovalPlan({ from, into, disks }: WritePlan): readonly string[] {
  return [
    `${from} would be removed from ${into}:`,
    ...disks.map(({ disk, target, targetBytes = 0, action }) => {
      const fate = action === 'keep' ? 'kept, because other exports refer to it, or may' : 'deleted';
      return `  disk ${disk}: ${target} (${formatBytes(targetBytes)}): ${fate}`;
    }),
  ];
}
