import { randomBytes } from 'node:crypto';
import { chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { command, commandAtExit } from '../disks/command.ts';
import { undoAtExit } from '../disks/undo.ts';

export interface Account extends AsyncDisposable {
  readonly name: string;
  readonly userId: number;
}

export interface AccountOptions {
  /** The account's password, for an sshd that allows passwords; none by default. */
  readonly password?: string;
  /** The home directory; by default one that does not exist. */
  readonly home?: string;
  /** The login shell; `/bin/sh` by default. */
  readonly shell?: string;
}

/** A user of this system, removed when disposed. Needs root. */
export async function makeAccount({ password, home = '/nonexistent', shell = '/bin/sh' }: AccountOptions = {}): Promise<Account> {
  const name = `gantry-${randomBytes(4).toString('hex')}`;
  // "*" means no password, but does not lock the account, which sshd would refuse.
  const hash = password === undefined ? '*' : await command('openssl', 'passwd', '-6', password);
  await command('useradd', '--no-create-home', '--home-dir', home, '--shell', shell, '--password', hash, name);
  const forget = undoAtExit(() => commandAtExit('userdel', '--force', name));
  return {
    name,
    userId: Number(await command('id', '--user', name)),
    async [Symbol.asyncDispose]() {
      await command('userdel', '--force', name);
      forget();
    },
  };
}

export interface Jail extends AsyncDisposable {
  /** The directory that is `/` in sessions. */
  readonly path: string;
  /** A directory inside that belongs to the account: `/home/store` in sessions. */
  readonly store: string;
}

/** A directory for sshd's ChrootDirectory, which must be owned by root, with all of its parents. Needs root. */
export async function makeJail(account: Account): Promise<Jail> {
  const path = await mkdtemp('/var/lib/gantry-jail-');
  const forget = undoAtExit(() => rmSync(path, { recursive: true, force: true }));
  const store = join(path, 'home', 'store');
  await command('chmod', '755', path);
  await mkdir(store, { recursive: true });
  await chown(join(path, 'home'), account.userId, account.userId);
  await chown(store, account.userId, account.userId);
  return {
    path,
    store,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      forget();
    },
  };
}
