import { GantryError } from '../report/errors.ts';
import type { Instance } from './model.ts';

/** The OS parameters of an instance. */
export type OsParameters = Pick<Instance, 'osparams' | 'osparams_private'>;

const PARAMETER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

/** Whether a parameter can have this name. */
export function isParameterName(name: string): boolean {
  return PARAMETER_NAME.test(name);
}

/** Name and value of every parameter, the private ones last. */
export function allParameters(parameters: OsParameters): (readonly [name: string, value: string])[] {
  return [...Object.entries(parameters.osparams), ...Object.entries(parameters.osparams_private)];
}

/**
 * The environment variables that carry the parameters: `OSP_` and the name, upper-cased, `-` as `_`.
 * @throws GantryError `OS_PARAMETER` where two parameters have the same variable, or a value cannot be passed on; never shows values
 */
export function parameterVariables(parameters: OsParameters): (readonly [name: string, value: string])[] {
  const carriers = new Map<string, string>();
  return allParameters(parameters).map(([name, value]) => {
    const variable = `OSP_${name.toUpperCase().replaceAll('-', '_')}`;
    const other = carriers.get(variable);
    if (other !== undefined) throw collision(name, other, variable);
    if (value.includes('\0')) {
      throw new GantryError('OS_PARAMETER', {
        message: `the value of the OS parameter ${name} contains a NUL character, which cannot be passed to a script`,
        hint: 'Remove it, or encode the value, for example as base64.',
      });
    }
    carriers.set(variable, name);
    return [variable, value];
  });
}

function collision(name: string, other: string, variable: string): GantryError {
  return new GantryError('OS_PARAMETER', {
    message:
      name === other
        ? `the OS parameter ${name} is given twice: as a public and as a private parameter`
        : `the OS parameters ${other} and ${name} would both be passed to scripts as ${variable}`,
    hint: 'Give only one of them.',
  });
}
