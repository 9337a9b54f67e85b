// Routing as a team would write it that has lost messages before: the webhook only queues a job, a
// worker does the rest, timers are delayed jobs. All of it survives the process in Redis.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { WebSocketServer } from 'ws';

const { PORT, REDIS_PORT, PROVIDER_URL, PROVIDER_KEY, WEBHOOK_SECRET, AGENT_TOKEN } = process.env;
const CAPACITY = Number(process.env.CAPACITY);
const IDLE_MS = Number(process.env.IDLE_MS);
const GRACE_MS = Number(process.env.GRACE_MS);
const EIGHT_DAYS = 8 * 24 * 3600;
const BODY_MAX = 4 * 1024 * 1024;

const address = { host: '127.0.0.1', port: Number(REDIS_PORT) };
const redis = new Redis({ ...address, enableAutoPipelining: true });
for (const name of ['take', 'free', 'next']) {
  const lua = readFileSync(new URL(`../lua/${name}.lua`, import.meta.url), 'utf8');
  redis.defineCommand(name, { numberOfKeys: 0, lua });
}
const inbound = new Queue('inbound', { connection: address });
const timers = new Queue('timers', { connection: address });

// --- agents

const sockets = new Map();

function tell(agent, frame) {
  const socket = sockets.get(agent);
  if (socket?.readyState === 1) socket.send(JSON.stringify(frame));
}

async function welcome(agent, socket) {
  sockets.get(agent)?.close(4000, 'connected elsewhere');
  sockets.set(agent, socket);
  await redis.pipeline().zadd('load', 'NX', 0, agent).sadd('online', agent).exec();
  const enquiries = [];
  for (const visitor of await redis.smembers(`holds:${agent}`)) {
    const room = await redis.lrange(`room:${visitor}`, 0, -1);
    enquiries.push({ visitor, messages: room.map((message) => JSON.parse(message)) });
  }
  socket.send(JSON.stringify({ type: 'welcome', enquiries }));
  await serveWaiting();
}

async function serveWaiting() {
  for (;;) {
    const found = await redis.next(CAPACITY);
    if (!found) return;
    const [visitor, agent, room] = found;
    const messages = room.map((message) => JSON.parse(message));
    tell(agent, { type: 'assigned', visitor, messages });
    await silence(visitor);
  }
}

async function command(agent, { type, visitor, text }) {
  if (type !== 'reply' && type !== 'close') return;
  if ((await redis.get(`enquiry:${visitor}`)) !== agent) return;
  if (type === 'close') return end(visitor);
  await send(visitor, text);
  await silence(visitor);
}

async function end(visitor) {
  await Promise.all([timers.remove(`idle-${visitor}`), timers.remove(`grace-${visitor}`)]);
  const agent = await redis.free(visitor);
  if (agent) tell(agent, { type: 'closed', visitor });
  await serveWaiting();
}

// --- the visitor's side

async function send(visitor, body) {
  const answer = await fetch(`${PROVIDER_URL}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'd360-api-key': PROVIDER_KEY },
    body: JSON.stringify({ messaging_product: 'whatsapp', recipient_type: 'individual', to: visitor, type: 'text', text: { body } }),
  });
  if (!answer.ok) throw new Error(`the provider answered ${answer.status}`);
}

async function received(message) {
  const visitor = message.from;
  const kept = { id: message.id, text: message.text?.body ?? `[${message.type}]` };
  const [agent, assigned] = await redis.take(visitor, JSON.stringify(kept), CAPACITY);
  if (agent === '') return;
  if (assigned) tell(agent, { type: 'assigned', visitor, messages: [kept] });
  else tell(agent, { type: 'message', visitor, message: kept });
  await silence(visitor);
}

// --- silence: a notification, then the closure

async function later(name, visitor, delay) {
  await timers.add(name, { visitor }, { jobId: `${name}-${visitor}`, delay, removeOnComplete: true, removeOnFail: true });
}

async function silence(visitor) {
  await Promise.all([timers.remove(`idle-${visitor}`), timers.remove(`grace-${visitor}`)]);
  await later('idle', visitor, IDLE_MS);
}

async function due({ name, data: { visitor } }) {
  if (!(await redis.exists(`enquiry:${visitor}`))) return;
  if (name === 'idle') {
    await send(visitor, 'Still there?');
    await later('grace', visitor, GRACE_MS);
  } else {
    await send(visitor, 'Goodbye.');
    await end(visitor);
  }
}

// --- doors

function isSigned(body, header = '') {
  const expected = createHmac('sha256', WEBHOOK_SECRET).update(body).digest();
  const given = Buffer.from(header.replace(/^sha256=/, ''), 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// A job's id is its message's: a repeat is not queued again while the job is remembered.
async function webhook(request) {
  const body = await read(request);
  if (body === null) return 413;
  if (!isSigned(body, request.headers['x-360dialog-signature'])) return 401;
  const jobs = [];
  for (const entry of JSON.parse(body).entry ?? []) {
    for (const { value } of entry.changes ?? []) {
      for (const message of value?.messages ?? []) {
        jobs.push({ name: 'message', data: message, opts: { jobId: message.id, removeOnComplete: { age: EIGHT_DAYS } } });
      }
    }
  }
  await inbound.addBulk(jobs);
  return 200;
}

const server = createServer(async (request, response) => {
  let status = 404;
  try {
    if (request.url === '/health') status = 200;
    if (request.method === 'POST' && request.url === '/webhook') status = await webhook(request);
  } catch (error) {
    console.error(error);
    status = 500;
  }
  response.writeHead(status, { 'content-length': 0 }).end();
});

new WebSocketServer({ server, path: '/agent', maxPayload: 65536 }).on('connection', (socket) => {
  let agent = null;
  socket.isAlive = true;
  socket.on('pong', () => { socket.isAlive = true; });
  socket.on('message', (text) => {
    const frame = JSON.parse(text);
    if (agent) return command(agent, frame).catch(console.error);
    if (frame.type !== 'hello' || frame.token !== AGENT_TOKEN) return socket.close(4001, 'refused');
    agent = frame.agent;
    welcome(agent, socket).catch(console.error);
  });
  socket.on('close', () => {
    if (agent === null || sockets.get(agent) !== socket) return;
    sockets.delete(agent);
    redis.srem('online', agent).catch(console.error);
  });
  socket.on('error', console.error);
});

setInterval(() => {
  for (const socket of sockets.values()) {
    if (!socket.isAlive) { socket.terminate(); continue; }
    socket.isAlive = false;
    socket.ping();
  }
}, 25_000);

// Whoever was online when the last run ended is not any more.
await redis.del('online');
const working = [
  new Worker('inbound', ({ data }) => received(data), { connection: { ...address, maxRetriesPerRequest: null }, concurrency: 32 }),
  new Worker('timers', due, { connection: { ...address, maxRetriesPerRequest: null }, concurrency: 8 }),
];
for (const worker of working) worker.on('error', console.error);
server.listen(Number(PORT), '127.0.0.1');
