/** The product's webhook configurations, with those of their webhooks that a test serves itself. */
import type { Json } from '../../operator/admission/json.ts';
import { webhookConfigurations } from '../../operator/admission/webhook-configurations.ts';

/** Of our own kinds; the others are pods'. */
export const OWN_KINDS: readonly string[] = ['/stamp', '/validate'];

/** The mutating configuration first. `client` says where a path is served. */
export function webhooksAt(client: (path: string) => Json, wanted: (path: string) => boolean) {
  return webhookConfigurations({ name: 'sidewarden', namespace: 'sidewarden', service: 'sidewarden' }).map(
    (configuration) => ({
      ...configuration,
      webhooks: configuration.webhooks
        .filter(({ clientConfig }) => wanted(clientConfig.service.path))
        .map(({ clientConfig, ...webhook }) => ({
          ...webhook,
          clientConfig: client(clientConfig.service.path),
        })),
    }),
  );
}
