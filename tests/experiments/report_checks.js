// Comes after everything else of a page under test: compares what is shown with what the page carries, and writes what
// it found into <pre id="findings"> as JSON.
(async () => {
  const findings = {problems: window.problems};
  const wrong = (text) => findings.problems.push(text);
  const plain = (text) => text.replace(/\s+/g, ' ').trim();
  const results = JSON.parse(document.getElementById('results').textContent);

  // Rows of the table whose heading begins so, as {group, label, cells}; and the headings of its columns.
  function tableCalled(title) {
    const heading = [...document.querySelectorAll('h3')].find((h) => plain(h.textContent).startsWith(title));
    if (!heading) return null;
    const table = heading.nextElementSibling.querySelector('table');
    const rows = [];
    let group = '';
    for (const row of table.querySelectorAll('tbody tr')) {
      const label = plain(row.cells[0].textContent);
      if (row.classList.contains('group')) group = label;
      else rows.push({group, label, cells: [...row.cells].slice(1).map((cell) => plain(cell.textContent))});
    }
    return {heads: [...table.tHead.rows[0].cells].slice(1).map((cell) => plain(cell.textContent)), rows};
  }

  // "81.5 75.5–86.3" against a rate: numbers are rounded to a tenth.
  function sameNumbers(shown, rate) {
    const numbers = shown.replace(/\(.*?\)/g, '').match(/\d+(\.\d+)?/g).map(Number);
    const wanted = [rate.percent, ...rate.interval];
    return numbers.length === 3 && numbers.every((value, i) => Math.abs(value - wanted[i]) < 0.0501);
  }

  function compare(table, name, cells, rowOf, columnOf, rateOf) {
    let compared = 0;
    for (const cell of cells) {
      const {group, label} = rowOf(cell);
      const row = table.rows.find((r) => r.group === group && r.label === label);
      const shown = row && row.cells[table.heads.indexOf(columnOf(cell))];
      if (shown === undefined || !sameNumbers(shown, rateOf(cell))) {
        wrong(`${name}: ${group}, ${label}, ${columnOf(cell)}: '${shown}', not ${JSON.stringify(rateOf(cell))}`);
      } else {
        ++compared;
      }
    }
    return compared;
  }

  function checkTables() {
    const {headline, table_1: lengths} = results.lengths_s;
    const groups = {clean: 'undistorted', noise: 'noise', 'noise+reverb': 'noise + reverb', reverb: 'reverb, RT60'};
    const label = (cell) => cell.snr_db !== null ? cell.snr_db + ' dB'
      : cell.rt60_s !== null ? cell.rt60_s.toFixed(1) + ' s' : 'clean';
    const segments = results.cells.filter(
      (cell) => ['clean', 'noise+reverb'].includes(cell.condition) && lengths.includes(cell.length_s));
    findings.places = compare(
      tableCalled('Table 1 in full'), 'Table 1 in full', segments,
      (cell) => ({group: cell.length_s + ' s', label: label(cell)}), (cell) => cell.search, (cell) => cell.segment);
    findings.tracks = compare(
      tableCalled('Table 2 in full'), 'Table 2 in full', results.cells.filter((cell) => cell.length_s === headline),
      (cell) => ({group: groups[cell.condition], label: label(cell)}), (cell) => cell.search, (cell) => cell.audio);
    const ours = segments.filter((cell) => cell.search === 'exact, scored' && cell.condition === 'noise+reverb');
    findings.ours = compare(tableCalled('Table 1.'), 'Table 1', ours,
                            (cell) => ({group: cell.length_s + ' s', label: 'ours'}), label, (cell) => cell.segment);
    findings.winners = document.querySelectorAll('td .winner').length;
  }

  function checkCharts() {
    if (typeof Chart === 'undefined') return;
    const canvases = [...document.querySelectorAll('.chart canvas')].filter((canvas) => canvas.offsetParent);
    for (const canvas of canvases) {
      const chart = Chart.getChart(canvas);
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const inked = pixels.some((value, i) => i % 4 === 3 && value > 0);
      if (!chart || !inked) wrong('nothing is drawn: ' + canvas.id);
      if (!chart?.data.datasets.some((set) => set.data.length)) wrong('no data: ' + canvas.id);
    }
    findings.charts = canvases.map((canvas) => canvas.id);
  }

  function checkChoices() {
    const chart = () => Chart.getChart('chart-snr').data.datasets.filter((set) => !set.isBand);
    const level = document.getElementById('choose-level');
    const points = (name) => JSON.stringify(chart().find((set) => set.label === name).data);
    level.value = 'audio';
    level.dispatchEvent(new Event('change', {bubbles: true}));
    const {headline} = results.lengths_s;
    const wanted = results.cells
      .filter((c) => c.search === 'exact, scored' && c.condition === 'noise+reverb' && c.length_s === headline)
      .map((c) => ({x: c.snr_db, y: c.audio.percent}));
    if (points('exact, scored') !== JSON.stringify(wanted)) wrong('the chart does not follow the choice of level');
    const before = chart().length;
    document.querySelector('#choose-methods input:checked').click();
    if (chart().length !== before - 1) wrong('a method that is not chosen is still shown');
    document.querySelector('#choose-methods input').click();
  }

  function checkPictures() {
    const canvases = [...document.querySelectorAll('.example canvas')].filter((c) => !c.closest('.chart'));
    for (const canvas of canvases) {
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      if (new Set(pixels).size < 3) wrong('an empty picture: ' + canvas.getAttribute('aria-label'));
    }
    findings.pictures = canvases.length;
    findings.attention = document.querySelectorAll('.attention canvas').length;
  }

  async function checkSounds() {
    const sounds = [...document.querySelectorAll('audio')];
    findings.seconds = await Promise.all(sounds.map((sound) => new Promise((resolve) => {
      const done = () => resolve(sound.duration);
      if (sound.readyState > 0) return done();
      sound.addEventListener('loadedmetadata', done);
      sound.addEventListener('error', () => { wrong('a sound does not play'); resolve(0); });
    })));
  }

  // For those who hear the page, or have no mouse.
  function checkAccess() {
    for (const canvas of document.querySelectorAll('canvas')) {
      if (canvas.offsetParent && !canvas.getAttribute('aria-label')) wrong('a picture without a label');
    }
    for (const id of [...document.querySelectorAll('[aria-labelledby]')].map((e) => e.getAttribute('aria-labelledby'))) {
      if (!document.getElementById(id)) wrong('no label ' + id);
    }
    for (const link of document.querySelectorAll('a[href^="#"]')) {
      if (!document.querySelector(link.getAttribute('href'))) wrong('a link to nowhere: ' + link.href);
    }
    for (const input of document.querySelectorAll('select, input')) {
      if (!input.labels.length) wrong('an input without a label');
    }
    for (const head of document.querySelectorAll('th')) {
      if (!head.scope) wrong('a heading that does not say of what: ' + head.textContent);
    }
    for (const wide of document.querySelectorAll('.wide, pre')) {
      if (wide.tabIndex !== 0) wrong('a region that the keyboard cannot scroll');
    }
    const skip = document.querySelector('a.skip');
    skip.focus();
    if (document.activeElement !== skip || skip.getBoundingClientRect().left < 0) wrong('the skip link stays hidden');
    skip.blur();
  }

  // The page itself is never wider than a phone; its tables scroll by themselves.
  async function checkPhone() {
    const frame = document.createElement('iframe');
    frame.style = 'width: 360px; height: 740px; border: 0';
    const copy = document.documentElement.cloneNode(true);
    copy.querySelectorAll('script').forEach((script) => script.remove());
    frame.srcdoc = copy.outerHTML;
    await new Promise((resolve) => { frame.addEventListener('load', resolve); document.body.append(frame); });
    const inside = frame.contentDocument;
    findings.phoneWidth = inside.documentElement.scrollWidth;
    const wide = [...inside.body.querySelectorAll('*')].filter(
      (e) => !e.closest('.wide, pre') && e.getBoundingClientRect().right > 360);
    if (wide.length) wrong('wider than a phone: ' + wide.map((e) => e.tagName + '.' + e.className).slice(0, 5).join(', '));
    frame.remove();
  }

  try {
    checkTables();
    checkCharts();
    if (typeof Chart !== 'undefined') checkChoices();
    checkPictures();
    checkAccess();
    await checkSounds();
    await checkPhone();
  } catch (error) {
    wrong('the checks end early: ' + error.stack);
  }
  document.body.append(Object.assign(document.createElement('pre'), {id: 'findings', textContent: JSON.stringify(findings)}));
})();
