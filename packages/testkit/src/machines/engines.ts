import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The engine of a machine. Neither uses /dev/kvm, which exists but does not work on many test machines.
 *
 * - `uml`: user-mode Linux, a kernel as a process. Starts fastest and computes at full speed; system calls are slow; one processor.
 * - `tcg`: QEMU with an emulated processor: computes 12 to 24 times slower; several processors, and modules that need a real one.
 */
export type MachineEngine = 'uml' | 'tcg';

export interface EngineOptions {
  /** The directory of the image. */
  readonly image: string;
  /** A directory for this machine. */
  readonly scratch: string;
  /** Raw images, in order. */
  readonly disks: readonly string[];
  /** The socket of the virtiofsd for each shared directory. */
  readonly shares: ReadonlyMap<string, string>;
  readonly memoryMib: number;
}

/** The descriptors of the machine's serial lines: scripts in, stdout and stderr out. */
export const LINES = [3, 4, 5] as const;

/** The command that runs the machine: its stdout is the console. */
export function engineCommand(engine: MachineEngine, options: EngineOptions): readonly string[] {
  return engine === 'uml' ? umlCommand(options) : qemuCommand(options);
}

/** A command inside the machine that mounts a host directory, read-only and under the same path. */
export function mountShare(engine: MachineEngine, directory: string, index: number): string {
  const how = engine === 'uml' ? `-t hostfs -o 'ro,${directory}' none` : `-t virtiofs -o ro share${index}`;
  return `mkdir -p '${directory}' && mount ${how} '${directory}'`;
}

function umlCommand({ image, scratch, disks, memoryMib }: EngineOptions): readonly string[] {
  return [
    // Its kernel and its processes are processes of the host that take turns at each system call and page fault. On two processors each turn
    // wakes the other one: on a busy host, a program started in 9 s instead of 2 s, with a fifth more processor time.
    ['taskset', '--cpu-list', anyProcessor()],
    // Temporary and often written: in memory, in a private mount that disappears with the machine.
    ['sh', '-c', 'mount -t tmpfs machine "$TMPDIR" && exec "$@"', 'sh', join(image, 'linux.uml'), `mem=${memoryMib}M`],
    // Writes to the root file system go to a file of this machine.
    [`ubd0=${scratch}/root.cow,${image}/root.ext4`, 'root=/dev/ubda', 'rw', 'rootfstype=ext4', 'init=/sbin/machine-init'],
    disks.map((disk, index) => `ubd${index + 1}=${disk}`),
    ['con=null', 'con0=null,fd:1', 'ssl=null', ...LINES.map((fd, index) => `ssl${index}=fd:${fd}`)],
    [`uml_dir=${scratch}/`, 'umid=machine', 'panic=-1', 'quiet'],
  ].flat();
}

/** The number of one that this process may run on. */
function anyProcessor(): string {
  const [, list = '0'] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  const allowed = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return String(allowed[Math.floor(Math.random() * allowed.length)] ?? 0);
}

function qemuCommand({ image, disks, shares, memoryMib }: EngineOptions): readonly string[] {
  return [
    ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-smp', '2'],
    // One thread per processor. Memory is shared with virtiofsd.
    ['-machine', 'pc,hpet=off', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max,la57=off', '-m', String(memoryMib)],
    ['-object', `memory-backend-memfd,id=memory,size=${memoryMib}M,share=on`, '-numa', 'node,memdev=memory'],
    ['-kernel', join(image, 'vmlinux'), '-initrd', join(image, 'initrd.gz'), '-serial', 'stdio'],
    ['-append', 'console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check net.ifnames=0'],
    ['-drive', `if=virtio,format=raw,snapshot=on,file=${image}/root.ext4`],
    // Flushed data is in the file; the host stays up, so the file itself need not be flushed.
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

/** The path in Debian 13 or Debian 12. @throws if it is not installed */
export function findVirtiofsd(): string {
  const found = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'].find((path) => existsSync(path));
  if (found === undefined) throw new Error('virtiofsd is not installed (Debian packages qemu-system-x86, virtiofsd)');
  return found;
}
