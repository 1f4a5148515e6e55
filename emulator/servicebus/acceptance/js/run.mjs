// The JavaScript client of Service Bus (@azure/service-bus) as a second, independent client of the embedded broker.
//
//   node run.mjs --plain CONNECTION_STRING --tls CONNECTION_STRING
//
// --plain carries UseDevelopmentEmulator=true; --tls does not, and needs NODE_EXTRA_CA_CERTS to name the broker's CA.
// Both must give all rights. Prints a line for each check, then "N passed, N failed"; exits with 1 if a check failed.

import { parseArgs } from "node:util";
import { ServiceBusAdministrationClient, ServiceBusClient } from "@azure/service-bus";
import { summary } from "./check.mjs";
import { administration } from "./checks/administration.mjs";
import { receiving } from "./checks/receiving.mjs";
import { refusals } from "./checks/refusals.mjs";
import { sending } from "./checks/sending.mjs";
import { sessions } from "./checks/sessions.mjs";
import { timing } from "./checks/timing.mjs";
import { topics } from "./checks/topics.mjs";
import { transports } from "./checks/transports.mjs";

const { values: options } = parseArgs({
  options: { plain: { type: "string" }, tls: { type: "string" }, only: { type: "string" } },
});
if (!options.plain || !options.tls || !process.env.NODE_EXTRA_CA_CERTS) {
  console.error(
    "usage: NODE_EXTRA_CA_CERTS=ca.pem" +
      " node run.mjs --plain CONNECTION_STRING --tls CONNECTION_STRING [--only GROUP]",
  );
  process.exit(2);
}

// Failures must surface, not be retried until a check is late.
const retryOptions = { maxRetries: 0, timeoutInMs: 20_000 };
let number = 0;
const bus = {
  ...options,
  retryOptions,
  client: new ServiceBusClient(options.plain, { retryOptions }),
  admin: new ServiceBusAdministrationClient(options.tls),
  /** Creates a queue of its own for one check. */
  async queue(properties = {}) {
    const name = `js-queue-${++number}`;
    await this.admin.createQueue(name, properties);
    return name;
  },
  /** A name nobody has. */
  name: (kind) => `js-${kind}-${++number}`,
};

const groups = { administration, transports, sending, receiving, timing, sessions, topics, refusals };
for (const [name, run] of Object.entries(groups)) {
  if (!options.only || options.only === name) await run(bus);
}
await bus.client.close();
process.exitCode = summary();
