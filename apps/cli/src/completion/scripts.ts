import { readFile } from 'node:fs/promises';

/*
 * What shells load to complete calls of gantry. Everything that needs thought is in `gantry complete`; these scripts only hand it the words
 * and show what it prints: first the kind of paths that fit too and the word, then a line for each suggestion with its description.
 */

export type Shell = 'bash' | 'zsh' | 'fish';

const SCRIPTS: Readonly<Record<Shell, URL>> = {
  bash: new URL('./gantry.bash', import.meta.url),
  zsh: new URL('./gantry.zsh', import.meta.url),
  fish: new URL('./gantry.fish', import.meta.url),
};

export const SHELLS: readonly string[] = Object.keys(SCRIPTS);

export function isShell(name: string): name is Shell {
  return SHELLS.includes(name);
}

export async function scriptFor(shell: Shell): Promise<string> {
  return await readFile(SCRIPTS[shell], 'utf8');
}
