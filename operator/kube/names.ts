/** Names that Sidewarden puts on other people's objects: annotations, labels, finalizers. */

/** On a pod: which connections it uses, `namespace/name` separated by commas. */
export const CONNECTIONS_ANNOTATION = 'sidewarden.dev/connections';
/** On a pod, `true`: unchanged host names and ports lead to the sidecar (iptables). */
export const REDIRECT_ANNOTATION = 'sidewarden.dev/redirect';
/** On a pod, put by injection, `true`: what informers select pods by. */
export const INJECTED_LABEL = 'sidewarden.dev/injected';
/** On a namespace, `true`: pods without the exact sidecar, or that could reach into it, are refused. */
export const ENFORCE_LABEL = 'sidewarden.dev/enforce';
/** On a Session: what was provisioned for it is not yet revoked. */
export const SESSION_FINALIZER = 'sidewarden.dev/revoke';
/** On a ProtectedConnection: Sessions on it are not yet revoked, and revoking needs what it says. */
export const CONNECTION_FINALIZER = 'sidewarden.dev/sessions';
/** On a Session, which stands in its connection's namespace: the run's pod. */
export const POD_UID_LABEL = 'sidewarden.dev/pod-uid';
export const POD_NAMESPACE_LABEL = 'sidewarden.dev/pod-namespace';
/** An annotation: names of pods are too long for a label. */
export const POD_NAME_ANNOTATION = 'sidewarden.dev/pod-name';
/** The injected container. */
export const SIDECAR_NAME = 'sidewarden';
/** Fixed, so that no container of the agent may have it. Group too. */
export const SIDECAR_UID = 64_937;
