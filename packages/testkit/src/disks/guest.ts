import { spawn } from 'node:child_process';
import { on, once } from 'node:events';

/** A virtual machine that has a disk open. */
export interface Guest extends AsyncDisposable {
  /** The pid of its QEMU. */
  readonly pid: number;
}

export interface GuestOptions {
  /** The image format for QEMU; `raw` by default. */
  readonly format?: 'raw' | 'qcow2';
  readonly readOnly?: boolean;
  /** A directory that QEMU takes for its root once it has opened all that it was given. */
  readonly chroot?: string;
}

/**
 * Starts an emulated virtual machine of QEMU that has the image as its disk: opened and locked as for every guest. Its processor is
 * stopped. Needs qemu-system-x86_64.
 *
 * @throws Error with QEMU's message if it does not start, for example because another process has a lock
 */
export async function startGuest(image: string, { format = 'raw', readOnly = false, chroot }: GuestOptions = {}): Promise<Guest> {
  // A comma ends a value in QEMU's options, unless it is doubled.
  const drive = `file=${image.replaceAll(',', ',,')},format=${format},if=virtio,readonly=${readOnly ? 'on' : 'off'}`;
  const machine = ['-accel', 'tcg', '-m', '32', '-nodefaults', '-display', 'none', '-S', '-qmp', 'stdio', '-drive', drive];
  if (chroot !== undefined) machine.push('-chroot', chroot);
  const qemu = spawn('qemu-system-x86_64', machine, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(qemu, 'exit');
  let stderr = '';
  qemu.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // The greeting may come before all devices exist, and the disk is then still open only for reading: a query is answered after that.
  // One that could not start says so by its end.
  qemu.stdin.on('error', () => undefined);
  qemu.stdin.write('{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n');
  const isReady = await Promise.race([untilItSays(qemu.stdout, '"running"'), ended.then(() => false)]);
  if (!isReady || qemu.pid === undefined) throw new Error(`QEMU did not start: ${stderr.trim()}`);
  return {
    pid: qemu.pid,
    async [Symbol.asyncDispose]() {
      qemu.kill('SIGTERM');
      await ended;
    },
  };
}

async function untilItSays(output: NodeJS.ReadableStream, word: string): Promise<boolean> {
  let said = '';
  for await (const chunk of on(output, 'data')) {
    said += String(chunk);
    if (said.includes(word)) return true;
  }
  return false;
}
