import { resolve } from 'node:path';
import { readSmallFile } from '../system/read-small-file.ts';

/*
 * The lines of a file that says who may sign, as ssh-keygen(1) describes it under ALLOWED SIGNERS.
 */

/**
 * The parts of an allowed-signers file that may have the key of a signature, or that of the authority that has certified it: each such
 * line alone, since `ssh-keygen -Y find-principals` names those of the first alone, also if that is for another namespace. Comments keep
 * its number. What is not a signature gets all lines: ssh-keygen says what is wrong with it.
 */
export function linesFor(signature: string, signers: Buffer): readonly string[] {
  const all = signers.toString('utf8');
  const key = keyIn(signature);
  if (key === undefined) return [all];
  return all.split('\n').flatMap((line, index) => (hasKeyOf(line, key) ? [`${'#\n'.repeat(index)}${line}\n`] : []));
}

/** Whether a line has the key, or one that is a part of it: a certificate has that of its authority. */
function hasKeyOf(line: string, key: Buffer): boolean {
  if (line.trimStart().startsWith('#')) return false;
  return line.split(/\s+/).some((word) => PUBLIC_KEY.test(word) && key.includes(Buffer.from(word, 'base64')));
}

/** It begins with the length of the name of its type: three zeros, and more than the type alone. */
const PUBLIC_KEY = /^AAAA[A-Za-z0-9+/]{40,}=*$/;

/** `SSHSIG`, and the version. */
const KEY_LENGTH_AT = 6 + 4;

/** The public key in a signature, or its certificate; undefined for what is not a signature. */
function keyIn(signature: string): Buffer | undefined {
  const [, base64 = ''] = /^-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END/.exec(signature) ?? [];
  const blob = Buffer.from(base64, 'base64');
  const start = KEY_LENGTH_AT + 4;
  if (blob.length < start) return undefined;
  return blob.subarray(start, start + blob.readUInt32BE(KEY_LENGTH_AT));
}

/**
 * Whether a file that says who may sign has a line with a key, or with an authority that has certified it. Nothing is signed for that, so
 * that a line may still be for something else, or for another time; undefined where one of both cannot be read.
 *
 * @param key the file of a private key, beside which its public key is, or of a public one
 */
export async function mayBeAllowed(key: string, allowedSigners: string): Promise<boolean | undefined> {
  const [signers, own] = await Promise.all([readSmallFile(allowedSigners), publicKeyOf(resolve(key))]).catch(() => []);
  if (signers === undefined || own === undefined) return undefined;
  return signers
    .toString('utf8')
    .split('\n')
    .some((line) => hasKeyOf(line, own));
}

/** The public key that belongs to a private one, or that is in the file itself. @throws the errors of the file system */
async function publicKeyOf(path: string): Promise<Buffer | undefined> {
  const text = (await readSmallFile(path.endsWith('.pub') ? path : `${path}.pub`)).toString('utf8');
  const base64 = text.split(/\s+/).find((word) => PUBLIC_KEY.test(word));
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64');
}
