import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** A virtual machine that has a disk open. */
export interface Guest extends AsyncDisposable {
  /** Of its QEMU. */
  readonly pid: number;
}

export interface GuestOptions {
  /** How QEMU reads the image; default `raw`. */
  readonly format?: 'raw' | 'qcow2';
  readonly readOnly?: boolean;
}

/**
 * Starts a virtual machine of QEMU, emulated, that has the image as its disk: opened and locked as for every guest. It computes
 * nothing. Needs qemu-system-x86_64.
 *
 * @throws Error with QEMU's own words where it does not start, such as of a lock that somebody else has
 */
export async function startGuest(image: string, { format = 'raw', readOnly = false }: GuestOptions = {}): Promise<Guest> {
  // A comma ends a value in QEMU's options, unless it is doubled.
  const drive = `file=${image.replaceAll(',', ',,')},format=${format},if=virtio,readonly=${readOnly ? 'on' : 'off'}`;
  const machine = ['-accel', 'tcg', '-m', '32', '-nodefaults', '-display', 'none', '-S', '-qmp', 'stdio', '-drive', drive];
  const qemu = spawn('qemu-system-x86_64', machine, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(qemu, 'exit');
  let words = '';
  qemu.stderr.on('data', (chunk: Buffer) => {
    words += chunk.toString();
  });
  // It greets when all devices are there.
  const greeted = await Promise.race([once(qemu.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!greeted || qemu.pid === undefined) throw new Error(`QEMU did not start: ${words.trim()}`);
  return {
    pid: qemu.pid,
    async [Symbol.asyncDispose]() {
      qemu.kill('SIGTERM');
      await ended;
    },
  };
}
