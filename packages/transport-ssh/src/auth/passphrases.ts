/** Asks the user for the passphrase of a key file; undefined if there is no terminal or no answer. */
export type AskPassphrase = (keyFile: string) => Promise<string | undefined>;

/** The environment variable that holds the passphrase of locked key files. */
export const PASSPHRASE_VARIABLE = 'GANTRY_SSH_PASSPHRASE';

/** The passphrases of locked key files: from the environment, or else asked for once per key. */
export class Passphrases {
  readonly #fromEnvironment: string | undefined;
  readonly #ask: AskPassphrase | undefined;
  readonly #asked = new Map<string, Promise<string | undefined>>();

  constructor(env: Readonly<Record<string, string | undefined>>, ask: AskPassphrase | undefined) {
    this.#fromEnvironment = env[PASSPHRASE_VARIABLE] || undefined;
    this.#ask = ask;
  }

  /** The passphrase from the environment. */
  get given(): string | undefined {
    return this.#fromEnvironment;
  }

  async of(keyFile: string): Promise<string | undefined> {
    if (this.#fromEnvironment !== undefined) return this.#fromEnvironment;
    let asked = this.#asked.get(keyFile);
    if (asked === undefined) {
      asked = this.#ask?.(keyFile) ?? Promise.resolve(undefined);
      this.#asked.set(keyFile, asked);
    }
    return asked;
  }
}
