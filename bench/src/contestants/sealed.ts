import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';
import { gantry } from './gantry.ts';

const NEW_KEY = 'age-keygen -o key 2>keygen.log && age-keygen -y key >recipient';
const BORG = { BORG_REPO: 'repository', BORG_CACHE_DIR: 'cache', BORG_CONFIG_DIR: 'config', BORG_PASSPHRASE: 'bench' };
const RESTIC = { RESTIC_PASSWORD: 'bench', RESTIC_REPOSITORY: 'repository', RESTIC_CACHE_DIR: 'cache', RESTIC_PROGRESS_FPS: '0' };

/** @param above the same without encryption */
function sealed(above: string, options: string, note: string): Contestant {
  return gantry({
    name: `${above} --recipient`,
    os: 'cat',
    note,
    above,
    prepare: NEW_KEY,
    options: `--recipient "$(cat recipient)" ${options}`,
    importOptions: '--identity key',
  });
}

/** Tools that encrypt, and Gantry without encryption beside them: what that costs. */
export const SEALED: readonly Contestant[] = [
  gantry({ name: 'gantry', os: 'cat', note: 'not encrypted' }),
  sealed('gantry', '', 'to a recipient of age; it has a frame map'),
  gantry({
    name: 'gantry --incremental',
    os: 'cat',
    options: '--incremental',
    note: 'not encrypted, with a frame map, as encrypted ones have',
  }),
  sealed('gantry --incremental', '--incremental', 'to a recipient of age'),
  gantry({ name: 'gantry --codec none', os: 'cat', options: '--codec none', note: 'neither compressed nor encrypted' }),
  sealed('gantry --codec none', '--codec none', 'not compressed: every byte of the disk is encrypted'),
  {
    name: 'zstd -3 -T0 | age',
    note: 'to a recipient of age',
    prepare: () => NEW_KEY,
    export: ({ disk }) => `cat ${quote(disk)} | zstd -q -3 -T0 -c | age -r "$(cat recipient)" >stream`,
    import: ({ target }) => `age -d -i key <stream | zstd -q -dc >${quote(target)}`,
  },
  {
    name: 'restic backup --stdin',
    note: 'the key that encrypts can read',
    environment: RESTIC,
    prepare: () => 'restic init -q',
    export: ({ disk }) => `cat ${quote(disk)} | restic backup -q --stdin --stdin-filename disk`,
    import: ({ target }) => `restic dump -q latest disk >${quote(target)}`,
  },
  {
    name: 'borg create -, encrypted',
    note: 'zstd level 3; the key that encrypts can read',
    environment: BORG,
    prepare: () => 'borg init -e repokey-blake2',
    export: ({ disk }) => `cat ${quote(disk)} | borg create -C zstd,3 ::one -`,
    import: ({ target }) => `borg extract --stdout ::one >${quote(target)}`,
  },
];
