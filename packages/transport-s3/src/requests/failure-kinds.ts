import type { StoreErrorCode } from '@gantry/transport';

import type { ServiceFailure } from './service-failure.ts';

/** What a failure means for the store, and what the user can do. */
export interface FailureKind {
  readonly code: StoreErrorCode;
  /** What happened, after "reading s3://…: ". */
  readonly text: string;
  readonly hint: string;
  /** Whether the same request may succeed a moment later, as with `unavailable` and damage in transit. */
  readonly isTransient: boolean;
}

export const CREDENTIALS_HINT =
  'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for temporary ones AWS_SESSION_TOKEN too), AWS_PROFILE or profile=, or run on a machine with a role.';
const REGION_HINT = 'Give the region of the bucket with region= in the address.';
const ENDPOINT_HINT = 'Check endpoint= in the address: http or https, host and port.';
const POLICY_HINT = "Check the policies of the user and of the bucket; Gantry's page on S3 lists what each command needs.";
const TLS_HINT =
  'Check endpoint= in the address; set a private certificate authority with caFile= or AWS_CA_BUNDLE, those of this system with caFile=/etc/ssl/certs/ca-certificates.crt.';
const QUOTA_HINT = 'Remove old exports, or ask for a larger quota.';
const LATER_HINT = 'Try again later; fewer requests at once (concurrency=) may help.';

const final = (code: StoreErrorCode, text: string, hint: string): FailureKind => ({ code, text, hint, isTransient: false });
const passing = (text: string, hint: string, code: StoreErrorCode = 'unavailable'): FailureKind => ({
  code,
  text,
  hint,
  isTransient: true,
});

const OTHER_REGION = final('invalid-address', 'the bucket is in another region', REGION_HINT);

