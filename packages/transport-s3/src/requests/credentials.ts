import { fromIni } from '@aws-sdk/credential-provider-ini';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { StoreError } from '@gantry/transport';

import { untilAborted } from './abort.ts';
import type { Settings } from '../address/settings.ts';
import { CREDENTIALS_HINT } from './failure-kinds.ts';
import { readFailure } from './service-failure.ts';
import { endProcessesOf } from './credential-processes.ts';

/** Asking for an instance role takes some seconds on a machine that has none. */
const MIN_WAIT_MS = 5000;

export type Credentials = NonNullable<S3ClientConfig['credentials']>;

/**
 * The credentials that the settings name: a pair of keys, or those of the profile, or those that the SDK's own chain finds (SSO, web
 * identity, container and instance roles), which reads the environment of the process.
 *
 * @param waitMs how long that may take
 * @param closed ends the waiting
 */
export function makeCredentials({ credentials }: Settings, waitMs: number, closed: AbortSignal): Credentials {
  if ('accessKeyId' in credentials) return credentials;
  const { profile, fromProfile } = credentials;
  const init = profile === undefined ? {} : { profile };
  const find = fromProfile ? fromIni(init) : defaultProvider(init);
  return async (options) => {
    try {
      return await endProcessesOf(() => withinTime(find(options), Math.max(waitMs, MIN_WAIT_MS), closed));
    } catch (error) {
      throw noCredentials(error, profile);
    }
  };
}

async function withinTime<T>(promise: Promise<T>, ms: number, closed: AbortSignal): Promise<T> {
  const tooLate = AbortSignal.timeout(ms);
  try {
    return await untilAborted(promise, closed, tooLate);
  } catch (error) {
    throw tooLate.aborted && error === tooLate.reason ? new Error(`they did not arrive within ${ms / 1000} s`) : error;
  }
}

function noCredentials(error: unknown, profile: string | undefined): StoreError {
  const { name, message } = readFailure(error);
  const from = profile === undefined ? '' : ` of the profile ${profile}`;
  return new StoreError('denied', {
    message: `cannot get the credentials${from}: ${reasonOf(error, name, message)}`,
    hint: CREDENTIALS_HINT,
  });
}

function reasonOf(error: unknown, name: string, message: string): string {
  // The SDK throws this when a profile names a section that does not exist.
  if (name === 'TypeError') return 'something that the profile refers to is missing';
  return name === 'CredentialsProviderError' || name === 'Error' ? withoutCommand(error, message) : `${message} (${name})`;
}

/** For a failed `credential_process`, shows only what it wrote to standard error: its arguments may be secret. */
function withoutCommand(error: unknown, message: string): string {
  if (!message.startsWith('Command failed')) return message === '' ? 'none were found' : message;
  const lines = error instanceof Error ? error.message.split('\n').slice(1) : [];
  const said = lines.join(' ').trim().slice(0, 200);
  return `credential_process failed ${said === '' ? 'without output' : `and wrote: ${said}`}`;
}
