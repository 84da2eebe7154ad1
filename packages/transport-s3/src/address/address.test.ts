import { readFile } from 'node:fs/promises';
import { isStoreError } from '@gantry/transport';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';

const MiB = 2 ** 20;

function refusal(text: string): { readonly message: string; readonly hint: string } {
  try {
    parseAddress(new URL(text));
  } catch (error) {
    if (isStoreError(error, 'invalid-address')) return { message: error.message, hint: error.hint ?? '' };
    throw error;
  }
  throw new Error(`${text} was not refused`);
}

describe('an address', () => {
  test('names a bucket and a prefix', () => {
    expect(parseAddress(new URL('s3://exports'))).toMatchObject({ bucket: 'exports', prefix: '', text: 's3://exports/' });
    expect(parseAddress(new URL('s3://exports/'))).toMatchObject({ bucket: 'exports', prefix: '' });
    expect(parseAddress(new URL('s3://my.exports/a/b'))).toMatchObject({
      bucket: 'my.exports',
      prefix: 'a/b/',
      text: 's3://my.exports/a/b/',
    });
    expect(parseAddress(new URL('s3://exports/a/b/'))).toMatchObject({ prefix: 'a/b/' });
  });

  test('has options with defaults', () => {
    expect(parseAddress(new URL('s3://exports')).options).toEqual({
      endpoint: undefined,
      region: undefined,
      profile: undefined,
      pathStyle: undefined,
      caFile: undefined,
      conditionalWrites: 'auto',
      etag: 'md5',
      equalPartBytes: undefined,
      firstPartBytes: 8 * MiB,
      maxParts: 10_000,
      maxObjectBytes: 5 * 2 ** 40,
      concurrency: 8,
      memoryBytes: 96 * MiB,
      stallMs: 30_000,
      retryForMs: 60_000,
      storageClass: undefined,
      encryption: undefined,
      objectLock: undefined,
      tags: new Map(),
      acl: undefined,
    });
  });

  test.each([
    ['endpoint=https://s3.example.com:9000', { endpoint: new URL('https://s3.example.com:9000') }],
    ['region=eu-central-1&profile=backup', { region: 'eu-central-1', profile: 'backup' }],
    ['pathStyle=false', { pathStyle: false }],
    ['caFile=/etc/ca.pem', { caFile: '/etc/ca.pem' }],
    ['conditionalWrites=put&etag=opaque', { conditionalWrites: 'put', etag: 'opaque' }],
    ['partSize=64MiB', { equalPartBytes: 64 * MiB }],
    ['firstPartSize=5242880&maxParts=1000&maxObjectSize=1TiB', { firstPartBytes: 5 * MiB, maxParts: 1000, maxObjectBytes: 2 ** 40 }],
    ['concurrency=16&memory=1GiB', { concurrency: 16, memoryBytes: 2 ** 30 }],
    ['stallSeconds=5&retrySeconds=0', { stallMs: 5000, retryForMs: 0 }],
    ['acl=bucket-owner-full-control', { acl: 'bucket-owner-full-control' }],
    ['storageClass=STANDARD_IA', { storageClass: 'STANDARD_IA' }],
    ['sse=AES256', { encryption: { algorithm: 'AES256', kmsKeyId: undefined } }],
    ['sse=aws:kms&sseKmsKeyId=alias/gantry', { encryption: { algorithm: 'aws:kms', kmsKeyId: 'alias/gantry' } }],
    ['objectLockMode=COMPLIANCE&objectLockRetainUntil=30d', { objectLock: { mode: 'COMPLIANCE', retainUntil: { days: 30 } } }],
    [
      'objectLockMode=GOVERNANCE&objectLockRetainUntil=2030-01-31T00:00:00Z',
      { objectLock: { mode: 'GOVERNANCE', retainUntil: { date: new Date('2030-01-31T00:00:00Z') } } },
    ],
    [
      'tag.team=ops&tag.cost%20centre=4%267',
      {
        tags: new Map([
          ['team', 'ops'],
          ['cost centre', '4&7'],
        ]),
      },
    ],
  ])('says how the store behaves: %s', (query, expected) => {
    expect(parseAddress(new URL(`s3://exports/a?${query}`)).options).toMatchObject(expected);
  });

  test('has a normal form with the same meaning', () => {
    const { text } = parseAddress(new URL('s3://exports/a?region=x&endpoint=http://h:1&partSize=5MiB'));
    expect(text).toBe('s3://exports/a/?endpoint=http%3A%2F%2Fh%3A1&partSize=5MiB&region=x');
    expect(parseAddress(new URL(text))).toEqual(parseAddress(new URL('s3://exports/a/?partSize=5MiB&endpoint=http://h:1&region=x')));
  });
});

