import { GantryError } from '../report/errors.ts';
import type { Instance } from '../instances/model.ts';
import type { OsDefinition } from './definition.ts';
import { didYouMean, nearestNames } from '../report/nearest.ts';
import type { OsParameters } from '../instances/parameter-variables.ts';
import { allParameters, isParameterName, parameterVariables } from '../instances/parameter-variables.ts';
import type { ScriptOptions } from './script-options.ts';
import { runVerifyScript } from './script.ts';
import type { SelectedOs } from './select.ts';

export interface CheckParametersOptions extends ScriptOptions {
  /** The instance that the parameters belong to, where known: `verify` then gets its variables too. */
  readonly instance?: Instance | undefined;
}

/**
 * Checks OS parameters: their names against the definition's list, then all of them by its `verify` script. A definition below API 20
 * has no parameters, so every parameter is refused: no script would get it.
 * @throws GantryError `OS_PARAMETER` (never with a private value), `SCRIPT_START`, `SCRIPT_SIGNALLED`; the reason of the signal
 */
export async function checkParameters(os: SelectedOs, parameters: OsParameters, o: CheckParametersOptions = {}): Promise<void> {
  const { definition } = os;
  for (const [name] of allParameters(parameters)) assertParameterName(os, name);
  // Refuses parameters with the same variable, whether or not a script runs.
  parameterVariables(parameters);
  if (definition.apiVersion < 20 || definition.scripts.verify === undefined) return;
  try {
    await runVerifyScript(os, { ...o, parameters });
  } catch (error) {
    throw error instanceof GantryError && error.code === 'SCRIPT_FAILED' ? refused(os, error) : error;
  }
}

function assertParameterName({ definition }: SelectedOs, name: string): void {
  if (!isParameterName(name)) {
    throw new GantryError('OS_PARAMETER', {
      message: `${JSON.stringify(name)} is not a valid name of an OS parameter`,
      hint: 'Parameter names consist of letters, digits, "_", "-" and ".".',
    });
  }
  const names = definition.parameters.map((parameter) => parameter.name);
  if (names.includes(name)) return;
  throw new GantryError('OS_PARAMETER', {
    message: `OS definition ${definition.name} has no parameter ${name}`,
    hint: parameterHint(definition, name, names),
  });
}

function parameterHint({ apiVersion }: OsDefinition, name: string, names: readonly string[]): string {
  if (apiVersion < 20) return `It complies with API ${String(apiVersion)}, and parameters need API 20: remove them.`;
  if (names.length === 0) return 'It does not have parameters.';
  return `${didYouMean(nearestNames(name, names))}Its parameters: ${names.join(', ')}.`;
}

function refused({ definition }: SelectedOs, error: GantryError): GantryError {
  return new GantryError('OS_PARAMETER', {
    message: `OS definition ${definition.name} refuses the OS parameters: its verify script failed`,
    details: error.details,
    hint:
      error.details.length === 0
        ? `It gave no reason; see ${String(definition.scripts.verify)}.`
        : 'The lines below the message are what the script wrote.',
    cause: error,
  });
}