/** By the code that the service, the SDK or Node gives ("Error responses" in the Amazon S3 API reference; errno(3); Node's TLS). */
const BY_NAME: ReadonlyMap<string, FailureKind> = new Map([
  ...each(
    ['NoSuchBucket'],
    final('not-found', 'the bucket does not exist', 'Check its name and the endpoint; Gantry does not create buckets.'),
  ),
  ...each(['NoSuchKey', 'NotFound', 'NoSuchVersion'], final('not-found', 'it does not exist', 'Check the name.')),
  ...each(['NoSuchUpload'], final('not-found', 'the upload does not exist: it was aborted', 'Run the command again.')),
  ...each(
    ['AccessDenied', 'Forbidden', 'AllAccessDisabled', 'AccountProblem', 'UnauthorizedAccess', 'MethodNotAllowedByPolicy'],
    final('denied', 'the service denies access', POLICY_HINT),
  ),
  ...each(
    ['InvalidAccessKeyId', 'InvalidClientTokenId', 'UnrecognizedClientException', 'NotSignedUp'],
    final('denied', 'the service does not know the access key', CREDENTIALS_HINT),
  ),
  ...each(
    ['SignatureDoesNotMatch', 'AuthorizationQueryParametersError', 'InvalidSecurity'],
    final(
      'denied',
      'the service does not accept the signature: the secret key is wrong, or something on the way changes requests',
      'Check AWS_SECRET_ACCESS_KEY, and that no proxy changes the Host header.',
    ),
  ),
  ...each(
    ['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'InvalidToken'],
    final('denied', 'the credentials have expired or are not valid', 'Get new ones, for example with aws sso login.'),
  ),
  ...each(
    ['RequestTimeTooSkewed', 'RequestExpired'],
    passing("this machine's clock and the service's differ too much", 'Set the clock of this machine (NTP).', 'denied'),
  ),
  ...each(
    ['AuthorizationHeaderMalformed', 'PermanentRedirect', 'TemporaryRedirect', 'IllegalLocationConstraintException', 'MovedPermanently'],
    OTHER_REGION,
  ),
  ...each(
    ['InvalidBucketName', 'InvalidURI'],
    final('invalid-address', 'the service does not accept the name of the bucket', 'Check the name of the bucket, and pathStyle=.'),
  ),
  ...each(
    ['SecondLevelDomainForbidden', 'PathStyleDomainForbidden', 'InvalidPathAccess'],
    final('invalid-address', 'the service wants the bucket in the host name', 'Add pathStyle=false to the address.'),
  ),
  ...each(
    ['SlowDown', 'TooManyRequests', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'BandwidthLimitExceeded'],
    passing('the service asks to slow down', LATER_HINT),
  ),
  ...each(
    ['InternalError', 'ServiceUnavailable', 'Busy', 'RequestTimeout', 'OperationAborted', 'ConditionalRequestConflict', 'ServerBusy'],
    passing('the service failed', LATER_HINT),
  ),
  ...each(
    ['BadDigest', 'XAmzContentSHA256Mismatch', 'IncompleteBody', 'XAmzContentChecksumMismatch'],
    passing(
      'the bytes were damaged or cut in transit',
      'Something between this machine and the service damages data: check the network and proxies.',
      'integrity',
    ),
  ),
  ...each(
    [
      'QuotaExceeded',
      'InsufficientStorage',
      'XMinioStorageFull',
      'XMinioAdminBucketQuotaExceeded',
      'StorageFull',
      'TotalSizeExceeded',
      'InsufficientCapacity',
      'NotEnoughSpace',
    ],
    final('full', 'the quota is used up or the service is full', QUOTA_HINT),
  ),
  ...each(
    ['EntityTooLarge'],
    final(
      'full',
      'the service does not accept more: a quota is used up, or one object is too large',
      `${QUOTA_HINT} For a service with lower limits set partSize= or maxObjectSize=.`,
    ),
  ),
  ...each(
    ['EntityTooSmall', 'InvalidPart', 'InvalidPartOrder'],
    final(
      'unsupported',
      'the service does not accept parts of these sizes',
      'Set a size for all parts that the service documents, such as partSize=64MiB.',
    ),
  ),
  ...each(
    ['InvalidObjectState'],
    final(
      'unsupported',
      'the object is archived (a storage class such as GLACIER or DEEP_ARCHIVE) and cannot be read as it is',
      'Restore it first, for example with aws s3api restore-object, wait until that is done, and try again.',
    ),
  ),
  ...each(
    ['InvalidStorageClass'],
    final('invalid-address', 'the service does not have this storage class', 'Check storageClass= in the address.'),
  ),
  ...each(['InvalidTag'], final('invalid-address', 'the service does not accept these tags', 'Check tag.NAME= in the address.')),
  ...each(
    ['ObjectLockConfigurationNotFoundError', 'InvalidRetentionPeriod', 'InvalidBucketState'],
    final(
      'invalid-address',
      'the bucket does not have object lock, or does not accept this retention',
      'Check objectLockMode= and objectLockRetainUntil= in the address, and the bucket.',
    ),
  ),
  ...each(
    [
      'KMS.NotFoundException',
      'KMS.DisabledException',
      'KMS.KMSInvalidStateException',
      'KMS.InvalidKeyUsageException',
      'InvalidEncryptionAlgorithmError',
    ],
    final('denied', 'the encryption key cannot be used', 'Check sse= and sseKmsKeyId= in the address, and the policy of the key.'),
  ),
  ...each(
    ['KeyTooLongError', 'KeyTooLong'],
    final('invalid-key', 'the key is too long for the service', 'Use a shorter prefix in the address.'),
  ),
  ...each(['InvalidRange'], final('invalid-range', 'the range is outside the object', 'Read within its size.')),
  ...each(
    ['NotImplemented', 'MethodNotAllowed', 'Not Implemented'],
    final('unsupported', 'the service cannot do that', "Gantry's page on S3 lists what a service must support."),
  ),
  ...each(
    ['ENOTFOUND'],
    final('invalid-address', 'the host name of the service is unknown', `${ENDPOINT_HINT} For a bucket in the path set pathStyle=true.`),
  ),
  ...each(
    ['ERR_PROXY_TUNNEL'],
    passing(
      'the proxy did not open a connection to the service',
      'Check the proxy variables of the environment, or add the host of the service to NO_PROXY.',
    ),
  ),
  ...each(['ECONNREFUSED'], passing('nothing listens at the endpoint', ENDPOINT_HINT)),
  ...each(
    ['EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN'],
    passing('the service cannot be reached', 'Check the network and the name service.'),
  ),
  ...each(
    [
      'ECONNRESET',
      'EPIPE',
      'ECONNABORTED',
      'ERR_STREAM_PREMATURE_CLOSE',
      'ABORTED',
      'HPE_CLOSED_CONNECTION',
      'ERR_STREAM_DESTROYED',
      'ERR_SOCKET_CLOSED',
    ],
    passing('the connection broke', 'Check the network, and the logs of the service.'),
  ),
  ...each(
    ['TimeoutError', 'ETIMEDOUT', 'ESOCKETTIMEDOUT'],
    passing('the service did not answer in time', 'Check the network; for a slow one set a larger stallSeconds=.'),
  ),
  ...each(
    [
      'CERT_HAS_EXPIRED',
      'CERT_NOT_YET_VALID',
      'CERT_REVOKED',
      'CERT_UNTRUSTED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'INVALID_CA',
      'HOSTNAME_MISMATCH',
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
    final('denied', "the service's TLS certificate cannot be verified", TLS_HINT),
  ),
  ...each(
    [
      'EPROTO',
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_SSL_PACKET_LENGTH_TOO_LONG',
      'HPE_INVALID_CONSTANT',
      'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    ],
    final('invalid-address', 'the endpoint does not speak HTTP, or only one side uses TLS', ENDPOINT_HINT),
  ),
]);

const BY_STATUS: Readonly<Record<number, FailureKind>> = {
  400: final('unsupported', 'the service does not accept the request', `Check the options of the address. ${REGION_HINT}`),
  401: final('denied', 'the service denies access', CREDENTIALS_HINT),
  403: final('denied', 'the service denies access', POLICY_HINT),
  404: final('not-found', 'it does not exist', 'Check the name.'),
  405: final('unsupported', 'the service cannot do that', `Is it an S3 service? ${ENDPOINT_HINT}`),
  408: passing('the service did not get the request in time', LATER_HINT),
  409: passing('the request conflicts with another one', LATER_HINT),
  407: final('denied', 'the proxy requires a user and a password', 'Set them in HTTPS_PROXY or HTTP_PROXY: http://USER:PASSWORD@HOST:PORT'),
  413: final('full', 'the service does not accept more: a quota is used up, or one object is too large', QUOTA_HINT),
  416: final('invalid-range', 'the range is outside the object', 'Read within its size.'),
  429: passing('the service asks to slow down', LATER_HINT),
  431: final('denied', 'the headers of the request are too large for the service', 'Check AWS_SESSION_TOKEN.'),
  501: final('unsupported', 'the service cannot do that', "Gantry's page on S3 lists what a service must support."),
  507: final('full', 'the service is full', QUOTA_HINT),
};

/** By the status of an answer that is a web page: it comes from a web server, proxy or firewall in front of the service. */
const BY_PAGE_STATUS: Readonly<Record<number, FailureKind>> = {
  403: final(
    'denied',
    'a web server, proxy or firewall in front of the service denies access (it sent a web page)',
    'Check endpoint= in the address, and the rules of the proxy or firewall.',
  ),
  404: final('invalid-address', 'the endpoint is a web server, not an S3 service', ENDPOINT_HINT),
  413: final(
    'unsupported',
    'a web server or proxy in front of the service does not accept requests of this size (it sent a web page)',
    'Raise its limit (nginx: client_max_body_size) to at least the size of a part, or bypass it; parts have at least 8 MiB, with partSize=5MiB exactly 5.',
  ),
};

const WEB_PAGE = final('unsupported', 'the endpoint does not speak the S3 API: it sent a web page', ENDPOINT_HINT);
const GARBLED = passing('the answer is not that of an S3 service', ENDPOINT_HINT);

/** Finds out what a failure means. An unknown one is transient if there was no answer, or if the service says it is its own fault. */
export function kindOfFailure(failure: ServiceFailure): FailureKind {
  const { name, status, isWebPage } = failure;
  // For a web page, the name is only the SDK's guess.
  const known = isWebPage ? undefined : BY_NAME.get(name);
  if (known !== undefined) return known;
  if (status === undefined) return kindWithoutAnswer(failure);
  if (status >= 300 && status < 400) return kindOfRedirection(failure);
  if (status >= 500 && status !== 501 && status !== 507) return passing('the service failed', LATER_HINT);
  const page = isWebPage ? BY_PAGE_STATUS[status] : undefined;
  return (
    page ??
    BY_STATUS[status] ??
    (status < 400 ? (isWebPage ? WEB_PAGE : GARBLED) : final('unsupported', 'the service does not accept the request', ENDPOINT_HINT))
  );
}

/** Node's errors have a code; an error without one comes from the SDK, which rejects a setting of the environment. */
function kindWithoutAnswer({ name, message }: ServiceFailure): FailureKind {
  if (!/^(Error|TypeError|RangeError|SyntaxError)$/.test(name)) return passing('the request failed', ENDPOINT_HINT);
  return final(
    'invalid-address',
    `the request cannot be made: ${message}`,
    'Check the AWS_ variables of the environment, and the profile in ~/.aws/config.',
  );
}

/** Amazon redirects to another region; web servers redirect to https://, or to a page. */
function kindOfRedirection({ region, location, isWebPage }: ServiceFailure): FailureKind {
  if (region !== undefined || (location === undefined && !isWebPage)) return OTHER_REGION;
  return final(
    'invalid-address',
    location === undefined ? 'the endpoint redirects' : `the endpoint redirects to ${location.origin}`,
    location === undefined ? ENDPOINT_HINT : `If the service is there, write endpoint=${location.origin} in the address.`,
  );
}

function each(names: readonly string[], kind: FailureKind): readonly (readonly [string, FailureKind])[] {
  return names.map((name) => [name, kind] as const);
}
