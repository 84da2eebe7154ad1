import type { FindOptions } from './files.ts';
import { findConfigurationFiles } from './files.ts';
import { toConfiguration } from './meaning.ts';
import type { Configuration } from './model.ts';

/**
 * Reads what gantry.yaml says, of all files together: stores, inventories and policies of a later level replace those of the same name;
 * of `defaults`, `notify` and `metrics`, each field counts for itself.
 *
 * @throws GantryError `CONFIGURATION_UNREADABLE`, `CONFIGURATION_SYNTAX`, `CONFIGURATION_INVALID`
 */
export async function loadConfiguration(options: FindOptions & { readonly signal?: AbortSignal | undefined }): Promise<Configuration> {
  const levels = await findConfigurationFiles(options);
  if (levels.every((level) => level.length === 0)) return toConfiguration([], new Map());
  // Its schemas take a noticeable part of the start.
  const { readFiles } = await import('./read-files.ts');
  return await readFiles(levels, options.signal);
}
