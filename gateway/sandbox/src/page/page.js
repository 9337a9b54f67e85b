'use strict';
const $ = (id) => document.getElementById(id), api = '/sandbox/api';
const make = (tag, props = {}, ...inside) => { const el = Object.assign(document.createElement(tag), props); el.append(...inside); return el; };
const digits = (text) => text.replace(/\D/g, '');
const first = [['4915550001111', 'Vera'], ['14155550123', 'Walter'], ['85291234567', 'Xiu']];

let phone = location.hash.slice(1) || first[0][0], run = 0, quoting = null;
let templates = [], shown = new Map();
const names = new Map(first);

async function call(path, body, method = body === undefined ? 'GET' : 'POST') {
  const answer = await fetch(api + path, { method, headers: { 'content-type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error ?? answer.statusText);
  return said;
}
function hint(text = '', bad = false) { $('hint').textContent = text; $('hint').className = bad ? 'bad' : ''; }
const trying = (what) => (...all) => Promise.resolve(what(...all)).catch((e) => hint(e.message, true));
const at = () => `/phones/${phone}`;
const number = () => $('number').value;
const send = trying(async (spec) => {
  const reply = quoting && spec.type !== 'reaction' && !spec.reply_to ? { reply_to: quoting.id } : {};
  quote(null);
  const name = names.get(phone);
  await call(at() + '/messages', { number: number(), ...(name && !spec.name ? { name } : {}), ...reply, ...spec });
});

// ---- phones

function phones() {
  $('phones').replaceChildren(...[...names].map(([id, name]) => {
    const button = make('button', { type: 'button', onclick: () => choose(id) }, make('b', { textContent: name }), make('small', { textContent: '+' + id }));
    button.setAttribute('aria-current', id === phone);
    return make('li', {}, button);
  }));
  $('who').textContent = names.get(phone) ?? '+' + phone;
  $('whose').textContent = '+' + phone;
}
function choose(id) { phone = id; location.hash = id; quote(null); phones(); follow(); }
$('add').onsubmit = (e) => {
  e.preventDefault();
  const id = digits($('new').value);
  if (id.length < 7 || id.length > 15) return hint('A phone has 7 to 15 digits.', true);
  if (!names.has(id)) names.set(id, 'Visitor ' + id.slice(-4));
  $('new').value = '';
  choose(id);
};
$('online').onchange = trying(() => call(at() + '/state', { online: $('online').checked }));
$('blocked').onchange = trying(() => call(at() + '/state', { blocked: $('blocked').checked }));
$('number').onchange = () => { follow(); showTemplates(); };

// ---- the conversation

const ticks = { accepted: '🕓', sent: '✓', delivered: '✓✓', read: '✓✓', played: '✓✓', failed: '✗' };
function filled(text, parameters = []) {
  let index = 0;
  return text.replace(/\{\{\s*([^}]*?)\s*\}\}/g, (open, name) => {
    const found = parameters.find((p) => p.parameter_name === name) ?? parameters[index++];
    return found?.text ?? found?.currency?.fallback_value ?? found?.date_time?.fallback_value ?? open;
  });
}
function template(sent) {
  const known = templates.find((t) => t.name === sent.name && t.language === sent.language?.code);
  const given = (kind) => sent.components?.find((c) => c.type?.toLowerCase() === kind)?.parameters;
  if (!known) return `[template ${sent.name}] ` + (given('body') ?? []).map((p) => p.text).join(', ');
  return known.components.map((c) => c.type === 'BUTTONS' ? '' : filled(c.text ?? '', given(c.type.toLowerCase()))).filter(Boolean).join('\n\n');
}
function words(e) {
  const b = e.body[e.type] ?? {};
  switch (e.type) {
    case 'text': return b.body;
    case 'template': return template(b);
    case 'interactive': return [b.header?.text, b.body?.text, b.footer?.text, b.button_reply?.title, b.list_reply?.title, b.nfm_reply?.body].filter(Boolean).join('\n');
    case 'button': return b.text;
    case 'location': return `📍 ${b.name ?? 'Location'}\n${b.address ?? `${b.latitude}, ${b.longitude}`}`;
    case 'contacts': return (Array.isArray(b) ? b : []).map((c) => `👤 ${c.name?.formatted_name ?? '?'}\n${(c.phones ?? []).map((p) => p.phone).join(', ')}`).join('\n');
    case 'order': return `🛒 ${(b.product_items ?? []).map((i) => `${i.quantity} × ${i.product_retailer_id}`).join('\n')}${b.text ? '\n' + b.text : ''}`;
    case 'system': return b.body ?? 'a change of this phone';
    case 'unsupported': return '(a message that WhatsApp does not pass on)';
    case 'request_welcome': return '(opened the conversation)';
    case 'image': case 'video': case 'audio': case 'document': case 'sticker': return b.caption ?? (e.type === 'document' ? `📄 ${b.filename ?? 'document'}` : '');
    default: return `[${e.type}] ${b.caption ?? b.filename ?? ''}`;
  }
}
/** The text with what stands between stars in bold, as phones show it. */
const starred = (text) => (text ?? '').split(/\*([^*\n]+)\*/).map((part, i) => (i % 2 ? make('b', { textContent: part }) : part));
function media(e) {
  const id = e.body[e.type]?.id;
  if (!id) return null;
  const src = `${api}/media/${id}?number=${encodeURIComponent(number())}`;
  if (e.type === 'image' || e.type === 'sticker') return make('img', { src, alt: e.type, loading: 'lazy' });
  if (e.type === 'video') return make('video', { src, controls: true });
  if (e.type === 'audio') return make('audio', { src, controls: true });
  if (e.type === 'document') return make('a', { href: src, textContent: 'open', target: '_blank' });
  return null;
}
function taps(e) {
  const out = make('div', { className: 'taps' });
  const tap = (title, spec) => out.append(make('button', { type: 'button', textContent: title, onclick: () => send({ ...spec, reply_to: e.id }) }));
  const action = e.body.interactive?.action ?? {};
  for (const b of action.buttons ?? []) tap(b.reply.title, { type: 'button_reply', ...b.reply });
  for (const s of action.sections ?? []) for (const r of s.rows ?? []) tap(r.title, { type: 'list_reply', ...r });
  if (action.name === 'flow') tap(action.parameters?.flow_cta ?? 'Fill in', { type: 'flow_reply', response_json: { answer: 'yes' } });
  if (e.type === 'template') {
    const sent = e.body.template;
    const known = templates.find((t) => t.name === sent.name && t.language === sent.language?.code);
    const payload = (index) => sent.components?.find((c) => c.type?.toLowerCase() === 'button' && Number(c.index) === index)?.parameters?.[0]?.payload;
    (known?.components.find((c) => c.type === 'BUTTONS')?.buttons ?? []).forEach((b, index) => {
      if (b.type === 'QUICK_REPLY') tap(b.text, { type: 'button', text: b.text, payload: payload(index) ?? b.text });
    });
  }
  return out.childElementCount ? out : null;
}
function does(e, mine) {
  const out = make('div', { className: 'does' });
  const add = (text, title, onclick) => out.append(make('button', { type: 'button', textContent: text, title, onclick }));
  add('↩', 'Quote', () => quote(e));
  if (!mine) for (const emoji of ['👍', '❤️', '😂']) add(emoji, 'React', () => { send({ type: 'reaction', message_id: e.id, emoji }); });
  if (mine && e.type === 'text') add('✎', 'Edit', async () => { const a = await ask('Edit', [['text', 'Text', e.body.text.body]]); if (a) send({ type: 'edit', message_id: e.id, text: a.text }); });
  if (mine) add('🗑', 'Delete for everyone', () => send({ type: 'revoke', message_id: e.id }));
  return out;
}
/** Reactions, edits and deletions change the message that they are about. */
function changes(e) {
  const b = e.body[e.type] ?? {}, about = shown.get(b.message_id ?? b.original_message_id);
  if (!['reaction', 'edit', 'revoke'].includes(e.type)) return false;
  if (!about) return true;
  if (e.type === 'reaction') {
    about.el.querySelector('.reactions')?.remove();
    if (b.emoji) about.el.append(make('span', { className: 'reactions', textContent: b.emoji, title: e.from }));
  } else {
    about.el.querySelector('.words').textContent = e.type === 'revoke' ? '(deleted)' : `${b.message?.text?.body ?? '(changed)'} (edited)`;
    about.fixed = true;
  }
  return true;
}
/** When it was sent and what became of it: all of a message that changes by itself. */
function foot(e, mine, seen) {
  const mark = make('span', { className: seen ? 'read' : e.status === 'failed' ? 'failed' : '', textContent: mine ? (seen ? '✓✓' : '✓') : ticks[e.status] + (e.error ? ' ' + e.error : '') });
  return make('div', { className: 'foot', title: mine ? '' : e.status }, new Date(e.at_ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }), mark);
}
function draw(e) {
  if (changes(e)) return;
  const mine = e.from === 'phone', old = shown.get(e.id);
  const el = old?.el ?? make('div');
  if (old?.fixed) return;
  const seen = mine ? e.read_by_business : ['read', 'played'].includes(e.status);
  el.className = 'm' + (mine ? ' mine' : '') + (e.shown ? '' : ' unseen') + (['system', 'request_welcome'].includes(e.type) ? ' notice' : '');
  el.dataset.id = e.id; el.dataset.from = e.from; el.dataset.status = mine ? '' : e.status;
  shown.set(e.id, { el, entry: e });
  // The rest stays as it stands: a receipt takes no button from under a finger, no film from its watcher.
  if (old) return el.querySelector('.foot').replaceWith(foot(e, mine, seen));
  const quoted = shown.get(e.body.context?.id ?? e.body.context?.message_id);
  const parts = [quoted && make('div', { className: 'quoted', textContent: words(quoted.entry).slice(0, 120) }), media(e), make('div', { className: 'words' }, ...starred(words(e))), mine ? null : taps(e), foot(e, mine, seen), does(e, mine)];
  el.append(...parts.filter(Boolean));
  $('thread').append(el);
}
function quote(e) {
  quoting = e;
  $('quote').hidden = !e;
  if (e) { $('quote').firstElementChild.textContent = words(e); $('text').focus(); }
}
$('quote').lastElementChild.onclick = () => quote(null);
async function follow() {
  const mine = ++run;
  let after = 0, wait = 0;
  shown = new Map(); $('thread').replaceChildren(); hint();
  while (mine === run) {
    let a;
    try { a = await call(`${at()}/thread?number=${encodeURIComponent(number())}&after=${after}&wait_ms=${wait}`); }
    catch (e) { if (mine !== run) return; hint(e.message || 'the sandbox is away', true); await new Promise((r) => setTimeout(r, 2000)); continue; }
    if (mine !== run) return;
    const box = $('thread'), low = box.scrollHeight - box.scrollTop - box.clientHeight < 120;
    after = a.cursor;
    wait = 5000;
    a.entries.forEach(draw);
    hint(a.typing ? 'typing …' : a.window_open || !shown.size ? '' : 'The 24-hour window has lapsed: only templates arrive.');
    $('online').checked = a.phone.online; $('blocked').checked = a.phone.blocked;
    if (low) box.scrollTop = box.scrollHeight;
  }
}

// ---- writing

$('write').onsubmit = (e) => { e.preventDefault(); const text = $('text').value.trim(); if (text) { send({ type: 'text', text }); $('text').value = ''; fit(); } };
$('text').onkeydown = (e) => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); $('write').requestSubmit(); } };
function fit() { const t = $('text'); t.style.height = 'auto'; t.style.height = t.scrollHeight + 2 + 'px'; }
$('text').oninput = fit;

