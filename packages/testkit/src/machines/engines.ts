import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a machine runs on. Neither uses /dev/kvm, which on many a test machine is there and does not work.
 *
 * - `uml`: user-mode Linux, a kernel as a process. Starts soonest and computes at full speed; system calls are slow; one processor.
 * - `tcg`: QEMU with an emulated processor: computes 12 to 24 times slower; several processors, and modules that need a real one.
 */
export type MachineEngine = 'uml' | 'tcg';

export interface EngineOptions {
  /** The directory of the image. */
  readonly image: string;
  /** A directory of the machine's own. */
  readonly scratch: string;
  /** Raw images, in order. */
  readonly disks: readonly string[];
  /** Directories of this machine, by the sockets of the virtiofsd that serves each. */
  readonly shares: ReadonlyMap<string, string>;
  readonly memoryMib: number;
}

/** The descriptors that are lines of the machine: scripts in, stdout and stderr out. */
export const LINES = [3, 4, 5] as const;

/** The command that is the machine: its console is its stdout. */
export function engineCommand(engine: MachineEngine, options: EngineOptions): readonly string[] {
  return engine === 'uml' ? umlCommand(options) : qemuCommand(options);
}

/** A command of the machine by which it sees a directory of ours, read-only and under the same path. */
export function mountShare(engine: MachineEngine, directory: string, index: number): string {
  const how = engine === 'uml' ? `-t hostfs -o 'ro,${directory}' none` : `-t virtiofs -o ro share${index}`;
  return `mkdir -p '${directory}' && mount ${how} '${directory}'`;
}

function umlCommand({ image, scratch, disks, memoryMib }: EngineOptions): readonly string[] {
  return [
    // Hot, and worth nothing afterwards: in memory, in a mount that nobody else sees and that goes with the machine.
    ['sh', '-c', 'mount -t tmpfs machine "$TMPDIR" && exec "$@"', 'sh', join(image, 'linux.uml'), `mem=${memoryMib}M`],
    // What is written to the root file system goes to a file of the machine's own.
    [`ubd0=${scratch}/root.cow,${image}/root.ext4`, 'root=/dev/ubda', 'rw', 'rootfstype=ext4', 'init=/sbin/machine-init'],
    disks.map((disk, index) => `ubd${index + 1}=${disk}`),
    ['con=null', 'con0=null,fd:1', 'ssl=null', ...LINES.map((fd, index) => `ssl${index}=fd:${fd}`)],
    [`uml_dir=${scratch}/`, 'umid=machine', 'panic=-1', 'quiet'],
  ].flat();
}

function qemuCommand({ image, disks, shares, memoryMib }: EngineOptions): readonly string[] {
  return [
    ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-smp', '2'],
    // One thread for each processor. Memory is shared with virtiofsd.
    ['-machine', 'pc,hpet=off', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max,la57=off', '-m', String(memoryMib)],
    ['-object', `memory-backend-memfd,id=memory,size=${memoryMib}M,share=on`, '-numa', 'node,memdev=memory'],
    ['-kernel', join(image, 'vmlinux'), '-initrd', join(image, 'initrd.gz'), '-serial', 'stdio'],
    ['-append', 'console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check net.ifnames=0'],
    ['-drive', `if=virtio,format=raw,snapshot=on,file=${image}/root.ext4`],
    // What the machine has flushed is in the file; this machine stays up, so that the file itself need not be flushed.
    disks.flatMap((disk) => ['-drive', `if=virtio,format=raw,cache=unsafe,discard=unmap,file=${disk}`]),
    ['-device', 'virtio-serial', ...LINES.flatMap(qemuLine)],
    [...shares.values()].flatMap(qemuShare),
  ].flat();
}

function qemuLine(fd: number, index: number): readonly string[] {
  return ['-chardev', `socket,id=line${index},fd=${fd}`, '-device', `virtserialport,chardev=line${index},name=${index}`];
}

function qemuShare(socket: string, index: number): readonly string[] {
  return ['-chardev', `socket,id=share${index},path=${socket}`, '-device', `vhost-user-fs-pci,chardev=share${index},tag=share${index}`];
}

/** Where Debian 13 and Debian 12 have it. @throws where it is at neither place */
export function findVirtiofsd(): string {
  const found = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'].find((path) => existsSync(path));
  if (found === undefined) throw new Error('virtiofsd is not installed (Debian packages qemu-system-x86, virtiofsd)');
  return found;
}
