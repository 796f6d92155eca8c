// The Node side of the interop tests: real BullMQ objects, steered by JSON lines.
//
//   node driver.mjs HOST PORT
//   stdin   {"id": 1, "op": "queue", "args": ["mail", "add", "welcome", {}]}
//   stdout  {"id": 1, "result": ...}  or  {"id": 1, "error": {"name", "message"}}
//
// Requests run side by side. The process ends when its stdin does.

import { createInterface } from 'node:readline';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FlowProducer, Job, Queue, QueueEvents, Worker } from 'bullmq';

const connection = { host: process.argv[2], port: Number(process.argv[3]) };
const queues = new Map();
const workers = new Map();
const listeners = new Map();
let flows;
let traces;

const EVENTS = `active added cleaned completed deduplicated delayed drained duplicated error failed paused
  progress removed resumed retries-exhausted stalled waiting waiting-children`.split(/\s+/);
const JOB_FIELDS = `id name data opts progress returnvalue failedReason stacktrace attemptsMade attemptsStarted
  stalledCounter processedBy processedOn finishedOn timestamp delay priority parentKey repeatJobKey
  deduplicationId deferredFailure`.split(/\s+/);

const mute = (object) => object.on('error', (error) => console.error(error.message));

function queue(name) {
  if (!queues.has(name)) queues.set(name, mute(new Queue(name, { connection })));
  return queues.get(name);
}

// The options of a Queue or Worker; `traced: true` gives it BullMQ's own telemetry.
async function optionsOf({ traced = false, ...options } = {}) {
  if (!traced) return { connection, ...options };
  traces ??= await import('./telemetry.mjs');
  return { connection, telemetry: traces.telemetry, ...options };
}

async function job(queueName, id) {
  const found = await queue(queueName).getJob(id);
  if (!found) throw new Error(`no job ${id} in ${queueName}`);
  return found;
}

// Turns jobs, wherever they are in a value, into plain objects.
function plain(value) {
  if (value instanceof Job) return Object.fromEntries(JOB_FIELDS.map((field) => [field, value[field]]));
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (value && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  }
  return value instanceof Queue ? undefined : value;
}

// The routes of a Bull Board over one queue, as its web server would have them.
function boardRoutes(name) {
  const board = {};
  const serverAdapter = new Proxy(board, {
    get: (_, method) => (value) => {
      board[method] = value;
      return serverAdapter;
    },
  });
  createBullBoard({ queues: [new BullMQAdapter(queue(name))], serverAdapter });
  return { queues: board.setQueues, routes: board.setApiRoutes, uiConfig: board.setUIConfig };
}

const operations = {
  // Opens a Queue with options of its own; without this, the first use opens it with none.
  openQueue: async (name, options) => {
    queues.set(name, mute(new Queue(name, await optionsOf(options))));
    await queues.get(name).waitUntilReady();
  },

  // Calls a method of a Queue.
  queue: (name, method, ...args) => queue(name)[method](...args),

  // Calls a method of a Job.
  job: async (queueName, id, method, ...args) => (await job(queueName, id))[method](...args),

  // Asks Bull Board: what its route answers, for example board('mail', 'get', '/api/queues', {}, { jobsPerPage: 10 }).
  board: async (name, method, route, params, query) => {
    const { queues: boardQueues, routes, uiConfig } = boardRoutes(name);
    const { handler } = routes.find((each) => each.method === method && [each.route].flat().includes(route));
    const { status = 200, body } = await handler({ queues: boardQueues, uiConfig, params, query, headers: {}, body: {} });
    if (status >= 300) throw new Error(`Bull Board answers ${status}: ${JSON.stringify(body)}`);
    return JSON.parse(JSON.stringify(body ?? null));
  },

  // Adds a flow: a tree of {name, queueName, data, opts, children}; gives the tree with its jobs.
  flow: (tree, options) => {
    flows ??= mute(new FlowProducer({ connection }));
    return flows.add(tree, options);
  },

  // Starts a Worker. behaviour: {returns}, {throws, times}, {takes: ms} or {hangs: true}. What it ran: op `runs`.
  startWorker: async (name, behaviour, options) => {
    const runs = [];
    const consume = async (current) => {
      const run = { ...plain(current), startedAt: Date.now() };
      runs.push(run);
      if (behaviour.takes) await new Promise((resume) => setTimeout(resume, behaviour.takes));
      run.endedAt = Date.now();
      if (behaviour.hangs) await new Promise(() => {});
      if (behaviour.throws && current.attemptsMade < (behaviour.times ?? Infinity)) throw new Error(behaviour.throws);
      return behaviour.returns ?? null;
    };
    const worker = mute(new Worker(name, consume, await optionsOf(options)));
    workers.set(name, { worker, runs });
    await worker.waitUntilReady();
  },

  runs: (name) => workers.get(name).runs,

  // Closes a Worker; with `force`, as if it had died: what it runs stays active.
  stopWorker: async (name, force = false) => {
    const { worker } = workers.get(name);
    workers.delete(name);
    await worker.close(force);
  },

  // The spans that BullMQ's telemetry has ended so far.
  spans: () => traces.finished(),

  // Listens to all events of a queue, also to those that are in its stream already.
  startEvents: async (name) => {
    const events = mute(new QueueEvents(name, { connection, lastEventId: '0-0', blockingTimeout: 1000 }));
    const seen = [];
    for (const event of EVENTS) {
      events.on(event, (details) => seen.push({ event, ...(typeof details === 'object' ? details : {}) }));
    }
    listeners.set(name, { events, seen });
    await events.waitUntilReady();
  },

  events: (name) => listeners.get(name).seen,

  // Job.waitUntilFinished: gives the return value, or the job's failure as error. Needs startEvents.
  waitUntilFinished: async (name, id, ttl) => (await job(name, id)).waitUntilFinished(listeners.get(name).events, ttl),

  // Closes everything, so that the next test finds nobody listening.
  reset: async () => {
    const open = [
      ...[...workers.values()].map(({ worker }) => worker.close(true)),
      ...[...listeners.values()].map(({ events }) => events.close()),
      ...[...queues.values()].map((each) => each.close()),
      flows?.close(),
    ];
    flows = undefined;
    traces?.exporter.reset();
    [workers, listeners, queues].forEach((kept) => kept.clear());
    await Promise.allSettled(open);
  },
};

async function answer(line) {
  const { id, op, args } = JSON.parse(line);
  let reply;
  try {
    reply = { id, result: plain(await operations[op](...args)) };
  } catch (error) {
    reply = { id, error: { name: error.name, message: error.message } };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

process.on('unhandledRejection', (error) => console.error(error));
createInterface({ input: process.stdin }).on('line', answer).on('close', () => process.exit(0));
