import { GantryError } from '../report/errors.ts';
import type { Instance } from './model.ts';

/** The parameters of an OS as an instance has them. */
export type OsParameters = Pick<Instance, 'osparams' | 'osparams_private'>;

const PARAMETER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

/** Whether a parameter of that name can be listed and passed on. */
export function isParameterName(name: string): boolean {
  return PARAMETER_NAME.test(name);
}

/** Name and value of every parameter, the private ones last. */
export function allParameters(parameters: OsParameters): (readonly [name: string, value: string])[] {
  return [...Object.entries(parameters.osparams), ...Object.entries(parameters.osparams_private)];
}

/**
 * The environment variables that carry the parameters: `OSP_` and the name, upper-cased, `-` as `_`.
 * @throws GantryError `OS_PARAMETER` where two of them would be one variable, or a value cannot be passed on; without values
 */
export function parameterVariables(parameters: OsParameters): (readonly [name: string, value: string])[] {
  const carriers = new Map<string, string>();
  return allParameters(parameters).map(([name, value]) => {
    const variable = `OSP_${name.toUpperCase().replaceAll('-', '_')}`;
    const other = carriers.get(variable);
    if (other !== undefined) throw collision(name, other, variable);
    if (value.includes('\0')) {
      throw new GantryError('OS_PARAMETER', {
        message: `the value of the OS parameter ${name} holds a NUL character, which no script can be given`,
        hint: 'Take it out, or give the value in another form, such as base64.',
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
        ? `the OS parameter ${name} is given twice, as a public and as a private one`
        : `the OS parameters ${other} and ${name} both reach scripts as ${variable}`,
    hint: 'Give one of them only.',
  });
}
