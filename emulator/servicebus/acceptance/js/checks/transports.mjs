import assert from "node:assert/strict";
import { ServiceBusClient } from "@azure/service-bus";
import WebSocket from "ws";
import { check, receive } from "../check.mjs";

export async function transports(bus) {
  const roundTrip = async (client, queue) => {
    const sender = client.createSender(queue);
    await sender.sendMessages({ body: "there" });
    const receiver = client.createReceiver(queue);
    const [m] = await receive(receiver, 1);
    assert.equal(m.body, "there");
    await receiver.completeMessage(m);
    await client.close();
  };

  await check("transport: plain TCP", async () => roundTrip(new ServiceBusClient(bus.plain), await bus.queue()));
  await check("transport: TLS", async () => roundTrip(new ServiceBusClient(bus.tls), await bus.queue()));
  await check("transport: WebSocket over TLS", async () => {
    const client = new ServiceBusClient(bus.tls, { webSocketOptions: { webSocket: WebSocket } });
    await roundTrip(client, await bus.queue());
  });
}
