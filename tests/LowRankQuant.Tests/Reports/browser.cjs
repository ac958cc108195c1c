// Opens pages and pictures (.html, .svg) in Chromium and looks at them: node browser.cjs PLAYWRIGHT CHROMIUM SCREENSHOTS PAGE...
// Prints a JSON object: problems, a sentence each, and how much was looked at, so that a check that finds nothing to look at shows.
const path = require('path'), { pathToFileURL } = require('url');
const [playwright, executablePath, screenshots, ...pages] = process.argv.slice(2);
const { chromium } = require(playwright);

// Runs in the page.
function look({ narrow, dark, isPicture }) {
  const problems = [], seen = { figures: 0, texts: 0, contrasts: 0, words: 0 };
  const isShown = element => element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
  if (!isPicture && document.documentElement.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll('body *')].filter(element => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('.wide, pre'));
    problems.push(`the page scrolls sideways, ${document.documentElement.scrollWidth} px in ${innerWidth}: ${wide.slice(0, 3).map(element => element.outerHTML.slice(0, 120)).join(' | ')}`);
  }
  const boxOf = element => element.getBoundingClientRect();
  for (const svg of document.querySelectorAll('svg')) {
    seen.figures++;
    const frame = boxOf(svg), labels = (svg.getAttribute('aria-labelledby') ?? '').split(' ').map(id => document.getElementById(id)?.textContent ?? '');
    const name = labels[0];
    // A picture by itself paints its own paper; whatever is not that is what it shows.
    if (!svg.querySelector('circle, polygon, polyline, rect:not(.paper)')) problems.push(`a figure shows nothing: ${name}`);
    if (!(frame.width > 50 && frame.height > 20)) problems.push(`a figure has ${frame.width} by ${frame.height} px: ${name}`);
    if (!name || svg.getAttribute('role') !== 'img') problems.push(`a figure has no accessible name: ${svg.outerHTML.slice(0, 100)}`);
    const texts = [...svg.querySelectorAll('text')].map(text => ({ text: text.textContent, box: boxOf(text) }));
    for (const [i, { text, box }] of texts.entries()) {
      seen.texts++;
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) problems.push(`'${text}' is outside of ${name}`);
      for (const other of texts.slice(i + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left), down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        // The box of a line of text has room above and below its letters.
        if (across > 0.5 && down > box.height * 0.3) problems.push(`'${text}' and '${other.text}' overlap in ${name}`);
      }
      if (narrow && box.height < 9) problems.push(`'${text}' in ${name} is ${box.height.toFixed(1)} px high`);
    }
  }
  const parse = color => {
    const made = color.match(/rgba?\(([^)]+)\)/);
    if (!made) return null;
    const [r, g, b, a = 1] = made[1].split(/[ ,/]+/).map(Number);
    return { r, g, b, a };
  };
  const light = ({ r, g, b }) => [r, g, b].map(part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const paper = at.querySelector(':scope > rect.paper');
      if (paper) return parse(getComputedStyle(paper).fill);
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color && color.a === 1) return color;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const check = (words, front, back) => {
    seen.contrasts++;
    const [one, other] = [light(front), light(back)].sort((a, b) => b - a), ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)} of '${words.slice(0, 40)}'`);
  };
  const walker = document.createTreeWalker(document.body ?? document.documentElement, NodeFilter.SHOW_TEXT), done = new Set();
  while (walker.nextNode()) {
    const words = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!words || done.has(element) || element.closest('svg, script, style') || !isShown(element)) continue;
    done.add(element);
    seen.words++;
    check(words, parse(getComputedStyle(element).color), behind(element));
  }
  for (const text of document.querySelectorAll('svg text')) {
    let back = behind(text.ownerSVGElement);
    if (text.classList.contains('in')) back = parse(getComputedStyle(text.previousElementSibling).fill);
    check(text.textContent, parse(getComputedStyle(text).fill), back);
  }
  const page = document.body ? parse(getComputedStyle(document.body).backgroundColor) : behind(document.documentElement);
  if (light(page) > 0.5 === dark) problems.push(`the page is ${dark ? 'light in the dark' : 'dark in the light'} scheme`);
  return { problems, seen };
}

// Runs in the page: heads of tables whose words are cut in two.
function brokenWords() {
  const broken = [];
  for (const head of document.querySelectorAll('th')) {
    const walker = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      for (const word of walker.currentNode.textContent.matchAll(/[\w.]+/g)) {
        const range = document.createRange();
        range.setStart(walker.currentNode, word.index);
        range.setEnd(walker.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) broken.push(`the word '${word[0]}' of a table's head is cut in two`);
      }
    }
  }
  return broken.slice(0, 20);
}

