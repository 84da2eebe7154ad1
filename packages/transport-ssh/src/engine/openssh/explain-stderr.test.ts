import { describe, expect, test } from 'vitest';
import { explainStderr } from './explain-stderr.ts';

// All of them were seen, with one command that ends at once: it depends on which of the two is faster.
describe('a ProxyCommand that ended before the peer answered', () => {
  test.each([
    'kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535',
    'kex_exchange_identification: read: Connection reset by peer\nConnection reset by UNKNOWN port 65535',
    'banner exchange: Connection to UNKNOWN port 65535: Broken pipe',
  ])('is named, with what it wrote, when ssh says: %s', (end) => {
    const stderr = `debug1: Executing proxy command: exec tunnel 10.0.0.1\nno such tunnel\n${end}\n`;
    expect(explainStderr(stderr)).toMatchObject({
      code: 'unavailable',
      message: 'the ProxyCommand "tunnel 10.0.0.1" ended before the peer answered: "no such tunnel"',
    });
  });
});
