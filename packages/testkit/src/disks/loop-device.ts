import { command, commandAtExit } from './command.ts';
import { undoAtExit } from './undo.ts';

export interface LoopDevice extends AsyncDisposable {
  /** Such as `/dev/loop3`. */
  readonly path: string;
}

export interface LoopDeviceOptions {
  readonly readOnly?: boolean;
  /** Whether it can have partitions, from the kernel or addpart(8); they disappear when it is detached. */
  readonly partitions?: boolean;
}

/** Attaches a file as a block device; disposing detaches it. Needs root. */
export async function attachLoopDevice(file: string, options: LoopDeviceOptions = {}): Promise<LoopDevice> {
  const flags = [...(options.readOnly === true ? ['--read-only'] : []), ...(options.partitions === true ? ['--partscan'] : [])];
  const path = await command('losetup', '--find', '--show', ...flags, file);
  const forget = undoAtExit(() => commandAtExit('losetup', '--detach', path));
  let attached = true;
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (!attached) return;
      await command('losetup', '--detach', path);
      attached = false;
      forget();
    },
  };
}
