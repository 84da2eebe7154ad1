import type { Contestant, Workspace } from '../contestant.ts';
import { COMMAND_LINE } from '../command.ts';
import { quote } from '../contestant.ts';

const ENVIRONMENT = { GANTRY_STATE_DIR: 'state', GANTRY_OS_PATH: 'os', GANTRY_CREATE_STORE: '1' };

/** What the built-in definition `raw` does differently. */
export const RAW = 'reads and writes the disk itself, and skips holes';

/** An OS definition whose scripts are `cat`, so that the plain stream is passed in the same way as to the other tools. */
export const CAT_DEFINITION: string = [
  'mkdir -p os/cat',
  `printf '20\\n' >os/cat/ganeti_api_version`,
  ': >os/cat/parameters.list',
  `printf '#!/bin/sh\\nexec cat "$EXPORT_DEVICE"\\n' >os/cat/export`,
  `printf '#!/bin/sh\\nexec cat >"$IMPORT_DEVICE"\\n' >os/cat/import`,
  `printf '#!/bin/sh\\n' | tee os/cat/create os/cat/rename >os/cat/verify`,
  'chmod +x os/cat/create os/cat/export os/cat/import os/cat/rename os/cat/verify',
].join(' && ');

function instanceFile(name: string, os: string, disks: readonly string[]): string {
  const yaml = `name: ${name}.example.com\nos: ${os}\nhypervisor: kvm\ndisks:\n${disks.map((disk) => `  - path: ${disk}\n`).join('')}`;
  return `printf %s ${quote(yaml)} >${name}.yaml`;
}

export interface GantryOptions {
  readonly name: string;
  readonly os: 'cat' | 'raw';
  readonly note?: string;
  readonly above?: string;
  readonly options?: string;
  readonly importOptions?: string;
  /** Runs before each measured export, and is not measured. */
  readonly prepare?: string;
  /** The store's address on the command line; a directory by default. */
  readonly store?: (workspace: Workspace) => string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Gantry with its defaults: checksums, SHA-256, a manifest, and everything durable. */
export function gantry(o: GantryOptions): Contestant {
  const { name, os, note, above, options = '', importOptions = '', prepare = ':', store = () => 'store', environment = {} } = o;
  const files = ({ disk, target }: Workspace): string => `${instanceFile('source', os, [disk])} && ${instanceFile('target', os, [target])}`;
  return {
    name,
    ...(note === undefined ? {} : { note }),
    ...(above === undefined ? {} : { above }),
    environment: { ...ENVIRONMENT, ...environment },
    prepare: (workspace) => `${CAT_DEFINITION} && ${files(workspace)} && ${prepare}`,
    export: (workspace) => `${COMMAND_LINE} export source.yaml ${store(workspace)} --quiet --snapshot none ${options} >reference`,
    import: (workspace) =>
      `${COMMAND_LINE} import ${store(workspace)} "$(tail -n 1 reference)" --to target.yaml --quiet --yes ${importOptions}`,
  };
}

export const GANTRY: readonly Contestant[] = [
  gantry({ name: 'gantry', os: 'cat', note: 'a definition whose script is cat' }),
  gantry({ name: 'gantry raw', os: 'raw', note: RAW }),
  gantry({ name: 'gantry --codec none', os: 'cat', options: '--codec none', note: 'no compression' }),
];

/** Several disks of one instance in parallel. */
export function gantryDisks(disks: readonly string[]): Contestant {
  return {
    name: 'gantry',
    environment: ENVIRONMENT,
    prepare: () => `${CAT_DEFINITION} && ${instanceFile('source', 'cat', disks)}`,
    export: () => `${COMMAND_LINE} export source.yaml store --quiet --snapshot none --parallel ${disks.length} >reference`,
  };
}

/** Directly into the disk of a peer, which is this machine. */
export function gantryMove({ name, os, note, peer }: { name: string; os: GantryOptions['os']; note: string; peer: string }): Contestant {
  const receiver = ({ own }: Workspace): string =>
    `#!/bin/sh\nexport GANTRY_STATE_DIR=${own}/peer-state GANTRY_OS_PATH=${own}/os\nexec ${COMMAND_LINE} "$@"\n`;
  return {
    name,
    note,
    environment: ENVIRONMENT,
    prepare: (workspace) =>
      [
        CAT_DEFINITION,
        instanceFile('source', os, [workspace.disk]),
        instanceFile('target', os, [`${workspace.own}/copy`]),
        `truncate -s ${workspace.bytes} copy`,
        `printf %s ${quote(receiver(workspace))} >receiver && chmod +x receiver`,
      ].join(' && '),
    export: ({ own }) =>
      `${COMMAND_LINE} move source.yaml ${peer} --to ${quote(`${own}/target.yaml`)} --peer-program ${quote(`${own}/receiver`)} --quiet --yes --snapshot none`,
  };
}
