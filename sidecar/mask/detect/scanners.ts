/** All scanners; several may look for the same kind. */
import { accessKey } from './aws.ts';
import { card } from './card.ts';
import { email } from './email.ts';
import { iban } from './iban.ts';
import { ipv4 } from './ipv4.ts';
import { ipv6 } from './ipv6.ts';
import { jsonWebToken } from './jwt.ts';
import { privateKey } from './pem.ts';
import { phone } from './phone.ts';
import type { Scanner } from './scanner.ts';
import { socialSecurity } from './ssn.ts';

export const SCANNERS: readonly Scanner[] = [
  card,
  email,
  phone,
  iban,
  socialSecurity,
  ipv4,
  ipv6,
  accessKey,
  privateKey,
  jsonWebToken,
];
