import type { Monitor } from '../qemu/qmp-client.ts';
import type { Virsh } from './virsh.ts';

/** The monitor of a domain's QEMU, through libvirt, which notes in the domain's log that somebody has used it. */
export function monitorOf(virsh: Virsh, uuid: string, signal: AbortSignal): Monitor {
  return {
    async execute(execute, parameters) {
      const command = JSON.stringify({ execute, ...(parameters === undefined ? {} : { arguments: parameters }) });
      return JSON.parse(await virsh.run(['qemu-monitor-command', uuid, '--return-value', command], { signal }));
    },
  };
}
