import { loadSharedConfigFiles } from '@smithy/shared-ini-file-loader';

import type { S3Address } from './address.ts';
import { invalidAddress } from './invalid-address.ts';
import { REGION } from './options.ts';
import { parseEndpoint, refuseBucketIn } from './endpoint.ts';
import type { Environment } from './environment.ts';
import { variable } from './environment.ts';

/** The settings from the address, the environment and the profile. */
export interface Settings {
  /** Undefined for Amazon's own. */
  readonly endpoint: URL | undefined;
  readonly region: string;
  readonly pathStyle: boolean;
  readonly caFile: string | undefined;
  /** Where credentials come from. */
  readonly credentials: KeyPair | ProfileChoice;
}

/** Credentials from a profile, or from a source that needs no setting. */
export interface ProfileChoice {
  readonly profile: string | undefined;
  /** Whether the profile says how to get them: then no other source is tried. */
  readonly fromProfile: boolean;
}

/** Credentials from the environment. */
export interface KeyPair {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** The settings that say where the credentials of a profile come from ("Settings reference" of the AWS SDKs). */
const CREDENTIAL_SETTINGS = [
  'aws_access_key_id',
  'credential_process',
  'login_session',
  'role_arn',
  'sso_session',
  'sso_start_url',
  'web_identity_token_file',
];

/** One profile of the AWS configuration files. */
interface Profile {
  readonly exists: boolean;
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly hasCredentials: boolean;
  /** For messages. */
  readonly files: string;
}

/**
 * Reads the settings of a store: first from the address, then from `env`, then from the profile.
 *
 * @throws StoreError `invalid-address`, `denied` without credentials
 */
export async function readSettings({ bucket, options }: S3Address, env: Environment): Promise<Settings> {
  const name = options.profile ?? variable(env, 'AWS_PROFILE');
  const profile = await readProfile(name ?? 'default', env);
  const pair = options.profile === undefined ? readKeyPair(env) : undefined;
  if (pair === undefined && name !== undefined && !profile.exists) {
    throw invalidAddress(
      `the profile ${JSON.stringify(name.slice(0, 80))} is not in ${profile.files}, or is empty`,
      `Check ${options.profile === undefined ? 'AWS_PROFILE' : 'profile= in the address'}, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
    );
  }
  const endpoint = readEndpoint(options.endpoint, env, profile);
  if (endpoint !== undefined) refuseBucketIn(endpoint.url, bucket, endpoint.source);
  return {
    endpoint: endpoint?.url,
    region: readRegion(options.region, env, profile, endpoint !== undefined),
    pathStyle: options.pathStyle ?? endpoint !== undefined,
    caFile: options.caFile ?? variable(env, 'AWS_CA_BUNDLE'),
    credentials: pair ?? { profile: name, fromProfile: profile.hasCredentials },
  };
}

function readKeyPair(env: Environment): KeyPair | undefined {
  const accessKeyId = variable(env, 'AWS_ACCESS_KEY_ID');
  const secretAccessKey = variable(env, 'AWS_SECRET_ACCESS_KEY');
  const sessionToken = variable(env, 'AWS_SESSION_TOKEN');
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const [set, missing] = accessKeyId === undefined ? ['SECRET_ACCESS_KEY', 'ACCESS_KEY_ID'] : ['ACCESS_KEY_ID', 'SECRET_ACCESS_KEY'];
    throw invalidAddress(`AWS_${set} is set, but AWS_${missing} is not`, 'Set both, or neither to use a profile or a role.');
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function readEndpoint(
  given: URL | undefined,
  env: Environment,
  profile: Profile,
): { readonly url: URL; readonly source: string } | undefined {
  if (given !== undefined) return { url: given, source: 'the option endpoint of the address' };
  if (variable(env, 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS')?.toLowerCase() === 'true') return undefined;
  for (const source of ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL']) {
    const text = variable(env, source);
    if (text !== undefined) return { url: parseEndpoint(text, source), source };
  }
  const source = `endpoint_url in ${profile.files}`;
  return profile.endpoint === undefined ? undefined : { url: parseEndpoint(profile.endpoint, source), source };
}

function readRegion(given: string | undefined, env: Environment, profile: Profile, hasEndpoint: boolean): string {
  if (given !== undefined) return given;
  const candidates = [
    ['AWS_REGION', variable(env, 'AWS_REGION')],
    ['AWS_DEFAULT_REGION', variable(env, 'AWS_DEFAULT_REGION')],
    [`the region in ${profile.files}`, profile.region],
  ] as const;
  for (const [source, region] of candidates) {
    if (region === undefined) continue;
    if (REGION.test(region)) return region;
    throw invalidAddress(`${source} is ${JSON.stringify(region.slice(0, 80))}`, 'It must be a region such as eu-central-1.');
  }
  // Most services other than Amazon's ignore the region, but the signature must contain one.
  if (hasEndpoint) return 'us-east-1';
  throw invalidAddress(
    'the region of the bucket is not known',
    'Set region= in the address, or AWS_REGION; for a service other than Amazon set endpoint=.',
  );
}

async function readProfile(name: string, env: Environment): Promise<Profile> {
  const configFilepath = variable(env, 'AWS_CONFIG_FILE');
  const filepath = variable(env, 'AWS_SHARED_CREDENTIALS_FILE');
  const { configFile, credentialsFile } = await loadSharedConfigFiles({
    ignoreCache: true,
    ...(configFilepath === undefined ? {} : { configFilepath }),
    ...(filepath === undefined ? {} : { filepath }),
  });
  const config = configFile[name];
  const services = config?.['services'] === undefined ? undefined : configFile[`services.${config['services']}`];
  const setting = (text: string | undefined): string | undefined => (text?.trim() === '' ? undefined : text?.trim());
  return {
    exists: config !== undefined || credentialsFile[name] !== undefined,
    region: setting(config?.['region']) ?? setting(credentialsFile[name]?.['region']),
    hasCredentials: [config, credentialsFile[name]].some((section) => CREDENTIAL_SETTINGS.some((key) => section?.[key] !== undefined)),
    endpoint: setting(services?.['s3.endpoint_url']) ?? setting(config?.['endpoint_url']),
    files: `${configFilepath ?? '~/.aws/config'} and ${filepath ?? '~/.aws/credentials'}`,
  };
}
