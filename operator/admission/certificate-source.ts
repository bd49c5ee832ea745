/** Where the certificate comes from that the admission server and the broker show: our own Secret, or files of cert-manager. */

export interface ServingCertificate {
  /** PEM: the certificate, and what stands between it and the CA. */
  readonly certificate: string;
  /** PEM, PKCS #8. Never logged. */
  readonly key: string;
  /** PEM: all CA certificates that clients must trust now; more than one while a CA is being replaced. */
  readonly bundle: string;
}

export interface Certificates {
  current(): ServingCertificate;
  /** The bundle before the last change of it: pods that were injected a moment ago have it. */
  earlierBundle?(): string | undefined;
  /** Looks for changes at once: another replica may know of one already. Rejects when it cannot. */
  look?(): Promise<void>;
  /** Called after every change. Returns how to stop. */
  watch(listener: () => void): () => void;
  /** Stops looking for changes. */
  close(): Promise<void>;
}
