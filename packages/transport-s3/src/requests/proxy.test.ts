import { isStoreError } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import type { Environment } from '../address/environment.ts';
import { findProxy } from './proxy.ts';

const P = 'http://proxy.example.com:3128';

function proxyOf(target: string, env: Environment): string | undefined {
  return findProxy(new URL(target), env)?.url.href;
}

describe('the proxy of the environment', () => {
  test.each<[string, Environment, string | undefined]>([
    ['https://s3.example.com', { HTTPS_PROXY: P }, `${P}/`],
    ['https://s3.example.com', { https_proxy: P, HTTPS_PROXY: 'http://other' }, `${P}/`],
    ['https://s3.example.com', { HTTP_PROXY: P }, undefined],
    ['http://s3.example.com', { HTTP_PROXY: P }, `${P}/`],
    ['http://s3.example.com', { HTTPS_PROXY: P }, undefined],
    ['http://s3.example.com', { ALL_PROXY: P }, `${P}/`],
    ['https://s3.example.com', { HTTPS_PROXY: 'proxy.example.com:3128' }, `${P}/`],
    ['https://s3.example.com', { HTTPS_PROXY: `${P}\n` }, `${P}/`],
    ['https://s3.example.com', { HTTPS_PROXY: '' }, undefined],
    ['https://s3.example.com', {}, undefined],
    ['http://localhost:9000', { HTTP_PROXY: P }, undefined],
    ['http://127.0.0.1:9000', { HTTP_PROXY: P }, undefined],
    ['http://[::1]:9000', { HTTP_PROXY: P }, undefined],
  ])('%s with %j', (target, env, proxy) => {
    expect(proxyOf(target, env)).toBe(proxy);
  });

  test.each<[string, string, boolean]>([
    ['*', 'https://s3.example.com', true],
    ['example.com', 'https://s3.example.com', true],
    ['.example.com', 'https://s3.example.com', true],
    ['*.example.com', 'https://s3.example.com', true],
    ['EXAMPLE.com', 'https://S3.example.COM', true],
    ['example.com', 'https://example.com', true],
    ['ample.com', 'https://example.com', false],
    ['other.com, example.com', 'https://s3.example.com', true],
    ['other.com example.com', 'https://s3.example.com', true],
    ['other.com', 'https://s3.example.com', false],
    ['example.com:443', 'https://s3.example.com', true],
    ['example.com:8443', 'https://s3.example.com', false],
    ['example.com:8443', 'https://s3.example.com:8443', true],
    ['192.0.2.7', 'https://192.0.2.7', true],
    ['2.7', 'https://192.0.2.7', false],
    ['192.0.2.0/24', 'https://192.0.2.7', true],
    ['192.0.3.0/24', 'https://192.0.2.7', false],
    ['192.0.2.0/99', 'https://192.0.2.7', false],
    ['2001:db8::/32', 'https://[2001:db8::7]', true],
    ['[2001:db8::7]:443', 'https://[2001:db8::7]', true],
    ['2001:db8::7', 'https://[2001:db8::7]', true],
    ['', 'https://s3.example.com', false],
  ])('NO_PROXY=%s for %s', (list, target, past) => {
    for (const name of ['NO_PROXY', 'no_proxy']) expect(proxyOf(target, { HTTPS_PROXY: P, [name]: list })).toBe(past ? undefined : `${P}/`);
  });

  test.each([
    ['http://', 'invalid-address'],
    ['http://user:TOPSECRET@[', 'invalid-address'],
    ['socks5://proxy:1080', 'unsupported'],
  ])('%s is refused, and not repeated', (text, code) => {
    try {
      findProxy(new URL('https://s3.example.com'), { HTTPS_PROXY: text });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      expect(error.code).toBe(code);
      expect(error.message).toMatch(/HTTPS_PROXY/);
      expect(error.message + error.hint).not.toContain('TOPSECRET');
      return;
    }
    expect.unreachable();
  });
});
