// Puts the page together from the data it carries.
'use strict';

const dataOf = (id) => JSON.parse(document.getElementById(id).textContent);

drawRates(dataOf('results'));
drawTraining(dataOf('training-data'));
showExamples(dataOf('example-data'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawChartsAgain);
