import { command, commandAtExit } from './command.ts';
import { undoAtExit } from './undo.ts';

/** Makes swap of a block device and lets the system use it, with the lowest priority, until disposed. Needs root. */
export async function useAsSwap(device: string): Promise<AsyncDisposable> {
  await command('mkswap', device);
  await command('swapon', '--priority', '0', device);
  const forget = undoAtExit(() => commandAtExit('swapoff', device));
  return {
    async [Symbol.asyncDispose]() {
      await command('swapoff', device);
      forget();
    },
  };
}
