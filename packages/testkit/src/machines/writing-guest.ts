import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { undoAtExit } from '../disks/undo.ts';
import { WRITER_PAUSE_MS } from '../all-variants.ts';
import { makeGuestInitrd } from './guest-initrd.ts';
import { machineImage } from './image.ts';

const INIT = fileURLToPath(new URL('../../src/machines/writer-init.sh', import.meta.url));
const STREAM_INIT = fileURLToPath(new URL('../../src/machines/stream-init.sh', import.meta.url));
/** In the environment of that process. */
export const WRITER_PAUSE: string = `PAUSE_US=${WRITER_PAUSE_MS * 1000}`;
const BLOCK_BYTES = 4096;
const FACTOR = 2_654_435_761n;
/** Of virtio-scsi and its disks, and of the line to the agent. */
const MODULES = [
  'drivers/scsi/scsi_common',
  'drivers/scsi/scsi_mod',
  'drivers/scsi/sd_mod',
  'drivers/scsi/virtio_scsi',
  'drivers/char/virtio_console',
];
/** For a kernel to start in an emulated processor, on a busy machine, ms. */
const START_MS = 300_000;

export interface WritingGuestOptions {
  /** A directory of the test's own. */
  readonly directory: string;
  /** Raw disks of the same size, files or block devices: a power of two of blocks of 4 KiB. */
  readonly disks: readonly string[];
  /** Where it takes QMP. */
  readonly qmp: string;
  /** How the disks are given to QEMU: all of them in one way, or each in its own. */
  readonly style?: DiskStyle | readonly DiskStyle[];
  /** How many numbers it writes to each disk at once; 1 by default. With more, it writes to all disks at once too. */
  readonly inFlight?: number;
  /** A guest agent, Debian's; the machine must have the package qemu-guest-agent. */
  readonly agent?: GuestAgentOptions;
  /** Instead of numbers, it writes that amount to the beginning of its first disk; what it says that it wrote are MiB. */
  readonly stream?: { readonly mibPerSecond: number; readonly regionMib: number };
}

/**
 * `drive` and `scsi-drive`: `-drive`, as Ganeti does it, for virtio-blk and virtio-scsi. `node` and `scsi-node`: named nodes. `iothread`:
 * virtio-blk with a named node and an I/O thread of its own.
 */
export type DiskStyle = 'drive' | 'node' | 'iothread' | 'scsi-drive' | 'scsi-node';

export interface GuestAgentOptions {
  /** Where the agent is reached. */
  readonly socket: string;
  /** A raw disk with an ext4, which the guest mounts and writes to all the while. */
  readonly files: string;
}

/** A guest that writes numbered blocks to its disks until it is disposed. */
export interface WritingGuest extends AsyncDisposable {
  /** Of its QEMU. */
  readonly pid: number;
  /** All numbers up to this one are on all disks. */
  readonly written: () => number;
  /** Resolves when it has written this number. @throws Error where QEMU ends before, or a write fails */
  reaches(number: number): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** Starts QEMU, emulated, and resolves when the guest writes. Needs qemu-system-x86 and what the machines' image needs. */
export async function startWritingGuest(options: WritingGuestOptions): Promise<WritingGuest> {
  const image = await machineImage();
  const programs = options.agent === undefined ? [] : ['/usr/sbin/qemu-ga'];
  const init = options.stream === undefined ? INIT : STREAM_INIT;
  const initrd = await makeGuestInitrd({ image, directory: options.directory, init, modules: MODULES, programs });
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(options, image, initrd)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const forget = undoAtExit(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(forget);
  const guest = watch(child);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    const late = AbortSignal.timeout(START_MS);
    await guest.reaches(1, late);
  } catch (error) {
    await kill();
    throw error;
  }
  return { pid: child.pid ?? -1, ...guest, kill, [Symbol.asyncDispose]: kill };
}

function watch(child: ChildProcess): Pick<WritingGuest, 'written'> & { reaches(number: number, signal?: AbortSignal): Promise<void> } {
  const events = new EventEmitter();
  events.setMaxListeners(0);
  const seen: { written: number; failure?: Error } = { written: 0 };
  let words = '';
  const fail = (error: Error): void => {
    seen.failure ??= error;
    events.emit('change');
  };
  child.stderr?.on('data', (chunk: Buffer) => {
    words += chunk.toString();
  });
  child.once('exit', () => fail(new Error(`QEMU ended: ${words.trim()}`)));
  if (child.stdout !== null)
    createInterface(child.stdout).on('line', (line) => {
      const [, what, number] = /(wrote|failed) (\d+)/.exec(line) ?? [];
      if (what === 'failed') fail(new Error(`the guest could not write ${number}`));
      if (what === 'wrote') seen.written = Number(number);
      events.emit('change');
    });
  return {
    written: () => seen.written,
    async reaches(number, signal) {
      while (seen.written < number) {
        if (seen.failure !== undefined) throw seen.failure;
        await once(events, 'change', signal === undefined ? {} : { signal });
      }
    },
  };
}

function qemuArguments(
  { disks, qmp, style = 'drive', inFlight = 1, agent, stream }: WritingGuestOptions,
  image: string,
  initrd: string,
): readonly string[] {
  const styles = disks.map((_, index) => (typeof style === 'string' ? style : (style[index] ?? 'drive')));
  // The kernel hands what it does not know itself to the first process, as its environment.
  const rate = stream === undefined ? '' : ` RATE=${stream.mibPerSecond} REGION=${stream.regionMib}`;
  const environment = `DISKS=${disks.length} IN_FLIGHT=${inFlight} ${WRITER_PAUSE}${agent === undefined ? '' : ' AGENT=1'}${rate}`;
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-machine', 'pc,hpet=off'],
    ['-accel', 'tcg,thread=multi,tb-size=128', '-cpu', 'max,la57=off', '-m', '256'],
    ['-kernel', join(image, 'vmlinux'), '-initrd', initrd, '-serial', 'stdio', '-qmp', `unix:${qmp},server=on,wait=off`],
    ['-append', `console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check ${environment}`],
    styles.some((each) => each.startsWith('scsi-')) ? ['-device', 'virtio-scsi-pci,id=scsi'] : [],
    disks.flatMap((disk, index) => diskArguments(styles[index] ?? 'drive', disk, index)),
    agent === undefined ? [] : agentArguments(agent),
  ].flat();
}

