// Sends messages to a queue with sessions and dead-letters them with the JavaScript client, for those who want to find
// such dead letters.
//
//   node deadletter.mjs --connection CONNECTION_STRING --queue NAME [--messages 10]
//     [--sessions 2] [--reason R] [--description D]
//
// Session i is "session-i", its messages have the bodies {"n": 1}, {"n": 2}, ..., the IDs "session-i-1", ... and the
// application property entity = "session-i". With NODE_EXTRA_CA_CERTS the connection string may be one over TLS. Prints
// how many were dead-lettered as one JSON object.

import { parseArgs } from "node:util";
import { ServiceBusClient } from "@azure/service-bus";

const { values: options } = parseArgs({
  options: {
    connection: { type: "string" },
    queue: { type: "string" },
    messages: { type: "string", default: "10" },
    sessions: { type: "string", default: "2" },
    reason: { type: "string", default: "js-rejected" },
    description: { type: "string", default: "dead-lettered by @azure/service-bus" },
  },
});
const messages = Number(options.messages);
const sessions = Number(options.sessions);
if (!options.connection || !options.queue || !Number.isInteger(messages) || !Number.isInteger(sessions) ||
  messages < 1 || sessions < 1) {
  console.error(
    "usage: node deadletter.mjs --connection CONNECTION_STRING --queue NAME" +
      " [--messages N] [--sessions N] [--reason R] [--description D]",
  );
  process.exit(2);
}

const client = new ServiceBusClient(options.connection);
const sender = client.createSender(options.queue);
const ids = Array.from({ length: Math.min(sessions, messages) }, (_, i) => `session-${i + 1}`);
const sent = new Map(ids.map((id) => [id, 0]));
for (let i = 0; i < messages; i++) {
  const sessionId = ids[i % ids.length];
  const n = sent.get(sessionId) + 1;
  sent.set(sessionId, n);
  await sender.sendMessages({
    sessionId,
    messageId: `${sessionId}-${n}`,
    body: { n },
    contentType: "application/json",
    applicationProperties: { entity: sessionId },
  });
}

let done = 0;
for (const [sessionId, count] of sent) {
  const session = await client.acceptSession(options.queue, sessionId);
  for (let left = count; left > 0; ) {
    const received = await session.receiveMessages(left, { maxWaitTimeInMs: 10_000 });
    for (const message of received) {
      await session.deadLetterMessage(message,
        { deadLetterReason: options.reason, deadLetterErrorDescription: options.description });
    }
    left -= received.length;
    done += received.length;
    if (received.length === 0) throw new Error(`session ${sessionId}: ${left} messages do not come`);
  }
  await session.close();
}
await client.close();
console.log(JSON.stringify({ queue: options.queue, deadLettered: done, sessions: [...sent.keys()] }));