/** Asks for some texts; nothing when the person thinks better of it. */
function ask(title, fields) {
  const box = $('ask'), form = box.firstElementChild;
  form.querySelector('h2').textContent = title;
  form.querySelector('div').replaceChildren(...fields.map(([name, label, value, optional]) => make('label', {}, label, make('input', { name, value: value ?? '', required: !optional }))));
  box.returnValue = '';
  box.showModal();
  return new Promise((done) => { box.onclose = () => done(box.returnValue === 'send' ? Object.fromEntries(new FormData(form)) : null); });
}
function pick(accept) {
  const input = $('file');
  input.accept = accept; input.value = '';
  return new Promise((done) => { input.onchange = () => done(input.files[0] ?? null); input.oncancel = () => done(null); input.click(); });
}
function base64(file) { return new Promise((done, no) => { const r = new FileReader(); r.onload = () => done(r.result.split(',')[1]); r.onerror = no; r.readAsDataURL(file); }); }
async function file(type, accept) {
  const chosen = await pick(accept);
  if (!chosen) return;
  const texts = type === 'audio' || type === 'sticker' ? {} : await ask(chosen.name, [['caption', 'Caption (may be empty)', '', true]]);
  if (!texts) return;
  await send({ type, data: await base64(chosen), mime: chosen.type || undefined, ...(type === 'document' ? { filename: chosen.name } : {}), ...(texts.caption ? { caption: texts.caption } : {}) });
}
/** A picture of one's own making, for whoever has none at hand. */
async function painting() {
  const canvas = make('canvas', { width: 320, height: 200 }), c = canvas.getContext('2d');
  const hue = Math.floor(Math.random() * 360), sky = c.createLinearGradient(0, 0, 0, 200);
  sky.addColorStop(0, `hsl(${hue} 70% 70%)`); sky.addColorStop(1, `hsl(${(hue + 60) % 360} 70% 45%)`);
  c.fillStyle = sky; c.fillRect(0, 0, 320, 200);
  c.fillStyle = '#fffc'; c.beginPath(); c.arc(240, 60, 26, 0, 7); c.fill();
  c.fillStyle = '#0006'; c.beginPath(); c.moveTo(0, 200); c.lineTo(90, 90); c.lineTo(170, 200); c.lineTo(230, 120); c.lineTo(320, 200); c.fill();
  await send({ type: 'image', data: canvas.toDataURL('image/png').split(',')[1], mime: 'image/png', caption: 'A picture' });
}
const shop = { catalog_id: '194836987003835', product_items: [{ product_retailer_id: 'umbrella-7', quantity: '1', item_price: '12.50', currency: 'EUR' }] };
const kinds = {
  '🖼 A painting': painting,
  '📷 Photo …': () => file('image', 'image/jpeg,image/png'),
  '🎬 Video …': () => file('video', 'video/mp4,video/3gpp'),
  '🎤 Voice …': () => file('audio', 'audio/*'),
  '📄 Document …': () => file('document', ''),
  '🏷 Sticker …': () => file('sticker', 'image/webp'),
  '📍 Location': () => send({ type: 'location', latitude: 22.2819, longitude: 114.1582, name: 'The Peak', address: '128 Peak Road' }),
  '👤 Contact': async () => { const a = await ask('A contact', [['name', 'Name', 'Ben Brown'], ['phone', 'Phone', '+4915550009999']]); if (a) await send({ type: 'contacts', contacts: [{ name: { formatted_name: a.name, first_name: a.name }, phones: [{ phone: a.phone, type: 'CELL' }] }] }); },
  '🛒 Order': () => send({ type: 'order', ...shop }),
  '🚫 Unsupported': () => send({ type: 'unsupported' }),
  '📣 From an ad': () => send({ type: 'text', text: 'Is this still available?', referral: { source_url: 'https://fb.me/ad', source_id: '1234', source_type: 'ad', headline: 'Summer sale', body: 'Everything must go' } }),
  '↪ Forwarded': () => send({ type: 'text', text: 'Look what somebody sent me', forwarded: true }),
  '🎭 Own name …': async () => { const a = await ask('Who is this?', [['name', 'Name', names.get(phone)], ['username', 'Username (may be empty)', '', true]]); if (a) { names.set(phone, a.name); phones(); await send({ type: 'text', text: 'Hello, it is me', profile: { name: a.name, ...(a.username ? { username: a.username } : {}) } }); } },
  '🙈 Hides number': () => send({ type: 'text', text: 'Now without my number', hide_phone: true }),
  '☎ New number …': async () => { const a = await ask('A new number', [['number', 'Number', '']]); if (!a) return; const id = digits(a.number); await send({ type: 'number_change', new_wa_id: id }); names.set(id, names.get(phone) ?? 'Visitor'); names.delete(phone); choose(id); },
};
$('kinds').replaceChildren(...Object.entries(kinds).map(([text, act]) => make('button', { type: 'button', textContent: text, onclick: () => { $('more').open = false; trying(act)(); } })));
document.addEventListener('click', (e) => { if (!$('more').contains(e.target)) $('more').open = false; });

