import type { Buffer } from 'node:buffer';
import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostKeyPolicy } from '../address.ts';
import { PeerError } from '../engine/peer-error.ts';
import type { HostKeyVerdict, KnownHost } from './known-hosts.ts';
import { fingerprint, judgeHostKey, keyTypeOf, knownHostName, knownKeyTypes, knownLine, parseKnownHosts } from './known-hosts.ts';

/** A host whose key is checked, and the known_hosts files to use. */
export interface HostKeyCheckOptions {
  /** The host name under which its keys are stored. */
  readonly host: string;
  readonly port: number;
  /** `HostKeyAlias`: the name under which they are stored instead, for any port. */
  readonly alias: string | undefined;
  readonly policy: HostKeyPolicy;
  /** Files of the user; new keys are added to the first. */
  readonly userFiles: readonly string[];
  readonly globalFiles: readonly string[];
}

/** Checks a host's key against the known_hosts files, which are read once by `load`. */
export class HostKeyCheck {
  readonly #options: HostKeyCheckOptions;
  readonly #known: readonly KnownHost[];
  readonly #name: string;

  private constructor(options: HostKeyCheckOptions, known: readonly KnownHost[]) {
    this.#options = options;
    this.#known = known;
    this.#name = options.alias?.toLowerCase() ?? knownHostName(options.host, options.port);
  }

  static async load(options: HostKeyCheckOptions): Promise<HostKeyCheck> {
    const files = [...options.userFiles, ...options.globalFiles];
    const known = await Promise.all(files.map(async (file) => parseKnownHosts(await readIfThere(file), file)));
    return new HostKeyCheck(options, known.flat());
  }

  /** The types of the host's known keys, which should be requested first. */
  get knownTypes(): ReadonlySet<string> {
    return knownKeyTypes(this.#known, this.#name);
  }

  /** @throws PeerError `denied`, with the key's fingerprint, unless the key is trusted */
  async assertTrusted(key: Buffer): Promise<void> {
    const verdict = this.#judge(key);
    if (verdict === 'known') return;
    if (verdict === 'unknown' && this.#options.policy === 'accept-new') return this.#remember(key);
    throw this.#refusal(verdict, key);
  }

  #judge(key: Buffer): HostKeyVerdict {
    const verdict = judgeHostKey(this.#known, this.#name, key);
    if (verdict !== 'unknown' || this.#options.alias !== undefined || this.#options.port === 22) return verdict;
    // As in ssh, the same key under the host's name without the port is enough.
    const plain = judgeHostKey(this.#known, this.#options.host.toLowerCase(), key);
    return plain === 'known' || plain === 'revoked' ? plain : 'unknown';
  }

  #oldKey(key: Buffer): string {
    const old = knownLine(this.#known, this.#name, key);
    return old === undefined ? '' : `; line ${old.line} of ${old.file} has another key`;
  }

  async #remember(key: Buffer): Promise<void> {
    const [path] = this.#options.userFiles;
    if (path === undefined) return;
    const before = await readIfThere(path);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await using file = await open(path, 'a', 0o600);
    const line = `${this.#name} ${keyTypeOf(key) ?? ''} ${key.toString('base64')}\n`;
    await file.appendFile(before === '' || before.endsWith('\n') ? line : `\n${line}`);
  }

  #refusal(verdict: Exclude<HostKeyVerdict, 'known'>, key: Buffer): PeerError {
    const shown = `${keyTypeOf(key) ?? 'unknown'} ${fingerprint(key)}`;
    const files = this.#options.userFiles.join(', ');
    switch (verdict) {
      case 'unknown':
        return denied(
          `the host key of ${this.#name} is unknown: ${shown}`,
          `Compare the fingerprint with the peer's own (run ssh-keygen -lf on /etc/ssh/ssh_host_*_key.pub there), then add the key to ${files}, or use ?hostKeys=accept-new.`,
        );
      case 'changed':
        return denied(
          `the host key of ${this.#name} has changed: it is now ${shown}${this.#oldKey(key)}`,
          `An attacker may intercept the connection, or the peer was reinstalled. Compare the fingerprint with the peer's own; only then replace the old key.`,
        );
      case 'revoked':
        return denied(
          `the host key of ${this.#name} is revoked: ${shown}`,
          `It is marked @revoked in ${files} or a global file: do not trust the host, or remove that line if it is wrong.`,
        );
      case 'authority':
        return denied(
          `the host key of ${this.#name}, ${shown}, is only vouched for by a @cert-authority, which the ssh2 engine cannot check`,
          'Use ?engine=openssh, or add the host key itself.',
        );
    }
  }
}

function denied(message: string, hint: string): PeerError {
  return new PeerError('denied', { message, hint });
}

/** A missing file is ignored. An unreadable one may revoke or contradict a key, so nothing is trusted then. */
async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    throw denied(`cannot read the known-hosts file ${path} (${code})`, 'Make it readable, or give another with ?knownHosts=FILE.');
  }
}
