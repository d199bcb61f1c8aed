// Serves what MyST has made of each page, as plain HTML: the nodes that a theme would be given.
import http from 'node:http';

const content = `http://localhost:${process.env.CONTENT_CDN_PORT}`;
const port = process.env.PORT;
const tags = { paragraph: 'p', heading: 'h1', strong: 'strong', block: 'section', listItem: 'li', list: 'ul' };

const escape = (text) =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
const attribute = (name, value) => (value ? ` ${name}="${escape(value)}"` : '');

function html(node) {
  const inner = (node.children ?? []).map(html).join('') || escape(node.value ?? '');
  if (node.type === 'link') {
    const more = attribute('title', node.title) + attribute('class', node.class);
    return `<a${attribute('href', node.url)}${more}>${inner}</a>`;
  }
  const tag = tags[node.type];
  return tag ? `<${tag}${attribute('class', node.class)}>${inner}</${tag}>` : inner;
}

async function page(slug) {
  const answer = await fetch(`${content}/content/${slug}.json`);
  return answer.ok ? answer.text() : null;
}

async function answer(url) {
  const slug = decodeURIComponent(url.pathname.slice(1)).replace(/\/$/, '').replaceAll('/', '.');
  if (/\.(txt|css|xml|xsl|ico)$/.test(slug)) return '';
  if (slug.endsWith('.json')) return page(slug.slice(0, -5));
  const config = await (await fetch(`${content}/config.json`)).json();
  const data = await page(slug || config.projects[0].index);
  if (data === null) return null;
  const { mdast, frontmatter } = JSON.parse(data);
  const parts = Object.values(frontmatter?.parts ?? {}).map((part) => html(part.mdast ?? {}));
  const site = Object.values(config.parts ?? {}).map((part) => html(part.mdast ?? {}));
  const body = `<main>${html(mdast)}</main><footer>${parts.join('')}${site.join('')}</footer>`;
  return `<!doctype html><html><head></head><body>${body}</body></html>`;
}

http
  .createServer(async (request, response) => {
    const text = await answer(new URL(request.url, content)).catch((error) => String(error));
    response.writeHead(text === null ? 404 : 200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(text ?? '');
  })
  .listen(port, () => console.log(`Server started on http://localhost:${port}`));