// ---- the provider's side

const misfortunes = {
  fail_with: ['Undeliverable (131026)', { code: 131026 }], rate_429: ['Rate limited (429)', {}], ambiguous_5xx: ['500 after sending', {}], html_502: ['502 that is no JSON', {}],
  slow_ms: ['Slow answers (5 s)', { ms: 5000 }], drop_connection: ['Connection dropped', {}], accept_then_timeout: ['Sent, no answer', {}], bad_key_401: ['Key refused (401)', {}], meta_403: ['Refused (403)', {}],
  status_before_response: ['Receipt before answer', {}], duplicate_webhooks: ['Webhooks doubled', {}], shuffle_webhooks: ['Webhooks shuffled', {}], duplicate_statuses: ['Receipts doubled', {}], ms_timestamps: ['Times in ms', {}], bsuid_only: ['No phone numbers', {}], media_404: ['Files missing (404)', {}],
};
const inForce = new Map();
function faultRows() {
  $('faults').replaceChildren(...Object.entries(misfortunes).map(([name, [label, extra]]) => {
    const choice = make('select', { onchange: trying(async () => { const v = choice.value; await call('/faults', { [name]: v === 'off' ? false : { ...extra, ...(v === 'always' ? {} : { count: Number(v) }) } }); await showFaults(); }) },
      ...['off', '1', '3', 'always'].map((v) => new Option(v === '1' || v === '3' ? v + ' ×' : v, v)));
    const hits = make('small'), row = make('label', {}, make('span', { textContent: label }), hits, choice);
    choice.dataset.fault = name;
    inForce.set(name, { row, choice, hits });
    return row;
  }));
}
const showFaults = trying(async () => {
  const all = await call('/faults');
  for (const [name, { row, choice, hits }] of inForce) {
    const rule = all[name], on = rule && rule.count !== 0;
    row.className = on ? 'on' : '';
    if (document.activeElement !== choice) choice.value = !on ? 'off' : rule.count === null ? 'always' : String(rule.count) in { 1: 0, 3: 0 } ? String(rule.count) : '3';
    hits.textContent = rule?.hits ? `${rule.hits} ×` : '';
  }
});
$('clear').onclick = trying(async () => { await call('/faults', undefined, 'DELETE'); await showFaults(); });
const showTemplates = trying(async () => {
  templates = (await call(`/templates?number=${encodeURIComponent(number())}`)).waba_templates;
  $('templates').replaceChildren(...templates.map((t) => {
    const states = ['approved', 'pending', 'rejected', 'paused', 'disabled'];
    const choice = make('select', { onchange: trying(async () => { await call(`/templates/${t.name}`, { number: number(), status: choice.value.toUpperCase() }); }) },
      ...states.map((s) => new Option(s, s, false, s === t.status)));
    return make('label', { className: 'template', title: t.components.map((c) => c.text ?? '').join('\n') }, make('span', {}, t.name, ' ', make('small', { textContent: t.language })), choice);
  }));
});
function happening(e) {
  const of = (list) => (list ?? []).length;
  switch (e.kind) {
    case 'message': return [`→ ${e.type ?? 'message'} to ${e.to ?? '?'}`, false];
    case 'refused': return [`⨯ refused ${e.code ?? ''} ${e.details ?? ''}`, true];
    case 'read': return ['→ read' + (e.typing ? ', typing' : ''), false];
    case 'phone': return [`← ${e.type ?? 'message'} from ${e.from ?? '?'}`, false];
    case 'fault': return [`⚡ ${e.fault}`, true];
    case 'webhook': return [`⇠ webhook ${e.outcome} (${[of(e.messages) && `${of(e.messages)} in`, of(e.statuses) && `${of(e.statuses)} receipt${of(e.statuses) > 1 ? 's' : ''}`].filter(Boolean).join(', ') || 'notice'}, ${e.latency_ms.toFixed(0)} ms)`, !e.delivered];
    default: return [e.kind, false];
  }
}
async function watch() {
  let after = Math.max(0, (await call('/ledger?after=9007199254740991&limit=1')).last - 30);
  for (;;) {
    try {
      const page = await call(`/ledger?after=${after}&limit=200`);
      after = page.next;
      for (const e of page.entries) {
        const [text, bad] = happening(e);
        $('ledger').prepend(make('li', { className: bad ? 'bad' : '' }, make('time', { textContent: new Date(e.at_ms).toLocaleTimeString() }), make('span', { textContent: text })));
      }
      while ($('ledger').childElementCount > 60) $('ledger').lastElementChild.remove();
      if (page.entries.length) await showFaults();
    } catch { /* the conversation says that the sandbox is away */ }
    await new Promise((r) => setTimeout(r, document.hidden ? 5000 : 1000));
  }
}

trying(async () => {
  const [all, known] = await Promise.all([call('/numbers'), call('/phones')]);
  for (const one of known.slice(0, 40)) names.set(one.wa_id, one.name ?? names.get(one.wa_id) ?? 'Visitor');
  if (!names.has(phone)) names.set(phone, 'Visitor ' + phone.slice(-4));
  $('number').append(...all.map((n) => new Option(n.display_phone_number, n.phone_number_id)));
  phones(); faultRows();
  await showTemplates();
  follow(); showFaults(); watch();
})();
