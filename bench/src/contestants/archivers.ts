import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';

const RESTIC = { RESTIC_PASSWORD: 'bench', RESTIC_REPOSITORY: 'repository', RESTIC_CACHE_DIR: 'cache', RESTIC_PROGRESS_FPS: '0' };
const BORG = {
  BORG_REPO: 'repository',
  BORG_CACHE_DIR: 'cache',
  BORG_CONFIG_DIR: 'config',
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
};

const resticBackup = (disk: string): string => `cat ${quote(disk)} | restic backup -q --stdin --stdin-filename disk`;
const resticInit = 'restic init -q';
const resticDump = ({ target }: { readonly target: string }): string => `restic dump -q latest disk >${quote(target)}`;
const borgCreate = (disk: string, name: string): string => `cat ${quote(disk)} | borg create -C zstd,3 ::${name} -`;
const borgInit = 'borg init -e none';

/** Archivers that store equal data once; the second export of the same disk shows that. */
export const ARCHIVERS: readonly Contestant[] = [
  {
    name: 'restic backup --stdin',
    note: 'encrypts and deduplicates',
    environment: RESTIC,
    prepare: () => resticInit,
    export: ({ disk }) => resticBackup(disk),
    import: resticDump,
  },
  {
    name: 'restic, second time',
    note: 'the same disk again',
    environment: RESTIC,
    prepare: ({ disk }) => `${resticInit} && ${resticBackup(disk)}`,
    export: ({ disk }) => resticBackup(disk),
  },
  {
    name: 'borg create -',
    note: 'deduplicates; zstd level 3',
    environment: BORG,
    prepare: () => borgInit,
    export: ({ disk }) => borgCreate(disk, 'one'),
    import: ({ target }) => `borg extract --stdout ::one >${quote(target)}`,
  },
  {
    name: 'borg, second time',
    note: 'the same disk again',
    environment: BORG,
    prepare: ({ disk }) => `${borgInit} && ${borgCreate(disk, 'one')}`,
    export: ({ disk }) => borgCreate(disk, 'two'),
  },
];

export const QEMU: Contestant = {
  name: 'qemu-img convert -c (zstd)',
  note: 'reads the disk itself and skips holes',
  export: ({ disk }) => `qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd ${quote(disk)} disk.qcow2`,
  import: ({ target }) => `qemu-img convert -f qcow2 -O raw disk.qcow2 ${quote(target)}`,
};
