import { GantryError } from '@gantry/core';

/**
 * Whether `GANTRY_CREATE_STORE` makes an export create a store where there is none.
 * @throws GantryError `USAGE` for any value other than 1, 0 or the empty string
 */
export function wantsNewStore(env: NodeJS.ProcessEnv): boolean {
  const value = env['GANTRY_CREATE_STORE'] ?? '';
  if (value === '1') return true;
  if (value === '' || value === '0') return false;
  throw new GantryError('USAGE', {
    message: `GANTRY_CREATE_STORE must be 1, 0 or unset: it is ${JSON.stringify(value)}`,
    hint: 'Set it to 1 to create stores where there are none, or unset it.',
  });
}
