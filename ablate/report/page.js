"use strict";
(() => {
  const text = (cell) => (cell.dataset.value ?? cell.textContent).trim();
  const number = (value) => (value === "" || value === "–" ? NaN : Number(value.replace(/,/g, "")));

  // What is missing sorts last in both directions.
  const order = (a, b, sign) => {
    const [x, y] = [number(a), number(b)];
    const [noX, noY] = [a === "" || a === "–", b === "" || b === "–"];
    if (noX || noY) return noX - noY;
    if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
    return sign * a.localeCompare(b, "en", { numeric: true });
  };

  const sort = (header) => {
    const table = header.closest("table");
    const column = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [first(row.cells[column]), row]);
    rows.sort(([a], [b]) => order(a, b, down ? -1 : 1));
    body.append(...rows.map(([, row]) => row));
  };

  // A cell's own value, without the small print below it.
  const first = (cell) => {
    if (cell.dataset.value !== undefined) return text(cell);
    const bare = cell.cloneNode(true);
    bare.querySelectorAll("small, .notes").forEach((extra) => extra.remove());
    return bare.textContent.trim();
  };

  document.querySelectorAll("table.sorts .sort").forEach((button) => {
    button.addEventListener("click", () => sort(button.closest("th")));
  });

  const files = JSON.parse(document.getElementById("csv").textContent);
  document.querySelectorAll("[data-csv]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const packed = Uint8Array.from(atob(files[button.dataset.csv]), (c) => c.charCodeAt(0));
      const text = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const blob = new Blob([await new Response(text).arrayBuffer()], { type: "text/csv;charset=utf-8" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${button.dataset.csv}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  });

  const theme = document.getElementById("theme");
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Paper shows what a click would.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((each) => each.setAttribute("open", ""));
  });
})();
