'use strict';
const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...inside) => { const el = Object.assign(document.createElement(tag), props); el.append(...inside.filter((x) => x !== null)); return el; };
const soft = (text) => make('span', { className: 'soft', textContent: text });
/** Text with `code` in it. */
const prose = (text, tag = 'p') => make(tag, {}, ...(text ?? '').split('`').map((part, i) => (i % 2 ? make('code', { textContent: part }) : part)));

function name(schema) {
  if (schema.$ref) { const n = schema.$ref.split('/').pop(); return make('a', { href: '#shape-' + n, textContent: n }); }
  if (schema.oneOf) { const out = make('span'); schema.oneOf.forEach((one, i) => out.append(...(i ? [' or '] : []), name(one))); return out; }
  if (schema.const !== undefined) return make('code', { textContent: JSON.stringify(schema.const) });
  if (schema.enum) return make('span', {}, ...schema.enum.flatMap((v, i) => [i ? ' | ' : '', make('code', { textContent: String(v) })]));
  if (schema.type === 'array') return make('span', {}, 'list of ', name(schema.items ?? {}));
  const type = [schema.type ?? 'anything'].flat().join(' or ');
  return soft(schema.format ? `${type}, ${schema.format}` : type);
}
/** The fields of an object, with what is in them. */
function fields(schema) {
  if (schema.type === 'array') return fields(schema.items ?? {});
  if (schema.oneOf && !schema.oneOf.every((one) => one.$ref)) return make('ul', {}, ...schema.oneOf.map((one) => make('li', {}, one.properties ? fields(one) : name(one))));
  if (!schema.properties || !Object.keys(schema.properties).length) return make('p', {}, name(schema));
  const row = ([key, inner]) => {
    const needed = schema.required?.includes(key);
    const deep = [inner, inner.items ?? {}].some((x) => x.properties || x.oneOf?.some((y) => y.properties));
    return make('tr', {}, make('td', {}, make('code', { textContent: key }), needed ? '' : soft(' may be left out')),
      make('td', {}, deep ? '' : name(inner), inner.description ? prose(' ' + inner.description, 'span') : '', deep ? fields(inner) : ''));
  };
  return make('table', {}, ...Object.entries(schema.properties).map(row));
}
function body(content) {
  return Object.entries(content ?? {}).flatMap(([mime, { schema, example }]) => [
    mime === 'application/json' ? null : make('p', {}, make('code', { textContent: mime })),
    fields(schema), example === undefined ? null : make('pre', { textContent: JSON.stringify(example, null, 2) })]);
}
function operation(doc, path, method, op) {
  const all = op.parameters ?? [];
  const answers = Object.entries(op.responses).map(([status, given]) => {
    const answer = given.$ref ? doc.components.responses[given.$ref.split('/').pop()] : given;
    const good = Number(status) < 300 && answer.content;
    return make('tr', {}, make('td', {}, make('b', { textContent: status })), make('td', {}, prose(answer.description, 'div'), ...(good ? body(answer.content) : [])));
  });
  const parameter = (p) => make('tr', {}, make('td', {}, make('code', { textContent: p.name }), soft(` ${p.in}`)), make('td', {}, name(p.schema), p.description ? prose(' ' + p.description, 'span') : ''));
  const el = make('details', { className: 'op', id: op.operationId },
    make('summary', {}, make('b', { className: method, textContent: method.toUpperCase() }), make('code', { textContent: path }), make('span', { textContent: op.summary })),
    make('div', {}, op.description ? prose(op.description) : null, op.security ? soft('Without a token.') : null,
      ...(all.length ? [make('h3', { textContent: 'Parameters' }), make('table', {}, ...all.map(parameter))] : []),
      ...(op.requestBody ? [make('h3', { textContent: op.requestBody.required ? 'Body' : 'Body (may be left out)' }), ...body(op.requestBody.content)] : []),
      make('h3', { textContent: 'Answers' }), make('table', {}, ...answers)));
  el.dataset.text = `${method} ${path} ${op.summary}`.toLowerCase();
  return el;
}
function show(doc) {
  $('intro').append(make('h1', { textContent: doc.info.title }), prose(doc.info.description), make('p', {}, make('a', { href: '/v1/openapi.json', textContent: 'openapi.json' })));
  const all = Object.entries(doc.paths).flatMap(([path, item]) => Object.entries(item).map(([method, op]) => ({ path, method, op })));
  for (const { name: tag } of doc.tags) {
    const here = all.filter((one) => one.op.tags.includes(tag));
    $('operations').append(make('section', {}, make('h2', { textContent: tag }), ...here.map(({ path, method, op }) => operation(doc, path, method, op))));
    $('contents').append(make('h2', { textContent: tag }), ...here.map(({ op }) => make('a', { href: '#' + op.operationId, textContent: op.summary })));
  }
  for (const [key, schema] of Object.entries(doc.components.schemas)) {
    const el = make('details', { className: 'op', id: 'shape-' + key }, make('summary', {}, make('code', { textContent: key }), soft(schema.description ?? '')), make('div', {}, schema.pattern ? make('p', {}, make('code', { textContent: schema.pattern })) : null, fields(schema)));
    $('schemas').append(el);
  }
  const open = () => { const el = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (el?.tagName === 'DETAILS') { el.open = true; el.scrollIntoView(); } };
  addEventListener('hashchange', open);
  open();
}
$('find').oninput = () => {
  const wanted = $('find').value.toLowerCase().split(/\s+/);
  for (const el of document.querySelectorAll('#operations .op')) el.hidden = !wanted.every((word) => el.dataset.text.includes(word));
};
fetch('/v1/openapi.json').then((answer) => answer.json()).then(show);
