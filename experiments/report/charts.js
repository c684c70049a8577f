// Hit rates and training as line charts, votes as bars, drawn by Chart.js. Every chart is described by a function that
// gives its configuration, so that it can be drawn again in other colours or with other choices.
'use strict';

const charts = new Map();  // canvas id -> {chart, make}
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = (index) => colour('--c' + index % 8);
const translucent = (hex) => hex + '30';
const rounded = (value) => String(Math.round(value * 100) / 100);

function drawChart(canvas, make) {
  if (typeof Chart === 'undefined') return;
  charts.get(canvas.id)?.chart.destroy();
  const {description, ...configuration} = make();
  canvas.setAttribute('aria-label', description);
  charts.set(canvas.id, {chart: new Chart(canvas, configuration), make});
}

function drawChartsAgain() {
  for (const [id, {make}] of [...charts]) drawChart(document.getElementById(id), make);
}

function axis(title, more) {
  return {
    type: 'linear',
    title: {display: true, text: title, color: colour('--pale')},
    grid: {color: colour('--line')},
    ticks: {color: colour('--pale')},
    ...more,
  };
}

// Only these values are marked.
const markedAt = (values) => ({
  afterBuildTicks: (scale) => { scale.ticks = values.map((value) => ({value})); },
  ticks: {color: colour('--pale'), autoSkip: false, callback: rounded},
});

function line(label, points, index, more) {
  const stroke = lineColour(index);
  const style = {borderColor: stroke, backgroundColor: stroke, borderWidth: 2, pointRadius: 3, clip: 6};
  return {label, data: points, ...style, ...more};
}

// Between the curves of `low` and `high`, which have no line of their own.
function band(low, high, index) {
  const backgroundColor = translucent(lineColour(index));
  const edge = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0, isBand: true, backgroundColor};
  return [{...edge, label: '', data: low, fill: false}, {...edge, label: '', data: high, fill: '-1'}];
}

function lineChart(datasets, x, y, description) {
  const shown = (item, data) => !data.datasets[item.datasetIndex].isBand;
  return {
    type: 'line',
    data: {datasets},
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      scales: {x, y},
      plugins: {
        legend: {
          labels: {color: colour('--ink'), filter: shown, usePointStyle: true, pointStyle: 'line', boxWidth: 22},
        },
        tooltip: {
          filter: (item) => !item.dataset.isBand,
          callbacks: {
            title: (items) => items.length ? x.title.text + ' ' + rounded(items[0].parsed.x) : '',
            label: (item) => ' ' + item.dataset.label + ': ' + rounded(item.parsed.y),
          },
        },
      },
    },
    description,
  };
}

// What is chosen in the form above the charts.
function chosen() {
  const value = (id) => document.getElementById(id).value;
  const methods = [...document.querySelectorAll('#choose-methods input:checked')].map((box) => box.value);
  return {
    level: value('choose-level'),
    condition: value('choose-condition'),
    length: Number(value('choose-length')),
    snr: Number(value('choose-snr')),
    methods,
  };
}

// One line for each method, the paper's dotted; `key` is what runs along the horizontal axis, `fixed` what is the same.
function rateLines(results, choice, key, fixed) {
  const datasets = [];
  let paper = [];
  allMethods(results).forEach((method, index) => {
    if (!choice.methods.includes(method)) return;
    const cells = results.cells
      .filter((cell) => cell.search === method && cell.condition === choice.condition && fixed(cell))
      .sort((a, b) => a[key] - b[key]);
    if (!cells.length) return;
    const points = (value) => cells.map((cell) => ({x: cell[key], y: value(cell[choice.level])}));
    if (!datasets.length) datasets.push(...band(points((r) => r.interval[0]), points((r) => r.interval[1]), index));
    datasets.push(line(method, points((rate) => rate.percent), index));
    const printed = cells.map((cell) => ({x: cell[key], y: cell.paper_percent?.[choice.level] ?? null}));
    if (!paper.length) paper = printed.filter((point) => point.y !== null);
  });
  if (paper.length) {
    const style = {borderColor: colour('--pale'), backgroundColor: colour('--pale'), borderDash: [2, 4]};
    datasets.push(line('the paper’s', paper, 0, style));
  }
  return datasets;
}

function described(what, datasets) {
  const lines = datasets.filter((set) => !set.isBand).map(
    (set) => set.label + ': ' + set.data.map((point) => rounded(point.x) + ' → ' + rounded(point.y)).join(', '));
  return what + '. ' + lines.join('; ');
}

