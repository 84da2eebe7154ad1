import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { parseClusterAddress } from '../../src/address.ts';

/** The address of a cluster. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'ganeti:',
    'ganeti://gantry@master.example.com:5080?ca=/etc/ca.pem&fingerprints=/etc/f&credentials=/etc/c',
    'ganeti://[2001:db8::1]',
  ],
  words: ['%zz', '%2F', '?', '&', 'ca=', 'credentials=/', ':secret@'],
  maxBytes: 400,
  run(text) {
    const url = URL.parse(text);
    if (url?.protocol !== 'ganeti:') return;
    try {
      const { port, options } = parseClusterAddress(url);
      if (!(port >= 0 && port < 65_536)) throw new Error(`port ${port}`);
      if (Object.values(options).some((path) => path?.startsWith('/') === false)) throw new Error('a path that is not absolute');
    } catch (error) {
      assertRefusal(error, (each) => each instanceof InventoryError && each.code === 'invalid-address');
    }
  },
});

export default target;
