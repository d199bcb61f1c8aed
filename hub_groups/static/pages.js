// What pages do beyond links and forms, which all work without it: figures that stay up to date,
// answers while somebody types, and questions before what can't be taken back.
"use strict";

const LIVE_MS = 10_000, SOON_MS = 2_000;
const TYPING_MS = 300;

const isBusy = (element) => element.contains(document.activeElement) || element.querySelector("[open], :checked");

/** Put the elements marked data-live of a fresh copy of this page in the place of those here. */
async function refresh() {
  if (document.hidden || !document.querySelector("[data-live]")) return;
  try {
    const answer = await fetch(location.href, {
      headers: { "X-XSRFToken": document.body.dataset.xsrf, Accept: "text/html" },
    });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const here of document.querySelectorAll("[data-live]")) {
      const there = fresh.getElementById(here.id);
      if (there && !isBusy(here) && there.innerHTML !== here.innerHTML) here.innerHTML = there.innerHTML;
    }
  } catch {
    // The hub may be restarting; the next round will tell.
  }
}

/** A form marked data-check: what the server says of it as it is now, into the element of that id; and examples in its
    empty fields. */
function checkWhileTyping(form) {
  const where = document.getElementById(form.dataset.check);
  let timer, round = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++round;
      const body = new URLSearchParams(new FormData(form));
      body.set("check", "1");
      where.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(form.getAttribute("action") || location.href, {
          method: "POST", body, headers: { "X-XSRFToken": document.body.dataset.xsrf },
        });
        const text = await answer.text();
        if (mine !== round || !(answer.ok || answer.status === 400)) return;
        const page = new DOMParser().parseFromString(text, "text/html");
        const fresh = page.getElementById(where.id);
        if (fresh) where.innerHTML = fresh.innerHTML;
        for (const field of form.querySelectorAll("input[placeholder]")) {
          field.placeholder = page.getElementById(field.id)?.placeholder ?? field.placeholder;
        }
      } finally {
        if (mine === round) where.removeAttribute("aria-busy");
      }
    }, TYPING_MS);
  });
}

setInterval(refresh, LIVE_MS);
setInterval(() => document.querySelector("[data-soon]") && refresh(), SOON_MS);
document.addEventListener("visibilitychange", refresh);
for (const form of document.querySelectorAll("form[data-check]")) checkWhileTyping(form);
// Of the whole page, since forms come and go with what is live.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
});
for (const field of document.querySelectorAll("[data-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
for (const box of document.querySelectorAll("input[data-all]")) {
  box.closest("[hidden]").hidden = false; // it does nothing where there is no script
  box.addEventListener("change", () => {
    for (const other of document.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue; // it is there only where the page came over HTTPS
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.firstChild.textContent = button.dataset.copied;
  });
}
