/** Ways to a pod that are no pods: exec, attach, port-forward, bindings, tokens. */
import { BROKER_AUDIENCE } from '../../../sidecar/broker/protocol.ts';
import { OUR_CONTAINERS } from '../inject/sidecar.ts';
import { object, string } from '../json.ts';
import type { AdmissionRequest } from '../review.ts';

/** Reasons to refuse; `undefined` when it is none of these. */
export function entryDangers(request: AdmissionRequest, enforced: boolean): readonly string[] | undefined {
  const { resource, subresource } =
    request.resource.group === ''
      ? { ...request, resource: request.resource.resource }
      : { resource: '', subresource: '' };
  switch (`${resource}/${subresource}`) {
    case 'pods/exec':
    case 'pods/attach':
      return intoContainer(string(request.object?.['container']), subresource);
    case 'pods/portforward':
      return enforced
        ? [
            "portforward into a pod reaches its sidecar's listeners, where whoever connects acts as the agent: use exec",
          ]
        : [];
    case 'bindings/':
    case 'pods/binding':
      return binding(request);
    case 'serviceaccounts/token':
      return token(request);
    default:
      return undefined;
  }
}

/** Without a name the API server takes the pod's only container; an init container like the sidecar must be named. */
function intoContainer(container: string, how: string): readonly string[] {
  if (!OUR_CONTAINERS.includes(container)) return [];
  return [
    `${how} into the container ${container} is refused: it holds what the agent must not see; name another container with -c`,
  ];
}

/** A binding may bring labels and annotations, which the API server writes onto the pod. */
function binding({ object: bound }: AdmissionRequest): readonly string[] {
  const metadata = object(bound?.['metadata']);
  const keys = [...Object.keys(object(metadata['annotations'])), ...Object.keys(object(metadata['labels']))];
  return keys
    .filter((key) => key.includes('sidewarden.dev/'))
    .map((key) => `a binding must not bring ${key} to the pod`);
}

function token({ object: asked, user }: AdmissionRequest): readonly string[] {
  const audiences = object(asked?.['spec'])['audiences'];
  if (!Array.isArray(audiences) || !audiences.includes(BROKER_AUDIENCE)) return [];
  const kubelet = user.username.startsWith('system:node:') && user.groups.includes('system:nodes');
  return kubelet
    ? []
    : [`tokens for ${BROKER_AUDIENCE} are made for sidecars only, by the kubelets of their nodes`];
}
