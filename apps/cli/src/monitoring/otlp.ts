import { hostname } from 'node:os';
import type { Figure } from '@gantry/programs';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

/** How long sending may take, ms. */
const TIMEOUT_MS = 10_000;
/** What a collector has its metrics under, where an address has no path. */
const METRICS_PATH = '/v1/metrics';

const UNITS: Readonly<Record<Figure['unit'], string>> = { '': '1', seconds: 's', bytes: 'By' };

/** Of one figure: more than the instances and stores of any host; what is beyond is added up by the library. */
const MAX_SAMPLES = 1_000_000;

/** Collects when it is asked to. */
class OnceReader extends MetricReader {
  constructor() {
    super({ cardinalitySelector: () => MAX_SAMPLES });
  }

  protected onShutdown(): Promise<void> {
    return Promise.resolve();
  }

  protected onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Sends figures to a collector of OpenTelemetry, by OTLP over HTTP. Credentials come from `OTEL_EXPORTER_OTLP_HEADERS`, as everywhere.
 *
 * @throws Error if the collector does not take them
 */
export async function sendFigures(endpoint: string, figures: readonly Figure[]): Promise<void> {
  const reader = new OnceReader();
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'gantry', 'host.name': hostname() }),
    readers: [reader],
  });
  const exporter = new OTLPMetricExporter({ url: urlOf(endpoint), timeoutMillis: TIMEOUT_MS });
  try {
    const meter = provider.getMeter('gantry');
    for (const { name, unit, help, samples } of figures) {
      const gauge = meter.createGauge(nameOf(name, unit), { unit: UNITS[unit], description: help });
      for (const { labels, value } of samples) gauge.record(value, { ...labels });
    }
    const { resourceMetrics } = await reader.collect();
    await new Promise<void>((resolve, reject) => {
      exporter.export(resourceMetrics, ({ code, error }) => {
        if (code === ExportResultCode.SUCCESS) resolve();
        else reject(error ?? new Error('it was not taken'));
      });
    });
  } finally {
    await exporter.shutdown();
    await provider.shutdown();
  }
}

function urlOf(endpoint: string): string {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = METRICS_PATH;
  return url.href;
}

/** Names of OpenTelemetry have dots, and no unit. */
function nameOf(name: string, unit: Figure['unit']): string {
  const bare = unit === '' ? name : name.replace(new RegExp(`_${unit}$`), '');
  return bare.replace('_', '.').replace('_', '.');
}
