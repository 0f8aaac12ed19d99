// The page in the browser CHROMIUM. REPORT is an orphans.html that a run has written, EXAMPLE an orphans.json without anything hostile,
// SHOTS a folder for pictures.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const {after, before, test} = require('node:test');
const {pathToFileURL} = require('node:url');
const puppeteer = require('puppeteer-core');
const axe = require.resolve('axe-core/axe.min.js');

const {REPORT, EXAMPLE, SHOTS} = process.env;
const written = fs.readFileSync(REPORT, 'utf8');
const sizes = {desktop: {width: 1200, height: 1300}, phone: {width: 390, height: 844}};
let browser;

before(async () => {
  // In a container root has no sandbox to open.
  browser = await puppeteer.launch({executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--font-render-hinting=none']});
});
after(() => browser.close());

// The page that was written, with another report in it.
function withReport(report) {
  const file = path.join(SHOTS, 'page.html');
  const json = JSON.stringify(report).replaceAll('<', '\\u003c');
  const data = /(<script type="application\/json" id="report">)[^]*?(<\/script>)/;
  fs.writeFileSync(file, written.replace(data, (_, open, close) => open + json + close));
  return file;
}
const example = () => JSON.parse(fs.readFileSync(EXAMPLE, 'utf8'));

async function open(t, file, size = 'desktop', scheme = 'light') {
  const page = await browser.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => faults.push(message.text()));
  page.on('request', (request) => { if (!/^(file|data):/.test(request.url())) faults.push(`asks for ${request.url()}`); });
  page.on('dialog', (dialog) => { faults.push('a dialog'); dialog.dismiss(); });
  await page.setViewport(sizes[size]);
  await page.emulateMediaFeatures([{name: 'prefers-color-scheme', value: scheme}, {name: 'prefers-reduced-motion', value: 'reduce'}]);
  await page.goto(pathToFileURL(file));
  t.after(async () => {
    await page.close();
    assert.deepEqual(faults, []);
  });
  return page;
}

const texts = (page, selector) => page.$$eval(selector,
  (found) => found.filter((one) => one.checkVisibility()).map((one) => one.innerText.trim()));
const column = async (page, n) => (await texts(page, `.summary > td:nth-child(${n})`)).map((text) => text.split('\n')[0]);
const head = (title) => `::-p-xpath(//thead//button[.="${title}"])`;
const labelled = (title, what) => `::-p-xpath(//label[starts-with(normalize-space(.), "${title}")]//${what})`;

test('counts what was found, and what was not seen', async (t) => {
  const page = await open(t, withReport(example()));
  assert.equal((await texts(page, '.summary')).length, 23);
  assert.deepEqual(await texts(page, '#shown'), ['23 findings']);
  const [unseen] = await texts(page, '#unseen');
  for (const told of ['hypervisor cmp11', 'could not be reached', 'analytics-12', '2 instances are unknown']) {
    assert.ok(unseen.includes(told), unseen);
  }
  assert.equal((await texts(page, '#hosts tbody tr')).length, 6);
  await page.click('#hosts .more button');
  assert.equal((await texts(page, '#hosts tbody tr')).length, 10);
});

test('sorts by each column, both ways', async (t) => {
  const page = await open(t, withReport(example()));
  assert.equal((await column(page, 4))[0], '32\u00a0vCPU · 64\u00a0GiB · 320\u00a0GB');
  await page.click(head('Held'));
  assert.equal((await column(page, 4)).at(-1), '32\u00a0vCPU · 64\u00a0GiB · 320\u00a0GB');
  for (const [n, title] of [[1, 'Finding'], [3, 'Host'], [6, 'Verdict'], [7, 'Way out']]) {
    await page.click(head(title));
    const rising = (await column(page, n)).filter(Boolean);
    assert.deepEqual(rising, [...rising].sort(), title);
    await page.click(head(title));
    assert.deepEqual((await column(page, n)).filter(Boolean), [...rising].reverse(), title);
  }
  await page.click(head('Age'));
  assert.equal((await column(page, 5))[0], '388 d');
  const sorted = await page.$$eval('#findings [aria-sort]', (heads) => heads.map((one) => [one.innerText, one.ariaSort]));
  assert.deepEqual(sorted, [['Age', 'descending']]);
  await page.click(head('Name'));
  assert.equal((await column(page, 2))[0], 'batch-worker-88');
});

test('filters by kind, host, verdict and text, and says how many are left', async (t) => {
  const page = await open(t, withReport(example()));
  await page.select(labelled('Finding', 'select'), 'zombie');
  assert.deepEqual((await column(page, 2)).sort(), ['erp-app-old', 'erp-db-old']);
  assert.deepEqual(await texts(page, '#shown'), ['2 of 23 findings']);
  await page.type(labelled('Text', 'input'), 'erp-APP');
  assert.deepEqual(await column(page, 2), ['erp-app-old']);
  await page.select(labelled('Host', 'select'), 'cmp12');
  assert.deepEqual(await texts(page, '#nothing'), ['No finding is like that.']);
  await page.$eval('#filters', (form) => form.reset());
  await page.select(labelled('Verdict', 'select'), 'live');
  assert.deepEqual((await column(page, 2)).sort(), ['mail-relay-2', 'search-04']);
});

test('opens a finding by the keyboard, and copies its command', async (t) => {
  await browser.defaultBrowserContext().setPermission('*', {permission: {name: 'clipboard-write'}, state: 'granted'},
    {permission: {name: 'clipboard-read'}, state: 'granted'});
  const page = await open(t, withReport(example()));
  await page.select(labelled('Finding', 'select'), 'allocation_elsewhere');
  const toggle = await page.waitForSelector('tbody:not([hidden]) .toggle');
  await toggle.focus();
  await page.keyboard.press('Enter');
  assert.equal(await toggle.evaluate((button) => button.ariaExpanded), 'true');
  const [detail] = await texts(page, '.detail');
  for (const told of ['it also holds an allocation on cmp04', 'allocation · cmp04.example.com', 'delete the allocation on cmp04',
    'its allocation on cmp08']) {
    assert.ok(detail.includes(told), detail);
  }
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForSelector('::-p-xpath(//button[.="Copied"])');
  const finding = example().findings.find(({kind}) => kind === 'allocation_elsewhere');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), finding.command);
  await toggle.click();
  assert.deepEqual(await texts(page, '.detail'), []);
});

