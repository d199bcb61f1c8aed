// Shows the links that `share-links build` has written to share_links.json. It makes none itself.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const book = path.dirname(fileURLToPath(import.meta.url));
const options = ['profile', 'image', 'group', 'view', 'hub', 'label'];
const said = new Set();

function sayOnce(vfile, text) {
  if (!said.has(text)) vfile.message(text);
  said.add(text);
}

function read(name) {
  try {
    return fs.readFileSync(path.join(book, name));
  } catch {
    return null;
  }
}

const nothing = { pages: {}, launches: {} };
let known;
let wrong;

function load() {
  try {
    known = JSON.parse(read('share_links.json'));
  } catch {
    known = null;
  }
  const config = createHash('sha256').update(read('share_links.yml') ?? '').digest('hex');
  if (!known?.pages) {
    wrong = 'share_links.json is missing; run: share-links build';
  } else if (known.made_from !== config) {
    wrong = 'share_links.yml has changed since share_links.json was made; run: share-links build';
  }
}

function table(vfile) {
  if (known === undefined) load();
  if (wrong) sayOnce(vfile, wrong);
  return known?.pages ? known : nothing;
}

const pageOf = (vfile) => path.relative(book, vfile.path).split(path.sep).join('/');

const link = ({ url, text, label }) => ({
  type: 'link',
  url,
  title: label,
  class: 'launch-button',
  children: [{ type: 'text', value: text }],
});

const row = (links) => ({
  type: 'paragraph',
  class: 'share-links',
  children: links.flatMap((one, n) => (n ? [{ type: 'text', value: ' ' }, link(one)] : [link(one)])),
});

function find(vfile, key) {
  const found = table(vfile).launches[pageOf(vfile)]?.[JSON.stringify(key)];
  if (!found && known?.pages) {
    sayOnce(vfile, `a launch of ${pageOf(vfile)} is not in share_links.json; run: share-links build`);
  }
  return found ?? [];
}

const directive = {
  name: 'launch',
  doc: 'Links that open a file of the book on each hub, or on one.',
  arg: { type: String, doc: 'The file, from the page or with / from the top of the book.' },
  options: Object.fromEntries(options.map((name) => [name, { type: String }])),
  run(data, vfile) {
    const given = options.map((name) => data.options?.[name] ?? '');
    const links = find(vfile, [data.arg ?? '', ...given]);
    return links.length ? [row(links)] : [];
  },
};

const role = {
  name: 'launch',
  doc: 'A link that opens a file of the book: FILE, or LABEL <FILE>.',
  body: { type: String, required: true },
  run(data, vfile) {
    const links = find(vfile, [data.body.trim()]);
    return [links.length ? link(links[0]) : { type: 'text', value: data.body }];
  },
};

const buttons = {
  name: 'share-links',
  stage: 'document',
  plugin: () => (tree, vfile) => {
    const page = pageOf(vfile);
    const links = table(vfile).pages[page];
    if (links?.length) tree.children.unshift({ type: 'block', children: [row(links)] });
    if (!links && page.endsWith('.ipynb') && known?.pages) {
      sayOnce(vfile, `${page} is not in share_links.json; run: share-links build`);
    }
  },
};

export default { name: 'share_links', directives: [directive], roles: [role], transforms: [buttons] };
