// SPDX-License-Identifier: MIT
//
// The page without a script is a table. This adds sorting, filters, a strip plot of each group, and
// the pictures in full. Texts of the page stay texts: nothing here parses HTML.
'use strict';
const body = document.querySelector('tbody');
const heads = [...document.querySelectorAll('thead th')];
const rows = [...body.rows];
const tip = document.querySelector('#tip');
const cell = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent;
const column = (name) => heads.findIndex((head) => head.dataset.c === name);
const median = column('median'), verdict = column('verdict');
const nameOf = (row) => row.querySelector('th').firstChild.textContent;

function add(parent, name, attributes = {}, text = '') {
  const space = ['svg', 'g', 'rect', 'line', 'circle', 'text'].includes(name)
    ? 'http://www.w3.org/2000/svg' : 'http://www.w3.org/1999/xhtml';
  const element = document.createElementNS(space, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.textContent = text;
  return parent.appendChild(element);
}

// ---- sorting ----

const natural = new Intl.Collator('en', { numeric: true });
heads.forEach((head, i) => {
  const button = head.querySelector('button');
  if (!button) return;
  button.onclick = () => {
    const up = head.getAttribute('aria-sort') !== 'ascending', number = head.classList.contains('n');
    document.querySelector('[aria-sort]')?.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const values = new Map(rows.map((row) => [row, cell(row, i)]));
    rows.sort((a, b) => {
      const x = values.get(a), y = values.get(b);
      if (x === '' || y === '') return (x === '') - (y === ''); // no value comes last
      return (number ? x - y : natural.compare(x, y)) * (up ? 1 : -1);
    });
    body.append(...rows);
  };
});

// ---- filters ----

const filter = document.querySelector('#filter');
const dots = new Map(); // of a row

function addFilters() {
  const most = 40; // values of a menu; more are typed
  const words = add(add(filter, 'label', {}, 'Name contains'), 'input', { type: 'search' });
  const tests = [(row) => words.value.toLowerCase().split(/\s+/)
    .every((word) => row.querySelector('th').textContent.toLowerCase().includes(word))];
  heads.forEach((head, i) => {
    const values = [...new Set(rows.map((row) => cell(row, i)))].sort(natural.compare);
    if (!('f' in head.dataset) || values.length < 2) return;
    const label = add(filter, 'label', {}, head.textContent.trim());
    if (values.length > most) {
      const input = add(label, 'input', { type: 'search', size: 9 });
      tests.push((row) => cell(row, i).includes(input.value));
      return;
    }
    const menu = add(label, 'select');
    add(menu, 'option', { value: '*' }, 'all');
    for (const value of values) add(menu, 'option', { value }, value || 'n/a');
    tests.push((row) => menu.value === '*' || menu.value === cell(row, i));
  });
  const clear = add(filter, 'button', { type: 'reset' }, 'Clear');
  const shown = add(filter, 'output');
  const apply = () => {
    let n = 0;
    for (const row of rows) {
      row.hidden = !tests.every((test) => test(row));
      n += !row.hidden;
      dots.get(row)?.classList.toggle('off', row.hidden);
    }
    shown.textContent = `${n} of ${rows.length} rows`;
  };
  filter.oninput = apply;
  filter.onreset = () => setTimeout(apply);
  filter.onsubmit = (event) => event.preventDefault();
  clear.hidden = tests.length < 2;
  apply();
}

// ---- strip plots ----

const number = (text) => (text === '' ? NaN : Number(text));
const points = rows.map((row) => ({ row, x: number(cell(row, median)), group: row.dataset.g }))
  .filter((point) => Number.isFinite(point.x));
let low = Infinity, high = -Infinity;
for (const point of points) {
  low = Math.min(low, point.x);
  high = Math.max(high, point.x);
}
if (low === high) [low, high] = [low - 1, high + 1];

// 1, 2 or 5 times a power of ten
function step(range) {
  const power = 10 ** Math.floor(Math.log10(range / 5)), times = range / 5 / power;
  return power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

// Move dots up and down until none hides another, as far as there is room.
function spread(own, radius, room) {
  const placed = [];
  own.sort((a, b) => a.px - b.px);
  for (const point of own) {
    const near = placed.filter((other) => point.px - other.px < 2 * radius);
    point.py = 0;
    for (let i = 1; near.some((other) => Math.hypot(other.px - point.px, other.py - point.py) < 2 * radius - .5); i++) {
      const offset = Math.ceil(i / 2) * radius;
      if (offset > room) break;
      point.py = i % 2 ? offset : -offset;
    }
    placed.push(point);
  }
}

function select(point, event) {
  document.querySelectorAll('.here').forEach((element) => element.classList.remove('here'));
  tip.hidden = !point;
  if (!point) return;
  dots.get(point.row)?.classList.add('here');
  tip.replaceChildren();
  add(tip, 'b', {}, nameOf(point.row));
  add(tip, 'div', {}, `${heads[median].textContent} ${point.row.cells[median].textContent.trim()}, ` +
    `z ${point.row.cells[median + 1].textContent}, outlier: ${cell(point.row, verdict)}`);
  const image = point.row.querySelector('img');
  if (image) tip.append(image.cloneNode());
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(left, 8)}px`;
  tip.style.top = `${below ? event.clientY + 18 : event.clientY - 12 - tip.offsetHeight}px`;
}

function draw(group) {
  const own = points.filter((point) => point.group === group.dataset.g);
  const width = Math.max(group.clientWidth, 200), radius = own.length > 200 ? 3 : 4.5;
  const pad = 12, room = own.length > 60 ? 34 : own.length > 12 ? 20 : 12, middle = room + radius + 2;
  const at = (x) => pad + (Math.min(Math.max(x, low), high) - low) / (high - low) * (width - 2 * pad);
  const svg = add(group, 'svg', { viewBox: `0 0 ${width} ${2 * middle + 16}`, height: 2 * middle + 16, role: 'img',
    'aria-label': `Medians of ${own.length} runs` });
  const { low: from, high: to, median: center } = group.dataset;
  if (from !== undefined) {
    add(svg, 'rect', { class: 'fence', x: at(from), y: 0, width: Math.max(at(to) - at(from), 1), height: 2 * middle });
    add(svg, 'line', { class: 'median', x1: at(center), x2: at(center), y1: 0, y2: 2 * middle });
  }
  add(svg, 'line', { class: 'axis', x1: 0, x2: width, y1: 2 * middle, y2: 2 * middle });
  const every = step(high - low);
  for (let tick = Math.ceil(low / every) * every; tick <= high; tick += every)
    add(svg, 'text', { x: at(tick), y: 2 * middle + 13 }, String(Number(tick.toPrecision(6))));
  for (const point of own) point.px = at(point.x);
  spread(own, radius, room);
  for (const point of own) {
    const what = cell(point.row, verdict);
    const kind = /\?$/.test(what) ? 'doubt' : /^(low|high)$/.test(what) ? 'marked' : '';
    dots.set(point.row, add(svg, 'circle', { class: kind, cx: point.px, cy: middle + point.py, r: radius }));
  }
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale - middle;
    let best = null, least = 14;
    for (const point of own) {
      const distance = Math.hypot(point.px - x, point.py - y);
      if (distance < least && !point.row.hidden) [best, least] = [point, distance];
    }
    return best;
  };
  svg.onpointermove = (event) => select(nearest(event), event);
  svg.onpointerleave = () => select(null);
  svg.onclick = (event) => {
    const point = nearest(event);
    if (!point) return;
    select(null);
    point.row.classList.add('here');
    point.row.scrollIntoView({ block: 'center' });
  };
}

function drawAll() {
  for (const group of document.querySelectorAll('.group')) {
    group.querySelector('svg')?.remove();
    if (points.some((point) => point.group === group.dataset.g)) draw(group);
  }
}

let drawnWidth = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === drawnWidth) return;
  drawnWidth = innerWidth;
  drawAll();
  filter.oninput();
});
body.addEventListener('pointerover', (event) => {
  document.querySelectorAll('circle.here').forEach((dot) => dot.classList.remove('here'));
  dots.get(event.target.closest('tr'))?.classList.add('here');
});

// ---- pictures in full ----

const dialog = document.querySelector('dialog');
const large = dialog.querySelector('img');
let current = null;

function show(row) {
  const small = row.querySelector('.p img');
  current = row;
  large.src = row.dataset.p ?? small.src;
  large.className = row.dataset.p ? '' : 'small';
  large.alt = small?.alt ?? '';
  dialog.querySelector('span').textContent = nameOf(row) + (row.dataset.p ? '' : ' (only the thumbnail is here)');
  if (!dialog.open) dialog.showModal();
}

function move(by) {
  const seen = rows.filter((row) => !row.hidden && row.querySelector('.p button'));
  const next = seen[seen.indexOf(current) + by];
  if (next) show(next);
}

large.onerror = () => {
  const small = current.querySelector('.p img');
  if (!small || large.className) return;
  large.className = 'small';
  large.src = small.src;
  dialog.querySelector('span').textContent = `${nameOf(current)} (no ${current.dataset.p} beside this page)`;
};
body.addEventListener('click', (event) => {
  if (event.target.closest('.p button')) show(event.target.closest('tr'));
});
dialog.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowLeft') move(-1);
  if (event.key === 'ArrowRight') move(1);
});
dialog.onclick = (event) => {
  const by = event.target.dataset?.by;
  if (by) move(Number(by));
  else if (!event.target.closest('figcaption')) dialog.close();
};

drawAll();
addFilters();
