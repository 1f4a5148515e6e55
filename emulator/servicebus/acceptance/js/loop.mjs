// The loop that somebody would write by hand on @azure/service-bus with its defaults: receive, post to F&O, ask once,
// publish one event, complete. It is what internal/bench measures the bridge beside; its Go twin is loop_test.go there.
// The script comes in the variable FNOBRIDGE_BENCH_LOOP as JSON. Runs until it is killed.

import http from "node:http";
import { ServiceBusClient } from "@azure/service-bus";

const script = JSON.parse(process.env.FNOBRIDGE_BENCH_LOOP);
const client = new ServiceBusClient(script.serviceBus);
const sender = client.createSender(script.topic);
const agent = new http.Agent({ keepAlive: true, maxSockets: script.sessions });

function call(path, external, body) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${script.token}`, "x-ms-dyn-externalidentifier": external,
      "Content-Length": body.length };
    const request = http.request(script.fno + path, { method: "POST", agent, headers, timeout: 60_000 }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(parts).toString();
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`HTTP ${response.statusCode}`));
      });
    });
    request.on("timeout", () => request.destroy(new Error("timeout")));
    request.on("error", reject);
    request.end(body);
  });
}

async function file(session, message) {
  const id = await call(`/api/connector/enqueue/${script.job}?entity=${encodeURIComponent(session.sessionId)}`,
    message.messageId, message.body);
  await call(
    "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus", "",
    Buffer.from(JSON.stringify({ messageId: id.replaceAll('"', "") })),
  );
  await sender.sendMessages({ sessionId: session.sessionId, messageId: message.messageId,
    body: { status: "Processed" } });
  await session.completeMessage(message);
}

async function lane() {
  for (;;) {
    let session;
    try {
      session = await client.acceptNextSession(script.queue);
      for (;;) {
        const [message] = await session.receiveMessages(1, { maxWaitTimeInMs: 200 });
        if (!message) break;
        await file(session, message);
      }
    } catch {
      // Whatever it was, another session is next.
    }
    try {
      await session?.close();
    } catch {
      // Its lock runs out.
    }
  }
}

await Promise.all(Array.from({ length: script.sessions }, lane));
