// Queries to look at and listen to: spectrograms and attention on canvases, players, votes.
'use strict';

const kSpectrogramColours = [[8, 10, 32], [58, 22, 104], [140, 41, 99], [217, 83, 62], [252, 165, 40], [250, 250, 190]];
const kAttentionColours = [[14, 22, 48], [25, 76, 110], [38, 139, 138], [120, 196, 120], [236, 226, 110]];

// 256 colours between the given ones.
function palette(colours) {
  return Array.from({length: 256}, (_, i) => {
    const at = i / 255 * (colours.length - 1);
    const below = Math.min(Math.floor(at), colours.length - 2);
    return colours[below].map((value, k) => value + (at - below) * (colours[below + 1][k] - value));
  });
}
const spectrogramPalette = palette(kSpectrogramColours);
const attentionPalette = palette(kAttentionColours);

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// A picture has rows from the lowest band up, one byte for each value.
function pictureCanvas(picture, colourAt) {
  const canvas = document.createElement('canvas');
  canvas.width = picture.columns;
  canvas.height = picture.rows;
  const image = new ImageData(picture.columns, picture.rows);
  for (let row = 0; row < picture.rows; ++row) {
    for (let column = 0; column < picture.columns; ++column) {
      const [red, green, blue] = colourAt(row, column);
      image.data.set([red, green, blue, 255], 4 * ((picture.rows - 1 - row) * picture.columns + column));
    }
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

function labelled(canvas, text) {
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', text);
  return canvas;
}

function spectrogramCanvas(sound) {
  const values = bytesOf(sound.spectrogram.values);
  const {columns} = sound.spectrogram;
  const canvas = pictureCanvas(sound.spectrogram, (row, column) => spectrogramPalette[values[row * columns + column]]);
  return labelled(canvas, 'Spectrogram of ' + sound.title);
}

// What a module lets through as the colour, how loud it is there as the brightness.
function attentionCanvas(sound, map) {
  const loudness = bytesOf(sound.spectrogram.values);
  const gains = bytesOf(map.values);
  const picture = {rows: sound.spectrogram.rows, columns: map.covers};
  const canvas = pictureCanvas(picture, (row, column) => {
    const gain = gains[Math.floor(row * map.rows / picture.rows) * map.columns +
                       Math.floor(column * map.columns / picture.columns)];
    const light = 0.45 + 0.55 * loudness[row * sound.spectrogram.columns + column] / 255;
    return attentionPalette[gain].map((value) => value * light);
  });
  return labelled(canvas, 'Attention of ' + map.name + ' over ' + sound.title + ', gain ' + gainText(map));
}

const gainText = (map) => '× ' + map.low.toPrecision(3) + ' to ' + map.high.toPrecision(3);

function element(name, properties, ...children) {
  const out = Object.assign(document.createElement(name), properties);
  out.append(...children);
  return out;
}

function soundFigure(sound) {
  const player = element('audio', {controls: true, preload: 'metadata', src: sound.sound});
  player.setAttribute('aria-label', sound.title);
  return element('figure', {}, element('figcaption', {textContent: sound.title}), spectrogramCanvas(sound), player);
}

function attentionFigures(sound) {
  const figures = sound.attention.map((map) => element(
    'figure', {}, attentionCanvas(sound, map),
    element('figcaption', {}, map.name, element('br', {}), gainText(map))));
  return [element('h4', {textContent: 'Over ' + sound.title}), element('div', {className: 'attention'}, ...figures)];
}

// Drawn when it is opened: there are many.
function attentionDetails(example, open) {
  const sounds = example.sounds.filter((sound) => sound.attention.length);
  if (!sounds.length) return [];
  const summary = element('summary', {textContent: 'What the encoder finds salient, block by block'});
  const details = element('details', {open}, summary);
  const draw = () => {
    if (details.open && details.childElementCount === 1) details.append(...sounds.flatMap(attentionFigures));
  };
  details.addEventListener('toggle', draw);
  draw();
  return [details];
}

function votesFigure(example, number) {
  if (!example.votes || typeof Chart === 'undefined') return [];
  const canvas = element('canvas', {id: 'chart-votes-' + number});
  canvas.setAttribute('role', 'img');
  const className = example.sounds.length > 2 ? 'row' : '';
  return [element('figure', {className}, element('figcaption', {textContent: 'Votes on where the query begins'}),
                  element('div', {className: 'chart low'}, canvas))];
}

function exampleArticle(example, number) {
  const title = element('h3', {id: 'example-' + number, textContent: example.title});
  const verdict = element(
    'span', {className: 'verdict ' + (example.right ? 'right' : 'wrong'), textContent: example.verdict});
  const figures = [...example.sounds.map(soundFigure), ...votesFigure(example, number)];
  const article = element(
    'article', {className: 'example'}, title, verdict, element('p', {textContent: example.text}),
    element('div', {className: 'sounds'}, ...figures), ...attentionDetails(example, number === 0));
  article.setAttribute('aria-labelledby', 'example-' + number);
  return article;
}

function showExamples(examples) {
  const list = document.getElementById('example-list');
  examples.forEach((example, number) => {
    list.append(exampleArticle(example, number));
    const canvas = document.getElementById('chart-votes-' + number);
    if (canvas) drawChart(canvas, () => votesChart(example.votes));
  });
}
