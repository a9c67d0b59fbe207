// SPDX-License-Identifier: MIT
//
// Shows the image, or one volume of a series with the time course of the voxel under the cross, which
// comes in pieces from the server. What comes from there is text, never markup. Tells the server every
// few seconds that the tab is open, and once that it closes.
'use strict';
const byId = (id) => document.getElementById(id);
const say = (text) => { byId('place').textContent = text; };
const digits = (value) => Number.isFinite(value) ? String(Number(value.toPrecision(5))) : String(value);
let about, viewer, image;
let cross = null; // voxel under the cross: [i, j, k]
let current = 0; // volume
let course = []; // of that voxel, as far as it is there

async function get(what) {
  const answer = await fetch(what);
  if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`);
  return answer;
}

// ---- where the cross is ----

function moved(at) {
  const unit = about.unit ? ` (${about.unit})` : '';
  const voxel = [...at.vox].slice(0, 3).map(Math.round), mm = [...at.mm].slice(0, 3);
  say(`voxel ${voxel.join(', ')} \u00b7 x y z ${mm.map((x) => x.toFixed(1)).join(', ')} mm \u00b7 ` +
    `value ${digits(at.values[0].value)}${unit}`);
  if (about.volumes > 1 && String(voxel) !== String(cross)) {
    cross = voxel;
    readCourse();
  }
}

// ---- series ----

async function readCourse() {
  const own = cross;
  course = [];
  while (course.length < about.volumes) {
    const [x, y, z] = own;
    const piece = await (await get(`course.json?x=${x}&y=${y}&z=${z}&from=${course.length}`)).json();
    if (own !== cross) return; // it has moved on
    course.push(...piece);
    drawCourse();
  }
}

function add(parent, name, attributes, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.textContent = text;
  return parent.appendChild(element);
}

function drawCourse() {
  const box = byId('course'), width = box.clientWidth, height = 110, left = 70, low = 92, high = 8;
  const values = course.filter((value) => value !== null), least = Math.min(...values), most = Math.max(...values);
  const x = (t) => left + (t + .5) / about.volumes * (width - left);
  const y = (value) => (most > least ? low - (value - least) / (most - least) * (low - high) : (low + high) / 2);
  box.replaceChildren();
  const svg = add(box, 'svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'Time course' });
  add(svg, 'line', { x1: left, x2: width, y1: low, y2: low });
  add(svg, 'line', { class: 'now', x1: x(current), x2: x(current), y1: 0, y2: low });
  if (values.length > 0) {
    add(svg, 'text', { x: left - 6, y: high + 4, 'text-anchor': 'end' }, digits(most));
    add(svg, 'text', { x: left - 6, y: low + 4, 'text-anchor': 'end' }, digits(least));
  }
  add(svg, 'text', { x: left, y: 106 }, `volume 0 to ${about.volumes - 1} at voxel ${cross.join(', ')}` +
    (course.length < about.volumes ? `, ${course.length} read` : '') + (about.unit ? `, ${about.unit}` : ''));
  let line = []; // interrupted where there is no number
  course.concat([null]).forEach((value, t) => {
    if (value !== null) line.push(`${x(t).toFixed(1)},${y(value).toFixed(1)}`);
    else if (line.length > 0) { add(svg, 'polyline', { points: line.join(' ') }); line = []; }
  });
  svg.onclick = (event) => {
    const bounds = svg.getBoundingClientRect(), at = (event.clientX - bounds.left) * width / bounds.width;
    showVolume(Math.floor((at - left) / (width - left) * about.volumes));
  };
}

let wanted = 0, busy = false;

// Only the volume that was asked for last is fetched next.
async function showVolume(t) {
  wanted = Math.min(Math.max(t, 0), about.volumes - 1);
  byId('volume').value = wanted;
  byId('which').textContent = `${wanted} of 0 to ${about.volumes - 1}`;
  if (busy) return;
  busy = true;
  try {
    while (current !== wanted) {
      const next = wanted, bytes = await (await get(`volume.nii?t=${next}`)).arrayBuffer();
      image.img.set(new Float32Array(bytes, bytes.byteLength - 4 * image.img.length, image.img.length));
      current = next;
      viewer.updateGLVolume();
      viewer.createOnLocationChange();
      if (cross) drawCourse();
    }
  } finally {
    busy = false;
  }
}

// ---- the page ----

async function show() {
  about = await (await get('about.json')).json();
  document.title = about.name.split('/').pop();
  byId('name').textContent = about.name;
  byId('description').textContent = about.description + (about.unit ? ` (${about.unit})` : '');
  viewer = new niivue.Niivue({
    isColorbar: true, backColor: [0.07, 0.07, 0.07, 1], isNearestInterpolation: true,
    crosshairColor: [1, 1, 1, 0.6], crosshairWidth: 0.2, crosshairWidthUnit: 'percent',
    onLocationChange: moved,
  });
  const series = about.volumes > 1, url = series ? 'volume.nii?t=0' : about.file;
  byId('time').hidden = !series;
  byId('volume').max = about.volumes - 1;
  byId('volume').oninput = () => showVolume(Number(byId('volume').value)).catch((why) => say(why.message));
  if (series) showVolume(0);
  await viewer.attachToCanvas(byId('image'));
  await viewer.loadVolumes([{ url, name: series ? 'volume.nii' : about.file, colormap: 'viridis' }]);
  image = viewer.volumes[0];
  byId('low').value = image.cal_min.toPrecision(4);
  byId('high').value = image.cal_max.toPrecision(4);
  byId('map').onchange = () => {
    image.colormap = byId('map').value;
    viewer.updateGLVolume();
  };
  byId('low').onchange = byId('high').onchange = () => {
    image.cal_min = Number(byId('low').value);
    image.cal_max = Number(byId('high').value);
    viewer.updateGLVolume();
  };
  byId('view').onchange = () => viewer.setSliceType(Number(byId('view').value));
  addEventListener('resize', () => { if (cross) drawCourse(); });
  viewer.createOnLocationChange();
  document.documentElement.dataset.shown = about.name;
}

const tab = '?tab=' + [...crypto.getRandomValues(new Uint8Array(8))].join('').slice(0, 20);
const tell = () => fetch('alive' + tab).catch(() => say('derivctl view has ended'));
tell();
setInterval(tell, 5000);
addEventListener('pagehide', () => fetch('bye' + tab, { keepalive: true }));
show().catch((reason) => say(`Cannot show it: ${reason.message}`));
