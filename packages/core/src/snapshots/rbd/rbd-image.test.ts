import { describe, expect, test } from 'vitest';

import { clientOptions, imageUri, parseRbdUri, snapshotUri } from './rbd-image.ts';

describe('the URI of an image of RBD', () => {
  test.each([
    ['rbd:pool/image', 'pool/image', []],
    ['rbd:pool/space/image', 'pool/space/image', []],
    ['rbd:p/i:id=admin:conf=/etc/ceph/other.conf', 'p/i', ['--id=admin', '--conf=/etc/ceph/other.conf']],
    [String.raw`rbd:p/i:mon_host=10.0.0.1\:6789\;10.0.0.2\:6789`, 'p/i', ['--mon_host=10.0.0.1:6789;10.0.0.2:6789']],
  ])('%s', (uri, spec, options) => {
    const image = parseRbdUri(uri);
    if (image === undefined || 'reason' in image) throw new Error('not read');
    expect([image.spec, clientOptions(image)]).toEqual([spec, options]);
    expect(imageUri(image)).toBe(uri);
    expect(snapshotUri(image, 's')).toBe(uri.replace(spec, `${spec}@s`));
  });

  test('of another kind is none', () => {
    for (const uri of ['nbd://host/x', 'rbdx:pool/image', 'iscsi:rbd:pool/image']) expect(parseRbdUri(uri)).toBeUndefined();
  });

  test.each([
    ['rbd:pool/image@snap', 'pool/image@snap is a snapshot itself'],
    ['rbd:image', '"image" is not the name of an image, POOL/IMAGE'],
    ['rbd:--help/x', '"--help/x" is not the name of an image, POOL/IMAGE'],
    ['rbd:pool/../x/y', '"pool/../x/y" is not the name of an image, POOL/IMAGE'],
    ['rbd:pool/image:key=AQB=', '"key" cannot be an option of its URI'],
    ['rbd:pool/image:--id=x', '"--id" cannot be an option of its URI'],
    ['rbd:pool/image:conf', '"" cannot be an option of its URI'],
  ])('%s is refused', (uri, reason) => {
    expect(parseRbdUri(uri)).toEqual({ reason });
  });
});
