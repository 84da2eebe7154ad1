import { fileURLToPath } from 'node:url';
import { quote } from './contestant.ts';

/** The command as it is published: run `turbo run build` first. */
export const COMMAND: readonly [string, string] = [
  process.execPath,
  fileURLToPath(new URL('../../apps/cli/bin/gantry.cjs', import.meta.url)),
];

/** {@link COMMAND} in a line of bash. */
export const COMMAND_LINE: string = COMMAND.map(quote).join(' ');
