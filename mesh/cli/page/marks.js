// What is marked: the lines of a host on the map, and the row and the column of a cell in the matrix.

const SVG = "http://www.w3.org/2000/svg";
const rays = (mesh, number) => {
  const svg = mesh.section.querySelector(".map svg");
  const layer = svg.querySelector(".rays");
  layer.replaceChildren();
  mesh.dots.forEach((dot, place) => dot.classList.toggle("at", place === number));
  svg.classList.toggle("rayed", number !== null);
  if (number === null) return;
  const at = (place) => mesh.dots.get(place).querySelector("circle");
  mesh.hosts.forEach((_, peer) => {
    const state = [letter(mesh, number, peer), letter(mesh, peer, number)].sort((a, b) => WORST.indexOf(a) - WORST.indexOf(b))[0];
    if (peer === number || "c.".includes(state)) return;
    const line = document.createElementNS(SVG, "line");
    line.setAttribute("class", `ray link ${state}`);
    for (const [end, place] of [[1, number], [2, peer]]) {
      line.setAttribute(`x${end}`, at(place).getAttribute("cx"));
      line.setAttribute(`y${end}`, at(place).getAttribute("cy"));
    }
    layer.append(line);
  });
};

// Bands over the row and the column, and a frame around the cell between them.
const bands = (mesh) => mesh.bands ??= ["row", "column", "point"].map((kind) => {
  const band = make("div", "", "band", kind);
  mesh.table.parentNode.append(band);
  return band;
});
const over = (band, box) => {
  band.hidden = !box;
  if (box) ["left", "top", "width", "height"].forEach((side, place) => { band.style[side] = `${box[place]}px`; });
};
const point = (mesh, row, column) => {
  const { table } = mesh;
  all(table, "th.at").forEach((head) => head.classList.remove("at"));
  const now = mesh.section.querySelector(".now");
  const lines = row === null ? null : table.tBodies[0].rows[row];
  const head = column === null ? null : table.tHead.rows[0].cells[column + 1];
  const [across, down, cell] = bands(mesh);
  over(across, lines && [0, lines.offsetTop, table.offsetWidth, lines.offsetHeight]);
  over(down, head && [head.offsetLeft, 0, head.offsetWidth, table.offsetHeight]);
  const both = lines && head && lines.cells[column + 1];
  over(cell, both && [both.offsetLeft, both.offsetTop, both.offsetWidth, both.offsetHeight]);
  lines?.cells[0].classList.add("at");
  head?.classList.add("at");
  mesh.cursor = lines && head ? [row, column] : mesh.cursor;
  const site = (number) => mesh.hosts[number][1] ? ` (${mesh.hosts[number][1]})` : "";
  now.textContent = both && row !== column
    ? `${name(mesh, row)}${site(row)} → ${name(mesh, column)}${site(column)}: ${told(mesh, row, column).slice(0, 2).join(" ")}`
    : lines || head ? `${name(mesh, row ?? column)}${site(row ?? column)}` : "\u00a0";
};
const placeOf = (mesh, target) => {
  const cell = target.closest?.("td, th");
  if (!cell || !mesh.table.contains(cell)) return null;
  const column = cell.cellIndex ? cell.cellIndex - 1 : null;
  const row = cell.closest("tbody") ? cell.parentNode.sectionRowIndex : null;
  return row === null && column === null ? null : [row, column];
};
