/** The demo's manifests: the same YAML that anyone would write for a database of their own. */
import type { Postgres } from './postgres.ts';
import { DATABASE } from './shop.ts';

export function demoManifests(server: Postgres, port: number): string {
  return `apiVersion: sidewarden.dev/v1alpha1
kind: ProtectedConnection
metadata: { name: shop-db, namespace: production-access }
spec:
  protocol: postgres
  target: { host: ${server.host}, port: ${server.port}, database: ${DATABASE}, tls: { mode: disable } }
  credentials: { secretRef: { name: shop-db-admin } }
  identity: { sources: [ { loopback: { subject: ci-run-4711, username: agent, groups: [ai-agents] } } ] }
  listen: { port: ${port} }
---
apiVersion: v1
kind: Secret
metadata: { name: shop-db-admin, namespace: production-access }
stringData: { username: ${server.user}, password: ${server.password} }
---
apiVersion: sidewarden.dev/v1alpha1
kind: AccessPolicy
metadata: { name: agents, namespace: production-access }
spec:
  connections: [shop-db]
  subjects: [ { groups: [ai-agents] } ]
  rules:
    - { name: reads, when: 'sql.effects == ["read"]', action: Allow }
    - name: order-updates
      when: sql.verb == "UPDATE" && sql.hasWhere && sql.tables.all(t, t.name == "public.orders")
      action: Allow
    - name: schema-changes
      when: '"ddl" in sql.effects'
      action: Hold
      hold: { approvers: { groups: [dba] }, timeout: 10m }
    - name: no-drops
      when: sql.verb.startsWith("DROP") || sql.verb == "TRUNCATE"
      action: Deny
      message: agents drop nothing
      hint: Rename what is no longer needed. A person drops it later.
  masks:
    - { columns: [public.customers.email, public.employees.iban], with: Redact }
    - { columns: [public.customers.card], with: Partial, partial: { keepLast: 4 } }
    - { detect: [CreditCard, Email], with: Redact }
`;
}
