import { StoreError } from '@gantry/transport';

/** What Node refuses in a header ("checkInvalidHeaderChar"). */
// eslint-disable-next-line no-control-regex -- these characters are what it looks for
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;

const CREDENTIALS: Readonly<Record<string, string>> = {
  authorization: 'the access key',
  'x-amz-security-token': 'the session token',
};

/**
 * Refuses a request that Node could not send. Node would throw inside the SDK's handler, which then leaves timers behind, and
 * the error would not say what is wrong.
 *
 * @throws StoreError `denied`
 */
export function assertSendable(headers: Readonly<Record<string, string>>): void {
  const wrong = Object.keys(headers).find((name) => UNSENDABLE.test(headers[name] ?? ''));
  if (wrong === undefined) return;
  throw new StoreError('denied', {
    message: `${CREDENTIALS[wrong.toLowerCase()] ?? `the header ${wrong}`} contains a line end or another character that cannot be sent`,
    hint: 'Check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, or the profile, for line ends and other control characters.',
  });
}
