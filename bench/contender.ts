/** One way from a client to the server; all are measured with the same loads. */
export const CONTENDERS = ['Direct', 'PgBouncer', 'Sidewarden'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export interface Contender {
  readonly name: ContenderName;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  /** Of the process between client and server. */
  readonly pid: number | undefined;
}
