/** What a session's role is on: its connection and the administrator's credentials, read live each time and never kept. */
import type { ProtectedConnection } from '../../crds/connection.ts';
import { CONNECTIONS, type Kube } from '../kube/kube.ts';
import { readConnection } from '../kube/read.ts';
import type { Target } from '../provision/provisioner.ts';
import { readConnectionMaterial } from './connection-material.ts';

/** Something has to be put back before a role can be revoked; for people, no secret in it. */
export class TargetMissing extends Error {
  override readonly name = 'TargetMissing';
}

/** Live. Rejects with `TargetMissing`, or a `KubeError`. */
export async function connectionOf(
  kube: Pick<Kube, 'get'>,
  namespace: string,
  name: string,
): Promise<ProtectedConnection> {
  const object = await kube.get(CONNECTIONS, namespace, name);
  if (!object) throw new TargetMissing(`there is no ProtectedConnection ${namespace}/${name} any more`);
  const parsed = readConnection(object);
  if (parsed.kind === 'invalid')
    throw new TargetMissing(`the ProtectedConnection ${namespace}/${name} cannot be read`);
  return parsed.value;
}

/** Live. Rejects with `TargetMissing`, or a `KubeError`. */
export async function targetOf(kube: Pick<Kube, 'get'>, connection: ProtectedConnection): Promise<Target> {
  const material = await readConnectionMaterial(kube, connection);
  if (material.kind === 'wrong') throw new TargetMissing(material.message);
  return { connection, administrator: material.administrator };
}
