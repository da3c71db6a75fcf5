"use strict";
const rows = [...document.querySelectorAll(".matrix tr[data-level]")];
const buttons = [...document.querySelectorAll("nav button")];
const onlyOpen = document.getElementById("open");
const search = document.getElementById("search");
let level = "";

function show() {
  const text = search.value.trim().toLowerCase();
  for (const row of rows) {
    row.hidden = (level !== "" && row.dataset.level !== level)
      || (onlyOpen.checked && row.dataset.holds === "1")
      || !row.textContent.toLowerCase().includes(text);
  }
  for (const body of document.querySelectorAll(".matrix tbody")) {
    body.hidden = !body.querySelector("tr[data-level]:not([hidden])");
  }
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    level = button.dataset.level;
    buttons.forEach((each) => each.classList.toggle("on", each === button));
    show();
  });
}
onlyOpen.addEventListener("change", show);
search.addEventListener("input", show);
