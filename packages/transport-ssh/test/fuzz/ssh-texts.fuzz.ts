import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { StoreError } from '@gantry/transport';
import { parseAddress, parsePeerAddress } from '../../src/address.ts';
import { explainSlowness, explainStderr, isFromJumpHost, isRefusal } from '../../src/engine/openssh/explain-stderr.ts';
import { TextTail } from '../../src/engine/text-tail.ts';

/** Addresses, and what ssh writes: some of it comes from the peer. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'ssh://user@peer.example.com:2222/srv/exports?engine=ssh2&connections=4&identity=/root/key&connectTimeout=5',
    'ssh://[fe80::1%25eth0]/~/exports?hostKeys=accept-new&keepAlive=0',
    'debug1: Server host key: ssh-ed25519 SHA256:abc\n@@@ REMOTE HOST IDENTIFICATION HAS CHANGED\nOffending ED25519 key in /root/.ssh/known_hosts:3\n  ssh-keygen -f "x" -R "y"\n',
    'debug1: Executing proxy command: exec nc a 22\nkex_exchange_identification: Connection closed by remote host\n',
    'debug1: Setting implicit ProxyCommand from ProxyJump: ssh -W [%h]:%p jump\nConnection closed by 192.0.2.1\n',
    'Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-dss\n',
    'root@peer: Permission denied (publickey,password).\n',
    '/root/.ssh/config: terminating, 2 bad configuration options\nBad owner or permissions on /root/.ssh/config\n',
  ],
  words: [
    'no matching ',
    ' found',
    'terminating, ',
    'Unable to negotiate with ',
    'Permission denied (',
    'debug1: ',
    'engine=',
    '&',
    '%25',
    'ssh://',
  ],
  run(text) {
    const tail = new TextTail();
    tail.add(Buffer.from(text));
    explainStderr(tail.text);
    explainSlowness(tail.text);
    isRefusal(tail.text);
    isFromJumpHost(tail.text);
    const url = URL.parse(text);
    if (url?.protocol === 'ssh:') for (const parse of [parseAddress, parsePeerAddress]) checkAddress(parse, url);
  },
});

export default target;

function checkAddress(parse: typeof parseAddress, url: URL): void {
  try {
    const { directory, host, user } = parse(url);
    if (directory.split('/').includes('..') || host.startsWith('-') || user?.startsWith('-') === true)
      throw new Error(`${url.href} leads outside`);
    if (url.password !== '') throw new Error('a password was accepted');
  } catch (error) {
    assertRefusal(error, (each) => each instanceof StoreError && each.code === 'invalid-address');
  }
}
