import { command, commandAtExit } from './command.ts';
import { undoAtExit } from './undo.ts';

export interface LoopDevice extends AsyncDisposable {
  /** Such as `/dev/loop3`. */
  readonly path: string;
}

/** Attaches a file as a block device; disposing detaches it. Needs root. */
export async function attachLoopDevice(file: string, options: { readonly readOnly?: boolean } = {}): Promise<LoopDevice> {
  const path = await command('losetup', '--find', '--show', ...(options.readOnly === true ? ['--read-only'] : []), file);
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
