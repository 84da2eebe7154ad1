import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { parseSnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import { assertRefused } from './refusal.ts';

/** How snapshots are made with the user's own commands. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'create: [/sbin/snap, "{path}", "{name}-{run}"]\nremove: [/sbin/unsnap, "{device}"]\ndevice: /dev/snap/{basename}\nsize: 20%\n',
    'freeze: [/bin/a]\nthaw: [/bin/b]\npause: [/bin/c]\nresume: [/bin/d]\ntimeouts: {create: 5}\nsize: 5GiB\n',
    'qemu: {qmp: "/run/{instance}.sock", scratch: /var/tmp, reserve: 64, timeout: 30, agent: /run/a, frozen: 5}\nlibvirt: {uri: "qemu:///system"}\n',
  ],
  words: ['{path}', '{device}', '{{', '}}', '{', '&a ', '*a', '<<: ', '!!binary ', 'timeouts:', '- '],
  run(text) {
    try {
      parseSnapshotConfig(text, 'snapshots.yaml');
    } catch (error) {
      assertRefused(error, 'USAGE');
    }
  },
});

export default target;