test('takes a hostile name for text', async (t) => {
  const page = await open(t, REPORT);
  await page.click('::-p-xpath(//button[.="Expand all"])');
  assert.deepEqual((await column(page, 2)).filter((name) => /[<{]/.test(name)).sort(), ['<script>alert(1)</script>', '{{ 7*7 }}']);
  assert.equal((await texts(page, '.detail li')).filter((text) => text === '</script><b>\'"\\').length, 1);
  assert.equal(await page.$$eval('script', (scripts) => scripts.length), 2);
  assert.equal(await page.$('b'), null);
});

test('tells of what was asked for and is no orphan, apart from the findings', async (t) => {
  const [finding] = example().findings;
  const healthy = {...finding, name: '<b>web', kind: '', verdict: 'live', reasons: ['Nova looks after it']};
  const page = await open(t, withReport({...example(), findings: [], not_orphaned: [healthy], unread: [], scope: {instance_uuid: [finding.uuid]}}));
  assert.deepEqual(await texts(page, '#named li'), [`<b>web ${finding.uuid} – live; Nova looks after it`]);
  assert.deepEqual(await texts(page, '#nothing'), ['Nothing that was asked for is an orphan.']);
  await page.goto(pathToFileURL(withReport(example())));
  assert.deepEqual(await texts(page, '#named'), []);
});

test('says plainly that nothing is left', async (t) => {
  const clean = {...example(), findings: [], unknown: [], unread: []};
  clean.hosts.forEach((host) => { host.held = {}; });
  const page = await open(t, withReport(clean));
  assert.deepEqual(await texts(page, '#nothing'), ['Nothing is left of any instance.']);
  assert.deepEqual(await texts(page, '#unseen, #filters, #findings'), []);
  const partly = await open(t, withReport({...clean, unread: example().unread, scope: {...clean.scope, host: ['cmp01']}}));
  assert.deepEqual(await texts(partly, '#nothing, #scope'), ['Only host cmp01', 'Nothing was found in what could be read.']);
});

for (const size of Object.keys(sizes)) {
  for (const scheme of ['light', 'dark']) {
    test(`is accessible at ${size} width, ${scheme}`, async (t) => {
      const page = await open(t, withReport(example()), size, scheme);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it scrolls sideways');
      await page.screenshot({path: path.join(SHOTS, `${size}-${scheme}.png`)});
      await page.click('::-p-xpath(//button[.="Expand all"])');
      if (scheme === 'light') await page.screenshot({path: path.join(SHOTS, `${size}-expanded.png`), fullPage: true});
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it scrolls sideways when expanded');
      await page.addScriptTag({path: axe});
      const {violations} = await page.evaluate(() => axe.run());
      assert.deepEqual(violations.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).slice(0, 3).join(' ')}`), []);
    });
  }
}
