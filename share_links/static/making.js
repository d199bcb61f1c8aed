// Says while somebody types whether the link would work, and copies what was made.
const form = document.getElementById("making");
const list = document.getElementById("warnings");
let asked = 0;

async function check() {
  const mine = ++asked;
  const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form) });
  if (!answer.ok || mine !== asked) return;
  const { warnings } = await answer.json();
  list.hidden = !warnings.length;
  list.replaceChildren(
    ...warnings.map((text) => {
      const item = document.createElement("li");
      item.className = "alert alert-warning said";
      item.textContent = text;
      return item;
    }),
  );
}

form?.addEventListener("change", check);

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const words = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.copied;
    setTimeout(() => (button.textContent = words), 2000);
  });
}
