import assert from "node:assert/strict";
import { bodies, check, fails, receive } from "../check.mjs";

export async function topics(bus) {
  const made = async (...subscriptions) => {
    const topic = bus.name("topic");
    await bus.admin.createTopic(topic);
    for (const s of subscriptions) await bus.admin.createSubscription(topic, s);
    return topic;
  };
  // The n messages of a subscription; there must be no more.
  const rest = async (topic, subscription, n) => {
    const receiver = bus.client.createReceiver(topic, subscription, { receiveMode: "receiveAndDelete" });
    const got = await receive(receiver, n);
    await receiver.close();
    assert.equal((await bus.admin.getSubscriptionRuntimeProperties(topic, subscription)).totalMessageCount, 0);
    return got;
  };

  await check("topic: every subscription gets its copy", async () => {
    const topic = await made("a", "b");
    const sender = bus.client.createSender(topic);
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    const a = bus.client.createReceiver(topic, "a");
    for (const m of await receive(a, 2)) await a.completeMessage(m);
    assert.deepEqual(bodies(await rest(topic, "b", 2)), [1, 2]);
    await rest(topic, "a", 0);
    await Promise.all([a.close(), sender.close()]);
  });

  await check("topic: rules decide, rules change", async () => {
    const topic = await made("s");
    const rules = bus.client.createRuleManager(topic, "s");
    await rules.deleteRule("$Default");
    await rules.createRule("sql", { sqlExpression: "size > 2 AND color IN ('red', 'blue')" });
    await rules.createRule("correlation", { subject: "urgent", applicationProperties: { vip: true } });
    await rules.createRule("action", { sqlExpression: "sys.Label = 'change'" },
      { sqlExpression: "SET changed = 'yes'; REMOVE color" });
    const names = [];
    for await (const rule of rules.listRules()) names.push(rule.name);
    assert.deepEqual(names.sort(), ["action", "correlation", "sql"]);
    const sender = bus.client.createSender(topic);
    const properties = (applicationProperties, more) => ({ applicationProperties, ...more });
    await sender.sendMessages([
      properties({ size: 3, color: "red" }, { body: "sql" }),
      properties({ size: 1, color: "red" }, { body: "too small" }),
      properties({ size: 3 }, { body: "unknown colour" }),
      properties({ vip: true }, { body: "correlation", subject: "urgent" }),
      properties({ vip: false }, { body: "not vip", subject: "urgent" }),
      properties({ color: "green" }, { body: "action", subject: "change" }),
    ]);
    const got = await rest(topic, "s", 3);
    assert.deepEqual(bodies(got), ["sql", "correlation", "action"]);
    assert.deepEqual(got[2].applicationProperties, { changed: "yes" });
    await rules.deleteRule("sql");
    await sender.sendMessages(properties({ size: 3, color: "red" }, { body: "nobody" }));
    await rest(topic, "s", 0);
    await sender.close();
  });

  await check("topic: a rule with parameters", async () => {
    const topic = await made("s");
    await bus.admin.deleteRule(topic, "s", "$Default");
    await bus.admin.createRule(topic, "s", "r", { sqlExpression: "size > @min", sqlParameters: { "@min": 2 } });
    const sender = bus.client.createSender(topic);
    await sender.sendMessages([1, 2, 3].map((size) => ({ body: size, applicationProperties: { size } })));
    assert.deepEqual(bodies(await rest(topic, "s", 1)), [3]);
    await sender.close();
  });

  await check("topic: rule manager and administration see the same rules", async () => {
    const topic = await made("s");
    const rules = bus.client.createRuleManager(topic, "s");
    await rules.createRule("r", { correlationId: "c", applicationProperties: { text: "t" } },
      { sqlExpression: "SET a = 1" });
    const rule = await bus.admin.getRule(topic, "s", "r");
    assert.equal(rule.filter.correlationId, "c");
    assert.deepEqual(rule.filter.applicationProperties, { text: "t" });
    assert.equal(rule.action.sqlExpression, "SET a = 1");
    await fails(() => rules.createRule("r", { correlationId: "x" }), "MessagingEntityAlreadyExists");
    await fails(() => rules.deleteRule("none"), "MessagingEntityNotFound");
  });

  await check("topic: the dead-letter queue of a subscription", async () => {
    const topic = await made("s");
    const sender = bus.client.createSender(topic);
    await sender.sendMessages({ body: 1 });
    const receiver = bus.client.createReceiver(topic, "s");
    await receiver.deadLetterMessage((await receive(receiver, 1))[0], { deadLetterReason: "r" });
    const dead = bus.client.createReceiver(topic, "s", { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
    const [d] = await receive(dead, 1);
    assert.equal(d.deadLetterReason, "r");
    await Promise.all([sender.close(), receiver.close(), dead.close()]);
  });

  await check("topic: schedule and cancel", async () => {
    const topic = await made("s");
    const sender = bus.client.createSender(topic);
    const [number] = await sender.scheduleMessages({ body: "never" }, new Date(Date.now() + 500));
    await sender.scheduleMessages({ body: "soon" }, new Date(Date.now() + 500));
    await sender.cancelScheduledMessages(number);
    const receiver = bus.client.createReceiver(topic, "s", { receiveMode: "receiveAndDelete" });
    assert.deepEqual(bodies(await receive(receiver, 1)), ["soon"]);
    assert.deepEqual(await receiver.peekMessages(1), []);
    await Promise.all([sender.close(), receiver.close()]);
  });
}
