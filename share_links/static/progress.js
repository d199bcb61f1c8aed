// Follows a launch and goes on by itself. Without it, the page loads itself anew.
const page = document.getElementById("journey");
const steps = [...page.querySelectorAll("[data-step]")];
const bar = page.querySelector("progress");
const log = page.querySelector("pre");
document.querySelector("meta[http-equiv=refresh]")?.remove();

function show(state) {
  const now = steps.findIndex((step) => step.dataset.step === state.at);
  steps.forEach((step, index) => {
    step.dataset.is = index < now ? "done" : index === now ? "now" : "next";
    step.toggleAttribute("aria-current", index === now);
    if (index === now) step.setAttribute("aria-current", "step");
  });
  // The start takes most of it, and says itself how far it is.
  const starts = steps.findIndex((step) => step.dataset.step === "start");
  const within = now === starts ? state.percent / 100 : 0;
  bar.value = Math.max(bar.value, (Math.max(0, now) + within) / steps.length);
  log.textContent = state.lines.join("\n");
}

async function follow() {
  try {
    const answer = await fetch(page.dataset.state, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.status);
    const state = await answer.json();
    show(state);
    if (state.to) return location.replace(state.to);
    if (state.over) return location.reload();
  } catch {
    return setTimeout(() => location.reload(), 3000);
  }
  setTimeout(follow, 500);
}
if (page.dataset.state) follow();