describe('an address is refused', () => {
  test.each([
    ['s3:///prefix', /does not name a bucket/],
    ['s3://a', /not a valid bucket name/],
    ['s3://host:9000/bucket', /not a valid bucket name/],
    ['s3://exports/a//b', /not a valid prefix/],
    ['s3://exports/.hidden', /not a valid prefix/],
    ['s3://exports/with%20space', /not a valid prefix/],
    [`s3://exports/${'x/'.repeat(130)}`, /too long/],
    ['s3://exports/a#b', /cannot have a part after #/],
    ['s3://exports?endpoint=s3.example.com', /endpoint/],
    ['s3://exports?endpoint=ftp://s3.example.com', /endpoint/],
    ['s3://exports?endpoint=http://h/?x=1', /endpoint/],
    ['s3://exports?region=eu/central', /region/],
    ['s3://exports?pathStyle=yes', /pathStyle/],
    ['s3://exports?partSize=4MiB', /partSize/],
    ['s3://exports?partSize=6GiB', /partSize/],
    ['s3://exports?partSize=64MB', /partSize/],
    ['s3://exports?maxParts=0', /maxParts/],
    ['s3://exports?maxParts=10001', /maxParts/],
    ['s3://exports?concurrency=two', /concurrency/],
    ['s3://exports?storageClass=cold%20one', /storageClass/],
    ['s3://exports?sse=rot13', /sse/],
    ['s3://exports?sseKmsKeyId=k', /sseKmsKeyId/],
    ['s3://exports?sse=AES256&sseKmsKeyId=k', /sseKmsKeyId/],
    ['s3://exports?objectLockMode=COMPLIANCE', /only one of objectLockMode and objectLockRetainUntil/],
    ['s3://exports?objectLockRetainUntil=30d', /only one of objectLockMode and objectLockRetainUntil/],
    ['s3://exports?objectLockMode=COMPLIANCE&objectLockRetainUntil=soon', /objectLockRetainUntil/],
    ['s3://exports?objectLockMode=COMPLIANCE&objectLockRetainUntil=0d', /objectLockRetainUntil/],
    ['s3://exports?acl=public-read', /acl/],
    ['s3://exports?conditionalWrites=perhaps', /conditionalWrites/],
    ['s3://exports?region=a&region=b', /2 times/],
    ['s3://exports?tag.a=1&tag.a=2', /twice/],
    [`s3://exports?${Array.from({ length: 11 }, (_, index) => `tag.t${index}=1`).join('&')}`, /11 tags/],
    [`s3://exports?tag.a=${'x'.repeat(257)}`, /too long/],
    ['s3://exports?bucket=b', /unknown option .*"bucket"/],
    ['s3://exports?tag.=b', /unknown option .*"tag\."/],
  ])('%s', (text, message) => {
    const refused = refusal(text);
    expect(refused.message).toMatch(message);
    expect(refused.hint).not.toBe('');
  });

  test.each([
    's3://AKIASECRET:TOPSECRET@exports/a',
    's3://TOPSECRET@exports/a',
    's3://exports?endpoint=http://user:TOPSECRET@host',
    's3://exports?secretAccessKey=TOPSECRET',
    's3://exports?aws_session_token=TOPSECRET',
  ])('with credentials in it, and does not repeat them: %s', (text) => {
    const { message, hint } = refusal(text);
    expect(message + hint).not.toContain('SECRET');
    expect(hint).toMatch(/[Cc]redentials/);
  });

  test('or accepted, with any content: nothing else happens', () => {
    fc.assert(
      fc.property(fc.webQueryParameters(), fc.webPath(), (query, path) => {
        const url = new URL(`s3://exports${path}?${query}`);
        try {
          parseAddress(url);
        } catch (error) {
          expect(isStoreError(error, 'invalid-address')).toBe(true);
        }
      }),
    );
  });
});

test('the documentation names every option', async () => {
  const page = await readFile(new URL('../../../../docs/reference/transports/s3.md', import.meta.url), 'utf8');
  const { hint } = refusal('s3://exports?bucket=b');
  const options = /^The options are (.*) and tag\.NAME\.$/.exec(hint)?.[1]?.split(', ') ?? [];
  expect(options.length).toBeGreaterThan(15);
  for (const option of [...options, 'tag.NAME']) expect(page, option).toMatch(new RegExp(`^- \`${option}\`[ :]`, 'm'));
});
