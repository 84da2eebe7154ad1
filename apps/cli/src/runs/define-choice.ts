import { GantryError } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { DEFINE } from '../command-line/options.ts';

/** What the options say of defining an instance after its disks are complete. */
export interface DefineChoice {
  /** Address of the source. */
  readonly source: string;
  readonly start: boolean;
  readonly newIdentity: boolean;
}

/** @throws GantryError `USAGE` for options that mean nothing without `--define` */
export function defineChoiceOf({ define, start, newIdentity }: OptionValues<typeof DEFINE>): DefineChoice | undefined {
  if (define !== undefined) return { source: define, start: start === true, newIdentity: newIdentity === true };
  const alone = start === true ? '--start' : newIdentity === true ? '--new-identity' : undefined;
  if (alone === undefined) return undefined;
  throw new GantryError('USAGE', { message: `${alone} needs --define`, hint: 'Say where the instance becomes known: --define libvirt:' });
}