function diskArguments(style: DiskStyle, disk: string, index: number): readonly string[] {
  const legacy = `format=raw,cache=none,discard=unmap,file=${disk}`;
  if (style === 'drive') return ['-drive', `if=virtio,${legacy}`];
  if (style === 'scsi-drive') return ['-drive', `if=none,id=drive${index},${legacy}`, '-device', scsiDisk(`drive${index}`, index)];
  const driver = disk.startsWith('/dev/') ? 'host_device' : 'file';
  const node = [
    ['-blockdev', `driver=${driver},node-name=file${index},filename=${disk},discard=unmap`],
    ['-blockdev', `driver=raw,node-name=disk${index},file=file${index},discard=unmap`],
  ].flat();
  const virtio = `virtio-blk-pci,id=virtio${index},drive=disk${index}`;
  if (style === 'scsi-node') return [...node, '-device', scsiDisk(`disk${index}`, index)];
  if (style === 'node') return [...node, '-device', virtio];
  return ['-object', `iothread,id=thread${index}`, ...node, '-device', `${virtio},iothread=thread${index}`];
}

function scsiDisk(drive: string, index: number): string {
  return `scsi-hd,bus=scsi.0,scsi-id=${index},drive=${drive}`;
}

function agentArguments({ socket, files }: GuestAgentOptions): readonly string[] {
  return [
    ['-drive', `if=none,id=files,format=raw,cache=none,file=${files}`, '-device', 'virtio-blk-pci,drive=files,serial=files'],
    ['-chardev', `socket,id=agent,path=${socket},server=on,wait=off`, '-device', 'virtio-serial-pci'],
    ['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
  ].flat();
}

/**
 * Up to which number a disk was written: that one and all before are there, and none after.
 * @throws Error where one is missing or does not stand where it belongs: the disk is at no moment of its history
 */
export function writtenUpTo(content: Buffer): number {
  const numbers = numbersOf(content);
  const last = Math.max(0, ...numbers.keys());
  for (let number = 1; number <= last; number += 1) {
    const at = numbers.get(number);
    const expected = placeOf(number, numbers.blocks);
    if (at !== expected)
      throw new Error(`${last} is there, but ${number} is ${at === undefined ? 'missing' : `at ${at} instead of ${expected}`}`);
  }
  return last;
}

/**
 * Up to which number disks were written that several numbers were written to at once: that one and all before are on all of them. Of the
 * next `inFlight` any may be there, and none after.
 * @throws Error where that is not so: the disks are at no common moment of their history
 */
export function allWrittenUpTo(contents: readonly Buffer[], inFlight: number): number {
  const all = contents.map(numbersOf);
  const complete = Math.min(...all.map((numbers) => Math.floor(countFromOne(numbers) / inFlight))) * inFlight;
  for (const [disk, numbers] of all.entries()) {
    const last = Math.max(0, ...numbers.keys());
    if (last > complete + inFlight) throw new Error(`disk ${disk} has ${last}, although a disk has no more than ${complete} completely`);
    for (const [number, at] of numbers) if (at !== placeOf(number, numbers.blocks)) throw new Error(`disk ${disk} has ${number} at ${at}`);
  }
  return complete;
}

function countFromOne(numbers: Numbers): number {
  let count = 0;
  while (numbers.has(count + 1)) count += 1;
  return count;
}

function placeOf(number: number, blocks: number): number {
  return Number((BigInt(number) * FACTOR) % BigInt(blocks));
}

class Numbers extends Map<number, number> {
  readonly blocks: number;

  constructor(blocks: number) {
    super();
    this.blocks = blocks;
  }

  look(block: Buffer, at: number): void {
    const digits = /^\d+/.exec(block.toString('latin1', 0, 20))?.[0];
    if (digits !== undefined) this.set(Number(digits), at);
    else if (block.some((byte) => byte !== 0)) throw new Error(`block ${at} has something else than a number`);
  }
}

function numbersOf(content: Buffer): Numbers {
  const numbers = new Numbers(content.length / BLOCK_BYTES);
  for (let at = 0; at < numbers.blocks; at += 1) numbers.look(content.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES), at);
  return numbers;
}
