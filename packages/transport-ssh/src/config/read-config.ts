import { glob, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PeerError } from '../engine/peer-error.ts';

/** Where a user's ssh_config(5) files are. */
export interface ConfigPlaces {
  /** A single file to read instead of the user's and the system's; `none` for no file; undefined for both. */
  readonly configFile: string | undefined;
  readonly cwd: string;
  readonly home: string;
}

/** Whether lines after this `Host` or `Match` line apply to the peer, after the configuration read so far. */
export type Applies = (before: string, header: string) => boolean;

const SYSTEM_DIRECTORY = '/etc/ssh';

/** Maximum nesting of included files, as in OpenSSH (`READCONF_MAX_DEPTH`). */
const MAX_DEPTH = 16;

/** Applies to every host: lines after an included file do not belong to the last `Host` in that file. */
const EVERY_HOST = 'Match all';

const HEADER = /^\s*(?:host|match)(?:\s|=)/i;
const INCLUDE = /^\s*include(?:\s+|\s*=\s*)(\S.*)$/i;

/**
 * The text of the configuration for a user, with included files in place.
 * @throws PeerError `invalid-address` if a file that the user named cannot be read
 */
export async function readConfig({ configFile, cwd, home }: ConfigPlaces, applies: Applies): Promise<string> {
  if (configFile === 'none') return '';
  const userDirectory = join(home, '.ssh');
  const places = { home, applies };
  if (configFile !== undefined) {
    const text = await readNamed(resolve(cwd, configFile));
    return new Inclusion({ ...places, directory: userDirectory }).add(text, 0);
  }
  const ofUser = new Inclusion({ ...places, directory: userDirectory });
  await ofUser.add(await readIfThere(join(userDirectory, 'config')), 0);
  const ofSystem = new Inclusion({ ...places, directory: SYSTEM_DIRECTORY, before: `${ofUser.text}\n${EVERY_HOST}\n` });
  return ofSystem.add(await readIfThere(join(SYSTEM_DIRECTORY, 'ssh_config')), 0);
}

/** A configuration with its included files. */
class Inclusion {
  readonly #directory: string;
  readonly #home: string;
  readonly #applies: Applies;
  #lines: string[];

  /** @param options.directory the directory of relative names of included files */
  constructor(options: { readonly directory: string; readonly home: string; readonly applies: Applies; readonly before?: string }) {
    this.#directory = options.directory;
    this.#home = options.home;
    this.#applies = options.applies;
    this.#lines = options.before === undefined ? [] : [options.before];
  }

  get text(): string {
    return this.#lines.join('\n');
  }

  async add(text: string, depth: number): Promise<string> {
    let header: string | undefined;
    for (const line of text.split(/\r?\n/)) {
      const patterns = INCLUDE.exec(line)?.[1];
      if (HEADER.test(line)) header = line;
      if (patterns === undefined) this.#lines.push(line);
      else if (header === undefined || this.#applies(this.text, header)) await this.#include(patterns, header, depth);
    }
    return this.text;
  }

  async #include(patterns: string, header: string | undefined, depth: number): Promise<void> {
    if (depth >= MAX_DEPTH)
      throw new PeerError('invalid-address', {
        message: `cannot read the ssh configuration: its files include each other more than ${MAX_DEPTH} levels deep`,
        hint: 'Correct the Include lines in it.',
      });
    for (const [, quoted, plain] of patterns.matchAll(/"([^"]*)"|(\S+)/g)) {
      const pattern = (quoted ?? plain ?? '').replace(/^~(?=\/)/, () => this.#home);
      const files = await Array.fromAsync(glob(resolve(this.#directory, pattern)));
      for (const file of files.toSorted()) await this.add(await readIfThere(file), depth + 1);
    }
    this.#lines.push(header ?? EVERY_HOST);
  }
}

async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new PeerError('invalid-address', {
      message: `cannot read the ssh configuration ${path}`,
      hint: 'Check ?config= in the address.',
      cause,
    });
  }
}

async function readIfThere(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
