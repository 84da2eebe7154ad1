import type { Stats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { errorText, GantryError } from '@gantry/core';

/** Files that count equally; what is in a later level replaces what is in an earlier one. */
export type Levels = readonly (readonly string[])[];

export interface FindOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The file of `--config`, which then is the only one. */
  readonly file?: string | undefined;
  /** Where the system's configuration is; `/etc/gantry` when absent. */
  readonly systemDirectory?: string | undefined;
}

const SYSTEM_DIRECTORY = '/etc/gantry';

/** Given in place of a file: there is no configuration. */
const NONE: ReadonlySet<string> = new Set(['none', '/dev/null']);

/** How to do without a configuration that cannot be used. */
export const WITHOUT_HINT = '--config none does without a configuration.';

/**
 * Finds the configuration files: only the one that `--config` or `GANTRY_CONFIG` names, or none for `none`; else `gantry.yaml` and `conf.d/*.yaml` (or `.yml`) in
 * `/etc/gantry`, and the user's `gantry/gantry.yaml` in `$XDG_CONFIG_HOME` (`~/.config`).
 *
 * @throws GantryError `CONFIGURATION_UNREADABLE`
 */
export async function findConfigurationFiles({ env, cwd, file, systemDirectory = SYSTEM_DIRECTORY }: FindOptions): Promise<Levels> {
  const named = file ?? (env['GANTRY_CONFIG'] === '' ? undefined : env['GANTRY_CONFIG']);
  if (named !== undefined) return NONE.has(named) ? [] : [[resolve(cwd, named)]];
  const own = env['XDG_CONFIG_HOME']?.startsWith('/') === true ? env['XDG_CONFIG_HOME'] : join(env['HOME'] ?? homedir(), '.config');
  const levels = [
    [join(systemDirectory, 'gantry.yaml'), ...(await fragmentsIn(join(systemDirectory, 'conf.d')))],
    [join(own, 'gantry', 'gantry.yaml')],
  ];
  return await Promise.all(levels.map(existing));
}

async function fragmentsIn(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw unreadable(directory, error);
  }
}

async function existing(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      try {
        await lstat(path);
        return [path];
      } catch (error) {
        if (isMissing(error)) return [];
        throw unreadable(path, error);
      }
    }),
  );
  return found.flat();
}

/**
 * Refuses a file that somebody else than its user and root may change: it names programs that are started.
 *
 * @throws GantryError `CONFIGURATION_UNREADABLE`
 */
export async function assertTrusted(path: string): Promise<void> {
  const stats = await statOf(path);
  const { uid, mode } = stats;
  const own = process.geteuid?.() ?? 0;
  const reason =
    uid !== 0 && uid !== own ? `it belongs to another user (${uid})` : (mode & 0o022) === 0 ? undefined : 'others may write to it';
  if (reason === undefined) return;
  throw new GantryError('CONFIGURATION_UNREADABLE', {
    message: `the configuration ${path} is not used: ${reason}`,
    hint: `It names programs that Gantry starts. ${stats.isFile() ? `As its owner: chmod go-w ${path}; ` : ''}${WITHOUT_HINT}`,
  });
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The error for a file that cannot be read. */
export function unreadable(path: string, cause: unknown): GantryError {
  const reason = errorText(cause)
    .replace(/^\w+: /, '')
    .replace(/, \w+ '.*'$/, '');
  return new GantryError('CONFIGURATION_UNREADABLE', {
    message: `cannot read the configuration ${path}: ${reason}`,
    hint: `Check the path and its permissions. ${WITHOUT_HINT}`,
    cause,
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
