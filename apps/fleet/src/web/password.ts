import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errorText, GantryError, replaceFile } from '@gantry/core';

/*
 * The password of the page is in a file of one line, from which it cannot be read: `scrypt:N:r:p:SALT:KEY`, with the cost of scrypt
 * (RFC 7914), and salt and key in base64.
 */

const derive = promisify<
  string,
  Buffer,
  number,
  { readonly N: number; readonly r: number; readonly p: number; readonly maxmem: number },
  Buffer
>(scrypt);

/** 32 MiB and some 100 ms. */
const COST = { N: 2 ** 15, r: 8, p: 1 };
const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** More than {@link COST} needs; a file cannot ask for more. */
const MAX_MEMORY_BYTES = 256 * 1024 * 1024;
const MIN_CHARACTERS = 12;
/** Longer ones would take time to read. */
const MAX_CHARACTERS = 1000;
const OTHERS = 0o077;
const FORM = /^scrypt:(\d{1,9}):(\d{1,3}):(\d{1,3}):([A-Za-z0-9+/=]{8,200}):([A-Za-z0-9+/=]{20,200})$/;

/** @throws GantryError `USAGE` for one that is too short or too long */
export async function writePasswordFile(path: string, password: string): Promise<void> {
  if (password.length < MIN_CHARACTERS || password.length > MAX_CHARACTERS) {
    const message = `the password has ${password.length < MIN_CHARACTERS ? `less than ${MIN_CHARACTERS}` : `more than ${MAX_CHARACTERS}`} characters`;
    throw new GantryError('USAGE', { message, hint: 'Some words that nobody else would put together are easy to remember.' });
  }
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, salt, KEY_BYTES, { ...COST, maxmem: MAX_MEMORY_BYTES });
  const { N, r, p } = COST;
  await replaceFile(path, `scrypt:${N}:${r}:${p}:${salt.toString('base64')}:${key.toString('base64')}\n`, 0o600);
}

/** The line of a password file. @throws GantryError `USAGE` if it cannot be read, others can, or it is not one */
export async function readPasswordFile(path: string): Promise<string> {
  const hint = 'gantry-fleet password makes one.';
  let line: string;
  try {
    const { mode } = await stat(path);
    if ((mode & OTHERS) !== 0) {
      throw new GantryError('USAGE', { message: `others can read the password file ${path}`, hint: `chmod 0600 ${path}` });
    }
    line = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (error instanceof GantryError) throw error;
    const reason = errorText(error);
    throw new GantryError('USAGE', { message: `cannot read the password file: ${reason}`, hint, cause: error });
  }
  if (FORM.test(line)) return line;
  throw new GantryError('USAGE', { message: `${path} is not a password file`, hint });
}

/** Whether a password is the one that a line was made from. */
export async function isPassword(line: string, password: string): Promise<boolean> {
  const [, N = '', r = '', p = '', salt = '', key = ''] = FORM.exec(line) ?? [];
  if (key === '' || password.length > MAX_CHARACTERS) return false;
  const expected = Buffer.from(key, 'base64');
  const cost = { N: Number(N), r: Number(r), p: Number(p), maxmem: MAX_MEMORY_BYTES };
  return timingSafeEqual(await derive(password, Buffer.from(salt, 'base64'), expected.length, cost), expected);
}
