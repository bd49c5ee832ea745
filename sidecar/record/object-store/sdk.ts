/**
 * All that is used of the AWS SDK. Loaded by `import()` only, and bundled as a file of its own (`build.ts`): it takes some 15 MB
 * and 100 ms that only those should pay who talk to a store.
 */
export {
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
export { getSignedUrl } from '@aws-sdk/s3-request-presigner';
