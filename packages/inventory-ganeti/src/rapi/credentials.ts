import { InventoryError } from '@gantry/core/inventory';
import { readPrivateFile } from '../private-file.ts';

/** A user of RAPI. The password is kept where printing the object does not show it. */
export class RapiCredentials {
  readonly user: string;
  readonly #password: string;

  constructor(user: string, password: string) {
    this.user = user;
    this.#password = password;
  }

  /** The value of the header `Authorization`. */
  authorization(): string {
    return `Basic ${this.#encoded()}`;
  }

  /** `text` without the password, in any of the forms in which it was sent. */
  redact(text: string): string {
    return [this.#password, this.#encoded()].reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '…')), text);
  }

  #encoded(): string {
    return Buffer.from(`${this.user}:${this.#password}`).toString('base64');
  }
}

export interface CredentialSource {
  readonly host: string;
  /** The user whom the address names. */
  readonly user: string | undefined;
  /** A file in the format of netrc(5), if the address names one. */
  readonly file: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Finds the credentials for a host: in the file that the address names or `GANTRY_GANETI_CREDENTIALS` does, else in `GANTRY_GANETI_USER`
 * and `GANTRY_GANETI_PASSWORD`. Undefined where nothing is configured: Ganeti lets anybody read, unless it is set up otherwise.
 *
 * @throws InventoryError `denied`
 */
export async function findCredentials({ host, user, file, env }: CredentialSource): Promise<RapiCredentials | undefined> {
  const path = file ?? nonEmpty(env['GANTRY_GANETI_CREDENTIALS']);
  if (path !== undefined) return await credentialsOfFile(path, host, user);
  const name = user ?? nonEmpty(env['GANTRY_GANETI_USER']);
  const password = nonEmpty(env['GANTRY_GANETI_PASSWORD']);
  if (name === undefined && password === undefined) return undefined;
  if (name === undefined || password === undefined) {
    const missing = name === undefined ? 'GANTRY_GANETI_USER' : 'GANTRY_GANETI_PASSWORD';
    throw new InventoryError('denied', {
      message: `there are credentials for RAPI only in part: ${missing} is not set`,
      hint: 'Set both variables, or name a file with both in GANTRY_GANETI_CREDENTIALS.',
    });
  }
  return checked(name, password, 'GANTRY_GANETI_USER');
}

async function credentialsOfFile(path: string, host: string, user: string | undefined): Promise<RapiCredentials> {
  const entries = parseNetrc(await readPrivateFile(path, { what: 'file of RAPI credentials', secret: true }), path);
  const entry = entries.find(({ machine, login }) => (machine === undefined || machine === host) && (user ?? login) === login);
  if (entry?.login !== undefined && entry.password !== undefined) return checked(entry.login, entry.password, path);
  const who = user === undefined ? host : `${user} at ${host}`;
  throw new InventoryError('denied', {
    message: `${path} has no login and password for ${who}`,
    hint: `It needs a line such as: machine ${host} login ${user ?? 'USER'} password PASSWORD`,
  });
}

interface NetrcEntry {
  /** Undefined for `default`. */
  readonly machine: string | undefined;
  readonly login?: string;
  readonly password?: string;
}

/** @throws InventoryError `denied`, without any of its words */
function parseNetrc(text: string, path: string): readonly NetrcEntry[] {
  const words = text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .flatMap((line) => line.split(/\s+/).filter((word) => word !== ''));
  const entries: NetrcEntry[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const keyword = words[at];
    if (keyword === 'default') {
      entries.push({ machine: undefined });
      continue;
    }
    at += 1;
    const value = words[at];
    const last = entries.pop();
    if (keyword === 'machine' && value !== undefined) entries.push(...(last === undefined ? [] : [last]), { machine: value });
    else if ((keyword === 'login' || keyword === 'password') && value !== undefined && last !== undefined)
      entries.push({ ...last, [keyword]: value });
    else {
      throw new InventoryError('denied', {
        message: `${path} is not a netrc file: its word ${at} should be machine, default, login or password, with a value after it`,
        hint: 'Write: machine HOST login USER password PASSWORD',
      });
    }
  }
  return entries;
}

function checked(user: string, password: string, place: string): RapiCredentials {
  if (!user.includes(':') && !/\p{Cc}/u.test(user + password)) return new RapiCredentials(user, password);
  throw new InventoryError('denied', {
    message: `${place}: a user of RAPI has neither a colon nor control characters in its name or password`,
  });
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
