import assert from "node:assert/strict";
import { ServiceBusClient } from "@azure/service-bus";
import { check, fails } from "../check.mjs";

export async function refusals(bus) {
  const { client } = bus;
  const plain = (queue) => client.createReceiver(queue);

  await check("refusal: an entity that is not there", async () => {
    const sender = client.createSender("js-nowhere");
    await fails(() => sender.sendMessages({ body: 1 }), "MessagingEntityNotFound");
    const receiver = plain("js-nowhere");
    await fails(() => receiver.receiveMessages(1, { maxWaitTimeInMs: 500 }), "MessagingEntityNotFound");
    await fails(() => client.acceptSession("js-nowhere", "a"), "MessagingEntityNotFound");
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("refusal: a wrong key", async () => {
    const queue = await bus.queue();
    const wrong = new ServiceBusClient(bus.plain.replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=wrong"),
      { retryOptions: bus.retryOptions });
    const sender = wrong.createSender(queue);
    await fails(() => sender.sendMessages({ body: 1 }), "UnauthorizedAccess");
    await wrong.close();
  });

  await check("refusal: a key without the right", async () => {
    const queue = await bus.queue({ authorizationRules: [{ claimType: "SharedAccessKey", keyName: "listen",
      accessRights: ["Listen"], primaryKey: "listen-key", secondaryKey: "other" }] });
    const listen = new ServiceBusClient(
      bus.plain.replace(/SharedAccessKeyName=[^;]*/, "SharedAccessKeyName=listen")
        .replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=listen-key"),
      { retryOptions: bus.retryOptions },
    );
    const receiver = listen.createReceiver(queue);
    assert.deepEqual(await receiver.receiveMessages(1, { maxWaitTimeInMs: 200 }), []);
    const sender = listen.createSender(queue);
    await fails(() => sender.sendMessages({ body: 1 }), "UnauthorizedAccess");
    await listen.close();
  });

  await check("refusal: a disabled entity", async () => {
    const queue = await bus.queue({ status: "SendDisabled" });
    const sender = client.createSender(queue);
    await fails(() => sender.sendMessages({ body: 1 }), "MessagingEntityDisabled");
    await sender.close();
  });

  await check("refusal: sessions where there are none, and the reverse", async () => {
    const sessions = await bus.queue({ requiresSession: true });
    const none = await bus.queue();
    const receiver = plain(sessions);
    await fails(() => receiver.receiveMessages(1, { maxWaitTimeInMs: 500 }), "GeneralError", "InvalidOperationError");
    await fails(() => client.acceptSession(none, "a"), "SessionCannotBeLocked"); // what the client makes of any refusal
    const sender = client.createSender(sessions);
    await fails(() => sender.sendMessages({ body: "without a session" }), "GeneralError", "InvalidOperationError");
    await Promise.all([receiver.close(), sender.close()]);
  });

  await check("refusal: the connection lives on", async () => {
    const queue = await bus.queue();
    const sender = client.createSender(queue);
    await sender.sendMessages({ body: 1 });
    const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    assert.equal((await receiver.receiveMessages(1)).length, 1);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("refusal: a call that is aborted", async () => {
    const receiver = plain(await bus.queue());
    const call = new AbortController();
    const waiting = receiver.receiveMessages(1, { abortSignal: call.signal, maxWaitTimeInMs: 30_000 });
    call.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    await receiver.close();
  });
}
