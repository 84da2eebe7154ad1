import { readFile, stat } from 'node:fs/promises';
import process from 'node:process';
import { PeerError } from '../engine/peer-error.ts';
import { readKeyFile } from './key-file.ts';

/** Why a key file was not used. */
export interface KeyProblem {
  readonly path: string;
  /** A clause, such as `other users can read it (mode 0644)`. */
  readonly why: string;
  /** What to do about it, in one sentence. */
  readonly hint: string;
  readonly isAbsent?: boolean;
}

export interface KeyProblemOptions {
  /** The passphrase that was tried, if any. */
  readonly passphrase: string | undefined;
  /** Whether the engine ignores a key that other users can read, as `ssh` does. */
  readonly isStrict: boolean;
}

type Problem = Omit<KeyProblem, 'path'>;

/** Larger files are not keys. */
const MAX_KEY_FILE_BYTES = 256 * 1024;

/** `ssh` refuses a key of the user that anybody else can access (`sshkey_perm_ok` of OpenSSH). */
const OTHERS = 0o077;

/** Patterns of files that are not private keys for OpenSSH, the most specific first. */
const FORMS: readonly (readonly [pattern: RegExp, problem: Problem])[] = [
  [/^\s*$/, { why: 'it is empty', hint: 'Give a private key.' }],
  [
    /^(?:ssh-|ecdsa-|sk-)\S+ \S+|PUBLIC KEY/,
    { why: 'it is the public half of a key', hint: 'Give the private key: the file without .pub.' },
  ],
  [/^PuTTY-User-Key-File/, { why: 'it is in PuTTY format', hint: 'Convert it: puttygen FILE -O private-openssh -o NEW.' }],
  [/\r/, { why: 'it has Windows line ends (CR LF)', hint: 'Convert it: sed -i "s/\\r$//" FILE.' }],
  [/^(?![\s\S]*PRIVATE KEY-----)/, { why: 'it does not contain a private key', hint: 'Give a private key.' }],
  [/OPENSSH PRIVATE KEY-----$/, { why: 'its last line lacks a line end', hint: 'Add it: echo >> FILE.' }],
];

/** Whether it is one of the default keys of ssh. */
export function isDefaultKey(path: string): boolean {
  return /\/\.ssh\/id_(?:rsa|dsa|ecdsa|ecdsa_sk|ed25519|ed25519_sk|xmss)$/.test(path);
}

/** Adds to a refusal which keys could not be offered. */
export function withKeyProblems(refusal: PeerError, found: readonly (KeyProblem | undefined)[]): PeerError {
  const problems = found.filter((problem) => problem !== undefined);
  const [first] = problems;
  if (first === undefined) return refusal;
  const list = problems.map(({ path, why }) => `${path} (${why})`).join(', ');
  return new PeerError(refusal.code, { message: `${refusal.message}; not usable: ${list}`, hint: first.hint, cause: refusal });
}

/** Why a key file could not be used; undefined if it is fine, or if that cannot be determined. Never rejects. */
export async function findKeyProblem(path: string, options: KeyProblemOptions): Promise<KeyProblem | undefined> {
  const problem = (await problemOfFile(path, options)) ?? (await problemOfKey(path, options));
  return problem === undefined ? undefined : { ...problem, path, hint: problem.hint.replaceAll(/\bFILE\b/g, () => path) };
}

async function problemOfFile(path: string, { isStrict }: KeyProblemOptions): Promise<Problem | undefined> {
  try {
    const file = await stat(path);
    const { mode, uid, size } = file;
    if (!file.isFile()) return { why: 'it is not a file', hint: 'Give a private key.' };
    if (size > MAX_KEY_FILE_BYTES) return { why: 'it is too large for a key', hint: 'Give a private key.' };
    const text = await readFile(path, 'latin1');
    const form = FORMS.find(([pattern]) => pattern.test(text))?.[1];
    if (form !== undefined) return form;
    if (!isStrict || uid !== process.getuid?.() || (mode & OTHERS) === 0) return undefined;
    return {
      why: `other users can read it (mode ${(mode & 0o7777).toString(8).padStart(4, '0')})`,
      hint: 'Make it private: chmod 600 FILE.',
    };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return { why: 'it does not exist', hint: 'Check the name of the key file.', isAbsent: true };
    return { why: `it cannot be read (${code})`, hint: 'Make it readable for the user who runs gantry.' };
  }
}

async function problemOfKey(path: string, { passphrase }: KeyProblemOptions): Promise<Problem | undefined> {
  if ((await readKeyFile(path)).kind !== 'locked') return undefined;
  if (passphrase === undefined)
    return { why: 'it needs a passphrase', hint: 'Set GANTRY_SSH_PASSPHRASE, or load the key into the agent (ssh-add FILE).' };
  if ((await readKeyFile(path, passphrase)).kind === 'open') return undefined;
  return { why: 'the passphrase does not open it', hint: 'Correct GANTRY_SSH_PASSPHRASE, or load the key into the agent (ssh-add FILE).' };
}

/** @param why a clause from ssh or the library */
export function agentProblem(why: string): KeyProblem {
  return { path: 'the agent', why: `cannot connect: ${why}`, hint: 'Start an ssh-agent, or unset SSH_AUTH_SOCK.' };
}
