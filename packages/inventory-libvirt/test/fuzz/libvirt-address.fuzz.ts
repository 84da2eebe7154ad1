import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { connectionOf } from '../../src/address.ts';

/** The address of a libvirt: nothing in it becomes an option of ssh. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'libvirt:',
    'libvirt:?connect=qemu:///session',
    'libvirt:?connect=qemu%2Bssh%3A%2F%2Froot%40host%2Fsystem',
    'libvirt+ssh://root@host.example.com:22/system?keyfile=/root/key&proxy=netcat',
    'libvirt+ssh://[2001:db8::1]/session',
  ],
  words: ['%2D', '-o', 'connect=', 'qemu+ssh://', '&', '%zz', ':secret@'],
  maxBytes: 400,
  run(text) {
    const url = URL.parse(text);
    if (url?.protocol.startsWith('libvirt') !== true) return;
    try {
      const { uri } = connectionOf(url, {});
      const { hostname, username, password } = new URL(uri);
      if ([hostname, username].some((name) => decodeURIComponent(name).startsWith('-'))) throw new Error(`an option for ssh in ${uri}`);
      if (password !== '') throw new Error('a password was accepted');
    } catch (error) {
      assertRefusal(error, (each) => each instanceof InventoryError && each.code === 'invalid-address');
    }
  },
});

export default target;
