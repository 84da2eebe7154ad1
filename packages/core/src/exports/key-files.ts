import type { Identities, Recipients } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { Stats } from 'node:fs';
import { GantryError } from '../report/errors.ts';
import { errorText } from '../report/error-text.ts';
import { quoteWord } from '../report/quote-word.ts';
import { readSmallFile } from '../system/read-small-file.ts';
import { loadAge } from './load-age.ts';

export interface IdentityFileOptions {
  /** Asks for the passphrase of a file that is itself encrypted with one; absent where nobody can be asked. */
  readonly askPassphrase?: ((file: string) => Promise<string>) | undefined;
  /** Passphrases of exports, to be tried too. */
  readonly passphrases?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The identities in files as `age-keygen` writes them, which may be encrypted with a passphrase. Each must be closed to others.
 *
 * @throws GantryError `IDENTITY_UNUSABLE`; what `askPassphrase` throws; the reason of the signal
 */
export async function readIdentityFiles(files: readonly string[], options: IdentityFileOptions = {}): Promise<Identities> {
  const { Identities } = await loadAge();
  const all = (options.passphrases ?? []).map((passphrase) => Identities.passphrase(passphrase));
  for (const file of files) all.push(await readIdentityFile(file, options));
  return Identities.all(all);
}

async function readIdentityFile(file: string, { askPassphrase, signal }: IdentityFileOptions): Promise<Identities> {
  const bytes = await read(file, signal);
  const { Identities } = await loadAge();
  try {
    return await Identities.parseFile(bytes, async () => {
      if (askPassphrase !== undefined) return await askPassphrase(file);
      throw unusable(file, 'it is encrypted with a passphrase, and there is no terminal to ask for it', {
        hint: 'Run the command on a terminal, or give a file that is not encrypted.',
      });
    });
  } catch (error) {
    if (!(error instanceof AgeError)) throw error;
    if (error.code !== 'no-identity') throw unusable(file, error.message, { cause: error });
    throw unusable(file, 'the passphrase is wrong', { hint: 'Try again with the passphrase of that file.', cause: error });
  } finally {
    bytes.fill(0);
  }
}

async function read(file: string, signal: AbortSignal | undefined): Promise<Buffer> {
  try {
    return await readSmallFile(file, signal, (stats) => assertClosed(file, stats));
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof GantryError ? error : unusable(file, errorText(error), { cause: error });
  }
}

/** Permissions of the group and of others. */
const OTHERS = 0o077;

/** @throws GantryError `IDENTITY_UNUSABLE` */
function assertClosed(file: string, { mode, uid }: Stats): void {
  if ((mode & OTHERS) !== 0) {
    const permissions = (mode & 0o7777).toString(8).padStart(4, '0');
    throw unusable(file, `it is open to others: its mode is ${permissions}`, { hint: `Close it: chmod 600 ${quoteWord(file)}` });
  }
  if (uid === 0 || uid === process.getuid?.()) return;
  throw unusable(file, `it belongs to another user (uid ${uid})`, { hint: `Make it yours: chown root ${quoteWord(file)}` });
}

function unusable(file: string, why: string, { hint, cause }: { readonly hint?: string; readonly cause?: unknown } = {}): GantryError {
  return new GantryError('IDENTITY_UNUSABLE', {
    message: `cannot use the identity file ${file}: ${why}`,
    hint:
      hint ??
      'Give a file with an identity of age in each line, such as age-keygen writes; it may be encrypted with a passphrase (age -p).',
    cause,
  });
}

/** Who can read an export. */
export interface RecipientSources {
  readonly recipients?: readonly string[] | undefined;
  /** As `age -R` takes them. */
  readonly recipientsFiles?: readonly string[] | undefined;
  /** In the place of recipients: everybody who knows it. */
  readonly passphrase?: string | undefined;
}

/**
 * All of them together; undefined if there are none.
 *
 * @throws GantryError `RECIPIENT_INVALID`; the reason of the signal
 */
export async function readRecipients(
  { recipients = [], recipientsFiles = [], passphrase }: RecipientSources,
  signal?: AbortSignal,
): Promise<Recipients | undefined> {
  if (passphrase !== undefined) return (await loadAge()).Recipients.passphrase(passphrase);
  const all = [...recipients, ...(await readRecipientsFiles(recipientsFiles, signal))];
  if (all.length === 0) return undefined;
  const { Recipients } = await loadAge();
  try {
    return Recipients.of(all);
  } catch (error) {
    if (!(error instanceof AgeError)) throw error;
    throw new GantryError('RECIPIENT_INVALID', {
      message: `cannot encrypt to these recipients: ${error.message}`,
      hint: 'Give the public keys of those who are to read it: age1…, such as age-keygen -y shows.',
      cause: error,
    });
  }
}

/** Whether a text is a recipient of age. */
export async function isRecipient(text: string): Promise<boolean> {
  const { Recipients } = await loadAge();
  try {
    Recipients.of([text]);
    return true;
  } catch {
    return false;
  }
}

/**
 * The recipients in files as `age -R` takes them.
 *
 * @throws GantryError `RECIPIENT_INVALID`; the reason of the signal
 */
export async function readRecipientsFiles(files: readonly string[], signal?: AbortSignal): Promise<readonly string[]> {
  const all = await Promise.all(files.map((file) => readRecipientsFile(file, signal)));
  return all.flat();
}

async function readRecipientsFile(file: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { Recipients } = await loadAge();
  try {
    return Recipients.parseFile((await readSmallFile(file, signal)).toString('utf8'));
  } catch (error) {
    signal?.throwIfAborted();
    throw new GantryError('RECIPIENT_INVALID', {
      message: `cannot use the recipients file ${file}: ${errorText(error)}`,
      hint: 'Give a file with a recipient of age in each line: age1…',
      cause: error,
    });
  }
}