function rateChart(results, key, title, marks, fixed) {
  const choice = chosen();
  const datasets = rateLines(results, choice, key, (cell) => fixed(cell, choice));
  const y = axis('%', {suggestedMin: 0, max: 100});
  return lineChart(datasets, axis(title, markedAt(marks)), y, described('Hit rate in % against ' + title, datasets));
}

const unique = (values) => [...new Set(values)];
const allMethods = (results) => unique(results.cells.map((cell) => cell.search));
const ascending = (values) => unique(values).sort((a, b) => a - b);

function fillSelect(id, values, text, selected) {
  const select = document.getElementById(id);
  for (const value of values) select.add(new Option(text(value), value, false, value === selected));
}

function fillMethods(results) {
  const box = document.getElementById('choose-methods');
  allMethods(results).forEach((method, index) => {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), {type: 'checkbox', value: method});
    // By hashing it is nearly the same as exactly: shown on demand.
    input.checked = !method.startsWith('LSH');
    const swatch = document.createElement('i');
    swatch.style.background = 'var(--c' + index % 8 + ')';
    label.append(input, swatch, method);
    box.append(label);
  });
}

function drawRates(results) {
  const noisy = results.cells.filter((cell) => cell.snr_db !== null);
  if (!noisy.length || typeof Chart === 'undefined') return;
  const snrs = ascending(noisy.map((cell) => cell.snr_db));
  const lengths = ascending(noisy.map((cell) => cell.length_s));
  const conditions = unique(noisy.map((cell) => cell.condition));
  fillSelect('choose-condition', conditions, (c) => c.replace('+', ' + '),
             conditions.includes('noise+reverb') ? 'noise+reverb' : conditions[0]);
  fillSelect('choose-length', lengths, (length) => length + ' s', results.lengths_s.headline);
  fillSelect('choose-snr', snrs, (snr) => snr + ' dB', snrs[0]);
  fillMethods(results);
  const draw = () => {
    drawChart(document.getElementById('chart-snr'), () => rateChart(
      results, 'snr_db', 'SNR, dB', snrs, (cell, choice) => cell.length_s === choice.length));
    drawChart(document.getElementById('chart-length'), () => rateChart(
      results, 'length_s', 'length, s', lengths, (cell, choice) => cell.snr_db === choice.snr));
  };
  document.querySelector('.controls').addEventListener('change', draw);
  draw();
}

function trainingChart(training, names, title, scale, y) {
  const datasets = Object.entries(names)
    .filter(([column]) => training[column]?.length)
    .map(([column, label], index) => line(
      label, training[column].map(([step, value]) => ({x: step, y: scale * value})), index, {pointRadius: 0}));
  for (const set of datasets) {
    if (set.data.length <= 20) set.pointRadius = 3;
  }
  const last = datasets.map((set) => set.label + ': ' + rounded(set.data[set.data.length - 1].y)).join('; ');
  return lineChart(datasets, axis('step'), y(), title + ', at the end ' + last);
}

function drawTraining(training) {
  if (!training.loss?.length || typeof Chart === 'undefined') return;
  drawChart(document.getElementById('chart-loss'), () => trainingChart(
    training, {loss: 'loss'}, 'Loss', 1, () => axis('NT-Xent', {beginAtZero: true})));
  const hits = {top1: 'in the batch', validation_segment: 'validation, place', validation_track: 'validation, track'};
  drawChart(document.getElementById('chart-hits'), () => trainingChart(
    training, hits, 'Hits in %', 100, () => axis('%', {min: 0, max: 100})));
}

// How often each place was proposed as the beginning of the query: the answer in a colour of its own.
function votesChart(votes) {
  const bars = (label, points, ink) => ({
    label, data: points.map(([x, y]) => ({x, y})), backgroundColor: ink, barThickness: 3, grouped: false});
  const isAnswer = ([start]) => Math.abs(start - votes.answer_s) <= votes.hop_s;
  const datasets = [
    bars('the answer', votes.found.filter(isAnswer), colour('--c1')),
    bars('other places of its track', votes.found.filter((point) => !isAnswer(point)), colour('--c0')),
  ];
  if (votes.played.length) datasets.push(bars('the track that was played', votes.played, colour('--c2')));
  const description = 'Votes by beginning in the track: ' + datasets.map((set) => set.label + ' at most ' +
    Math.max(0, ...set.data.map((point) => point.y))).join(', ');
  const chart = lineChart(datasets.filter((set) => set.data.length), axis('beginning in the track, s'),
                          axis('votes', {beginAtZero: true, ticks: {precision: 0, color: colour('--pale')}}),
                          description);
  Object.assign(chart.options.plugins.legend.labels, {pointStyle: 'rect', boxWidth: 9});
  return {...chart, type: 'bar'};
}
