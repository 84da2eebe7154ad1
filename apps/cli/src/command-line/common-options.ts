import type { OptionSpec } from './options.ts';

/** The options of every command, which may stand before its name too. */
export const COMMON_OPTIONS: readonly OptionSpec<unknown>[] = [
  { flags: '--json', description: 'print events and the result as JSON, one object per line' },
  { flags: '--config <file>', description: 'read only this configuration file (or GANTRY_CONFIG)' },
  { flags: '-q, --quiet', description: 'print only the result, warnings and errors' },
];

/** Commander has it by itself: here for completions and manual pages. */
export const HELP_OPTION: OptionSpec<unknown> = { flags: '-h, --help', description: 'display help for command' };
