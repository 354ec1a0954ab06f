"use strict";
// Enlarges the part of an icicle that is chosen; choosing the top, or Escape, shows the whole.
for (const icicle of document.querySelectorAll(".icicle")) {
  const cells = [...icicle.children];
  const show = (from, width) => {
    for (const cell of cells) {
      const left = +cell.dataset.l, wide = +cell.dataset.w;
      const start = Math.max(left, from), end = Math.min(left + wide, from + width);
      cell.classList.toggle("out", end - start <= width * 1e-6);
      cell.style.left = ((start - from) / width) * 100 + "%";
      cell.style.width = ((end - start) / width) * 100 + "%";
    }
  };
  const choose = (cell) => show(+cell.dataset.l, Math.max(+cell.dataset.w, 1e-9));
  icicle.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) choose(cell);
  });
  icicle.addEventListener("keydown", (event) => {
    if (event.key === "Enter") choose(event.target);
    if (event.key === "Escape") choose(cells[0]);
  });
}
