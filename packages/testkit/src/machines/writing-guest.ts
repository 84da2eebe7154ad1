import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { undoAtExit } from '../disks/undo.ts';
import { makeGuestInitrd } from './guest-initrd.ts';
import { machineImage } from './image.ts';

const INIT = fileURLToPath(new URL('../../src/machines/writer-init.sh', import.meta.url));
const BLOCK_BYTES = 4096;
const FACTOR = 2_654_435_761n;
/** For a kernel to start in an emulated processor, on a busy machine, ms. */
const START_MS = 120_000;

export interface WritingGuestOptions {
  /** A directory of the test's own. */
  readonly directory: string;
  /** Two raw disks of the same size: a power of two of blocks of 4 KiB. */
  readonly disks: readonly [string, string];
  /** Where it takes QMP. */
  readonly qmp: string;
  /** How the disks are given to QEMU: as `-drive`, as Ganeti does it, or as named nodes with an I/O thread for each. */
  readonly style?: 'drive' | 'iothread';
}

/** A guest that writes numbered blocks to two disks until it is disposed. */
export interface WritingGuest extends AsyncDisposable {
  /** Of its QEMU. */
  readonly pid: number;
  /** The number that it wrote last to both disks. */
  readonly written: () => number;
  /** Resolves when it has written this number. @throws Error where QEMU ends before, or a write fails */
  reaches(number: number): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** Starts QEMU, emulated, and resolves when the guest writes. Needs qemu-system-x86 and what the machines' image needs. */
export async function startWritingGuest(options: WritingGuestOptions): Promise<WritingGuest> {
  const image = await machineImage();
  const initrd = await makeGuestInitrd({ image, directory: options.directory, init: INIT });
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

function qemuArguments({ disks, qmp, style = 'drive' }: WritingGuestOptions, image: string, initrd: string): readonly string[] {
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-machine', 'pc,hpet=off'],
    ['-accel', 'tcg,thread=multi,tb-size=128', '-cpu', 'max,la57=off', '-m', '256'],
    ['-kernel', join(image, 'vmlinux'), '-initrd', initrd, '-serial', 'stdio', '-qmp', `unix:${qmp},server=on,wait=off`],
    ['-append', 'console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check'],
    disks.flatMap((disk, index) => (style === 'drive' ? legacyDrive(disk) : namedNode(disk, index))),
  ].flat();
}

function legacyDrive(disk: string): readonly string[] {
  return ['-drive', `if=virtio,format=raw,cache=none,discard=unmap,file=${disk}`];
}

function namedNode(disk: string, index: number): readonly string[] {
  return [
    ['-object', `iothread,id=thread${index}`],
    ['-blockdev', `driver=file,node-name=file${index},filename=${disk},discard=unmap`],
    ['-blockdev', `driver=raw,node-name=disk${index},file=file${index},discard=unmap`],
    ['-device', `virtio-blk-pci,id=virtio${index},drive=disk${index},iothread=thread${index}`],
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
    const expected = Number((BigInt(number) * FACTOR) % BigInt(numbers.blocks));
    if (at !== expected)
      throw new Error(`${last} is there, but ${number} is ${at === undefined ? 'missing' : `at ${at} instead of ${expected}`}`);
  }
  return last;
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
