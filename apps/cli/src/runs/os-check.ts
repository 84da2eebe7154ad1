import { checkOs } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SCRIPTS } from '../command-line/options.ts';

/** Runs `gantry os check`. */
export async function run(
  session: Session,
  [name]: readonly [string],
  { parameter: parameters = {} }: OptionValues<typeof SCRIPTS> & { readonly parameter: Readonly<Record<string, string>> | undefined },
): Promise<void> {
  await checkOs({ ...session.operation, os: name, parameters });
  const names = Object.keys(parameters);
  session.output.result(
    { operation: 'os-check', os: name, parameters: names },
    `${name} is valid${names.length === 0 ? '' : `, with ${names.length === 1 ? '1 parameter' : `${names.length} parameters`}`}`,
  );
}
