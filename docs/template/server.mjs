// Serves what MyST has made of each page as HTML that needs no script. Addresses within the book are
// relative, so it can be put anywhere.
import fs from 'node:fs';
import http from 'node:http';

const content = `http://localhost:${process.env.CONTENT_CDN_PORT}`;
const port = process.env.PORT;
const style = fs.readFileSync(new URL('style.css', import.meta.url));

const tags = {
  paragraph: 'p',
  strong: 'strong',
  emphasis: 'em',
  delete: 'del',
  inlineCode: 'code',
  block: 'section',
  blockquote: 'blockquote',
  listItem: 'li',
  table: 'table',
  tableRow: 'tr',
};

const escape = (text) =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
const attribute = (name, value) => (value ? ` ${name}="${escape(value)}"` : '');
const element = (tag, attributes, inner) => `<${tag}${attributes}>${inner}</${tag}>`;

// What a node becomes. `up` leads from the page to the top of the book: '', '../', '../../'.
const kinds = {
  heading: (node, inner) =>
    element(`h${node.depth ?? 1}`, attribute('id', node.html_id), inner),
  code: (node) => element('pre', '', element('code', attribute('class', node.lang), escape(node.value))),
  link: (node, inner, up) =>
    element('a', attribute('href', address(node, up)) + attribute('title', node.title) + attribute('class', node.class), inner),
  crossReference: (node, inner, up) => {
    const anchor = node.html_id ? `#${node.html_id}` : '';
    return element('a', attribute('href', (node.url ? pageAt(node.url, up) : '') + anchor), inner);
  },
  image: (node, inner, up) => `<img${attribute('src', file(node.url, up))} alt="${escape(node.alt ?? '')}">`,
  list: (node, inner) => element(node.ordered ? 'ol' : 'ul', '', inner),
  tableCell: (node, inner) => element(node.header ? 'th' : 'td', '', inner),
  comment: () => '',
  break: () => '<br>',
  thematicBreak: () => '<hr>',
};

function html(node, up = '') {
  const inner = (node.children ?? []).map((child) => html(child, up)).join('') || escape(node.value ?? '');
  const kind = kinds[node.type];
  if (kind) return kind(node, inner, up);
  const tag = tags[node.type];
  return tag ? element(tag, attribute('class', node.class), inner) : inner;
}

function pageAt(url, up) {
  const slug = url.replace(/^\/|\/$/g, '');
  return `${up}${slug ? `${slug}/` : ''}` || './';
}

// Files that MyST has copied are in one folder of the built book.
const file = (url, up) => (/^\/[^/]+$/.test(url) ? `${up}build${url}` : url);

function address(node, up) {
  if (node.internal) {
    const [page, anchor] = node.url.split('#');
    return pageAt(page, up) + (anchor ? `#${anchor}` : '');
  }
  return node.static ? file(node.url, up) : node.url;
}

function contents(project, slug, up) {
  const entries = [{ slug: '', title: project.title, level: 1 }, ...project.pages];
  const lines = entries.map((entry) => {
    const here = entry.slug === slug ? ' aria-current="page"' : '';
    const title = escape(entry.title);
    const inner =
      entry.slug === undefined ? title : element('a', attribute('href', pageAt(entry.slug, up)) + here, title);
    return element('li', ` class="level-${entry.level}"`, inner);
  });
  return element('nav', ' aria-label="Contents"', element('ul', '', lines.join('')));
}

async function page(slug) {
  const answer = await fetch(`${content}/content/${slug}.json`);
  return answer.ok ? answer.text() : null;
}

async function answer(url) {
  const slug = decodeURIComponent(url.pathname.slice(1)).replace(/\/$/, '').replaceAll('/', '.');
  if (slug === 'myst-theme.css') return style;
  if (/\.(txt|css|xml|xsl|ico)$/.test(slug)) return '';
  if (slug.endsWith('.json')) return page(slug.slice(0, -5));
  const config = await (await fetch(`${content}/config.json`)).json();
  const [project] = config.projects;
  const data = await page(slug || project.index);
  if (data === null) return null;
  // MyST asks for the first page by its name where the book has a base URL, and puts it on top too.
  const up = slug && slug !== project.index ? '../'.repeat(slug.split('.').length) : '';
  const { mdast, frontmatter = {} } = JSON.parse(data);
  const body = (part) => html(part.mdast ?? {}, up);
  const parts = Object.values(frontmatter.parts ?? {}).map(body);
  const site = Object.values(config.parts ?? {}).map(body);
  const title = frontmatter.content_includes_title ? '' : element('h1', '', escape(frontmatter.title ?? ''));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(frontmatter.title ?? project.title ?? '')}</title>
<link rel="stylesheet" href="${up}myst-theme.css">
</head>
<body>
${contents(project, slug, up)}
<main>${title}${html(mdast, up)}</main>
<footer>${parts.join('')}${site.join('')}</footer>
</body>
</html>`;
}

http
  .createServer(async (request, response) => {
    const text = await answer(new URL(request.url, content)).catch((error) => String(error));
    response.writeHead(text === null ? 404 : 200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(text ?? '');
  })
  .listen(port, () => console.log(`Server started on http://localhost:${port}`));
