import type { CreateMultipartUploadCommandInput, PutObjectCommandInput, StorageClass } from '@aws-sdk/client-s3';

import type { S3Options } from '../address/options.ts';

/** The metadata entry by which a store recognizes its own object. */
export const WRITE_ID = 'gantry-write';

/** The settings that both ways of writing an object have. */
type ObjectSettings = Pick<
  PutObjectCommandInput & CreateMultipartUploadCommandInput,
  | 'ACL'
  | 'ContentType'
  | 'Metadata'
  | 'StorageClass'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
  | 'ObjectLockMode'
  | 'ObjectLockRetainUntilDate'
  | 'Tagging'
>;

/**
 * Below this size, objects stay in the bucket's usual storage class: the cheap classes charge for at least 128 KiB ("Amazon S3
 * pricing"), and manifests in an archive could not be listed or read.
 */
const MIN_STORAGE_CLASS_BYTES = 128 * 1024;

/** The settings of the address, for an object of about `size` bytes that is written now. */
export function objectSettings(options: S3Options, writeId: string, size: number): ObjectSettings {
  const { storageClass, encryption, objectLock, tags, acl } = options;
  return {
    ContentType: 'application/octet-stream',
    Metadata: { [WRITE_ID]: writeId },
    ...(isClass(storageClass) && size >= MIN_STORAGE_CLASS_BYTES ? { StorageClass: storageClass } : {}),
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption.algorithm }),
    ...(encryption?.kmsKeyId === undefined ? {} : { SSEKMSKeyId: encryption.kmsKeyId }),
    ...(objectLock === undefined
      ? {}
      : { ObjectLockMode: objectLock.mode, ObjectLockRetainUntilDate: retainUntilDate(objectLock.retainUntil) }),
    ...(acl === undefined ? {} : { ACL: acl }),
    ...(tags.size === 0 ? {} : { Tagging: encodeTags(tags) }),
  };
}

/** The SDK's type has only Amazon's classes; other services have their own. */
function isClass(name: string | undefined): name is StorageClass {
  return name !== undefined;
}

/** As a query string, but with %20 for spaces: Ceph reads + as a plus sign. */
function encodeTags(tags: ReadonlyMap<string, string>): string {
  return [...tags].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
}

/** Until when an object that is written now is kept. */
export function retainUntilDate(until: NonNullable<S3Options['objectLock']>['retainUntil']): Date {
  return 'date' in until ? until.date : new Date(Date.now() + until.days * 86_400_000);
}
