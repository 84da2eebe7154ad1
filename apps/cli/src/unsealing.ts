import { resolve } from 'node:path';
import { GantryError, identityUnsealer, readIdentityFiles, withUnsealer } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { askForSecret } from '@gantry/transport';
import type { CliContext } from './session.ts';

/** What the options of a command say of opening sealed exports. */
export interface UnsealFlags {
  readonly identity?: readonly string[] | undefined;
  readonly passphrase?: true | undefined;
}

/** What opens sealed exports: it is put around a store. */
export type Unseal = (store: Store) => Store;

/**
 * What opens sealed exports. Files that options name are read now; those of the environment or gantry.yaml only when something is to be
 * opened with them.
 *
 * @param configured files of the environment or gantry.yaml; absolute
 * @throws GantryError `IDENTITY_UNUSABLE`; `USAGE` where a passphrase cannot be asked for
 */
export async function unsealBy(context: CliContext, flags: UnsealFlags, configured: readonly string[]): Promise<Unseal> {
  const { signal, cwd } = context;
  const askPassphrase = (file: string): Promise<string> => passphraseFor(context, `Passphrase of the identity file ${file}`);
  const load = (files: readonly string[], passphrases: readonly string[] = []): ReturnType<typeof readIdentityFiles> =>
    readIdentityFiles(files, { signal, passphrases, askPassphrase });
  if (flags.identity !== undefined || flags.passphrase === true) {
    const files = (flags.identity ?? []).map((file) => resolve(cwd, file));
    const passphrases = flags.passphrase === true ? [await passphraseFor(context, 'Passphrase of the sealed exports')] : [];
    const identities = await load(files, passphrases);
    return (store) => withUnsealer(store, identityUnsealer(identities));
  }
  if (configured.length === 0) return (store) => store;
  return (store) =>
    withUnsealer(
      store,
      identityUnsealer(() => load(configured)),
    );
}

/** Asks on the terminal. @throws GantryError `USAGE` where that is not possible; the reason of the signal */
export async function passphraseFor({ signal }: Pick<CliContext, 'signal'>, question: string): Promise<string> {
  const passphrase = await askForSecret(question);
  signal.throwIfAborted();
  if (passphrase !== undefined) return passphrase;
  throw new GantryError('USAGE', {
    message: 'no passphrase was given: it is asked for on a terminal, and nowhere else',
    hint: 'Run the command on a terminal.',
  });
}
