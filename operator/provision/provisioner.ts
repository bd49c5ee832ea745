/** Roles on the target that live as long as a run. One implementation a protocol. */
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { AccessPolicy } from '../../crds/policy.ts';

/** How the operator signs in to the target: from the connection's Secret, never kept. */
export interface Administrator {
  readonly username: string;
  readonly password: string;
  /** PEM, when the connection names one. */
  readonly ca: string | undefined;
}

export interface RunRole {
  /** Of the Session object: what the role is named after and marked with. */
  readonly session: { readonly namespace: string; readonly name: string; readonly uid: string };
}

export interface Target {
  readonly connection: ProtectedConnection;
  readonly administrator: Administrator;
}

export interface Provisioned {
  readonly username: string;
  readonly password: string;
  /** Milliseconds since the epoch; `renew` before that while the run lives. */
  readonly validUntil: number;
  /** For people, no secret in them: what was not granted and why, and what the target lets everybody do. */
  readonly warnings: readonly string[];
}

/** All reject with a `ProvisionError`, whose message is for people and holds no secret. */
export interface Provisioner {
  /** Makes the role, or makes the one that is there exactly as it must be, with a new password. */
  provision(target: Target, role: RunRole, policies: readonly AccessPolicy[]): Promise<Provisioned>;
  /** Extends VALID UNTIL; milliseconds since the epoch. */
  renew(target: Target, role: RunRole): Promise<number>;
  /** Ends its backends and drops it; resolves when it is gone, also when it never was there. */
  revoke(target: Target, role: RunRole): Promise<void>;
  /** Sessions (uids) that roles on the target were made for, by their comments. */
  marked(target: Target): Promise<readonly RunRole['session'][]>;
}
