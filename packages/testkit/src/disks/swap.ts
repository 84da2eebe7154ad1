import { command, commandAtExit } from './command.ts';
import { undoAtExit } from './undo.ts';

/** Uses a block device as swap with the lowest priority, until disposed. Needs root. */
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
