// Another application, in Node, puts jobs on the same queues: npm install bullmq; node producer.js
const { FlowProducer, Queue, QueueEvents } = require("bullmq");

const { hostname: host, port } = new URL(process.env.AUTH_WORKER_REDIS_URL ?? "redis://localhost:6379");
const connection = { host, port: Number(port) };

async function main() {
  const mail = new Queue("shopMail", { connection });
  const images = new Queue("shopImages", { connection });
  const events = new QueueEvents("shopImages", { connection });
  const flows = new FlowProducer({ connection });
  const ppm = Buffer.concat([Buffer.from("P6 4 2 255\n"), Buffer.alloc(4 * 2 * 3, 200)]).toString("base64");

  await mail.add("welcome", { to: "grace@example.org", name: "Grace" });
  const order = { number: "N-1", email: "grace@example.org", total: 12.5 };
  await mail.add("orderConfirmation", { order }, { attempts: 3, delay: 100 });

  const job = await images.add("resizeImage", { ppm, width: 2 });
  const { width, height } = await job.waitUntilFinished(events, 30_000);

  const resize = (width) => ({ name: "resizeImage", queueName: "shopImages", data: { ppm, width } });
  const gallery = { name: "gallery", queueName: "shopImages", data: { title: "Grey" } };
  const added = await flows.add({ ...gallery, children: [resize(1), resize(3)] });
  const { title, thumbnails } = await added.job.waitUntilFinished(events, 30_000);

  console.log(JSON.stringify({ width, height, title, widths: thumbnails.map((each) => each.width) }));
  await Promise.all([mail, images, events, flows].map((each) => each.close()));
}

main();
