import { GantryError } from '@gantry/core';

/**
 * What `GANTRY_CREATE_STORE` says: whether an export makes a new store where there is none.
 * @throws GantryError `USAGE` for another value than 1, 0 or nothing
 */
export function wantsNewStore(env: NodeJS.ProcessEnv): boolean {
  const value = env['GANTRY_CREATE_STORE'] ?? '';
  if (value === '1') return true;
  if (value === '' || value === '0') return false;
  throw new GantryError('USAGE', {
    message: `GANTRY_CREATE_STORE is ${JSON.stringify(value)}`,
    hint: 'Set it to 1 to make new stores, or unset it.',
  });
}
