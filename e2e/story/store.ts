/** The stage's object store, and a connection that records into it. */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { ACCESS, STORE, STORE_MANIFESTS, type Stage } from './stage.ts';

/** Starts the store, makes a bucket with Object Lock, and has `orders-db` record there. */
export async function prepareStore(stage: Stage): Promise<void> {
  await stage.cluster.apply(STORE_MANIFESTS);
  await stage.kubectl('rollout status deployment/store --namespace databases --timeout 180s');
  const client = new S3Client({
    endpoint: await stage.storeUrl(),
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: STORE.accessKeyId, secretAccessKey: STORE.secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: STORE.bucket, ObjectLockEnabledForBucket: true }));
  client.destroy();
  await stage.cluster.apply(`
apiVersion: v1
kind: Secret
metadata: { name: recordings-store, namespace: ${ACCESS} }
stringData: { accessKeyId: ${STORE.accessKeyId}, secretAccessKey: ${STORE.secretAccessKey} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: recordings, namespace: ${ACCESS} }
data:
  endpoint: http://store.databases.svc.cluster.local:7070
  transport: Plaintext
  bucket: ${STORE.bucket}
  prefix: e2e
  retention: 1d
  credentialsSecret: recordings-store
`);
  const patch = JSON.stringify({ spec: { recording: { configMapRef: { name: 'recordings' } } } });
  await stage.kubectl(
    `patch protectedconnection orders-db --namespace ${ACCESS} --type merge --patch ${patch}`,
  );
  await stage.kubectl(
    `wait --for condition=RecordingReady protectedconnection/orders-db --namespace ${ACCESS} --timeout 180s`,
  );
}
