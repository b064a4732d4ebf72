"use strict";
const form = document.getElementById("filter");
if (form) {
  const rollouts = [...document.querySelectorAll(".rollout")];
  const texts = new Map();
  const text = (rollout) => {
    if (!texts.has(rollout)) texts.set(rollout, rollout.textContent.toLowerCase());
    return texts.get(rollout);
  };
  const fields = form.elements;
  const filter = () => {
    const words = fields.text.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const rollout of rollouts) {
      const fits =
        (!fields.outcome.value || rollout.dataset.outcome === fields.outcome.value) &&
        (!fields.canary.value || rollout.dataset.canary === fields.canary.value) &&
        words.every((word) => text(rollout).includes(word));
      rollout.hidden = !fits;
      shown += fits;
    }
    fields.count.value = `${shown} of ${rollouts.length} shown`;
  };
  const spellOut = (rollout) => {
    for (const link of rollout.querySelectorAll("a[href^='#q']")) {
      const query = document.querySelector(link.hash).cloneNode(true);
      query.removeAttribute("id");
      link.replaceWith(query);
    }
  };
  for (const rollout of rollouts) {
    if (rollout.open) spellOut(rollout);
    rollout.addEventListener("toggle", () => spellOut(rollout));
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  fields.open.addEventListener("click", () => rollouts.forEach((rollout) => { if (!rollout.hidden) rollout.open = true; }));
  fields.close.addEventListener("click", () => rollouts.forEach((rollout) => { rollout.open = false; }));
  form.hidden = false;
  filter();
}
