import type { SshServer } from '@gantry/testkit';
import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';
import { RAW, gantry, gantryMove } from './gantry.ts';

const note = 'the figures for processor and memory do not include the server';

/** A peer that is this machine: pipes as administrators write them, and a store there, by both engines. */
export function sshContestants(server: SshServer): readonly Contestant[] {
  const ssh = `ssh -F ${quote(server.configFile)} -p ${server.port} ${server.user}@127.0.0.1`;
  // Quoted twice: for the shell on the peer, and for ours.
  const at = (own: string): string => quote(`${own}/stream`);
  const peer = quote(server.address('', { engine: 'openssh' }));
  const store = (own: string, engine: string): string => quote(server.address(`${own}/peer`, { engine }));
  return [
    {
      name: 'zstd -3 -T0 | ssh peer cat',
      note,
      export: ({ disk, own }) => `cat ${quote(disk)} | zstd -q -3 -T0 -c | ${ssh} ${quote(`cat >${at(own)}`)}`,
      import: ({ target, own }) => `${ssh} ${quote(`cat ${at(own)}`)} | zstd -q -dc >${quote(target)}`,
    },
    {
      name: 'zstd -3 -T0 | ssh peer zstd -d',
      note: 'to a disk there, as gantry move does',
      export: ({ disk, own }) => `cat ${quote(disk)} | zstd -q -3 -T0 -c | ${ssh} ${quote(`zstd -q -dc >${at(own)}`)}`,
    },
    ...(['openssh', 'ssh2'] as const).map((engine) =>
      gantry({
        name: engine === 'openssh' ? 'gantry, ssh:// store' : 'gantry, ssh:// store by ssh2',
        os: 'cat',
        store: ({ own }) => store(own, engine),
      }),
    ),
    gantry({ name: 'gantry raw, ssh:// store', os: 'raw', note: RAW, store: ({ own }) => store(own, 'openssh') }),
    gantryMove({ name: 'gantry move', os: 'cat', note: 'checked frame by frame on the peer, and written to a disk there', peer }),
    gantryMove({ name: 'gantry move, raw', os: 'raw', note: RAW, peer }),
  ];
}
