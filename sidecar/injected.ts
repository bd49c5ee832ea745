/** What injection gives a sidecar in its pod, and the sidecar's program reads: names of variables, paths, ports. */

export const INJECTED_ENVIRONMENT = {
  /** `https://host:port` of the operator's broker. */
  brokerUrl: 'SIDEWARDEN_BROKER_URL',
  /** PEM: the CA certificates that the broker's certificate may be of; no others. */
  brokerCa: 'SIDEWARDEN_BROKER_CA',
  /** Path of the projected token; read anew for each request, since the kubelet rotates it. */
  tokenFile: 'SIDEWARDEN_TOKEN_FILE',
  /** Folder for what waits to be uploaded; nobody else mounts it. */
  spool: 'SIDEWARDEN_SPOOL',
  /** Bytes that may wait there; strict sessions refuse beyond. */
  spoolBytes: 'SIDEWARDEN_SPOOL_BYTES',
  /** Seconds from SIGTERM in which it must have ended. */
  grace: 'SIDEWARDEN_GRACE_SECONDS',
  /** The pod's address, where `GET /readyz` on the health port answers 200 or 503, and nothing else. */
  podAddress: 'SIDEWARDEN_POD_IP',
  healthPort: 'SIDEWARDEN_HEALTH_PORT',
  /** `true`: connections to targets' own addresses arrive at the listen ports, by IPv6 at ::1: listen there too. */
  redirect: 'SIDEWARDEN_REDIRECT',
} as const;

export const TOKEN_FOLDER = '/var/run/secrets/sidewarden.dev';
export const TOKEN_FILE_NAME = 'token';
export const SPOOL_FOLDER = '/var/lib/sidewarden';
export const HEALTH_PORT = 15_090;
