import { Buffer } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import type { ParsedKey } from 'ssh2';
import ssh2 from 'ssh2';
import type { Passphrases } from './passphrases.ts';

/** A private key, read from its file. */
type KeyFile =
  | { readonly kind: 'open'; readonly key: ParsedKey }
  /** It has a passphrase, other than the given one. */
  | { readonly kind: 'locked' }
  /** It does not exist, cannot be read, or is not a private key. */
  | { readonly kind: 'unusable' };

/** Reads a private key, and asks for its passphrase if it has one. Undefined if it cannot be used. */
export async function openKeyFile(path: string, passphrases: Passphrases): Promise<ParsedKey | undefined> {
  const plain = await readKeyFile(path);
  if (plain.kind !== 'locked') return plain.kind === 'open' ? plain.key : undefined;
  const passphrase = await passphrases.of(path);
  if (passphrase === undefined) return undefined;
  const opened = await readKeyFile(path, passphrase);
  return opened.kind === 'open' ? opened.key : undefined;
}

/** Whether the file is a private key that only a passphrase opens. */
export async function isLocked(path: string): Promise<boolean> {
  return (await readKeyFile(path)).kind === 'locked';
}

/** The public half of a key: from the `.pub` file beside it, or from the file itself if that is public or not locked. */
export async function readPublicKey(path: string): Promise<Buffer | undefined> {
  for (const file of [`${path}.pub`, path]) {
    const text = await readFile(file).catch(() => undefined);
    const key = text === undefined ? undefined : parseKey(text);
    if (key !== undefined && !(key instanceof Error)) return key.getPublicSSH();
  }
  return undefined;
}

/** Reads a private key, with the passphrase if there is one. Never rejects. */
export async function readKeyFile(path: string, passphrase?: string): Promise<KeyFile> {
  const text = await readFile(path).catch(() => undefined);
  if (text === undefined) return { kind: 'unusable' };
  const key = parseKey(text, passphrase);
  if (!(key instanceof Error)) return key.isPrivateKey() ? { kind: 'open', key } : { kind: 'unusable' };
  // The library distinguishes them only by text: "Encrypted … no passphrase given", "… integrity check failed".
  return { kind: /encrypted|passphrase|integrity|decrypt/i.test(key.message) ? 'locked' : 'unusable' };
}

/** Contrary to its types, the library may return a list with one key. */
function parseKey(text: Buffer, passphrase?: string): ParsedKey | Error {
  const parsed: ParsedKey | Error | readonly ParsedKey[] = ssh2.utils.parseKey(text, passphrase);
  const [key = new Error('no key')] = Array.isArray(parsed) ? parsed : [parsed];
  return key;
}
