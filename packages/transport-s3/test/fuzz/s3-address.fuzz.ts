import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { assertPrefix, StoreError } from '@gantry/transport';
import { parseAddress } from '../../src/address/address.ts';

/** The address of a bucket, with its options. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    's3://backups/exports/a?region=eu-central-1&endpoint=https://s3.example.com:9000/x&pathStyle=true',
    's3://backups?partSize=8MiB&memory=96MiB&tag.a=b&objectLockMode=GOVERNANCE&objectLockRetainUntil=30d&sse=aws:kms&sseKmsKeyId=k',
    's3://backups/?objectLockMode=COMPLIANCE&objectLockRetainUntil=2030-01-31T00:00:00Z&acl=private&storageClass=STANDARD_IA&profile=a b',
  ],
  words: ['endpoint=', '&', 'tag.', 'MiB', 'http://', '%23', '%2F', 'user:password@', 'secret='],
  maxBytes: 1024,
  run(text) {
    const url = URL.parse(text);
    if (url?.protocol !== 's3:') return;
    try {
      const address = parseAddress(url);
      assertPrefix(address.prefix);
      const again = parseAddress(new URL(address.text));
      if (again.text !== address.text || again.prefix !== address.prefix) throw new Error(`it changed: ${again.text}`);
      if (url.password !== '' || /:[^/]*@/.test(address.text)) throw new Error('a password was accepted');
    } catch (error) {
      assertRefusal(error, (each) => each instanceof StoreError && each.code === 'invalid-address');
    }
  },
});

export default target;
