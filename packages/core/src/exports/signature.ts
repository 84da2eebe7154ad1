import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { MemoryFile } from '../system/memory-file.ts';
import { readSmallFile } from '../system/read-small-file.ts';
import type { Argv } from '../system/run-command.ts';
import { runCommand } from '../system/run-command.ts';
import { exportPrefix } from './export-id.ts';
import { SIGNATURE_FILE } from './layout.ts';
import { linesFor } from './signer-lines.ts';
import { readText, UnreadableTextError } from './small-object.ts';
import { withStoreErrors } from './store-errors.ts';

/*
 * The signature of a manifest, and so of all that it names by SHA-256: made and checked by ssh-keygen(1), in the format SSHSIG
 * (openssh PROTOCOL.sshsig). docs/decisions/0152-signed-manifests.md says why.
 */

/** What a signature is for: one for something else is not valid here. */
const SIGNATURE_NAMESPACE = 'gantry-export';

/** Far more than a signature by any kind of key. */
const MAX_SIGNATURE_BYTES = 64 * 1024;
/** An agent may have to ask its user. */
const SIGN_TIMEOUT_S = 120;
const VERIFY_TIMEOUT_S = 30;
/** Where ssh-keygen reads the signature: its stdin is the manifest. */
const SIGNATURE_DESCRIPTOR = '/dev/fd/3';
/** Where it reads who may sign. */
const SIGNERS_DESCRIPTOR = '/dev/fd/4';
/** What its messages call a line of that. */
const SIGNERS_LINE = /\/dev\/fd\/4:(\d+)/g;

/** Signs the text of a manifest. @throws GantryError `SIGNING_FAILED`; the reason of the signal */
export type SignManifest = (text: string, options: CallOptions) => Promise<string>;

/**
 * Signs with an SSH key.
 *
 * @param key the file of a private key without a passphrase, or of a public key whose private key is in the SSH agent
 */
export function sshSigner(key: string): SignManifest {
  return async (text, { signal }) => {
    const sign: Argv = ['ssh-keygen', '-Y', 'sign', '-f', resolve(key), '-n', SIGNATURE_NAMESPACE];
    await assertSigningKey(key);
    try {
      return `${await keygen(sign, { input: text, timeoutS: SIGN_TIMEOUT_S, signal })}\n`;
    } catch (error) {
      signal?.throwIfAborted();
      throw signingFailed(key, error);
    }
  };
}

function signingFailed(key: string, error: unknown): GantryError {
  return new GantryError('SIGNING_FAILED', {
    message: `cannot sign the export with ${key}: ${errorText(error)}`,
    hint: 'Give a private key without a passphrase that only you can read, or a public key whose private key is in the SSH agent.',
    cause: error,
  });
}

/**
 * Finds a key that is not there, without signing. A private key may be in an agent alone, beside its public key; and ssh-keygen reads a line
 * of any length, which a device such as /dev/full never ends.
 *
 * @param key as for {@link sshSigner} @throws GantryError `SIGNING_FAILED`
 */
export async function assertSigningKey(key: string): Promise<void> {
  const path = resolve(key);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === false) throw signingFailed(key, new Error('it is not a regular file'));
  if (found !== undefined) return;
  await stat(`${path}.pub`).catch((error: unknown) => {
    throw signingFailed(key, new Error('there is no such file', { cause: error }));
  });
}

/**
 * Signs as another signer does, and accepts no signature that would be refused.
 *
 * @param key what to call it in messages
 * @throws GantryError when it signs: `SIGNING_FAILED` for a key that may not sign now
 */
export function allowedSigner(
  sign: SignManifest,
  { key, allowedSigners }: { readonly key: string; readonly allowedSigners: string },
): SignManifest {
  return async (text, options) => {
    const signature = await sign(text, options);
    try {
      await signersOf({ text, signature, allowedSigners, at: new Date() }, options.signal);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof GantryError) throw error;
      throw new GantryError('SIGNING_FAILED', {
        message: `cannot sign the export with ${key}: its signature would be refused: ${errorText(error)}`,
        hint: `Sign with a key that ${allowedSigners} allows now, or add a line for this one.`,
        cause: error,
      });
    }
    return signature;
  };
}

/**
 * Finds out whether a key can sign now, by signing a text that is not a manifest: what is wrong with it costs no night's transfer.
 *
 * @throws GantryError `SIGNING_FAILED`; the reason of the signal
 */
export async function assertCanSign(sign: SignManifest, options: CallOptions): Promise<void> {
  await sign('gantry finds out whether this key can sign\n', options);
}

/** What a signature was found to be. */
export type SignatureState =
  | { readonly state: 'unsigned' }
  /** There is one, and nothing was given to check it with. */
  | { readonly state: 'unchecked' }
  /** By the names that the allowed-signers file gives to its key. */
  | { readonly state: 'signed'; readonly by: readonly string[] };

