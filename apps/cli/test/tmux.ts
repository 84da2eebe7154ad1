import { PATIENTLY } from '@gantry/testkit';
import { execa } from 'execa';

/** A terminal of tmux, which wraps, scrolls and reflows as terminals do. Disposing it ends what runs in it. */
export interface Tmux extends AsyncDisposable {
  /** A command of tmux(1). @returns what it prints */
  readonly run: (...args: readonly string[]) => Promise<string>;
  /** The lines of the screen, without empty ones at its end, once the text matches. It throws what is there if that takes too long. */
  readonly screen: (shows: RegExp) => Promise<readonly string[]>;
}

/** @param socket where the server listens: a path of the caller's own */
export function openTmux(socket: string): Tmux {
  const run = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await execa('tmux', ['-S', socket, '-f', '/dev/null', ...args], { env: { LC_ALL: 'C.UTF-8' } });
    return stdout;
  };
  return {
    run,
    screen: async (shows) => {
      const deadline = performance.now() + PATIENTLY.timeout;
      for (;;) {
        const text = await run('capture-pane', '-p');
        if (shows.test(text)) return text.trimEnd().split('\n');
        if (performance.now() > deadline) throw new Error(`the terminal does not show ${String(shows)}, but:\n${text.trimEnd()}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    [Symbol.asyncDispose]: async () => {
      await run('kill-server').catch(() => undefined);
    },
  };
}