(async () => {
  const problems = [], seen = { pages: 0, figures: 0, texts: 0, contrasts: 0, words: 0, stops: 0, printed: 0, sorted: 0 };
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  for (const file of pages) {
    const name = path.basename(file, path.extname(file)), isPicture = file.endsWith('.svg'), own = pathToFileURL(file).href;
    let what = `${name}: `;
    // One context and one load for all views of a page: making them takes most of the time.
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', reducedMotion: 'reduce' });
    const page = await context.newPage();
    // Machines that do other work, too, take their time.
    page.setDefaultTimeout(120000);
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) problems.push(`${what}console: ${message.text()}`); });
    page.on('pageerror', error => problems.push(`${what}error: ${error.message}`));
    page.on('dialog', dialog => { problems.push(`${what}a dialog: ${dialog.message()}`); dialog.dismiss(); });
    await context.route('**/*', route => {
      if (route.request().url() === own) return route.continue();
      problems.push(`${what}asks for ${route.request().url()}`);
      return route.abort();
    });
    await page.goto(own);
    for (const [width, dark] of [[1280, false], [1280, true], [360, false], [360, true]]) {
      await view(page, width, dark);
      await check(page, width, dark, '');
      seen.pages++;
      // Of a picture by itself no picture of the whole page can be taken.
      if (screenshots && !isPicture) await page.screenshot({ path: path.join(screenshots, `${name}-${width}-${dark ? 'dark' : 'light'}.png`), fullPage: true });
    }
    if (!isPicture) {
      await view(page, 1280, false);
      await keyboard(page, what);
      await print(page, what, name);
      await view(page, 360, false);
      await page.evaluate(() => { for (const folded of document.querySelectorAll('details')) folded.open = true; });
      await check(page, 360, false, 'all open: ');
    }
    await context.close();

    async function view(page, width, dark) {
      what = `${name}, ${width} px, ${dark ? 'dark' : 'light'}: `;
      await page.setViewportSize({ width, height: width < 500 ? 740 : 900 });
      await page.emulateMedia({ media: 'screen', colorScheme: dark ? 'dark' : 'light' });
    }

    async function check(page, width, dark, how) {
      // A picture by itself is as large as it is: a browser scrolls over it.
      const found = await page.evaluate(look, { narrow: width < 500 && !isPicture, dark, isPicture });
      problems.push(...found.problems.map(problem => what + how + problem));
      if (!how) for (const key of Object.keys(found.seen)) seen[key] += found.seen[key];
    }
  }
  await browser.close();
  console.log(JSON.stringify({ problems: [...new Set(problems)], seen }));

  // Every stop of the keyboard is one that can be seen, and every link, button, fold and scrolling region is one.
  async function keyboard(page, what) {
    const wanted = await page.evaluate(() => [...document.querySelectorAll('a[href], button, summary, [tabindex="0"]')].filter(element => element.checkVisibility({ contentVisibilityAuto: true })).length);
    const reached = new Set();
    for (let i = 0; i < wanted; i++) {
      await page.keyboard.press('Tab');
      const stop = await page.evaluate(() => {
        const element = document.activeElement, style = getComputedStyle(element);
        return { path: [...document.querySelectorAll('*')].indexOf(element), ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, html: element.outerHTML.slice(0, 80) };
      });
      if (!stop.ring) problems.push(`${what}no ring about ${stop.html}`);
      reached.add(stop.path);
    }
    seen.stops += reached.size;
    if (reached.size < wanted) problems.push(`${what}the keyboard reaches ${reached.size} of ${wanted} stops`);
    const sorted = await page.evaluate(() => {
      const table = document.querySelector('table[data-sort]');
      if (!table) return 0;
      const column = table.tHead.rows[0].cells.length - 1, button = table.tHead.rows[0].cells[column].querySelector('button');
      button.click();
      const values = [...table.tBodies[0].rows].map(row => Number(row.cells[column].dataset.v)).filter(value => !isNaN(value));
      return values.every((value, i) => i === 0 || values[i - 1] >= value) ? 1 : -1;
    });
    if (sorted < 0) problems.push(`${what}a table is not sorted by the column that was asked for`);
    seen.sorted += Math.max(0, sorted);
  }

  async function print(page, what, name) {
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    // As wide as A4 is between its margins.
    await page.setViewportSize({ width: 703, height: 1000 });
    await page.evaluate(() => { for (const folded of document.querySelectorAll('details:not(.figures-data)')) folded.open = true; });
    const printed = await page.evaluate(look, { narrow: false, dark: false });
    problems.push(...[...printed.problems, ...await page.evaluate(brokenWords)].map(problem => `${what}printed: ${problem}`));
    const pdf = await page.pdf({ format: 'A4', margin: { top: '15mm', bottom: '15mm', left: '12mm', right: '12mm' }, ...(screenshots ? { path: path.join(screenshots, `${name}.pdf`) } : {}) });
    seen.printed += pdf.length > 10000 ? 1 : 0;
  }
})().catch(error => { console.error(error); process.exit(1); });