/** Whose signatures are good. */
export interface Signers {
  /** Who may sign: a file as ssh-keygen(1) describes it under ALLOWED SIGNERS. Without it, signatures are not checked. */
  readonly allowedSigners?: string | undefined;
  /** An export without a signature is refused. */
  readonly requireSignature?: boolean | undefined;
}

/** Whether anything says that signatures count. */
export function asksForSignatures({ allowedSigners, requireSignature }: Signers): boolean {
  return allowedSigners !== undefined || requireSignature === true;
}

/** An export that was opened. */
export interface SignedExport {
  readonly reference: string;
  readonly instance: string;
  readonly id: string;
  /** Its manifest as it was read; absent for an export that Ganeti made. */
  readonly manifestText?: string | undefined;
  /** The same, parsed. */
  readonly manifest?: { readonly ended: string; readonly consolidated?: string } | undefined;
}

/**
 * Checks the signature of an export that was opened: by its manifest as it was opened then: the store may have another by now.
 *
 * @throws GantryError `SIGNATURE_MISSING` where one is required; `SIGNATURE_INVALID` for one that is wrong, or by nobody who may sign;
 *   `USAGE` as {@link assertSigners}; `STORE_*`; the reason of the signal
 */
export async function checkSignature(store: Store, found: SignedExport, options: Signers & CallOptions): Promise<SignatureState> {
  const { allowedSigners, requireSignature: required = false, signal } = options;
  await assertSigners(options);
  const { manifestText: text, reference } = found;
  const signature = text === undefined ? undefined : await readSignature(store, found, { signal });
  if (signature === undefined || text === undefined) {
    if (!required) return { state: 'unsigned' };
    throw new GantryError('SIGNATURE_MISSING', {
      message: `${reference} is not signed`,
      hint: 'Use an export that is signed, or leave --require-signature out.',
    });
  }
  if (allowedSigners === undefined) return { state: 'unchecked' };
  const { manifest } = found;
  const at = manifest === undefined ? undefined : new Date(manifest.consolidated ?? manifest.ended);
  try {
    return { state: 'signed', by: await signersOf({ text, signature, allowedSigners, at }, signal) };
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof GantryError ? error : invalid(reference, errorText(error), error);
  }
}

/** An export whose signature is refused, and why. */
export interface RefusedExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly code: 'SIGNATURE_MISSING' | 'SIGNATURE_INVALID';
  readonly reason: string;
}

/** As {@link checkSignature}, for an export that may be passed over; nothing is read where no signature counts. @throws as it, but no refusal */
export async function refusalOf(store: Store, found: SignedExport, options: Signers & CallOptions): Promise<RefusedExport | undefined> {
  if (!asksForSignatures(options)) return undefined;
  try {
    await checkSignature(store, found, options);
    return undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { reference: found.reference, code: error.code, reason: error.message };
  }
}

/** Whether an error says that a signature is missing or wrong: for those who may sign according to one reader, so it is not damage. */
export function isRefusal(error: unknown): error is GantryError & { readonly code: 'SIGNATURE_MISSING' | 'SIGNATURE_INVALID' } {
  return error instanceof GantryError && (error.code === 'SIGNATURE_MISSING' || error.code === 'SIGNATURE_INVALID');
}

/** @throws GantryError `USAGE` if a signature is required and nobody may sign, or the file that says who may cannot be read */
export async function assertSigners({ allowedSigners, requireSignature }: Signers): Promise<void> {
  if (allowedSigners === undefined) {
    if (requireSignature !== true) return;
    throw new GantryError('USAGE', {
      message: 'a signature is required, and nothing says who may sign',
      hint: 'Name the allowed-signers file: --allowed-signers FILE, or allowed-signers in gantry.yaml.',
    });
  }
  await readSigners(allowedSigners);
}

/** The file that says who may sign. @throws GantryError `USAGE` */
async function readSigners(allowedSigners: string): Promise<Buffer> {
  try {
    return await readSmallFile(allowedSigners);
  } catch (error) {
    throw new GantryError('USAGE', {
      message: `cannot read the allowed-signers file ${allowedSigners}: ${errorText(error)}`,
      hint: 'Name a file with who may sign, as ssh-keygen(1) describes it under ALLOWED SIGNERS.',
      cause: error,
    });
  }
}

