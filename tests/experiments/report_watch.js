// Comes before anything else of a page under test: remembers what goes wrong.
window.problems = [];
addEventListener('error', (event) => window.problems.push('error: ' + event.message));
addEventListener('unhandledrejection', (event) => window.problems.push('rejection: ' + event.reason));
for (const kind of ['error', 'warn']) {
  const original = console[kind];
  console[kind] = (...parts) => { window.problems.push(kind + ': ' + parts.join(' ')); original(...parts); };
}
