import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { resolve } from 'node:path';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { MemoryFile } from '../system/memory-file.ts';
import { readSmallFile } from '../system/read-small-file.ts';
import type { Argv } from '../system/run-command.ts';
import { runCommand } from '../system/run-command.ts';
import { exportPrefix } from './export-id.ts';
import { SIGNATURE_FILE } from './layout.ts';
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
    try {
      return `${await keygen(sign, { input: text, timeoutS: SIGN_TIMEOUT_S, signal })}\n`;
    } catch (error) {
      signal?.throwIfAborted();
      throw new GantryError('SIGNING_FAILED', {
        message: `cannot sign the export with ${key}: ${errorText(error)}`,
        hint: 'Give a private key without a passphrase that only you can read, or a public key whose private key is in the SSH agent.',
        cause: error,
      });
    }
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

/** An export that was opened. */
export interface SignedExport {
  readonly reference: string;
  readonly instance: string;
  readonly id: string;
  /** Its manifest as it was read; absent for an export that Ganeti made. */
  readonly manifestText?: string | undefined;
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
  return { state: 'signed', by: await verifiedBy({ text, signature, allowedSigners, reference }, signal) };
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
      hint: 'Name the allowed-signers file: --allowed-signers FILE.',
    });
  }
  try {
    await readSmallFile(allowedSigners);
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
  readonly reference: string;
}

/** @returns the names of the signer @throws GantryError `SIGNATURE_INVALID` */
async function verifiedBy(signed: SignedText, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { text, signature, allowedSigners, reference } = signed;
  using file = new MemoryFile(Buffer.from(signature));
  const from: KeygenOptions = { input: text, signature: file, timeoutS: VERIFY_TIMEOUT_S, signal };
  const base = ['-f', resolve(allowedSigners), '-n', SIGNATURE_NAMESPACE, '-s', SIGNATURE_DESCRIPTOR];
  try {
    const found = await keygen(['ssh-keygen', '-Y', 'find-principals', ...base], from);
    const principals = [...new Set(found.split('\n').filter((line) => line !== ''))];
    for (const principal of principals) await keygen(['ssh-keygen', '-Y', 'verify', ...base, '-I', principal], from);
    if (principals.length > 0) return principals;
  } catch (error) {
    signal?.throwIfAborted();
    throw invalid(reference, `${errorText(error)} (allowed signers: ${allowedSigners})`, error);
  }
  throw invalid(reference, `nobody in ${allowedSigners} has signed it`);
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
  /** At {@link SIGNATURE_DESCRIPTOR}. */
  readonly signature?: MemoryFile;
  readonly timeoutS: number;
}

/** @throws Error with what it says; the reason of the signal */
async function keygen(argv: Argv, { input, signature, timeoutS, signal }: KeygenOptions): Promise<string> {
  const { SSH_AUTH_SOCK } = process.env;
  return await runCommand(argv, {
    timeoutS,
    signal: signal ?? new AbortController().signal,
    input: Buffer.from(input),
    descriptors: signature === undefined ? [] : [signature.fd],
    keptBytes: MAX_SIGNATURE_BYTES,
    environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...(SSH_AUTH_SOCK === undefined ? {} : { SSH_AUTH_SOCK }) },
  });
}