/** The signature of an export; undefined if it has none. @throws GantryError `SIGNATURE_INVALID`, `STORE_*` */
export async function readSignature(
  store: Store,
  { instance, id, reference }: Omit<SignedExport, 'manifestText'>,
  options: CallOptions,
): Promise<string | undefined> {
  const key = `${exportPrefix(instance, id)}${SIGNATURE_FILE}`;
  try {
    return await withStoreErrors(store.address, () =>
      readText(store, key, MAX_SIGNATURE_BYTES, options).catch((error: unknown) => {
        if (isStoreError(error, 'not-found')) return undefined;
        throw error;
      }),
    );
  } catch (error) {
    throw error instanceof UnreadableTextError ? invalid(reference, error.message, error) : error;
  }
}

interface SignedText {
  readonly text: string;
  readonly signature: string;
  readonly allowedSigners: string;
  /** When it was signed, as the signed text says it: `valid-after` and `valid-before` are compared with it. */
  readonly at: Date | undefined;
}

/** @returns the names of the signer @throws GantryError `USAGE`; Error with why it is not valid; the reason of the signal */
async function signersOf(signed: SignedText, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { signature, allowedSigners } = signed;
  const names = new Set<string>();
  let failure: unknown;
  for (const lines of linesFor(signature, await readSigners(allowedSigners))) {
    try {
      for (const name of await signersIn(lines, signed, signal)) names.add(name);
    } catch (error) {
      signal?.throwIfAborted();
      failure ??= error;
    }
  }
  if (names.size > 0) return [...names];
  const why = failure === undefined ? 'nobody there has signed it' : errorText(failure);
  throw new Error(`${why.replaceAll(SIGNERS_LINE, 'line $1')} (allowed signers: ${allowedSigners})`, { cause: failure });
}

/** @returns those of the signers in these lines who have signed a text @throws Error of ssh-keygen, if there are none */
async function signersIn(lines: string, signed: SignedText, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { at } = signed;
  if (at === undefined) return await signersAt(lines, signed, [], signal);
  try {
    return await signersAt(lines, signed, ['-O', `verify-time=${at.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`], signal);
  } catch (error) {
    // Before OpenSSH 9.1, it reads local times alone. Node does not know all forms of TZ that it does.
    if (!errorText(error).includes(NO_SUCH_TIME)) throw error;
    return await signersAt(lines, signed, ['-O', `verify-time=${localTime(at)}`], signal);
  }
}

const NO_SUCH_TIME = 'Invalid "verify-time" option';

async function signersAt(
  lines: string,
  { text, signature }: SignedText,
  time: Argv | readonly [],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  using signatureFile = new MemoryFile(Buffer.from(signature));
  using signers = new MemoryFile(Buffer.from(lines));
  const from: KeygenOptions = { input: text, files: [signatureFile, signers], timeoutS: VERIFY_TIMEOUT_S, signal };
  const base = [...time, '-f', SIGNERS_DESCRIPTOR, '-n', SIGNATURE_NAMESPACE, '-s', SIGNATURE_DESCRIPTOR];
  const found = await keygen(['ssh-keygen', '-Y', 'find-principals', ...base], from);
  const names: string[] = [];
  let failure: unknown;
  // A line can have patterns, of which some do not fit what they are called themselves.
  for (const name of new Set(found.split('\n').filter((line) => line !== ''))) {
    try {
      await keygen(['ssh-keygen', '-Y', 'verify', ...base, '-I', name], from);
      names.push(name);
    } catch (error) {
      signal?.throwIfAborted();
      failure ??= error;
    }
  }
  if (names.length === 0 && failure !== undefined) throw failure;
  return names;
}

function localTime(at: Date): string {
  const parts = [at.getFullYear(), at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()];
  return parts.map((part) => String(part).padStart(2, '0')).join('');
}

function invalid(reference: string, why: string, cause?: unknown): GantryError {
  return new GantryError('SIGNATURE_INVALID', {
    message: `the signature of ${reference} is not valid: ${why}`,
    hint: `Do not use this export unless you know why: ssh-keygen -Y verify says the same of ${SIGNATURE_FILE} by hand.`,
    cause,
  });
}

interface KeygenOptions extends CallOptions {
  readonly input: string;
  /** At descriptor 3 and those after it. */
  readonly files?: readonly MemoryFile[];
  readonly timeoutS: number;
}

/** @throws Error with what it says; the reason of the signal */
async function keygen(argv: Argv, { input, files = [], timeoutS, signal }: KeygenOptions): Promise<string> {
  const { SSH_AUTH_SOCK, TZ } = process.env;
  return await runCommand(argv, {
    timeoutS,
    signal: signal ?? new AbortController().signal,
    input: Buffer.from(input),
    descriptors: files.map(({ fd }) => fd),
    keptBytes: MAX_SIGNATURE_BYTES,
    environment: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      ...(SSH_AUTH_SOCK === undefined ? {} : { SSH_AUTH_SOCK }),
      // For times without a zone.
      ...(TZ === undefined ? {} : { TZ }),
    },
  });
}
